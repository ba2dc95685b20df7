package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) host() *cobra.Command {
	return cli.Group("host", "Hosts: the machines that have an agent",
		"  strongroom host join-token --label role=etl --ttl 1h | ssh runner1 strongroom-agent enroll --join -",
		keyed(a.hostJoinToken()), a.hostList(), a.hostShow(), a.hostLabel(), a.hostRevoke())
}

func (a *app) hostJoinToken() *cobra.Command {
	var in api.JoinTokenAdd
	var pairs []string
	cmd := &cobra.Command{
		Use:   "join-token",
		Short: "Make a token that lets hosts enrol",
		Long: `Make a token that lets hosts enrol. The join string (server, fingerprint and token in one) is the only thing on stdout:
it is a secret and shown this once. Labels that a grant goes by need the permission to grant, also when a host joins: as
long as whoever made the token lacks it, no host gets such labels by it, whenever the grant was made.`,
		Example: "  strongroom host join-token --label role=etl --ttl 1h | ssh runner1 strongroom-agent enroll --join -",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if in.Labels, err = labels("--label", pairs); err != nil {
				return err
			}
			if in.Uses < 1 {
				return cli.Usagef("--uses must be 1 or more")
			}
			if cmd.Flags().Changed("ttl") && in.TTL == 0 {
				return cli.Usagef("--ttl must be longer than nothing")
			}
			made, err := call(a, func(c *api.Client) (*api.JoinToken, error) { return c.AddJoinToken(cmd.Context(), in) })
			if err != nil {
				return err
			}
			a.Hint("good for %d host(s) until %s", in.Uses, cli.Cell(made.Expires))
			t := cli.Table{}
			t.Add(made.Join)
			return a.Show(made, t)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&pairs, "label", nil, "a label of each host that joins with it, `KEY=VALUE`")
	flags.Var(durationFlag{&in.TTL}, "ttl", "how long it is good (default 1h)")
	flags.IntVar(&in.Uses, "uses", 1, "how many hosts may join with it, `N`")
	return cmd
}

func (a *app) hostLabel() *cobra.Command {
	return &cobra.Command{
		Use:   "label ID KEY=VALUE...",
		Short: "Give a host labels, or take them away",
		Long: `Give a host labels, or take one away with KEY=. Labels that a grant goes by give the host what that grants, which is
shown, and need the permission to grant.`,
		Example: "  strongroom host label h7x2 role=etl stage=",
		Args:    cli.Takes("ID", "KEY=VALUE..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes := map[string]string{}
			for _, pair := range args[1:] {
				key, value, found := strings.Cut(pair, "=")
				if !found || key == "" {
					return cli.Usagef("write labels as KEY=VALUE, and KEY= to take one away")
				}
				changes[key] = value
			}
			h, err := call(a, func(c *api.Client) (*api.HostLabelled, error) {
				seen, err := c.Host(cmd.Context(), args[0])
				if err != nil {
					return nil, err
				}
				return c.LabelHost(cmd.Context(), args[0], seen.Revision, changes)
			})
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("id", h.ID)
			t.Add("labels", h.Labels)
			for _, access := range h.AccessAdded {
				t.Add("access added", accessText(access))
			}
			return a.Show(h, t)
		},
	}
}

func (a *app) hostList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the hosts",
		Example: "  strongroom host list --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.HostList, error) { return c.Hosts(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"ID", "NAME", "LABELS", "OS", "VERSION", "ENROLLED", "LAST SEEN", "CONNECTED", "REVOKED"}}
			for _, h := range list.Items {
				t.Add(h.ID, h.Name, h.Labels, h.OS, h.Version, h.Enrolled, h.LastSeen, h.Connected, h.Revoked)
			}
			return a.Show(list, t)
		},
	}
}

func (a *app) hostShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a host",
		Example: "  strongroom host show h7x2",
		Args:    cli.Takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := call(a, func(c *api.Client) (*api.Host, error) { return c.Host(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("id", h.ID)
			t.Add("name", h.Name)
			t.Add("labels", h.Labels)
			t.Add("os", h.OS)
			t.Add("version", h.Version)
			t.Add("enrolled", h.Enrolled)
			t.Add("last seen", h.LastSeen)
			t.Add("connected", h.Connected)
			t.Add("revoked", h.Revoked)
			t.Add("frozen", h.Frozen)
			return a.Show(h, t)
		},
	}
}

func (a *app) hostRevoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Cut a host off for good and list what it held",
		Long: `Cut a host off for good: its connection ends, its leases end, and its agent wipes. A hostile host does not wipe, so
change the credentials that are listed: what it was given since the server started and may still have. Private ones of
others and deleted ones are listed, by their IDs, to those who may read the audit log.`,
		Example: "  strongroom host revoke h7x2",
		Args:    cli.Takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := call(a, func(c *api.Client) (*api.HostRevoked, error) { return c.RevokeHost(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			return a.showRevoked(r)
		},
	}
}

func (a *app) showRevoked(r *api.HostRevoked) error {
	t := cli.Table{Head: []string{"CREDENTIAL", "VERSION"}}
	var names []string
	for _, v := range r.VersionsHeld {
		t.Add(v.Credential, v.Version)
		names = append(names, v.Credential)
	}
	if len(names) > 0 {
		a.Hint("%s is revoked; change what it held: %s", r.Host, strings.Join(names, ", "))
	}
	if r.PrivateHeld {
		a.Hint("%s is revoked; it held credentials that are private to others, or deleted: who may read the audit log finds which with strongroom audit list --host %[1]s", r.Host)
	} else if len(names) == 0 {
		a.Hint("%s is revoked; nothing is known that it held since the server started, but the audit log has all it was ever given: strongroom audit list --host %[1]s", r.Host)
	}
	return a.Show(r, t)
}
