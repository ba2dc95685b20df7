package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/shared/cli"
)

// asking adds the flags of the commands that ask the agent in the name of a job. stdin is nil where it is for something
// else.
func asking(cmd *cobra.Command, o *client.Options, stdin io.Reader) {
	reaching(cmd, o)
	from := "`@FILE`"
	if stdin != nil {
		from += " or - for stdin"
	}
	cmd.Flags().Var(&jobToken{to: o, stdin: stdin}, "job-token", "the token of the job's CI system, as "+from+" (default: STRONGROOM_JOB_TOKEN)")
}

// reaching adds the flags by which the agent is found.
func reaching(cmd *cobra.Command, o *client.Options) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.Socket, "socket", "", "the `PATH` of the agent's socket")
	flags.DurationVar(&o.Wait, "wait", 0, "how long to wait for a starting agent, such as 30s")
}

// maxToken is longer than what the client takes, so that a token which is cut off here is refused there.
const maxToken = 32 << 10

// jobToken is the flag --job-token.
type jobToken struct {
	to    *client.Options
	stdin io.Reader // nil: it is for something else
}

// String is part of the flag library's contract; a token is not shown.
func (*jobToken) String() string { return "" }

// Type is part of the flag library's contract.
func (*jobToken) Type() string { return "token" }

// Set reads the token, and has it read again for each request where it is in a file. Its errors repeat neither it nor the
// name of a file, which may be a token in the wrong place.
func (t *jobToken) Set(text string) error {
	from := t.stdin
	t.to.JobTokenFrom = nil
	path, named := strings.CutPrefix(text, "@")
	switch {
	case named:
		f, err := os.Open(path)
		if err != nil {
			return unreadable(err)
		}
		defer f.Close()
		from = f
		// What comes through a pipe, such as that of a shell's <(…), can be read once.
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			t.to.JobTokenFrom = func(context.Context) (string, error) { return renewedToken(path, tokenIn) }
		}
	case text != "-":
		return cli.Usagef("a token is never given on the command line; name a file with @FILE, or set STRONGROOM_JOB_TOKEN")
	case from == nil:
		return cli.Usagef("stdin is for something else here; name a file with @FILE, or set STRONGROOM_JOB_TOKEN")
	}
	token, err := readToken(from)
	t.to.JobToken = token
	return err
}

func readToken(from io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(from, maxToken))
	if err != nil {
		return "", unreadable(err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", cli.Usagef("there is no token in it")
	}
	return token, nil
}

