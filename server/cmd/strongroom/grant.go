package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) grant() *cobra.Command {
	return cli.Group("grant", "Grants: which hosts and jobs may use which credentials",
		"  strongroom grant add nightly --credential crm --host-label role=etl --job-user etl --ttl 15m",
		keyed(a.grantAdd()), a.grantEdit(), a.grantList(), a.grantShow(), a.grantRevoke())
}

func (a *app) grantAdd() *cobra.Command {
	var g api.GrantRule
	var until timeFlag
	cmd := &cobra.Command{
		Use:   "add NAME (--credential REF | --application APP | --tag KEY=VALUE)... (--host ID | --host-label KEY=VALUE | --any-host)...",
		Short: "Allow hosts and their jobs to use credentials",
		Long: `Allow hosts and their jobs to use credentials. Credentials, applications and tags add up, and so do the kinds of hosts.
Of the kinds of --job-… that are given all must match, each by any of its values; each claim is a kind of its own.
Without any, every job on the host may.

A grant over credentials of your own alone is yours, and so is its name: others may have the same one. Where you see two of
a name, it means yours.`,
		Example: "  strongroom grant add nightly --credential crm --host-label role=etl --job-user etl --ttl 15m",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			g.Name, g.Until = args[0], until.at
			if err := checkGrant(cmd, g); err != nil {
				return err
			}
			made, err := call(a, func(c *api.Client) (*api.GrantMade, error) { return c.AddGrant(cmd.Context(), g) })
			if err != nil {
				return err
			}
			return a.showMade(made)
		},
	}
	grantFlags(cmd, &g, &until)
	return cmd
}

func grantFlags(cmd *cobra.Command, g *api.GrantRule, until *timeFlag) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&g.Credentials, "credential", nil, "a credential, `REF`")
	flags.StringArrayVar(&g.Applications, "application", nil, "every credential of an application, `APP`")
	flags.StringArrayVar(&g.Tags, "tag", nil, "every credential with a tag, `KEY=VALUE`")
	flags.StringArrayVar(&g.Hosts, "host", nil, "a host, `ID`")
	flags.StringArrayVar(&g.HostLabels, "host-label", nil, "every host with a label, `KEY=VALUE`")
	flags.BoolVar(&g.AnyHost, "any-host", false, "every host")
	jobFlags(cmd, &g.Jobs)
	flags.StringVar(&g.Access, "access", "", "`read` gives the value, use acts with it (default read)")
	flags.Var(durationFlag{&g.TTL}, "ttl", "how long a lease lasts (default 15m)")
	flags.Var(durationFlag{&g.Offline}, "offline", "how long a lease is served after its end without contact (default 0s)")
	flags.Var(until, "until", "when the grant ends: a `TIME`, a date, or a duration from now such as 90d")
}

func (a *app) grantEdit() *cobra.Command {
	var g api.GrantRule
	var until timeFlag
	cmd := &cobra.Command{
		Use:     "edit NAME ...",
		Short:   "Change a grant: each kind of flag that is given replaces what the grant has of that kind",
		Example: "  strongroom grant edit nightly --job-user etl --job-user backup --ttl 30m",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !ownFlags(cmd) {
				return cli.Usagef("nothing to change was given; see strongroom grant edit --help")
			}
			g.Until = until.at
			made, err := call(a, func(c *api.Client) (*api.GrantMade, error) {
				seen, err := c.Grant(cmd.Context(), args[0])
				if err != nil {
					return nil, err
				}
				rule := replaceChanged(cmd, seen.GrantRule, g)
				if err := checkGrant(cmd, rule); err != nil {
					return nil, err
				}
				return c.EditGrant(cmd.Context(), seen.Revision, rule)
			})
			if err != nil {
				return err
			}
			return a.showMade(made)
		},
	}
	grantFlags(cmd, &g, &until)
	return cmd
}

func (a *app) showMade(made *api.GrantMade) error {
	if r := made.Reaches; r != nil {
		switch names := strings.Join(r.Hosts, ", "); {
		case r.Total == 0:
			a.Hint("reaches no host yet")
		case r.Total == 1:
			a.Hint("reaches 1 host: %s", names)
		case r.Total > len(r.Hosts):
			a.Hint("reaches %d hosts: %s and %d more", r.Total, names, r.Total-len(r.Hosts))
		default:
			a.Hint("reaches %d hosts: %s", r.Total, names)
		}
	}
	return a.Show(made, grantTable(&made.Grant))
}

// replaceChanged puts what flags say in the place of what the rule had.
func replaceChanged(cmd *cobra.Command, rule, given api.GrantRule) api.GrantRule {
	for flag, replace := range map[string]func(){
		"credential":  func() { rule.Credentials = given.Credentials },
		"application": func() { rule.Applications = given.Applications },
		"tag":         func() { rule.Tags = given.Tags },
		"host":        func() { rule.Hosts = given.Hosts },
		"host-label":  func() { rule.HostLabels = given.HostLabels },
		"any-host":    func() { rule.AnyHost = given.AnyHost },
		"access":      func() { rule.Access = given.Access },
		"ttl":         func() { rule.TTL = given.TTL },
		"offline":     func() { rule.Offline = given.Offline },
		"until":       func() { rule.Until = given.Until },
	} {
		if cmd.Flags().Changed(flag) {
			replace()
		}
	}
	replaceJobs(cmd, &rule.Jobs, &given.Jobs)
	return rule
}

