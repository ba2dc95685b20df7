package vault_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// What never leaves the server: a host is given the access token, not what new ones are had with. A person who may
// reveal sees all of it.
func TestWhatStaysOnTheServer(t *testing.T) {
	t.Parallel()
	f := open(t)
	_, err := f.Add(t.Context(), alice, "crm", vault.Change{
		Application: "generic-rest", AuthType: credential.OAuth2,
		Fields: map[string]string{"url": "https://api.example.com", "client_id": "c", "token_url": "https://login.example.com/token"},
		Value:  f.value(map[string]string{"client_secret": "s1", "refresh_token": "r1", "access_token": "a1"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.grant(grant.Grant{Name: "all", Credentials: []string{"crm"}, AnyHost: true})
	for name, v := range map[string]struct {
		who  grant.Caller
		want string
	}{
		"a host":   {grant.Caller{Host: &runner, Job: etl}, "access_token"},
		"a person": {grant.Caller{Person: &alice}, "access_token client_secret refresh_token"},
	} {
		o, err := f.Vault.Open(t.Context(), v.who, "crm")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(o.Value.Names(), " "); got != v.want {
			t.Errorf("%s is given %s, want %s", name, got, v.want)
		}
		if want := []string{"https://api.example.com:443", "https://login.example.com:443"}; !slices.Equal(origins(o.Version), want) {
			t.Errorf("origins %v, want %v", origins(o.Version), want)
		}
		o.Value.Wipe()
	}
}

// An application's own fields may be the server's alone as well.
func TestOwnFieldsStayOnTheServer(t *testing.T) {
	t.Parallel()
	f := openWith(t, "portal", `
name: portal
title: A portal
category: test
auth_types:
  - type: access_token
fields:
  - {name: admin_key, help: a key, secret: true, server_only: true}
  - {name: room, help: a room}
`)
	_, err := f.Add(t.Context(), alice, "p", vault.Change{
		Application: "portal", AuthType: credential.AccessToken, Fields: map[string]string{"room": "1"},
		Value: f.value(map[string]string{"token": "t", "admin_key": "k"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.grant(grant.Grant{Name: "all", Credentials: []string{"p"}, AnyHost: true})
	o, err := f.Vault.Open(t.Context(), grant.Caller{Host: &runner, Job: etl}, "p")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Value.Wipe()
	if !slices.Equal(o.Value.Names(), []string{"token"}) || len(o.Version.Fields) != 1 || o.Version.Fields["room"] != "1" {
		t.Errorf("a host is given %v and %v", o.Value.Names(), o.Version.Fields)
	}
}

func origins(v credential.Version) (out []string) {
	for _, o := range v.Origins {
		out = append(out, o.String())
	}
	return out
}

// A generated SSH key has its public half shown; what the type refuses, the vault refuses and stores nothing.
func TestAuthTypesAreAsked(t *testing.T) {
	t.Parallel()
	f := open(t)
	add := func(name string, ch vault.Change) error {
		ch.Application, ch.AuthType = "ssh", credential.SSHKey
		ch.Fields = map[string]string{"host": "h.example.com", "username": "u"}
		_, err := f.Add(t.Context(), alice, name, ch)
		return err
	}
	if err := add("made", vault.Change{Generate: []string{"private_key"}}); err != nil {
		t.Fatal(err)
	}
	_, v, err := f.Show(alice, "made")
	if err != nil || !strings.HasPrefix(v.Fields["public_key"], "ssh-ed25519 ") || !slices.Equal(v.Secrets, []string{"private_key"}) {
		t.Errorf("%+v, %v", v, err)
	}
	err = add("junk", vault.Change{Value: f.value(map[string]string{"private_key": "canary-77"})})
	if !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), "field private_key") || strings.Contains(err.Error(), "canary") {
		t.Errorf("junk: %v", err)
	}
	if _, _, err := f.Show(alice, "junk"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("what was refused is there: %v", err)
	}
}
