package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/shared/cli"
)

// asking adds the flags of the commands that ask the agent.
func asking(cmd *cobra.Command, o *client.Options) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.Socket, "socket", "", "the `PATH` of the agent's socket")
	flags.DurationVar(&o.Wait, "wait", 0, "how long to wait for a starting agent, such as 30s")
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
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the credentials that this job may read",
		Example: "  strongroom-agent list --json",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := client.New(o).List(cmd.Context())
			if err != nil {
				return refusal(err)
			}
			if asJSON {
				return a.showJSON(list)
			}
			if list.Stale {
				a.hint("the agent has no connection to its server: this is what it knew last")
			}
			var rows [][]string
			for _, i := range list.Items {
				rows = append(rows, []string{i.Name, i.Kind, i.Application, i.AuthType, strconv.FormatUint(i.Version, 10)})
			}
			return a.showTable([]string{"NAME", "KIND", "APPLICATION", "AUTH TYPE", "VERSION"}, rows...)
		},
	}
	asking(cmd, &o)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// document is what get prints.
type document struct {
	Credential   string            `json:"credential"`
	Version      uint64            `json:"version"`
	Fields       map[string]string `json:"fields"`
	FieldsBase64 map[string][]byte `json:"fields_base64,omitempty"` // of what is not UTF-8
	SecretFields []string          `json:"secret_fields"`
	Lease        lease             `json:"lease"`
}

type lease struct {
	Remaining string `json:"remaining"`
	Stale     bool   `json:"stale"`
}

func documentOf(c *client.Credential) document {
	d := document{
		Credential: c.Name, Version: c.Version, Fields: map[string]string{}, FieldsBase64: map[string][]byte{},
		SecretFields: c.SecretFields,
		Lease:        lease{Remaining: c.Lease.Remaining.String(), Stale: c.Lease.Stale},
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
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get REF",
		Short: "Print a credential, or one field of it",
		Long: `Print a credential as JSON or, with --field, the raw value of one field with nothing added.

In the JSON, values that are not UTF-8 are in fields_base64.`,
		Example: "  PASSWORD=$(strongroom-agent get salesforce-prod --field password)",
		Args:    takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := client.New(o)
			if cmd.Flags().Changed("field") {
				if field == "" || asJSON {
					return cli.Usagef("--field names one field, whose raw value is printed: give it a name, and leave out --json")
				}
				value, err := c.Field(cmd.Context(), args[0], field)
				if err != nil {
					return refusal(err)
				}
				defer clear(value)
				return a.write(value)
			}
			credential, err := c.Get(cmd.Context(), args[0])
			if err != nil {
				return refusal(err)
			}
			return a.showJSON(documentOf(credential))
		},
	}
	asking(cmd, &o)
	cmd.Flags().StringVar(&field, "field", "", "print the raw value of the field `NAME`")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) explain() *cobra.Command {
	var o client.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain REF",
		Short: "Say whether this job may read a credential, and why",
		Long: `Say whether this job may read a credential, and why: as the agent sees who is calling.

Exit codes: 0 allowed, 3 not.`,
		Example: "  strongroom-agent explain salesforce-prod",
		Args:    takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := client.New(o).Explain(cmd.Context(), args[0])
			if err != nil {
				return refusal(err)
			}
			if asJSON {
				err = a.showJSON(e)
			} else {
				err = a.showTable(nil, explanation(e)...)
			}
			if err == nil && !e.Allowed {
				return cli.Silent(cli.Refused)
			}
			return err
		},
	}
	asking(cmd, &o)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func explanation(e *client.Explanation) [][]string {
	rows := [][]string{
		{"allowed", yesNo(e.Allowed)},
		{"reason", e.Reason},
		{"host", e.Host},
		{"user", e.Job.User},
		{"uid", strconv.FormatUint(uint64(e.Job.UID), 10)},
		{"pid", strconv.Itoa(int(e.Job.PID))},
		{"exe", e.Job.Exe},
		{"connected", yesNo(e.Connected)},
	}
	if !e.Allowed {
		rows = append(rows, []string{"an admin sees more with", e.AskAdmin})
	}
	return rows
}

func (a *app) status() *cobra.Command {
	var o client.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say how the agent on this host is",
		Example: "  strongroom-agent status --json",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := client.New(o).Status(cmd.Context())
			if err != nil {
				return refusal(err)
			}
			if asJSON {
				return a.showJSON(s)
			}
			return a.showTable(nil,
				[]string{"host", s.Host},
				[]string{"health", s.Health},
				[]string{"why", s.Why},
				[]string{"connected", yesNo(s.Connected)},
				[]string{"since", s.Since.Local().Format(time.RFC3339)},
				[]string{"leases", strconv.Itoa(s.Leases)},
				[]string{"locked bytes", strconv.FormatInt(s.LockedBytes, 10)},
				[]string{"certificate expires", s.CertificateExpires.Local().Format(time.RFC3339)})
		},
	}
	asking(cmd, &o)
	jsonFlag(cmd, &asJSON)
	return cmd
}
