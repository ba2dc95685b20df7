package vault

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
)

// What the blocks find is what looking at every credential finds, whatever was added, changed and removed before.
func TestSearchIndex(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	x := newIndex(nil)
	names := map[string]string{} // description by name
	change := func() {
		name := fmt.Sprintf("c%04d", random.IntN(4000))
		if _, there := names[name]; there && random.IntN(3) == 0 {
			delete(names, name)
			x.remove("id-" + name)
			return
		}
		names[name] = fmt.Sprintf("text %d", random.IntN(300))
		x.put(credential.Metadata{ID: "id-" + name, Name: name, Description: names[name]})
	}
	compare := func() {
		t.Helper()
		after, text := fmt.Sprintf("c%04d", random.IntN(4000)), fmt.Sprintf("t %d", random.IntN(300))
		if random.IntN(5) == 0 {
			after, text = "", fmt.Sprintf("%03d", random.IntN(1000))
		}
		var got, want []string
		for c := range x.lists[listAll].behind(after, text) {
			if (Filter{Search: text}).matches(c) {
				got = append(got, c.Name)
			}
		}
		for name, description := range names {
			if name > after && (strings.Contains(name, text) || strings.Contains(description, text)) {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%q behind %q: %v, want %v", text, after, got, want)
		}
	}
	compare()
	for n := range 12000 {
		if change(); n%20 == 0 {
			compare()
		}
	}
	if blocks := len(x.lists[listAll].blocks); blocks < 3 {
		t.Errorf("only %d blocks", blocks)
	}
	loaded := newIndex(slices.Collect(x.all()))
	if x = loaded; len(x.lists[listAll].blocks) < 3 {
		t.Errorf("only %d blocks once loaded", len(x.lists[listAll].blocks))
	}
	compare()
	for name := range names {
		x.remove("id-" + name)
	}
	clear(names)
	if compare(); len(x.lists) != 0 || len(x.byID) != 0 {
		t.Errorf("left: %d lists, %d credentials", len(x.lists), len(x.byID))
	}
}
