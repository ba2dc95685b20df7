package api_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/api/apitest"
	"github.com/strongroom/strongroom/shared/secret"
)

// setter takes credentials and keeps what it opened.
type setter struct {
	t      *testing.T
	server *apitest.Server

	mu       sync.Mutex
	tries    int
	requests map[string]bool
	wire     []byte
	got      map[string]string
}

func (s *setter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		apitest.Answer(w, http.StatusOK, struct{}{})
		return
	}
	s.tries++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.wire = append(s.wire, body...)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var in api.CredentialAdd
	decode(s.t, r, &in)
	s.requests[in.Request] = true
	sealed := map[string][]byte{}
	for _, m := range []map[string][]byte{in.Secrets, in.Variables, in.Masked} {
		maps.Copy(sealed, m)
	}
	name := in.Name
	if r.Method == http.MethodPatch {
		name = strings.TrimPrefix(r.URL.Path, "/v1/credentials/")
	}
	plain, ok := s.server.Open(w, r, in.Sealed, name, sealed)
	if !ok {
		return
	}
	s.got = plain
	apitest.Answer(w, http.StatusOK, api.CredentialDetail{Credential: api.Credential{Name: name, Version: 1}})
}

func newSetter(t *testing.T) *setter {
	t.Helper()
	s := &setter{t: t, requests: map[string]bool{}}
	s.server = apitest.Start(t, apitest.Chain{}, s)
	return s
}

func TestValuesTravelInEnvelopes(t *testing.T) {
	t.Parallel()
	s := newSetter(t)
	c := dial(t, s.server.URL, s.server.CAFingerprint, nil)
	secrets := api.Values{Secrets: map[string]*secret.Buffer{"password": text(t, "canary-hunter2"), "empty": text(t, "")}}
	if _, err := c.AddCredential(t.Context(), api.CredentialAdd{Name: "crm", Fields: map[string]string{"url": "canary-plain"}}, secrets); err != nil {
		t.Fatal(err)
	}
	if s.got["password"] != "canary-hunter2" || len(s.got) != 2 || s.got["empty"] != "" {
		t.Errorf("the server opened %q", s.got)
	}
	own := api.Values{
		Variables: map[string]*secret.Buffer{"BIN": text(t, "\xff\x00canary-bin")},
		Masked:    map[string]*secret.Buffer{"PIN": text(t, strings.Repeat("canary-64", 7000))},
	}
	if _, err := c.EditCredential(t.Context(), "alice/payroll", 0, api.CredentialEdit{}, own); err != nil {
		t.Fatal(err)
	}
	if s.got["BIN"] != "\xff\x00canary-bin" || len(s.got["PIN"]) != 63000 {
		t.Errorf("the server opened %d fields", len(s.got))
	}
	if len(s.requests) != 2 {
		t.Errorf("two requests had %d identifiers", len(s.requests))
	}
	if !bytes.Contains(s.wire, []byte("canary-plain")) {
		t.Error("the control is missing: the scan would not see a value in the clear")
	}
	for _, canary := range []string{"canary-hunter2", "canary-bin", "canary-64"} {
		if bytes.Contains(s.wire, []byte(canary)) {
			t.Errorf("%s was in a body outside its envelope", canary)
		}
	}
}

func TestKeyFileTravelsInAnEnvelope(t *testing.T) {
	t.Parallel()
	var server *apitest.Server
	server = apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in api.UnsealRequest
		decode(t, r, &in)
		plain, ok := server.Open(w, r, in.Sealed, "", map[string][]byte{"key_file": in.KeyFile})
		if ok && plain["key_file"] != "the key\n" {
			t.Errorf("got %q", plain)
		}
		if ok {
			apitest.Answer(w, 200, api.Seal{Sealed: false})
		}
	}))
	if got, err := dial(t, server.URL, server.CAFingerprint, nil).Unseal(t.Context(), api.Unsealing{KeyFile: text(t, "the key\n")}); err != nil || got.Sealed {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A write that comes over another connection than its envelope is done again
// from the start, once, and never with the same key.
func TestConnectionChangesBetweenEnvelopeAndWrite(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		losses  int32 // writes that find another connection
		tries   int
		success bool
	}{
		{"never", 0, 1, true},
		{"once", 1, 2, true},
		{"always", 99, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSetter(t)
			s.server.LoseConnections(tc.losses)
			c := dial(t, s.server.URL, s.server.CAFingerprint, nil)
			values := api.Values{Secrets: map[string]*secret.Buffer{"password": text(t, "hunter2")}}
			_, err := c.AddCredential(t.Context(), api.CredentialAdd{Name: "crm"}, values)
			if s.tries != tc.tries || len(s.requests) != tc.tries {
				t.Errorf("%d writes with %d identifiers, want %d", s.tries, len(s.requests), tc.tries)
			}
			if tc.success && (err != nil || s.got["password"] != "hunter2") {
				t.Errorf("got %q, %v", s.got, err)
			}
			if !tc.success && !errors.Is(err, api.ErrConflict) {
				t.Errorf("got %v, want ErrConflict", err)
			}
		})
	}
}

// Calls of several goroutines share the one connection: no write loses its
// envelope to another's.
func TestWritesTakeTurns(t *testing.T) {
	t.Parallel()
	s := newSetter(t)
	c := dial(t, s.server.URL, s.server.CAFingerprint, nil)
	password := text(t, "hunter2")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			values := api.Values{Secrets: map[string]*secret.Buffer{"password": password}}
			if _, err := c.AddCredential(t.Context(), api.CredentialAdd{Name: "crm"}, values); err != nil {
				t.Error(err)
			}
		})
		wait.Go(func() {
			if _, err := c.Hosts(t.Context()); err != nil { // it is only there to be in the way
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if s.tries != 8 {
		t.Errorf("%d writes were tried, want 8", s.tries)
	}
}

func TestReveal(t *testing.T) {
	t.Parallel()
	var server *apitest.Server
	server = apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in api.RevealRequest
		decode(t, r, &in)
		ref := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/credentials/"), "/reveal")
		sealedFor := ref
		if ref == "bob" {
			sealedFor = "alice/payroll"
		}
		out, err := server.Seal(r, in, sealedFor, 7, map[string]string{"PIN": "canary-pin", "BIN": "\xff\x00"})
		if err != nil {
			t.Error(err)
		}
		switch ref {
		case "older":
			out.Version = 6
		case "swapped":
			out.Secrets["PIN"], out.Secrets["BIN"] = out.Secrets["BIN"], out.Secrets["PIN"]
		case "noenc":
			out.Enc = nil
		}
		apitest.Answer(w, 200, out)
	}))
	c := dial(t, server.URL, server.CAFingerprint, nil)
	got, err := c.Reveal(t.Context(), "alice/payroll")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Wipe()
	if got.Version != 7 || len(got.Secrets) != 2 || string(got.Secrets["PIN"].Reveal()) != "canary-pin" || string(got.Secrets["BIN"].Reveal()) != "\xff\x00" {
		t.Errorf("got version %d and %d secrets", got.Version, len(got.Secrets))
	}
	for _, ref := range []string{"bob", "older", "swapped", "noenc"} {
		if _, err := c.Reveal(t.Context(), ref); !errors.Is(err, api.ErrFailed) {
			t.Errorf("%s: got %v, want ErrFailed", ref, err)
		}
	}
}
