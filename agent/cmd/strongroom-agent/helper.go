package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/internal/helper"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) helper() *cobra.Command {
	cmd := cli.Group("helper", "Give credentials to tools that ask a helper for them",
		"  git config --global credential.helper '!strongroom-agent helper git gitlab'",
		a.helperGit(), a.helperDocker(), a.helperAWS(), a.helperKubectl())
	cmd.Long = `Give credentials to tools that ask a helper for them, each in its own words. The tool runs the helper, so no credential
is in its configuration; the agent judges each run as it judges any other job.`
	return cmd
}

// helping are the flags of the helpers.
type helping struct {
	options        client.Options
	host, username string
}

func (h *helping) flags(cmd *cobra.Command, forHosts, forUsers bool) {
	asking(cmd, &h.options, nil)
	if forHosts {
		cmd.Flags().StringVar(&h.host, "host", "", "the `HOST[:PORT]` that the credential is for, in place of that of its field url")
	}
	if forUsers {
		cmd.Flags().StringVar(&h.username, "username", "", "the user `NAME` that goes with a token, or in place of the field username")
	}
}

func (h *helping) get(cmd *cobra.Command, ref string) (helper.Credential, error) {
	got, err := client.New(h.options).Get(cmd.Context(), ref)
	if err != nil {
		return helper.Credential{}, refusal(err)
	}
	return helper.Credential{Reference: ref, Fields: got.Fields, Ends: time.Now().Add(got.Lease.Remaining)}, nil
}

// print writes an answer, and forgets it.
func (a *app) print(answer []byte, err error) error {
	if err != nil {
		return err
	}
	defer clear(answer)
	return a.Write(answer)
}

func (a *app) helperGit() *cobra.Command {
	var h helping
	cmd := &cobra.Command{
		Use:   "git REF get|store|erase",
		Short: "Be a credential helper of git",
		Long: `Be a credential helper of git (gitcredentials(7)): git itself adds get, store or erase.

The credential is given for one host alone, over https or on loopback: that of its field url, or that of --host. For
every other it says nothing, so that git asks its next helper, and tells why on stderr. The password is the field
password, token, access_token or key, whichever there is first; where there is no field username, git's own counts, or
x-access-token (oauth2 with an access_token). All but get is let be.`,
		Example: "  git config --global credential.helper '!strongroom-agent helper git gitlab'",
		Args:    cli.Takes("REF", "get|store|erase"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] != "get" {
				return nil
			}
			question, err := helper.ReadGit(a.Stdin)
			if err == nil {
				var c helper.Credential
				if c, err = h.get(cmd, args[0]); err == nil {
					return a.quietly(a.print(c.Git(question, h.host, h.username)))
				}
			}
			return a.quietly(err)
		},
	}
	h.flags(cmd, true, true)
	return cmd
}

// quietly has a tool go on where the credential is for another host.
func (a *app) quietly(err error) error {
	if errors.Is(err, helper.ErrOtherHost) {
		a.Hint("%s: %v", a.Name, err)
		return nil
	}
	return err
}

func (a *app) helperDocker() *cobra.Command {
	var h helping
	cmd := &cobra.Command{
		Use:   "docker REF get|list|store|erase",
		Short: "Be a credential helper of Docker",
		Long: `Be a credential helper of Docker: Docker itself adds get, list, store or erase. It wants a program of its own, so put
these two lines into docker-credential-strongroom somewhere in PATH, make it executable, and name it in
~/.docker/config.json as {"credHelpers": {"registry.example.com": "strongroom"}}:

  #!/bin/sh
  exec strongroom-agent helper docker REF "$@"

The credential is given for one registry alone, as with git. A token without a user name goes as an identity token,
unless --username names one. store and erase are refused: the vault keeps the credential.`,
		Example: "  echo registry.example.com | strongroom-agent helper docker registry get",
		Args:    cli.Takes("REF", "get|list|store|erase"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.docker(cmd, &h, args[0], args[1])
			if err == nil {
				return nil
			}
			// Docker reads on stdout why there is nothing.
			said := cli.Printable(err.Error())
			if errors.Is(err, helper.ErrOtherHost) {
				said = helper.DockerNotFound
			}
			return errors.Join(err, a.Write([]byte(said+"\n")))
		},
	}
	h.flags(cmd, true, true)
	return cmd
}

func (a *app) docker(cmd *cobra.Command, h *helping, ref, operation string) error {
	switch operation {
	case "store", "erase":
		return errors.New("credentials are kept in Strongroom's vault, not here: leave out docker login and logout; " +
			"the vault's people change it with strongroom credential edit")
	case "get":
		question, err := helper.ReadDocker(a.Stdin)
		if err != nil {
			return err
		}
		c, err := h.get(cmd, ref)
		if err != nil {
			return err
		}
		return a.print(c.Docker(question, h.host, h.username))
	case "list":
		c, err := h.get(cmd, ref)
		if err != nil {
			return err
		}
		return a.print(c.DockerList(h.host, h.username))
	}
	return cli.Usagef("Docker's helpers know get, list, store and erase")
}

func (a *app) helperAWS() *cobra.Command {
	var h helping
	cmd := &cobra.Command{
		Use:   "aws REF",
		Short: "Be a credential_process of AWS's tools",
		Long: `Be a credential_process of AWS's tools: give an access key (the fields access_key_id, key and, of temporary ones,
session_token), with the end of its lease, after which they ask again.

Put it into a profile of ~/.aws/config:

  [profile deploy]
  credential_process = strongroom-agent helper aws REF`,
		Example: "  strongroom-agent helper aws aws-deploy",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.get(cmd, args[0])
			if err != nil {
				return err
			}
			return a.print(c.AWS())
		},
	}
	h.flags(cmd, false, false)
	return cmd
}

func (a *app) helperKubectl() *cobra.Command {
	var h helping
	cmd := &cobra.Command{
		Use:   "kubectl REF",
		Short: "Be a credential plugin of kubectl",
		Long: `Be a credential plugin of kubectl and of what is made with client-go: give a token (the field token or access_token) or a
client certificate (certificate and private_key), with the end of its lease, after which they ask again.

Put it into a user of the kubeconfig. With provideClusterInfo the credential is given for the server of its field url, or
of --host, alone:

  exec:
    apiVersion: client.authentication.k8s.io/v1
    command: strongroom-agent
    args: [helper, kubectl, REF]
    interactiveMode: Never
    provideClusterInfo: true`,
		Example: "  strongroom-agent helper kubectl cluster-prod",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			question, err := helper.ReadKubectl(os.Getenv("KUBERNETES_EXEC_INFO"))
			if err != nil {
				return err
			}
			c, err := h.get(cmd, args[0])
			if err != nil {
				return err
			}
			return a.print(c.Kubectl(question, h.host))
		},
	}
	h.flags(cmd, true, false)
	return cmd
}
