package main

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/internal/deliver"
	"github.com/strongroom/strongroom/agent/internal/template"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) render() *cobra.Command {
	var o client.Options
	var wanted []string
	var program string
	var disk, noRedact, restart bool
	cmd := &cobra.Command{
		Use:   "render --template SRC:DST[:MODE]... [--exec CMD [-- ARG...]]",
		Short: "Make files of templates and credentials, and run a command with them",
		Long: `Make the file DST of the template SRC, for each --template. MODE is DST's mode in octal, 0600 where it is left out;
DST has it from the beginning, is its user's, and appears whole. Its folder must be in memory (on Linux a tmpfs, such as
/run or /dev/shm; elsewhere that is not checked), unless --allow-disk says otherwise.

A template is a Go template (text/template) of at most 256 KiB with
  {{ field "REF" "NAME" }}          the value of a credential's field
  {{ field "REF" "NAME" | json }}   as a string of JSON or YAML, with its quotes
  {{ field "REF" "NAME" | quote }}  as one word for a shell
  {{ field "REF" "NAME" | base64 }} for what is not text
A field or credential that is not there is an error that names the template's line, and all files stay as they were.

With --exec the files are there before the command starts, are made again when they change with a credential, about a
second later, and are removed when it ends. It then gets SIGHUP, or is started again with --restart-on-change (see exec;
Windows knows only that). What it prints is redacted as by exec. A render that is killed with SIGKILL leaves the files
on their tmpfs. A job that outlives its token gives --job-token @FILE of one that its platform renews: the file is read
again for each request.

Exit codes: without --exec those of get; with it those of exec.`,
		Example: "  strongroom-agent render --template app.conf.tmpl:/run/app/app.conf --exec ./server -- --config /run/app/app.conf",
		RunE: func(cmd *cobra.Command, args []string) error {
			own := func(err error) error { return err }
			if program != "" {
				own = ownFailure
			} else if len(args) > 0 || restart || noRedact {
				return cli.Usagef("arguments, --restart-on-change and --no-redact are for a command: name it with --exec")
			}
			r := &rendering{holdings: a.holdings(o), restart: restart}
			defer r.close()
			if err := r.open(wanted, disk); err != nil {
				return own(err)
			}
			contents, err := r.fill(cmd.Context())
			if err != nil {
				return own(err)
			}
			if program == "" {
				return r.put(contents)
			}
			return a.runWithFiles(cmd.Context(), r, contents, deliver.Command{
				Args: append([]string{program}, args...), Env: os.Environ(), Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr,
			}, noRedact)
		},
	}
	asking(cmd, &o, nil)
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringArrayVar(&wanted, "template", nil, "make a file, `SRC:DST[:MODE]`; may be repeated")
	flags.StringVar(&program, "exec", "", "run the command `CMD` with the files; its arguments follow after --")
	flags.BoolVar(&restart, "restart-on-change", false, "start the command again when a file has changed, in place of SIGHUP")
	flags.BoolVar(&noRedact, "no-redact", false, "pass the command's output on as it is, on the terminal if there is one")
	flags.BoolVar(&disk, "allow-disk", false, "also write to folders that are on a disk")
	return cmd
}

// runWithFiles runs the command, tells it of changes, and takes the files away.
func (a *app) runWithFiles(ctx context.Context, r *rendering, contents [][]byte, command deliver.Command, noRedact bool) error {
	if !noRedact {
		command.Redactor = r.redactor()
	}
	changes := make(chan deliver.Change)
	command.Changes = changes
	stop := func() {}
	command.Begin = func() error {
		if err := r.put(contents); err != nil {
			return err
		}
		stop = inBackground(ctx, func(ctx context.Context) {
			r.follow(ctx, changes, func(ctx context.Context) (*deliver.Change, error) {
				changed, err := r.again(ctx)
				if err != nil || !changed {
					return nil, err
				}
				return &deliver.Change{Restart: r.restart, Env: command.Env, Redactor: r.redactor()}, nil
			})
		})
		return nil
	}
	err := a.runCommand(command)
	stop()
	for _, f := range r.files {
		if failed := f.Remove(); failed != nil {
			r.hint("%v; remove it, it holds secrets", failed)
		}
	}
	return err
}