func checkGrant(cmd *cobra.Command, g api.GrantRule) error {
	switch {
	case len(g.Credentials)+len(g.Applications)+len(g.Tags) == 0:
		return required("--credential REF, --application APP or --tag KEY=VALUE")
	case len(g.Hosts)+len(g.HostLabels) == 0 && !g.AnyHost:
		return required("--host ID, --host-label KEY=VALUE or --any-host")
	case g.Access != "" && g.Access != "read" && g.Access != "use":
		return cli.Usagef("--access is read or use")
	case cmd.Flags().Changed("ttl") && g.TTL == 0:
		return cli.Usagef("--ttl must be longer than nothing")
	}
	for flag, pairs := range map[string][]string{"--tag": g.Tags, "--host-label": g.HostLabels} {
		for _, pair := range pairs {
			if _, _, err := label(flag, pair); err != nil {
				return err
			}
		}
	}
	return checkJobs(g.Jobs)
}

func (a *app) grantList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the grants",
		Example: "  strongroom grant list --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.GrantList, error) { return c.Grants(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"NAME", "CREDENTIALS", "HOSTS", "JOBS", "ACCESS", "TTL", "OFFLINE", "UNTIL"}}
			for _, g := range list.Items {
				t.Add(g.Name, grantCredentials(&g), grantHosts(&g), jobList(&g.Jobs), g.Access, g.TTL, g.Offline, g.Until)
			}
			return a.Show(list, t)
		},
	}
}

// grantCredentials and grantHosts join the kinds of a union, each in the form
// that tells it apart.
func grantCredentials(g *api.Grant) []string {
	all := append([]string(nil), g.Credentials...)
	for _, app := range g.Applications {
		all = append(all, "application:"+app)
	}
	for _, tag := range g.Tags {
		all = append(all, "tag:"+tag)
	}
	return all
}

func grantHosts(g *api.Grant) []string {
	all := append([]string(nil), g.Hosts...)
	for _, l := range g.HostLabels {
		all = append(all, "label:"+l)
	}
	if g.AnyHost {
		all = append(all, "any")
	}
	return all
}

func (a *app) grantShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a grant",
		Example: "  strongroom grant show nightly",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := call(a, func(c *api.Client) (*api.Grant, error) { return c.Grant(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			return a.Show(g, grantTable(g))
		},
	}
}

func grantTable(g *api.Grant) cli.Table {
	t := cli.Table{}
	t.Add("name", g.Name)
	t.Add("credentials", grantCredentials(g))
	t.Add("hosts", grantHosts(g))
	jobRows(&t, &g.Jobs)
	t.Add("access", g.Access)
	t.Add("ttl", g.TTL)
	t.Add("offline", g.Offline)
	t.Add("until", g.Until)
	if g.Empty {
		t.Add("empty", "it gives nothing: what it named is gone")
	}
	t.Add("created", g.Created)
	t.Add("created by", g.CreatedBy)
	return t
}

func (a *app) grantRevoke() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke NAME",
		Short:   "End a grant and the leases that hosts have by it",
		Example: "  strongroom grant revoke nightly",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := call(a, func(c *api.Client) (*api.GrantRevoked, error) { return c.RevokeGrant(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("revoked", r.Revoked)
			t.Add("leases ended", r.LeasesEnded)
			return a.Show(r, t)
		},
	}
}

func (a *app) explain() *cobra.Command {
	var in api.ExplainRequest
	var job []string
	cmd := &cobra.Command{
		Use:     "explain --host ID --credential REF [--job " + jobForm + "]...",
		Short:   "Say whether a job would get a credential, and why: exit code 0 allowed, 3 not",
		Example: "  strongroom explain --host h7x2 --credential crm --job user=etl",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if in.Host == "" {
				return required("--host ID")
			}
			if in.Credential == "" {
				return required("--credential REF")
			}
			if in.Job, err = parseJob(job); err != nil {
				return err
			}
			e, err := call(a, func(c *api.Client) (*api.Explanation, error) { return c.Explain(cmd.Context(), in) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add(map[bool]string{true: "allowed", false: "refused"}[e.Allowed], e.Reason)
			if err := a.Show(e, t); err != nil {
				return err
			}
			if !e.Allowed {
				return cli.Silent(cli.Refused)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&in.Host, "host", "", "the host's `ID`")
	flags.StringVar(&in.Credential, "credential", "", "the credential, `REF`")
	flags.StringArrayVar(&job, "job", nil, "the `JOB`: what is known of it, in one text or several; a comma in a value is written \\,")
	return cmd
}
