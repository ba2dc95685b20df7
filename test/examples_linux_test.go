package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// A help is what --help says of one command.
type help struct {
	command  string
	examples []string // each a shell command, of several lines where these end with a backslash
}

// helps reads the help of a program's every command. Nothing but the program itself knows which there are.
func helps(t *testing.T, bin string, command ...string) (all []help) {
	t.Helper()
	text, err := exec.Command(filepath.Join(bin, command[0]), append(command[1:], "--help")...).Output()
	if err != nil {
		t.Fatalf("%v --help: %v", command, err)
	}
	commands, examples := readHelp(string(text))
	all = append(all, help{strings.Join(command, " "), examples})
	for _, name := range commands {
		all = append(all, helps(t, bin, append(slices.Clip(command), name)...)...)
	}
	return all
}

func readHelp(text string) (commands, examples []string) {
	section, unfinished := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch inner, indented := strings.CutPrefix(line, "  "); {
		case !indented:
			section = line
		case section == "Commands:":
			name, _, _ := strings.Cut(inner, " ")
			commands = append(commands, name)
		case section == "Example:":
			unfinished += inner
			if strings.HasSuffix(inner, `\`) {
				unfinished += "\n"
				continue
			}
			examples, unfinished = append(examples, unfinished), ""
		}
	}
	return commands, examples
}

func TestReadHelp(t *testing.T) {
	t.Parallel()
	commands, examples := readHelp("Does it.\n\nUsage:\n  p COMMAND\n\nCommands:\n  one   The first\n  two   The second\n\nFlags:\n" +
		"  -h  help\n\nExample:\n  p one \\\n    --flag\n  p two\n")
	if fmt.Sprint(commands) != "[one two]" || fmt.Sprintf("%q", examples) != `["p one \\\n  --flag" "p two"]` {
		t.Errorf("read %q and %q", commands, examples)
	}
}

// What examples name as if it were somebody's, and every vault makes at random: each is replaced by a variable, which a
// row's before has set. Nothing else of an example is changed.
var madeAtRandom = strings.NewReplacer("sha256:…", `"$FINGERPRINT"`, "h7x2", `"$HOST_ID"`, "0a1b2c3d", `"$SLOT"`, "123456", `"$CODE"`,
	"approve 7", `approve "$REQUEST"`, "deny 7", `deny "$REQUEST"`, "revoke 7", `revoke "$REQUEST"`)

// Every --help of the three programs has an example, and each can be typed as it stands: with what it takes for granted
// around it, it ends as its row says. A new command wants a row in exampleRows.
func TestExamples(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	bin := kit.Bin(t)
	at := map[string][]string{} // the commands whose help has the example
	for _, program := range []string{"strongroom-server", "strongroom", "strongroom-agent"} {
		for _, h := range helps(t, bin, program) {
			if len(h.examples) == 0 {
				t.Errorf("%s --help has no example", h.command)
			}
			for _, example := range h.examples {
				at[example] = append(at[example], h.command)
			}
		}
	}
	if len(at) < 80 {
		t.Errorf("only %d examples were found", len(at))
	}
	dir := kit.Dir(t)
	sh := newShell(t, dir, kit.Environment("HOME="+dir, "PATH="+dir+"/bin:"+bin+":"+os.Getenv("PATH")))
	arrange(t, sh, exampleWorld)
	for _, row := range exampleRows {
		if at[row.example] == nil {
			t.Errorf("no --help has this example any more: %s", row.example)
			continue
		}
		delete(at, row.example)
		if row.booted {
			continue
		}
		arrange(t, sh, row.before)
		file := filepath.Join(dir, "example.sh")
		// Where it stays, a signal to its group ends the program; the shell around it stays to tell with which code.
		script := "trap : TERM\n" + madeAtRandom.Replace(row.example) + "\n"
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if row.stays != "" {
			sh.serves(t, "setsid bash -euo pipefail example.sh </dev/null & "+row.stays+"=$!\n")
			continue
		}
		code, said := sh.runs(t, "bash -euo pipefail example.sh </dev/null")
		if code != row.code {
			t.Errorf("%s\nended with %d, want %d:\n%s", row.example, code, row.code, strings.Join(said, "\n"))
		}
	}
	for example, commands := range at {
		t.Errorf("the example of %s is not run; give it a row:\n%s", strings.Join(commands, ", "), example)
	}
}

// arrange runs what must succeed for the examples after it to mean something.
func arrange(t *testing.T, sh *shell, commands string) {
	t.Helper()
	if commands == "" {
		return
	}
	if code, said := sh.runs(t, "set -euo pipefail\n"+commands+"\nset +e"); code != 0 {
		t.Fatalf("%s\nended with %d:\n%s", commands, code, strings.Join(said, "\n"))
	}
}
