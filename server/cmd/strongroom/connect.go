package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

// connect makes a client with the user's token. Without one the server is asked
// all the same: a sealed one says so before it asks who calls.
func (a *app) connect() (*api.Client, error) {
	path, err := tokenPath()
	if err != nil {
		return nil, err
	}
	token, err := a.readToken(path)
	if err != nil {
		return nil, err
	}
	known := recall(path, token)
	server, err := a.find(known)
	if err != nil {
		return nil, err
	}
	if token != nil && known != nil && !strings.EqualFold(known.CAFingerprint, server.CAFingerprint) {
		return nil, cli.Usagef("the token in %s is for %s, which has another CA; log in here, or name another token file with STRONGROOM_TOKEN_FILE", path, known.Server)
	}
	return a.client(server, token)
}

// connectAnybody makes a client without a token, for what needs none.
func (a *app) connectAnybody() (*api.Client, remembered, error) {
	path, err := tokenPath()
	if err != nil {
		return nil, remembered{}, err
	}
	server, err := a.find(recall(path, nil))
	if err != nil {
		return nil, remembered{}, err
	}
	c, err := a.client(server, nil)
	return c, server, err
}

// find puts together which server is meant: flags before the environment before
// what login remembered.
func (a *app) find(known *remembered) (remembered, error) {
	if known == nil {
		known = &remembered{}
	}
	r := remembered{
		Server:        firstOf(a.server, os.Getenv("STRONGROOM_SERVER"), known.Server),
		CAFingerprint: firstOf(a.fingerprint, os.Getenv("STRONGROOM_CA_FINGERPRINT"), known.CAFingerprint),
	}
	if r.Server == "" {
		return r, cli.Usagef("which server? name it with --server URL or STRONGROOM_SERVER, or log in once")
	}
	if r.CAFingerprint == "" {
		return r, cli.Usagef("give the fingerprint that strongroom-server init printed with --ca-fingerprint or STRONGROOM_CA_FINGERPRINT")
	}
	return r, nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func (a *app) client(r remembered, token *secret.Buffer) (*api.Client, error) {
	c, err := api.New(api.Config{Server: r.Server, CAFingerprint: r.CAFingerprint, Token: token, Arena: a.arena})
	return c, ended(err)
}

// call connects, makes one call and gives its error an exit code.
func call[T any](a *app, f func(*api.Client) (T, error)) (T, error) {
	c, err := a.connect()
	if err != nil {
		var none T
		return none, err
	}
	defer c.Close()
	answer, err := f(c)
	return answer, ended(err)
}

// ended gives an error of the API its exit code and the next step.
func ended(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, api.ErrUsage):
		return cli.Exit(cli.Usage, err)
	case errors.Is(err, api.ErrUnauthenticated):
		return cli.Exit(cli.Refused, fmt.Errorf("%w%s; log in with: strongroom login", err, withoutToken()))
	case errors.Is(err, api.ErrRefused):
		return cli.Exit(cli.Refused, err)
	case errors.Is(err, api.ErrSecondFactor):
		return cli.Exit(cli.Refused, fmt.Errorf("%w: give it with --code", err))
	case errors.Is(err, api.ErrNotFound):
		return cli.Exit(cli.NotFound, err)
	case errors.Is(err, api.ErrSealed):
		return cli.Exit(cli.Unreachable, fmt.Errorf("%w; unseal it with: strongroom unseal", err))
	case errors.Is(err, api.ErrNotReachable):
		return cli.Exit(cli.Unreachable, err)
	}
	return cli.Exit(cli.Failed, err)
}
