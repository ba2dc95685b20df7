package main

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/net/http/httpproxy"

	"github.com/strongroom/strongroom/agent"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
)

// routing are the flags that say how to reach the server.
type routing struct {
	servers          []string
	proxy, proxyAuth string
}

func (r *routing) serverFlag(flags *pflag.FlagSet, usage string) {
	flags.StringArrayVar(&r.servers, "server", nil, usage)
}

func (r *routing) proxyFlags(flags *pflag.FlagSet) {
	flags.StringVar(&r.proxy, "proxy", "", "an HTTP proxy that leads to the server: http://`HOST:PORT` (default: that of HTTPS_PROXY, unless NO_PROXY names the server)")
	flags.StringVar(&r.proxyAuth, "proxy-auth", "", "what the proxy asks for: `@FILE` with user:password in one line, or -")
}

// settings takes from the configuration file what no flag says.
func (r *routing) settings(cmd *cobra.Command, s settings) {
	if !cmd.Flags().Changed("server") {
		r.servers = s.Servers
	}
	cli.Setting(cmd, "proxy", &r.proxy, s.Proxy)
	cli.Setting(cmd, "proxy-auth", &r.proxyAuth, s.ProxyAuth)
}

// routeArena is the memory for what the proxy is told, hidden before anything is in it.
func routeArena() (*secret.Arena, error) {
	if err := secret.Conceal(); err != nil {
		return nil, err
	}
	return secret.NewArena(enrollArena)
}

// route checks what the flags and the environment say. What it read for the proxy lies in the arena.
func (r *routing) route(values *cli.Values, arena *secret.Arena) (agent.Route, error) {
	out := agent.Route{Servers: slices.Clone(r.servers)}
	for _, s := range r.servers {
		if err := identity.ValidServer(s); err != nil {
			return out, cli.Usagef("--server: %w", err)
		}
	}
	var err error
	if out.Proxy, err = r.chooseProxy(); err != nil {
		return out, err
	}
	if r.proxyAuth == "" {
		return out, nil
	}
	text, err := values.Secret("--proxy-auth", r.proxyAuth)
	if err != nil {
		return out, err
	}
	defer text.Wipe()
	out.ProxyAuth, err = agent.NewProxyAuth(arena, text)
	if errors.Is(err, agent.ErrProxyAuth) {
		return out, cli.Usagef("--proxy-auth: %w", err)
	}
	return out, err
}

// chooseProxy says which proxy leads to a server: the one of --proxy to each, the environment's where it says so.
func (r *routing) chooseProxy() (func(server string) string, error) {
	if r.proxy != "" {
		proxy, err := proxyAddress(r.proxy, "")
		if err != nil {
			return nil, cli.Usagef("--proxy: %w", err)
		}
		return func(string) string { return proxy }, nil
	}
	environment := httpproxy.FromEnvironment()
	if environment.HTTPSProxy == "" {
		return nil, nil
	}
	text := environment.HTTPSProxy
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	proxy, err := proxyAddress(text, "80")
	if err != nil {
		return nil, cli.Usagef("HTTPS_PROXY: %w", err)
	}
	leads := environment.ProxyFunc()
	return func(server string) string {
		if u, err := leads(&url.URL{Scheme: "https", Host: server}); err != nil || u == nil {
			return ""
		}
		return proxy
	}, nil
}

var errProxy = errors.New("wanted is http://HOST:PORT, without user or password: these come from a file, with --proxy-auth @FILE")

// proxyAddress reads a proxy's URL. Its error repeats nothing of it, since a password may stand there.
func proxyAddress(text, port string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errProxy
	}
	if u.Port() != "" {
		port = u.Port()
	}
	address := net.JoinHostPort(u.Hostname(), port)
	if identity.ValidServer(address) != nil {
		return "", errProxy
	}
	return address, nil
}
