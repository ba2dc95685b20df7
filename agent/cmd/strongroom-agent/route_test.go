package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

// routeOf parses flags as run does, with a configuration file.
func routeOf(t *testing.T, config string, args ...string) (route agent.Route, err error) {
	t.Helper()
	arena, err := secret.NewArena(enrollArena)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	path := ""
	if config != "" {
		path = filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var to routing
	cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		s, err := cli.ReadSettings[settings](path)
		if err != nil {
			return err
		}
		to.settings(cmd, s)
		route, err = to.route(cli.NewValues(arena, strings.NewReader("")), arena)
		return err
	}}
	to.serverFlag(cmd.Flags(), "")
	to.proxyFlags(cmd.Flags())
	cmd.SetArgs(append([]string{}, args...))
	cmd.SetErr(new(bytes.Buffer))
	return route, cmd.Execute()
}

// Which way leads to a server. The environment is the process's, so these are one after the other.
func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		what, https, no string
		args            []string
		want            string // for vault:7443
	}{
		{"nothing said", "", "", nil, ""},
		{"the environment", "http://proxy:3128", "", nil, "proxy:3128"},
		{"without a scheme", "proxy:3128", "", nil, "proxy:3128"},
		{"without a port", "http://proxy", "", nil, "proxy:80"},
		{"the environment's exception", "http://proxy:3128", "other,vault", nil, ""},
		{"the flag wins", "http://proxy:3128", "vault", []string{"--proxy", "http://10.0.0.1:8080/"}, "10.0.0.1:8080"},
		{"IPv6", "", "", []string{"--proxy", "http://[::1]:8080"}, "[::1]:8080"},
	} {
		t.Run(c.what, func(t *testing.T) {
			for _, name := range []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
				t.Setenv(name, "")
			}
			t.Setenv("HTTPS_PROXY", c.https)
			t.Setenv("NO_PROXY", c.no)
			route, err := routeOf(t, "", c.args...)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if route.Proxy != nil {
				got = route.Proxy("vault:7443")
			}
			if got != c.want {
				t.Errorf("the proxy is %q, want %q", got, c.want)
			}
		})
	}
	t.Run("a password in the environment", func(t *testing.T) {
		t.Setenv("HTTPS_PROXY", "http://user:hunter2@proxy:3128")
		_, err := routeOf(t, "")
		usage(t, err, "HTTPS_PROXY: wanted is http://HOST:PORT, without user or password", "hunter2")
	})
}

func usage(t *testing.T, err error, want, never string) {
	t.Helper()
	if err == nil || cli.Code(err) != cli.Usage || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), never) {
		t.Errorf("%v, want a usage error with %q and without %q", err, want, never)
	}
}

func TestRoutesThatAreNone(t *testing.T) {
	t.Parallel()
	secrets := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(secrets, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const form = "--proxy: wanted is http://HOST:PORT, without user or password: these come from a file, with --proxy-auth @FILE"
	for _, c := range []struct{ want, flag, value string }{
		{form, "--proxy", "http://user:hunter2@proxy:3128"},
		{form, "--proxy", "http://hunter2@proxy:3128"},
		{form, "--proxy", "http://user:hun%zzter2@proxy:3128"},
		{form, "--proxy", "https://proxy:3128"},
		{form, "--proxy", "socks5://proxy:3128"},
		{form, "--proxy", "proxy:3128"},
		{form, "--proxy", "http://proxy"},
		{form, "--proxy", "http://proxy:3128/path"},
		{form, "--proxy", "http://proxy:3128?token=hunter2"},
		{"--proxy-auth: a secret is never given on the command line", "--proxy-auth", "user:hunter2"},
		{"--proxy-auth: the proxy's credentials are one line with user:password", "--proxy-auth", "@" + secrets},
		{"--server: an agents' address is HOST:PORT, such as vault.example.com:7443", "--server", "vault"},
		{"--server: an agents' address is HOST:PORT", "--server", "vault:7443\r\nX: y"},
	} {
		_, err := routeOf(t, "", c.flag, c.value)
		usage(t, err, c.want, "hunter2")
	}
}

func TestRouteSettings(t *testing.T) {
	t.Parallel()
	secrets := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(secrets, []byte("robot:hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := "servers: [one:1, two:2]\nproxy: http://p:1\nproxy_auth: \"@" + secrets + "\"\n"
	route, err := routeOf(t, config)
	if err != nil || strings.Join(route.Servers, " ") != "one:1 two:2" || route.Proxy("") != "p:1" ||
		string(route.ProxyAuth.Reveal()) != "Basic cm9ib3Q6aHVudGVyMg==" {
		t.Errorf("%+v, %v", route, err)
	}
	route, err = routeOf(t, config, "--server", "three:3", "--server", "four:4", "--proxy", "http://q:2")
	if err != nil || strings.Join(route.Servers, " ") != "three:3 four:4" || route.Proxy("") != "q:2" {
		t.Errorf("flags do not win: %+v, %v", route, err)
	}
	_, err = routeOf(t, "servers: one:1\n")
	usage(t, err, "servers (a list)", "hunter2")
	if _, err = routeOf(t, "proxy_auth: robot:hunter2\n"); errors.Is(err, agent.ErrProxyAuth) {
		t.Error("a password in the configuration file was taken")
	}
	usage(t, err, "--proxy-auth: a secret is never given on the command line", "hunter2")
}
