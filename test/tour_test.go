package test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// The README's tour stands between these lines. Its ```sh blocks are typed as they are; what a ```text block shows must
// be in the output of the commands before it.
const (
	tourBegins = "<!-- tour -->"
	tourEnds   = "<!-- tour ends -->"
)

// A tourStep is one command, or a line of expected output.
type tourStep struct{ command, output string }

// The tour takes nothing but an empty machine to a job that has its secret, in nine commands and no configuration. It
// runs in a network of its own, since it uses the programs' own ports.
func TestTour(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	text, err := os.ReadFile(filepath.Join(kit.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := readTour(string(text))
	if err != nil {
		t.Fatal(err)
	}
	commands, outputs := 0, 0
	for _, s := range steps {
		if s.command != "" {
			commands++
		} else {
			outputs++
		}
		if strings.Contains(s.command, "--config") {
			t.Errorf("%q wants configuration", s.command)
		}
	}
	if commands > 9 {
		t.Errorf("the tour takes %d commands, more than nine", commands)
	}
	if outputs == 0 {
		t.Error("the tour shows no output: a ```text block after the job must show what it got")
	}
	clone := filepath.Join(kit.Dir(t), "strongroom")
	copyModule(t, clone)
	walk(t, clone, steps)
	if found, err := filepath.Glob(filepath.Join(clone, "*", "*.y*ml")); err != nil || len(found) > 0 {
		t.Errorf("the tour wrote configuration: %v, %v", found, err)
	}
}

func readTour(readme string) ([]tourStep, error) {
	_, tour, begins := strings.Cut(readme, tourBegins)
	tour, _, ends := strings.Cut(tour, tourEnds)
	if !begins || !ends {
		return nil, fmt.Errorf("README.md has no tour between %s and %s", tourBegins, tourEnds)
	}
	var steps []tourStep
	block, pending := "", ""
	for line := range strings.Lines(tour) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			if pending != "" {
				return nil, fmt.Errorf("the tour's command %q does not end in its block", pending)
			}
			if block = strings.TrimPrefix(line, "```"); block == "" || block == "sh" || block == "text" {
				continue
			}
			return nil, fmt.Errorf("the tour has a block of %q; it may have sh and text", block)
		case block == "sh":
			if pending += line; strings.HasSuffix(pending, "\\") {
				pending += "\n"
				continue
			}
			if command := strings.TrimSpace(pending); command != "" && !strings.HasPrefix(command, "#") {
				steps = append(steps, tourStep{command: pending})
			}
			pending = ""
		case block == "text" && strings.TrimSpace(line) != "":
			steps = append(steps, tourStep{output: line})
		}
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("the tour in README.md is empty")
	}
	return steps, nil
}

func TestReadTour(t *testing.T) {
	t.Parallel()
	steps, err := readTour("```sh\nbefore\n```\n" + tourBegins + "\ntalk\n```sh\n# a comment\none \\\n  more\n\ntwo &\n```\n```text\nshown\n```\n" + tourEnds + "\n```sh\nafter\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []tourStep{{command: "one \\\n  more"}, {command: "two &"}, {output: "shown"}}
	if fmt.Sprint(steps) != fmt.Sprint(want) {
		t.Errorf("steps are %q, want %q", steps, want)
	}
	for _, bad := range []string{"", tourBegins + "\n```sh\nx\n```\n", tourBegins + tourEnds, tourBegins + "\n```bash\nx\n```\n" + tourEnds} {
		if steps, err := readTour(bad); err == nil {
			t.Errorf("%q was read as %q", bad, steps)
		}
	}
}

// copyModule makes what a fresh clone has.
func copyModule(t *testing.T, to string) {
	t.Helper()
	from := os.DirFS(kit.Root())
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".git", name == "bin":
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// walk types the commands into one shell. It goes on from a command that stays in the background when that says it is
// ready, as a reader does.
func walk(t *testing.T, dir string, steps []tourStep) {
	t.Helper()
	sh := newShell(t, dir, kit.Environment(append(goFolders(t), "HOME="+kit.Dir(t))...))
	var said []string
	for _, s := range steps {
		if s.output != "" {
			if !strings.Contains(strings.Join(said, "\n"), s.output) {
				t.Errorf("the tour shows %q, but the commands said:\n%s", s.output, strings.Join(said, "\n"))
			}
			continue
		}
		background := strings.HasSuffix(strings.TrimSpace(s.command), "&")
		typed := s.command + "\n"
		if background {
			said = append(said, sh.serves(t, typed)...)
			continue
		}
		code, output := sh.runs(t, typed)
		if code != 0 {
			t.Fatalf("%q ended with %d:\n%s", s.command, code, strings.Join(append(said, output...), "\n"))
		}
		said = append(said, output...)
	}
}

// goFolders keeps the tour's `make build` from starting with empty caches in its new home.
func goFolders(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	folders := strings.Split(strings.TrimSpace(string(out)), "\n")
	return []string{"GOCACHE=" + folders[0], "GOMODCACHE=" + folders[1], "GOPATH=" + folders[2]}
}
