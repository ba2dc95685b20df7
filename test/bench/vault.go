//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
)

const (
	// credentialName is what every agent and job reads.
	credentialName = "bench"
	// valueSize is the payload of the floors in which the goals were found.
	valueSize = 200
	// arenaSize holds the keys of every connection and no more than a few values.
	arenaSize = 1 << 20
)

// A vault is a server with one granted credential, and its admin.
type vault struct {
	*stage
	arena       *secret.Arena
	server      *daemon
	fingerprint string
	token       *secret.Buffer // the admin's
	value       *secret.Buffer // of the credential
	admin       *api.Client
	agents      string // HOST:PORT
}

// newVault makes a vault, starts its server and logs the admin in.
func newVault(s *stage) (*vault, error) {
	arena, err := secret.NewArena(arenaSize)
	if err != nil {
		return nil, err
	}
	v := &vault{stage: s, arena: arena}
	if err := v.init(); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *vault) init() error {
	var made struct {
		CAFingerprint string `json:"ca_fingerprint"`
		AdminPassword string `json:"admin_password"`
	}
	if err := v.output(&made, "strongroom-server", "init", "--data", "vault", "--key-file", "unseal.key", "--json"); err != nil {
		return err
	}
	v.fingerprint = made.CAFingerprint
	if err := v.start(nil); err != nil {
		return err
	}
	password, err := v.arena.From([]byte(made.AdminPassword))
	if err != nil {
		return err
	}
	defer password.Wipe()
	stranger, err := v.client()
	if err != nil {
		return err
	}
	defer stranger.Close()
	session, err := stranger.Login(v.ctx, "admin", password, "")
	if err != nil {
		return err
	}
	v.token = session.Token
	if v.admin, err = v.client(); err != nil {
		return err
	}
	return v.addCredential()
}

// start runs the server, again after it was stopped.
func (v *vault) start(env []string) (err error) {
	v.server, err = v.stage.start("server", env, "strongroom-server", "run", "--data", "vault", "--key-file", "unseal.key",
		"--agents", "127.0.0.1:0", "--console", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if v.server.ready["sealed"] != "false" {
		return errors.New("the server is sealed")
	}
	v.agents = v.server.ready["agents"]
	return nil
}

// client is another connection of the admin's.
func (v *vault) client() (*api.Client, error) {
	return api.New(api.Config{Server: v.server.ready["console"], CAFingerprint: v.fingerprint, Token: v.token, Arena: v.arena})
}

// addCredential leaves one that every host may read.
func (v *vault) addCredential() error {
	random, err := v.arena.Random(valueSize)
	if err != nil {
		return err
	}
	v.value = random
	for i, b := range random.Reveal() {
		random.Reveal()[i] = 'a' + b%26 // a token is text
	}
	if err := v.addToken(v.admin, credentialName); err != nil {
		return err
	}
	_, err = v.admin.AddGrant(v.ctx, api.GrantRule{Name: "bench", Credentials: []string{credentialName}, AnyHost: true})
	return err
}

func (v *vault) addToken(c *api.Client, name string) error {
	_, err := c.AddCredential(v.ctx, api.CredentialAdd{Name: name, Application: "generic-rest", AuthType: "access_token"},
		api.Values{Secrets: map[string]*secret.Buffer{"token": v.value}})
	return err
}

// join makes a join token for a number of hosts.
func (v *vault) join(ctx context.Context, hosts int) (identity.Join, error) {
	made, err := v.admin.AddJoinToken(ctx, api.JoinTokenAdd{Uses: hosts, TTL: api.Duration(time.Hour)})
	if err != nil {
		return identity.Join{}, fmt.Errorf("making a join token: %w", err)
	}
	return identity.ParseJoin(made.Join)
}

// close wipes what was secret. The server ends with the stage.
func (v *vault) close() {
	if v.admin != nil {
		v.admin.Close()
	}
	_ = v.arena.Close() // the process ends next
}
