package vault_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/httpauth"
)

// site is a server that remembers what it was sent.
type site struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
}

func newSite(t *testing.T, away func() string) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent = append(s.sent, r.Header.Get("Authorization"))
		if r.URL.Path == "/away" {
			http.Redirect(w, r, away()+"/login", http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// portal is an application whose place the catalogue says.
func portal(t *testing.T, origin string) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Load(fstest.MapFS{"applications/portal.yaml": {Data: fmt.Appendf(nil, `
name: portal
title: A portal
category: test
auth_types:
  - type: access_token
origins: [%s]
fields:
  - {name: url, help: another place, origin: true}
  - {name: room, help: a room}
`, origin)}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// send does with a credential what everything that sends one does: the origins are those of the version.
func (f *fixture) send(ref, url string) error {
	f.t.Helper()
	o, err := f.Vault.Open(f.t.Context(), grant.Caller{Person: &alice}, ref)
	if err != nil {
		f.t.Fatal(err)
	}
	defer o.Value.Wipe()
	transport, err := httpauth.NewTransport(httpauth.Credential{
		Type: o.Credential.AuthType, Plain: o.Version.Fields, Secrets: o.Value, Origins: o.Version.Origins,
	}, &http.Transport{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	resp, err := transport.Client(time.Minute).Get(url)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

// A secret goes to the places that it was given for. Neither another URL, nor a catalogue that says otherwise, nor a
// redirect, nor an earlier version made the newest takes it elsewhere.
func TestOldSecretsGoNowhereNew(t *testing.T) {
	t.Parallel()
	other := newSite(t, nil)
	own := newSite(t, func() string { return other.URL })
	f := open(t)
	openWith := func(c *catalogue.Catalogue) {
		t.Helper()
		var err error
		if f.Vault, err = vault.Open(f.Barrier, f.Log, f.Arena, c, f.settings, f.clock.Now); err != nil {
			t.Fatal(err)
		}
	}
	openWith(portal(t, own.URL))
	_, err := f.Add(t.Context(), alice, "p", vault.Change{
		Application: "portal", AuthType: credential.AccessToken, Value: f.value(map[string]string{"token": "old"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, url string) {
		t.Helper()
		if err := f.send("p", url); !errors.Is(err, httpauth.ErrOrigin) {
			t.Errorf("%s: %v", what, err)
		}
		if got := other.got(); len(got) != 0 {
			t.Fatalf("%s: the other place was sent %q", what, got)
		}
	}
	if err := f.send("p", own.URL+"/x"); err != nil {
		t.Fatal(err)
	}
	refused("another place", other.URL+"/x")
	refused("a redirect", own.URL+"/away")

	// A URL more is a place more: only a secret that is given with it goes there.
	url := map[string]string{"url": other.URL}
	if _, err := f.edit(t.Context(), alice, "p", vault.Change{Fields: url}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("a URL without the secret: %v", err)
	}
	refused("after the URL was refused", other.URL+"/x")

	// A catalogue that moves the application does not move what was stored before, and no edit by the way does.
	openWith(portal(t, other.URL))
	refused("a changed catalogue", other.URL+"/x")
	if _, err := f.edit(t.Context(), alice, "p", vault.Change{Fields: map[string]string{"room": "2"}}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("an edit by the way: %v", err)
	}
	refused("after an edit by the way", other.URL+"/x")
	if err := f.send("p", own.URL+"/x"); err != nil {
		t.Errorf("its own place: %v", err)
	}

	// The control: a secret that is given now goes there, and to the old place no more.
	if _, err := f.edit(t.Context(), alice, "p", vault.Change{Value: f.value(map[string]string{"token": "new"})}); err != nil {
		t.Fatal(err)
	}
	if err := f.send("p", other.URL+"/x"); err != nil || !slices.Equal(other.got(), []string{"Bearer new"}) {
		t.Errorf("the new secret: %v, %q", err, other.got())
	}
	if err := f.send("p", own.URL+"/x"); !errors.Is(err, httpauth.ErrOrigin) || slices.Contains(own.got(), "Bearer new") {
		t.Errorf("the new secret at the old place: %v, %q", err, own.got())
	}
	if _, err := f.Rollback(t.Context(), alice, "p", 1, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.send("p", other.URL+"/x"); !errors.Is(err, httpauth.ErrOrigin) || slices.Contains(other.got(), "Bearer old") {
		t.Errorf("the old secret again: %v, %q", err, other.got())
	}
}
