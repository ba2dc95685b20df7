package test

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// skips are the calls that end a test early without failing it.
var skips = regexp.MustCompile(`\bt\.Skip(f|Now)?\(`)

// inputSkips leave out an input of a fuzzer's or a generator's making, and never a test.
var inputSkips = map[string]bool{
	"agent/internal/template/template_test.go": true,
	"server/internal/seal/share_test.go":       true,
	"shared/secret/arena_test.go":              true,
}

// A test that cannot run for want of something says so through kit.Missing, which fails in CI: nothing is skipped there
// unseen.
func TestHouseSkips(t *testing.T) {
	t.Parallel()
	root := kit.Root()
	seen := 0
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (name == ".git" || name == "bin") {
			return cmp.Or(err, fs.SkipDir)
		}
		if !strings.HasSuffix(name, "_test.go") || name == "test/skip_test.go" {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		seen++
		if at := skips.Find(text); at != nil && !inputSkips[name] {
			t.Errorf("%s: %s: use kit.Missing, which fails in CI", name, at)
		}
		return nil
	})
	if err != nil || seen < 100 {
		t.Errorf("%d test files were read: %v", seen, err)
	}
	if skips.FindString(`t.Skip("x")`) == "" || skips.FindString(`t.SkipNow()`) == "" {
		t.Error("the search finds nothing")
	}
}