// rendering is the templates of one run, with their files.
type rendering struct {
	*holdings
	restart   bool
	templates []*template.Template
	files     []*deliver.File
	contents  [][]byte // what the files have
}

// open reads the templates and looks at the places of their files.
func (r *rendering) open(wanted []string, disk bool) error {
	if len(wanted) == 0 {
		return cli.Usagef("render wants --template SRC:DST; see strongroom-agent render --help")
	}
	taken := map[string]bool{}
	for _, w := range wanted {
		src, dst, mode, err := parseTemplate(w)
		if err != nil {
			return err
		}
		if taken[dst] {
			return cli.Usagef("--template: two templates would make %s", dst)
		}
		taken[dst] = true
		source, err := readTemplate(src)
		if err != nil {
			return err
		}
		t, err := template.Parse(src, source)
		if err != nil {
			return err
		}
		f, err := deliver.NewFile(dst, mode, disk)
		if err != nil {
			return err
		}
		r.templates, r.files = append(r.templates, t), append(r.files, f)
	}
	return nil
}

func (r *rendering) close() {
	for _, f := range r.files {
		_ = f.Close() // a folder that was read only
	}
}

// fill makes the files' contents out of what is held.
func (r *rendering) fill(ctx context.Context) (contents [][]byte, err error) {
	for _, t := range r.templates {
		content, err := t.Execute(func(ref string) (map[string][]byte, error) {
			c, err := r.get(ctx, ref)
			if err != nil {
				return nil, err
			}
			return c.Fields, nil
		})
		if err != nil {
			return nil, err
		}
		contents = append(contents, content)
	}
	return contents, nil
}

// put puts all files into place, or none where one cannot be written.
func (r *rendering) put(contents [][]byte) error {
	for i, f := range r.files {
		if err := f.Stage(contents[i]); err != nil {
			return err
		}
	}
	for _, f := range r.files {
		if err := f.Commit(); err != nil {
			return err
		}
	}
	r.contents = contents
	return nil
}

// again makes the files anew where that makes a difference.
func (r *rendering) again(ctx context.Context) (changed bool, err error) {
	contents, err := r.fill(ctx)
	if err != nil {
		return false, err
	}
	for i := range contents {
		if subtle.ConstantTimeCompare(contents[i], r.contents[i]) == 0 {
			return true, r.put(contents)
		}
	}
	return false, nil
}

func readTemplate(src string) ([]byte, error) {
	f, err := os.Open(src)
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, template.MaxSource+1))
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	return source, nil
}

var octal = regexp.MustCompile(`^0?[0-7]{3}$`)

// parseTemplate reads SRC:DST[:MODE].
func parseTemplate(s string) (src, dst string, mode fs.FileMode, err error) {
	parts := strings.Split(s, ":")
	if runtime.GOOS == "windows" {
		parts = joinDrives(parts)
	}
	mode = 0o600
	if len(parts) == 3 && octal.MatchString(parts[2]) {
		bits, err := strconv.ParseUint(parts[2], 8, 32)
		if err != nil {
			return "", "", 0, err
		}
		mode, parts = fs.FileMode(bits), parts[:2]
	}
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return "", "", 0, cli.Usagef("--template: say SRC:DST or SRC:DST:MODE, MODE in octal such as 0640; paths have no colon")
	}
	return parts[0], parts[1], mode, nil
}

// joinDrives puts the letter of a drive and its path together again.
func joinDrives(parts []string) (joined []string) {
	for i := 0; i < len(parts); i++ {
		if len(parts[i]) == 1 && i+1 < len(parts) && strings.HasPrefix(strings.ReplaceAll(parts[i+1], "/", `\`), `\`) {
			joined = append(joined, parts[i]+":"+parts[i+1])
			i++
			continue
		}
		joined = append(joined, parts[i])
	}
	return joined
}
