package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/credential"
)

func (a *app) credential() *cobra.Command {
	return cli.Group("credential", "Credentials: make, change, look at and delete them",
		"  strongroom credential add crm --application generic-rest --auth-type basic \\\n"+
			"    --field url=https://crm.example.com --field username=robot --secret password=@pw.txt",
		keyed(a.credentialAdd()), a.credentialEdit(), a.credentialList(), a.credentialShow(), a.credentialVersions(), a.credentialRollback(),
		a.credentialDefault(), a.credentialDisconnect(), a.credentialConnect(), a.credentialTransfer(), a.credentialDelete())
}

func (a *app) credentialList() *cobra.Command {
	var q api.CredentialQuery
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the credentials that you may list, by application",
		Example: "  strongroom credential list --application generic-rest --tag env=prod",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Tag != "" {
				if _, _, err := label("--tag", q.Tag); err != nil {
					return err
				}
			}
			list, err := call(a, func(c *api.Client) (*api.CredentialList, error) { return everyCredential(cmd.Context(), c, q) })
			if err != nil {
				return err
			}
			slices.SortStableFunc(list.Items, func(a, b api.Credential) int { return strings.Compare(a.Application, b.Application) })
			t := cli.Table{Head: []string{"NAME", "KIND", "APPLICATION", "AUTH TYPE", "OWNER", "DEFAULT", "VERSION", "UPDATED", "EXPIRES", "HEALTH", "TAGS"}}
			for _, i := range list.Items {
				t.Add(i.Name, i.Kind, i.Application, i.AuthType, i.Owner, i.Default, i.Version, i.Updated, i.Expires, healthOf(i), i.Tags)
			}
			return a.Show(list, t)
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

// healthOf says first of a credential that it is delivered to nobody.
func healthOf(c api.Credential) string {
	if c.Disconnected != nil {
		return "disconnected"
	}
	return c.Health
}

// everyCredential reads page after page.
func everyCredential(ctx context.Context, c *api.Client, q api.CredentialQuery) (*api.CredentialList, error) {
	all := &api.CredentialList{Items: []api.Credential{}}
	for q.Limit = 1000; ; {
		page, err := c.Credentials(ctx, q)
		if err != nil {
			return nil, err
		}
		all.Items = append(all.Items, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, nil
		}
	}
}

func (a *app) credentialShow() *cobra.Command {
	var reveal bool
	cmd := &cobra.Command{
		Use:   "show REF",
		Short: "Show a credential; its secrets with --reveal only",
		Long: `Show a credential; its secrets with --reveal only. Of a client certificate's chain it shows what the certificates say; --json
has their PEM.`,
		Example: "  strongroom credential show crm --reveal --json",
		Args:    cli.Takes("REF"),
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
			return a.Show(d, detailTable(d))
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
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := call(a, func(c *api.Client) (*api.CredentialVersions, error) {
				return c.CredentialVersions(cmd.Context(), args[0])
			})
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"VERSION", "CURRENT", "CREATED", "BY", "ORIGINS"}}
			for _, v := range list.Items {
				t.Add(v.Version, v.Current, v.Created, v.CreatedBy, v.Origins)
			}
			return a.Show(list, t)
		},
	}
}

func (a *app) credentialDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "delete REF...",
		Short:   "Delete credentials with all their versions",
		Example: "  strongroom credential delete crm --yes",
		Args:    cli.Takes("REF..."),
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
			t := cli.Table{Head: []string{"DELETED", "GRANTS CHANGED", "WAS DEFAULT OF", "LEASES ENDED"}}
			var failed error
			for _, ref := range args {
				d, err := asSeen(cmd.Context(), c, ref, c.DeleteCredential)
				if err != nil {
					failed = fmt.Errorf("%s: %w", ref, err)
					break
				}
				done.Items = append(done.Items, *d)
				t.Add(d.Deleted, d.GrantsChanged, d.DefaultOf, d.LeasesEnded)
			}
			// What is gone is said also where the next one failed.
			if len(done.Items) > 0 || failed == nil {
				if err := a.Show(done, t); err != nil {
					return err
				}
			}
			return ended(failed)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func detailTable(d *api.CredentialDetail) cli.Table {
	t := cli.Table{}
	t.Add("name", d.Name)
	t.Add("kind", d.Kind)
	t.Add("application", d.Application)
	t.Add("auth type", d.AuthType)
	t.Add("owner", d.Owner)
	t.Add("default", d.Default)
	t.Add("version", d.Version)
	t.Add("created", d.Created)
	t.Add("updated", d.Updated)
	t.Add("expires", d.Expires)
	t.Add("disconnected", sinceOrNo(d.Disconnected))
	t.Add("health", d.Health)
	t.Add("tags", d.Tags)
	t.Add("description", d.Description)
	t.Add("secret fields", d.SecretFields)
	for _, name := range slices.Sorted(maps.Keys(d.Fields)) {
		if d.AuthType == string(credential.ClientCertificate) && name == "certificate" && addChain(&t, d.Fields[name]) {
			continue
		}
		t.Add("field "+name, d.Fields[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.FieldsBase64)) {
		t.Add("field "+name+" (base64)", base64.StdEncoding.EncodeToString(d.FieldsBase64[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Describe)) {
		t.Add("about "+name, d.Describe[name])
	}
	for _, access := range d.AccessAdded {
		t.Add("access added", accessText(access))
	}
	return t
}

// addChain shows certificates in the place of their PEM, if they can be read.
func addChain(t *cli.Table, text string) bool {
	chain, err := credential.ParseChain("certificate", text)
	if err != nil {
		return false
	}
	for i, c := range chain {
		about := "certificate"
		if i > 0 {
			about = fmt.Sprintf("certificate %d", i+1)
		}
		sum := sha256.Sum256(c.Raw)
		t.Add(about+" subject", c.Subject.String())
		t.Add(about+" issuer", c.Issuer.String())
		t.Add(about+" serial", c.SerialNumber.Text(16))
		t.Add(about+" not before", c.NotBefore)
		t.Add(about+" not after", c.NotAfter)
		t.Add(about+" fingerprint", "sha256:"+hex.EncodeToString(sum[:]))
	}
	return true
}
