package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/repeat"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
)

// create posts with a key.
func (s *site) create(c *http.Client, path, token, key, body string) reply {
	s.t.Helper()
	req := s.request("POST", path, token, body)
	req.Header.Set("Idempotency-Key", key)
	return s.do(c, req)
}

// sealedUser is the body of a new user whose password is in an envelope of this connection.
func (s *site) sealedUser(c *http.Client, name, pass string) string {
	s.t.Helper()
	a := s.do(c, s.request("GET", "/v1/envelope", "", ""))
	var key api.Envelope
	check(s.t, json.Unmarshal([]byte(a.body), &key))
	exporter := must(envelope.Exporter(a.tls))(s.t)
	sealer, enc, err := envelope.NewSealer(s.own, key.PublicKey, envelope.ToServer, exporter)
	check(s.t, err)
	defer sealer.Wipe()
	about := envelope.Context{Request: "r1", Credential: name, Field: "password"}
	sealed := must(sealer.Seal([]byte(pass), about))(s.t)
	return string(must(json.Marshal(api.UserAdd{
		Name: name, Role: "developer", Password: sealed, Sealed: api.Sealed{Enc: enc, Request: "r1"},
	}))(s.t))
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	must(s.addBasic(s.client(s.token), "crm", "value"))(t)
	grant := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"credentials":["crm"],"any_host":true}`, name)
	}
	first := s.create(c, "/v1/grants", s.token, "k1", grant("g1"))
	again := s.create(c, "/v1/grants", s.token, "k1", grant("g1"))
	if first.status != 201 || again.status != 201 || first.body != again.body || first.header.Get("ETag") != again.header.Get("ETag") {
		t.Errorf("%d %s\n%d %s", first.status, first.body, again.status, again.body)
	}
	for name, test := range map[string]struct {
		path, key, body string
		status          int
	}{
		"another body":   {"/v1/grants", "k1", grant("g2"), 422},
		"another route":  {"/v1/roles", "k1", `{"name":"r1","permissions":["grant.view"]}`, 422},
		"another key":    {"/v1/grants", "k2", grant("g1"), 409},
		"no key":         {"/v1/grants", "", grant("g1"), 409},
		"a key too long": {"/v1/grants", strings.Repeat("k", 65), grant("g3"), 422},
	} {
		if a := s.create(c, test.path, s.token, test.key, test.body); a.status != test.status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	// What failed is not remembered: the same key does it once it can be done.
	if a := s.create(c, "/v1/grants", s.token, "k3", grant("g1")); a.status != 409 {
		t.Errorf("a name that is taken: %d", a.status)
	}
	if a := s.do(c, s.request("DELETE", "/v1/grants/g1", s.token, "")); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := s.create(c, "/v1/grants", s.token, "k1", grant("g1")); a.status != 409 || !strings.Contains(a.body, "gone") {
		t.Errorf("what was made is gone: %d %s", a.status, a.body)
	}
	if a := s.create(c, "/v1/grants", s.token, "k3", grant("g1")); a.status != 201 {
		t.Errorf("a name that is free again: %d %s", a.status, a.body)
	}
	s.secretsOnce(c)
}

// secretsOnce: answers with a secret are not given twice, and values in envelopes count, not their envelopes.
func (s *site) secretsOnce(c *http.Client) {
	t := s.t
	for path, body := range map[string]string{
		"/v1/tokens": `{"name":"t1"}`, "/v1/hosts/join-tokens": `{"labels":{"a":"b"}}`,
	} {
		one, two := s.create(c, path, s.token, "k"+path[4:], body), s.create(c, path, s.token, "k"+path[4:], body)
		if one.status != 201 || two.status != 409 || strings.Contains(two.body, "srt_") {
			t.Errorf("%s: %d, then %d %s", path, one.status, two.status, two.body)
		}
	}
	const pass = "a long enough passphrase"
	one := s.create(c, "/v1/users", s.token, "u1", s.sealedUser(c, "bob", pass))
	two := s.create(c, "/v1/users", s.token, "u1", s.sealedUser(c, "bob", pass))
	if one.status != 201 || two.status != 201 || one.body != two.body {
		t.Errorf("a user: %d %s, then %d %s", one.status, one.body, two.status, two.body)
	}
	if a := s.create(c, "/v1/users", s.token, "u1", s.sealedUser(c, "bob", pass+"!")); a.status != 422 {
		t.Errorf("with another password: %d %s", a.status, a.body)
	}
}

// Keys are each person's own.
func TestKeysOfSeveralPeople(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	body := s.sealedUser(c, "bob", "a long enough passphrase")
	if a := s.create(c, "/v1/users", s.token, "k", body); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	bob := must(s.client("").Login(t.Context(), "bob", s.secret("a long enough passphrase"), ""))(t)
	token := string(bob.Token.Reveal())
	one := s.create(c, "/v1/tokens", token, "k", `{"name":"t1"}`)
	if one.status != 201 {
		t.Errorf("somebody else's key: %d %s", one.status, one.body)
	}
}

// Of many equal requests at once one makes something, and all get its answer.
func TestOnceAtATime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(s.addBasic(s.client(s.token), "crm", "value"))(t)
	var wg sync.WaitGroup
	answers := make([]reply, 8)
	for i := range answers {
		c := s.raw()
		wg.Go(func() {
			answers[i] = s.create(c, "/v1/grants", s.token, "k", `{"name":"g","credentials":["crm"],"any_host":true}`)
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a.status != 201 || a.body != answers[0].body {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// Keys end after a day, survive a restart until then, and are no more than a thousand.
func TestKeysEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ahead time.Duration
	reopen := func() {
		s.rooms.Repeats = must(repeat.Open(s.barrier, func() time.Time { return time.Now().Add(ahead) }))(t)
	}
	reopen()
	c := s.raw()
	role := func(name string) string { return fmt.Sprintf(`{"name":%q,"permissions":["grant.view"]}`, name) }
	demand := func(key, name string, status int) {
		t.Helper()
		if a := s.create(c, "/v1/roles", s.token, key, role(name)); a.status != status {
			t.Fatalf("%s with %s: %d %s, want %d", name, key, a.status, a.body, status)
		}
	}
	demand("k", "r1", 201)
	reopen()
	demand("k", "r1", 201)
	ahead = 24*time.Hour - time.Minute
	demand("k", "r2", 422)
	ahead = 24 * time.Hour
	demand("k", "r2", 201)
	demand("k", "r2", 201)
}
