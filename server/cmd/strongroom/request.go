package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) request() *cobra.Command {
	return cli.Group("request", "Requests: ask for a credential of somebody else, and answer",
		"  strongroom request make alice/payroll --reason 'year-end run' --access read --host h7x2 --job-user etl",
		keyed(a.requestMake()), a.requestList(), a.requestApprove(),
		a.requestAnswer("deny NUMBER", "Refuse a request", "  strongroom request deny 7", (*api.Client).Deny),
		a.requestAnswer("revoke NUMBER", "Take an approval back, or a request of your own", "  strongroom request revoke 7", (*api.Client).RevokeRequest))
}

func (a *app) requestMake() *cobra.Command {
	var in api.RequestMake
	cmd := &cobra.Command{
		Use:   "make OWNER/NAME --reason TEXT --access use|read",
		Short: "Ask for a credential of somebody else",
		Long: `Ask for a credential of somebody else, by its exact name: for jobs on a host, or, without --host, to see its value
yourself. Its owner answers.`,
		Example: "  strongroom request make alice/payroll --reason 'year-end run' --access read --host h7x2 --job-user etl",
		Args:    cli.Takes("OWNER/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case in.Reason == "":
				return required("--reason TEXT")
			case in.Access != "use" && in.Access != "read":
				return cli.Usagef("--access is use or read")
			}
			if err := checkJobs(in.Jobs); err != nil {
				return err
			}
			in.Credential = args[0]
			r, err := call(a, func(c *api.Client) (*api.Request, error) { return c.MakeRequest(cmd.Context(), in) })
			if err != nil {
				return err
			}
			return a.Show(r, requestTable(r))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&in.Reason, "reason", "", "what it is for, `TEXT`")
	flags.StringVar(&in.Access, "access", "", "`use|read`")
	flags.StringVar(&in.Host, "host", "", "for jobs on the host `ID`")
	jobFlags(cmd, &in.Jobs)
	return cmd
}

func requestTable(r *api.Request) cli.Table {
	t := cli.Table{}
	t.Add("number", r.Number)
	t.Add("credential", r.Credential)
	t.Add("status", r.Status)
	t.Add("requester", r.Requester)
	t.Add("reason", r.Reason)
	t.Add("access", r.Access)
	t.Add("host", r.Host)
	jobRows(&t, &r.Jobs)
	t.Add("created", r.Created)
	if r.Until != nil {
		t.Add("until", r.Until)
	}
	return t
}

func (a *app) requestList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the requests that you made or are to answer",
		Example: "  strongroom request list",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.RequestList, error) { return c.Requests(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"NUMBER", "CREDENTIAL", "STATUS", "REQUESTER", "ACCESS", "HOST", "JOBS", "REASON"}}
			for _, r := range list.Items {
				t.Add(r.Number, r.Credential, r.Status, r.Requester, r.Access, r.Host, jobList(&r.Jobs), r.Reason)
			}
			return a.Show(list, t)
		},
	}
}

func (a *app) requestApprove() *cobra.Command {
	var until timeFlag
	cmd := &cobra.Command{
		Use:     "approve NUMBER",
		Short:   "Give what a request asks for, for a day or until a time",
		Example: "  strongroom request approve 7 --until 8h",
		Args:    cli.Takes("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.answerRequest(args[0], func(c *api.Client, n uint64) (*api.Request, error) { return c.Approve(cmd.Context(), n, until.at) })
		},
	}
	cmd.Flags().Var(&until, "until", "when the access ends: a `TIME`, a date, or a duration from now such as 8h")
	return cmd
}

func (a *app) requestAnswer(use, short, example string, do func(*api.Client, context.Context, uint64) (*api.Request, error)) *cobra.Command {
	return &cobra.Command{
		Use:     use,
		Short:   short,
		Example: example,
		Args:    cli.Takes("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.answerRequest(args[0], func(c *api.Client, n uint64) (*api.Request, error) { return do(c, cmd.Context(), n) })
		},
	}
}

func (a *app) answerRequest(number string, do func(*api.Client, uint64) (*api.Request, error)) error {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 {
		return cli.Usagef("NUMBER is that of a request: see strongroom request list")
	}
	r, err := call(a, func(c *api.Client) (*api.Request, error) { return do(c, n) })
	if err != nil {
		return err
	}
	return a.Show(r, requestTable(r))
}
