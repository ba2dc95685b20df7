package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
)

func (a *app) credential() *cobra.Command {
	return group("credential", "Credentials: make, change, look at and delete them",
		"  strongroom credential add crm --application generic-rest --auth-type basic \\\n"+
			"    --field url=https://crm.example.com --field username=robot --secret password=@pw.txt",
		a.credentialAdd(), a.credentialEdit(), a.credentialList(), a.credentialShow(), a.credentialVersions(), a.credentialDelete())
}

func (a *app) credentialList() *cobra.Command {
	var q api.CredentialQuery
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the credentials that you may list",
		Example: "  strongroom credential list --application generic-rest --tag env=prod",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Tag != "" {
				if _, _, err := label("--tag", q.Tag); err != nil {
					return err
				}
			}
			list, err := call(a, func(c *api.Client) (*api.CredentialList, error) { return c.Credentials(cmd.Context(), q) })
			if err != nil {
				return err
			}
			t := table{head: []string{"NAME", "KIND", "APPLICATION", "AUTH TYPE", "OWNER", "DEFAULT", "VERSION", "UPDATED", "EXPIRES", "HEALTH", "TAGS"}}
			for _, i := range list.Items {
				t.add(i.Name, i.Kind, i.Application, i.AuthType, i.Owner, i.Default, i.Version, i.Updated, i.Expires, i.Health, i.Tags)
			}
			return a.show(list, t)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&q.Application, "application", "", "only those of `APP`")
	flags.StringVar(&q.Owner, "owner", "", "only those of `OWNER`")
	flags.StringVar(&q.Tag, "tag", "", "only those tagged `KEY=VALUE`")
	flags.StringVar(&q.Search, "search", "", "only those with `TEXT` in name or description")
	return cmd
}

func (a *app) credentialShow() *cobra.Command {
	var reveal bool
	cmd := &cobra.Command{
		Use:     "show REF",
		Short:   "Show a credential; its secrets with --reveal only",
		Example: "  strongroom credential show crm --reveal --json",
		Args:    takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			d, err := c.Credential(cmd.Context(), args[0])
			if err != nil {
				return ended(err)
			}
			if reveal {
				revealed, err := c.Reveal(cmd.Context(), args[0])
				if err != nil {
					return ended(err)
				}
				defer revealed.Wipe()
				if revealed.Version != d.Version {
					return errors.New("the credential changed while it was read; try again")
				}
				merge(d, revealed)
			}
			return a.show(d, detailTable(d))
		},
	}
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show the secrets too; this is logged")
	return cmd
}

// merge puts revealed secrets among the fields, where they become plain text on
// the heap of this short-lived process: it is about to print them.
func merge(d *api.CredentialDetail, revealed *api.Revealed) {
	if d.Fields == nil {
		d.Fields = map[string]string{}
	}
	for name, b := range revealed.Secrets {
		if utf8.Valid(b.Reveal()) {
			d.Fields[name] = string(b.Reveal())
			continue
		}
		if d.FieldsBase64 == nil {
			d.FieldsBase64 = map[string][]byte{}
		}
		d.FieldsBase64[name] = append([]byte(nil), b.Reveal()...)
	}
}

func (a *app) credentialVersions() *cobra.Command {
	return &cobra.Command{
		Use:     "versions REF",
		Short:   "List a credential's versions, newest first",
		Example: "  strongroom credential versions crm",
		Args:    takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := call(a, func(c *api.Client) (*api.CredentialVersions, error) {
				return c.CredentialVersions(cmd.Context(), args[0])
			})
			if err != nil {
				return err
			}
			t := table{head: []string{"VERSION", "CURRENT", "CREATED", "BY", "ORIGINS"}}
			for _, v := range list.Items {
				t.add(v.Version, v.Current, v.Created, v.CreatedBy, v.Origins)
			}
			return a.show(list, t)
		},
	}
}

func (a *app) credentialDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "delete REF...",
		Short:   "Delete credentials with all their versions",
		Example: "  strongroom credential delete crm --yes",
		Args:    takes("REF..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := a.confirm(fmt.Sprintf("Delete %s with all versions? This cannot be undone.", strings.Join(args, ", "))); err != nil {
					return err
				}
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			done := struct {
				Items []api.CredentialDeleted `json:"items"`
			}{[]api.CredentialDeleted{}}
			t := table{head: []string{"DELETED", "GRANTS CHANGED", "LEASES ENDED"}}
			var failed error
			for _, ref := range args {
				d, err := c.DeleteCredential(cmd.Context(), ref)
				if err != nil {
					failed = fmt.Errorf("%s: %w", ref, err)
					break
				}
				done.Items = append(done.Items, *d)
				t.add(d.Deleted, d.GrantsChanged, d.LeasesEnded)
			}
			// What is gone is said also where the next one failed.
			if len(done.Items) > 0 || failed == nil {
				if err := a.show(done, t); err != nil {
					return err
				}
			}
			return ended(failed)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func detailTable(d *api.CredentialDetail) table {
	t := table{}
	t.add("name", d.Name)
	t.add("kind", d.Kind)
	t.add("application", d.Application)
	t.add("auth type", d.AuthType)
	t.add("owner", d.Owner)
	t.add("default", d.Default)
	t.add("version", d.Version)
	t.add("created", d.Created)
	t.add("updated", d.Updated)
	t.add("expires", d.Expires)
	t.add("health", d.Health)
	t.add("tags", d.Tags)
	t.add("description", d.Description)
	t.add("secret fields", d.SecretFields)
	for _, name := range sortedKeys(d.Fields) {
		t.add("field "+name, d.Fields[name])
	}
	for _, name := range sortedKeys(d.FieldsBase64) {
		t.add("field "+name+" (base64)", base64.StdEncoding.EncodeToString(d.FieldsBase64[name]))
	}
	for _, name := range sortedKeys(d.Describe) {
		t.add("about "+name, d.Describe[name])
	}
	return t
}
