package client_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/agent/client"
)

const tokenHeader = "X-Strongroom-Job-Token"

// The token goes with each question but that for the agent's state, and only where it can be one.
func TestJobToken(t *testing.T) {
	t.Parallel()
	var got []string
	o := agent(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Values(tokenHeader)
		http.Error(w, `{"title":"Forbidden","code":"refused","detail":"no"}`, http.StatusForbidden)
	})
	ask := map[string]func(*client.Client) error{
		"list":    func(c *client.Client) error { _, err := c.List(t.Context()); return err },
		"get":     func(c *client.Client) error { _, err := c.Get(t.Context(), "crm"); return err },
		"field":   func(c *client.Client) error { _, err := c.Field(t.Context(), "crm", "key"); return err },
		"explain": func(c *client.Client) error { _, err := c.Explain(t.Context(), "crm"); return err },
		"changes": func(c *client.Client) error { return c.Changed(t.Context(), "crm", client.Version{}) },
	}
	longest := "aZ09-_." + strings.Repeat("b", 16<<10-8) + "."
	for _, token := range []string{"a.b.c", longest} {
		o.JobToken = token
		for what, question := range ask {
			got = nil
			if err := question(client.New(o)); !errors.Is(err, client.ErrRefused) || len(got) != 1 || got[0] != token {
				t.Errorf("%s: %v, and the header is %.20q", what, err, got)
			}
		}
		if _, err := client.New(o).Status(t.Context()); !errors.Is(err, client.ErrRefused) || got != nil {
			t.Errorf("status: %v, and the header is %.20q", err, got)
		}
	}
	for _, token := range []string{longest + "b", "canary", "a.canary", "a.b.c.canary", "a.b.canary\r\nX-Strongroom: 2", "a.b.canary c", "a.b.canaryü"} {
		o.JobToken, got = token, nil
		_, err := client.New(o).Get(t.Context(), "crm")
		if !errors.Is(err, client.ErrUsage) || strings.Contains(err.Error(), "canary") || got != nil {
			t.Errorf("%.20q: %v", token, err)
		}
	}
}

func TestJobTokenFromTheEnvironment(t *testing.T) {
	t.Setenv("STRONGROOM_JOB_TOKEN", "of.the.environment\n")
	var got string
	o := agent(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get(tokenHeader)
		http.Error(w, `{"code":"refused","detail":"no"}`, http.StatusForbidden)
	})
	for token, want := range map[string]string{"": "of.the.environment", "a.b.c": "a.b.c"} {
		o.JobToken = token
		if _, err := client.New(o).List(t.Context()); !errors.Is(err, client.ErrRefused) || got != want {
			t.Errorf("%q: %v, and the header is %q", token, err, got)
		}
	}
}

// Who outlives a token is asked for the one of now, at each request that shows one.
func TestJobTokenFrom(t *testing.T) {
	t.Setenv("STRONGROOM_JOB_TOKEN", "of.the.environment")
	var got []string
	o := agent(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get(tokenHeader))
		http.Error(w, `{"code":"refused","detail":"no"}`, http.StatusForbidden)
	})
	var fails error
	token := "a.b.1"
	o.JobToken = "a.b.0"
	o.JobTokenFrom = func(context.Context) (string, error) { return token, fails }
	c := client.New(o)
	ask := func(want error) {
		t.Helper()
		if _, err := c.Get(t.Context(), "crm"); !errors.Is(err, want) {
			t.Errorf("get: %v, want %v", err, want)
		}
		if err := c.Changed(t.Context(), "crm", client.Version{}); !errors.Is(err, want) || fails != nil && !errors.Is(err, fails) {
			t.Errorf("changed: %v, want %v", err, want)
		}
	}
	ask(client.ErrRefused)
	token = "a.b.2"
	ask(client.ErrRefused)
	fails = errors.New("away")
	ask(client.ErrUsage)
	if _, err := c.Status(t.Context()); !errors.Is(err, client.ErrRefused) {
		t.Errorf("status: %v", err)
	}
	token, fails = "a.b.3", nil
	ask(client.ErrRefused)
	token = "canary"
	ask(client.ErrUsage)
	if want := []string{"a.b.1", "a.b.1", "a.b.2", "a.b.2", "", "a.b.3", "a.b.3"}; !slices.Equal(got, want) {
		t.Errorf("shown are %q, want %q", got, want)
	}
}