// renewedToken reads a token's file as it is by now. Kubernetes moves a link from one folder to the next and removes the
// old one: who has just followed the link finds nothing there, and follows it again.
func renewedToken(path string, read func(path string) (string, error)) (token string, err error) {
	for range 3 {
		if token, err = read(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return token, err
}

func tokenIn(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for somebody who writes to it
	if err != nil {
		return "", unreadable(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", cli.Usagef("it cannot be read: it is no plain file anymore")
	}
	return readToken(f)
}

func unreadable(err error) error {
	return cli.Usagef("it cannot be read: %w", cli.WithoutPath(err))
}

// refusal gives an error of the agent's its exit code, and what to do next where the agent is not there to say it.
func refusal(err error) error {
	var unreachable *net.OpError
	switch {
	case errors.Is(err, client.ErrRefused):
		return cli.Exit(cli.Refused, err)
	case errors.Is(err, client.ErrNotReachable) && errors.As(err, &unreachable):
		return cli.Exit(cli.Unreachable, fmt.Errorf("%w; is it running? start it with strongroom-agent run, or wait for it with --wait 30s", err))
	case errors.Is(err, client.ErrNotReachable):
		return cli.Exit(cli.Unreachable, err)
	case errors.Is(err, client.ErrUsage):
		return cli.Exit(cli.Usage, err)
	}
	return err
}

func (a *app) list() *cobra.Command {
	var o client.Options
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the credentials that this job may read",
		Example: "  strongroom-agent list --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := client.New(o).List(cmd.Context())
			if err != nil {
				return refusal(err)
			}
			if list.Stale && !a.JSON {
				a.Hint("the agent has no connection to its server: this is what it knew last")
			}
			t := cli.Table{Head: []string{"NAME", "KIND", "APPLICATION", "AUTH TYPE", "VERSION"}}
			for _, i := range list.Items {
				t.Add(i.Name, i.Kind, i.Application, i.AuthType, i.Version)
			}
			return a.Show(list, t)
		},
	}
	asking(cmd, &o, a.Stdin)
	a.JSONFlag(cmd.Flags())
	return cmd
}

// document is what get prints.
type document struct {
	Credential   string            `json:"credential"`
	Version      uint64            `json:"version"`
	Fields       map[string]string `json:"fields"`
	FieldsBase64 map[string][]byte `json:"fields_base64,omitempty"` // of what is not UTF-8
	SecretFields []string          `json:"secret_fields"`
	Environment  map[string]string `json:"environment,omitempty"` // of the application's tools: templates, as in client.Credential
	Lease        lease             `json:"lease"`
}

type lease struct {
	Remaining string `json:"remaining"`
	Stale     bool   `json:"stale"`
}

func documentOf(c *client.Credential) document {
	d := document{
		Credential: c.Name, Version: c.Version, Fields: map[string]string{}, FieldsBase64: map[string][]byte{},
		SecretFields: c.SecretFields, Environment: c.Environment,
		Lease: lease{Remaining: c.Lease.Remaining.String(), Stale: c.Lease.Stale},
	}
	for name, value := range c.Fields {
		if utf8.Valid(value) {
			d.Fields[name] = string(value)
		} else {
			d.FieldsBase64[name] = value
		}
	}
	return d
}

func (a *app) get() *cobra.Command {
	var o client.Options
	var field string
	cmd := &cobra.Command{
		Use:   "get REF",
		Short: "Print a credential, or one field of it",
		Long: `Print a credential as JSON or, with --field, the raw value of one field with nothing added.

In the JSON, values that are not UTF-8 are in fields_base64.`,
		Example: "  PASSWORD=$(strongroom-agent get salesforce-prod --field password)",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := client.New(o)
			if cmd.Flags().Changed("field") {
				if field == "" || a.JSON {
					return cli.Usagef("--field names one field, whose raw value is printed: give it a name, and leave out --json")
				}
				value, err := c.Field(cmd.Context(), args[0], field)
				if err != nil {
					return refusal(err)
				}
				defer clear(value)
				return a.Write(value)
			}
			credential, err := c.Get(cmd.Context(), args[0])
			if err != nil {
				return refusal(err)
			}
			return a.ShowJSON(documentOf(credential))
		},
	}
	asking(cmd, &o, a.Stdin)
	cmd.Flags().StringVar(&field, "field", "", "print the raw value of the field `NAME`")
	a.JSONFlag(cmd.Flags())
	return cmd
}

func (a *app) explain() *cobra.Command {
	var o client.Options
	cmd := &cobra.Command{
		Use:   "explain REF",
		Short: "Say whether this job may read a credential, and why",
		Long: `Say whether this job may read a credential, and why: as the agent sees who is calling.

Exit codes: 0 allowed, 3 not.`,
		Example: "  strongroom-agent explain salesforce-prod",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := client.New(o).Explain(cmd.Context(), args[0])
			if err != nil {
				return refusal(err)
			}
			if err := a.Show(e, explanation(e)); err != nil {
				return err
			}
			if !e.Allowed {
				return cli.Silent(cli.Refused)
			}
			return nil
		},
	}
	asking(cmd, &o, a.Stdin)
	a.JSONFlag(cmd.Flags())
	return cmd
}

func explanation(e *client.Explanation) (t cli.Table) {
	t.Add("allowed", e.Allowed)
	t.Add("reason", e.Reason)
	t.Add("host", e.Host)
	t.Add("user", e.Job.User)
	t.Add("uid", e.Job.UID)
	t.Add("pid", e.Job.PID)
	t.Add("unit", e.Job.Unit)
	t.Add("container", e.Job.Container)
	t.Add("exe", e.Job.Exe)
	t.Add("connected", e.Connected)
	if !e.Allowed {
		t.Add("an admin sees more with", e.AskAdmin)
	}
	return t
}

func (a *app) status() *cobra.Command {
	var o client.Options
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say how the agent on this host is",
		Example: "  strongroom-agent status --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := client.New(o).Status(cmd.Context())
			if err != nil {
				return refusal(err)
			}
			var t cli.Table
			t.Add("host", s.Host)
			t.Add("health", s.Health)
			t.Add("why", s.Why)
			t.Add("connected", s.Connected)
			t.Add("server", s.Server)
			t.Add("since", s.Since)
			t.Add("leases", s.Leases)
			t.Add("locked bytes", s.LockedBytes)
			t.Add("certificate expires", s.CertificateExpires)
			return a.Show(s, t)
		},
	}
	reaching(cmd, &o)
	a.JSONFlag(cmd.Flags())
	return cmd
}
