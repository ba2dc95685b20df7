package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) audit() *cobra.Command {
	return cli.Group("audit", "The audit log: who did what, and whether the log is whole",
		"  strongroom audit list --since 7d --credential crm",
		a.auditList(), a.auditExport(), a.auditVerify(), a.auditProve())
}

func (a *app) auditList() *cobra.Command {
	var q api.AuditQuery
	var f auditFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List entries, newest first",
		Example: "  strongroom audit list --since 7d --action credential.read --credential crm",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.into(&q)
			if q.Limit < 0 {
				return cli.Usagef("--limit must be 1 or more")
			}
			list, err := call(a, func(c *api.Client) (*api.AuditList, error) { return c.Audit(cmd.Context(), q) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"SEQ", "TIME", "ACTOR", "ACTION", "TARGET", "HOST", "JOB", "FROM", "OUTCOME", "REASON"}}
			for _, e := range list.Items {
				t.Add(e.Seq, e.Time, e.Actor, e.Action, e.Target, e.Host, e.Job, e.From, e.Outcome, e.Reason)
			}
			if list.Next != "" {
				a.Hint("there are older entries; go on with --cursor %s", list.Next)
			}
			return a.Show(list, t)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.flags(flags)
	flags.IntVar(&q.Limit, "limit", 0, "at most `N` entries (default: the server's)")
	flags.StringVar(&q.Cursor, "cursor", "", "go on where the page before ended, with its `NEXT`")
	return cmd
}

func (a *app) auditVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Let the server recompute its whole log: exit code 0 whole, 1 not",
		Long: `Let the server recompute its whole log. A server that lies is not found this way: for that, run strongroom-server
verify with the log key that init printed.`,
		Example: "  strongroom audit verify",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := call(a, func(c *api.Client) (*api.AuditCheck, error) { return c.VerifyAudit(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("whole", v.OK)
			t.Add("entries", v.Size)
			t.Add("root", v.Root)
			if err := a.Show(v, t); err != nil {
				return err
			}
			if !v.OK {
				return fmt.Errorf("the log is not whole: %s", v.Problem)
			}
			return nil
		},
	}
}
