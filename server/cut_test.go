package server

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/checkpoint"
)

// warnings are what a server's own log says of a vault that it starts on.
func (v *small) warnings(t *testing.T) []string {
	t.Helper()
	var text bytes.Buffer
	c := sealedConfig(v.data, v.keyFile)
	c.Log = slog.New(slog.NewTextHandler(&text, nil))
	s := must(open(c))(t)
	must(s.unsealAtStart(t.Context()))(t)
	stop(t, s) // nothing writes to text any more
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^time=\S+ level=WARN msg=(.*)$`).FindAllStringSubmatch(text.String(), -1) {
		out = append(out, m[1])
	}
	return out
}

// TestACutLogIsSaid takes 40 bytes off the log of a server that was stopped in good order: that is the last entry, and
// the checkpoint has one more than the log. Verify and Check name it, and a server that starts on it warns.
func TestACutLogIsSaid(t *testing.T) {
	t.Parallel()
	v := newSmall(t)
	if got := v.copied(t).warnings(t); len(got) != 0 {
		t.Errorf("the vault as it is: %q", got)
	}
	path := slices.Max(must(filepath.Glob(v.path(auditFolder + "/*.seg")))(t))
	info := must(os.Stat(path))(t)
	if err := os.Truncate(path, info.Size()-40); err != nil {
		t.Fatal(err)
	}
	left := must(audit.Check(v.path(auditFolder)))(t)
	fault := fmt.Sprintf("the audit log does not extend the checkpoint: it has %d entries, the checkpoint %d", v.entries-1, v.entries)
	_, err := Verify(v.data, "", nil)
	if !errors.Is(err, checkpoint.ErrNotExtended) || !strings.HasSuffix(err.Error(), fault) {
		t.Errorf("verify: %v, want %s", err, fault)
	}
	_, err = Check(v.data, api.Authority{})
	mended := fault + ": move DIR/vault away and run strongroom-server restore with the last backup"
	if !errors.Is(err, checkpoint.ErrNotExtended) || !strings.HasSuffix(err.Error(), mended) {
		t.Errorf("check: %v, want %s", err, mended)
	}
	// Before it looks at the checkpoint the server logs that it cut off what was left, how the last change ended, of which
	// that was the entry, and that it unsealed.
	got := v.warnings(t)
	want := []string{
		`"the audit log ended with an entry that was not whole, which was cut off: that is what a crash or a power failure leaves. ` +
			`If the server was stopped in good order, somebody changed the log: compare it with what a host has seen, ` +
			`strongroom-server verify --checkpoint @FILE with the file checkpoint of an agent's STATE folder" ` +
			fmt.Sprintf("bytes=%d", left.Unfinished),
		fmt.Sprintf(`"this server itself, as the log's file checkpoint says, has seen this log with %d entries, and not the same; there are %d: `+
			`log and vault were put back to an older copy, or tampered with; agents that saw more stay away. `+
			`Put back the newest copy of the data that there is"`, v.entries, v.entries+2),
	}
	if !slices.Equal(got, want) {
		t.Errorf("the server says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestConsoleFileIsNamed: without the console's certificate a server does not start, and says which file it is.
func TestConsoleFileIsNamed(t *testing.T) {
	t.Parallel()
	v := newSmall(t)
	for what, says := range map[string]string{
		"damaged": "tls: failed to find any PEM data in certificate input",
		"missing": "open " + v.path("console.pem") + ": no such file or directory",
	} {
		if err := os.Remove(v.path("console.pem")); err != nil {
			t.Fatal(err)
		}
		if what == "damaged" {
			writeFile(t, v.path("console.pem"), []byte("xxx"))
		}
		want := "the console's certificate and key cannot be read from " + v.path("console.pem") + ": " + says +
			": put that file back from any copy of DIR/vault, however old, or move DIR/vault away and run strongroom-server restore with the last backup, which makes new ones"
		for name, try := range map[string]func() error{
			"start": func() error { _, err := v.start(t); return err },
			"check": func() error { _, err := Check(v.data, api.Authority{}); return err },
		} {
			if err := try(); err == nil || err.Error() != want {
				t.Errorf("%s, %s: %v, want %s", what, name, err, want)
			}
		}
		writeFile(t, v.path("console.pem"), nil)
	}
}
