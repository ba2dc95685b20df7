package main

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

// auditFilter are the flags that choose entries.
type auditFilter struct {
	since, until                             timeFlag
	actor, action, credential, host, outcome string
}

func (f *auditFilter) flags(flags *pflag.FlagSet) {
	f.since.back, f.until.back = true, true
	flags.Var(&f.since, "since", "not older than a `TIME`, a date, or a duration back from now such as 7d")
	flags.Var(&f.until, "until", "not newer than a `TIME`, likewise")
	flags.StringVar(&f.actor, "actor", "", "only by this `ACTOR`: a person, host:ID or system")
	flags.StringVar(&f.action, "action", "", "only this `ACTION`, such as credential.read")
	flags.StringVar(&f.credential, "credential", "", "only about the credential `REF`")
	flags.StringVar(&f.host, "host", "", "only about the host `ID`")
	flags.StringVar(&f.outcome, "outcome", "", "only with this `OUTCOME`: allowed, refused or failed")
}

func (f *auditFilter) into(q *api.AuditQuery) {
	if f.since.at != nil {
		q.Since = *f.since.at
	}
	if f.until.at != nil {
		q.Until = *f.until.at
	}
	q.Actor, q.Action, q.Credential, q.Host, q.Outcome = f.actor, f.action, f.credential, f.host, f.outcome
}

func (a *app) auditExport() *cobra.Command {
	var f auditFilter
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write entries as JSON, one a line, oldest first",
		Long: `Write entries as JSON, one a line, oldest first: all that the log has, or those that the flags choose. Each says who did
what, from where, on which host and for which job, how it ended, and why. With --out the file is there once it is whole.`,
		Example: `  strongroom audit export --since 30d --out audit.jsonl
  strongroom audit export --outcome refused | grep login`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var q api.AuditQuery
			f.into(&q)
			var bytes int64
			write := func(w io.Writer) (err error) {
				bytes, err = call(a, func(c *api.Client) (int64, error) { return c.ExportAudit(cmd.Context(), q, w) })
				return err
			}
			if out == "" {
				return write(a.Stdout)
			}
			if err := fetch(out, write); err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("file", out)
			t.Add("bytes", bytes)
			return a.Show(struct {
				File  string `json:"file"`
				Bytes int64  `json:"bytes"`
			}{out, bytes}, t)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.flags(flags)
	flags.StringVar(&out, "out", "", "write into the file `F`, which must not be there, and only you may read")
	return cmd
}
