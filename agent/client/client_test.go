package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/client"
)

// agent is an HTTP server on a socket that answers as h does.
func agent(t *testing.T, h http.HandlerFunc) client.Options {
	t.Helper()
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	serve(t, socket, h)
	return client.Options{Socket: socket}
}

func serve(t *testing.T, socket string, h http.Handler) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Error(err)
		return
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

const crm = `{"credential":"crm","version":7,"fields":{"username":"bot","password":"p\"w\u00e9"},"fields_base64":{"key":"/wA="},
"environment":{"CRM_USER":"{username}"},"secret_fields":["password","key"],"lease":{"remaining":"14m58s","stale":true}}`

func TestGet(t *testing.T) {
	t.Parallel()
	var asked *http.Request
	c := client.New(agent(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Clone(context.Background())
		fmt.Fprint(w, crm)
	}))
	got, err := c.Get(t.Context(), "alice/pay+roll &x")
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "crm" || got.Version != 7 || got.Lease.Remaining != 14*time.Minute+58*time.Second || !got.Lease.Stale {
		t.Errorf("%+v: name, version, remaining time or staleness is wrong", *got)
	}
	want := map[string]string{"username": "bot", "password": "p\"wé", "key": "\xff\x00"}
	if len(got.Fields) != 3 || len(got.SecretFields) != 2 {
		t.Errorf("%d fields, secret %v; want 3, of which 2 are secret", len(got.Fields), got.SecretFields)
	}
	if len(got.Environment) != 1 || got.Environment["CRM_USER"] != "{username}" {
		t.Errorf("environment %v", got.Environment)
	}
	for name, value := range want {
		if string(got.Fields[name]) != value {
			t.Errorf("field %s is %q, want %q", name, got.Fields[name], value)
		}
	}
	if asked.Method != "GET" || asked.URL.Path != "/v1/credentials/value" || asked.URL.Query().Get("ref") != "alice/pay+roll &x" || asked.URL.Query().Has("field") {
		t.Errorf("asked %s %s", asked.Method, asked.URL)
	}
	if asked.Header.Get("X-Strongroom") != "1" || asked.Header.Get("Origin") != "" || asked.Header.Get("Accept-Encoding") != "" {
		t.Errorf("asked with %v", asked.Header)
	}
}

func TestCredentialIsNotShownByAccident(t *testing.T) {
	t.Parallel()
	c := client.Credential{Name: "crm", Version: 7, Fields: map[string][]byte{"password": []byte("hunter22")}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("got", "credential", c, "pointer", &c)
	document, err := json.Marshal(map[string]any{"c": c, "p": &c})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{log.String(), string(document)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb+verb, c, &c))
	}
	for _, text := range texts {
		if strings.Contains(text, "hunter22") || strings.Contains(text, "68756e746572") || strings.Contains(text, "104 117") {
			t.Errorf("the value is shown: %s", text)
		}
		if !strings.Contains(text, "crm version 7") {
			t.Errorf("neither name nor version: %s", text)
		}
	}
}

func TestField(t *testing.T) {
	t.Parallel()
	value := strings.Repeat("\x00\xff\n", 64<<10/3)
	c := client.New(agent(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("field") == "blob" {
			fmt.Fprint(w, value)
			w.(http.Flusher).Flush()
		}
	}))
	got, err := c.Field(t.Context(), "crm", "blob")
	if err != nil || string(got) != value {
		t.Errorf("%d bytes, %v; want the %d bytes of the value", len(got), err, len(value))
	}
	if got, err := c.Field(t.Context(), "crm", "empty"); err != nil || len(got) != 0 {
		t.Errorf("%q, %v; want an empty value", got, err)
	}
}

func TestOtherDocuments(t *testing.T) {
	t.Parallel()
	c := client.New(agent(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/credentials":
			fmt.Fprint(w, `{"items":[{"name":"crm","kind":"app","application":"generic-rest","auth_type":"basic","version":3}],"stale":true}`)
		case "/v1/explain":
			fmt.Fprint(w, `{"allowed":false,"reason":"no grant names it","host":"h1","job":{"user":"ci","uid":1001,"pid":42,"exe":"/bin/sh"},"connected":true,"ask_admin":"strongroom explain --host h1"}`)
		case "/v1/status":
			fmt.Fprint(w, `{"host":"h1","connected":true,"since":"2026-11-21T10:00:00Z","leases":2,"locked_bytes":4096,"certificate_expires":"2026-11-22T10:00:00Z","health":"degraded","why":"x"}`)
		}
	}))
	list, err := c.List(t.Context())
	if err != nil || len(list.Items) != 1 || !list.Stale || list.Items[0] != (client.Item{Name: "crm", Kind: "app", Application: "generic-rest", AuthType: "basic", Version: 3}) {
		t.Errorf("List: %+v, %v", list, err)
	}
	explanation, err := c.Explain(t.Context(), "crm")
	want := client.Explanation{Reason: "no grant names it", Host: "h1", Job: client.Job{User: "ci", UID: 1001, PID: 42, Exe: "/bin/sh"}, Connected: true, AskAdmin: "strongroom explain --host h1"}
	if err != nil || *explanation != want {
		t.Errorf("Explain: %+v, %v", explanation, err)
	}
	status, err := c.Status(t.Context())
	wantStatus := client.Status{Host: "h1", Connected: true, Since: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), Leases: 2,
		LockedBytes: 4096, CertificateExpires: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Health: "degraded", Why: "x"}
	if err != nil || *status != wantStatus {
		t.Errorf("Status: %+v, %v", status, err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		is     error
		text   string
	}{
		{"refused", 403, `{"title":"Forbidden","status":403,"code":"refused","detail":"refused or not there"}`, client.ErrRefused, "refused or not there"},
		{"not reachable", 503, `{"title":"Service Unavailable","code":"not_reachable","detail":"no server"}`, client.ErrNotReachable, "no server"},
		{"usage", 400, `{"code":"usage","title":"Bad Request"}`, client.ErrUsage, "Bad Request"},
		{"failed", 500, `{"code":"failed","detail":"its log says why"}`, nil, "its log says why"},
		{"another server", 404, `<html>`, nil, "what answers is no agent: 404 Not Found"},
		{"no JSON", 200, `hunter22`, nil, "not what was asked for"},
		{"two documents", 200, crm + crm, nil, "not what was asked for"},
		{"no duration", 200, `{"lease":{"remaining":"hunter22"}}`, nil, "not what was asked for"},
		{"endless problem", 403, strings.Repeat("x", 1<<20), nil, "no agent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := client.New(agent(t, answers(c.status, c.body))).Get(t.Context(), "crm")
			if err == nil || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hunter22") {
				t.Errorf("%v, want %q in it", err, c.text)
			}
			for _, sentinel := range []error{client.ErrRefused, client.ErrNotReachable, client.ErrUsage} {
				if errors.Is(err, sentinel) != (sentinel == c.is) {
					t.Errorf("errors.Is(%v, %v) is %v", err, sentinel, sentinel != c.is)
				}
			}
		})
	}
}

func TestFollowsNobodyElsewhere(t *testing.T) {
	t.Parallel()
	c := client.New(agent(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/elsewhere" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		fmt.Fprint(w, crm)
	}))
	if got, err := c.Get(t.Context(), "crm"); err == nil || !strings.Contains(err.Error(), "302 Found") {
		t.Errorf("%v, %v; want an error that names the redirect", got, err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for chunk := make([]byte, 64<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	announced := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999999") }
	for name, h := range map[string]http.HandlerFunc{"endless": endless, "announced": announced} {
		c := client.New(agent(t, h))
		if _, err := c.Field(t.Context(), "crm", "x"); err == nil || !strings.Contains(err.Error(), "longer than 65536 bytes") {
			t.Errorf("%s field: %v", name, err)
		}
		if _, err := c.Get(t.Context(), "crm"); err == nil || !strings.Contains(err.Error(), "longer than 33554432 bytes") {
			t.Errorf("%s document: %v", name, err)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	c := client.New(client.Options{Socket: filepath.Join(t.TempDir(), "none")})
	if _, err := c.Status(t.Context()); !errors.Is(err, client.ErrNotReachable) || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v, want ErrNotReachable naming the socket", err)
	}
}

func TestWaitsForAStartingAgent(t *testing.T) {
	t.Parallel()
	o := agent(t, nil)
	o.Socket += "2"
	o.Wait = 2 * time.Minute
	go func() {
		time.Sleep(100 * time.Millisecond)
		asked := 0
		serve(t, o.Socket, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked < 3 { // it is there, and has no connection yet
				answers(503, `{"code":"not_reachable","detail":"not connected yet"}`)(w, r)
				return
			}
			fmt.Fprint(w, crm)
		}))
	}()
	if got, err := client.New(o).Get(t.Context(), "crm"); err != nil || got.Name != "crm" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	o := client.Options{Socket: filepath.Join(t.TempDir(), "none"), Wait: 100 * time.Millisecond}
	began := time.Now()
	_, err := client.New(o).Status(t.Context())
	if took := time.Since(began); !errors.Is(err, client.ErrNotReachable) || took < o.Wait || took > time.Minute {
		t.Errorf("%v after %v, want ErrNotReachable after %v", err, took, o.Wait)
	}
}

func TestRefusalsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	asked := 0
	o := agent(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		answers(403, `{"code":"refused","detail":"no"}`)(w, r)
	})
	o.Wait = time.Hour
	if _, err := client.New(o).Get(t.Context(), "crm"); !errors.Is(err, client.ErrRefused) || asked != 1 {
		t.Errorf("%v after %d requests, want ErrRefused after 1", err, asked)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := agent(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	o.Wait = time.Hour
	if _, err := client.New(o).Get(ctx, "crm"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestSocketFromTheEnvironment(t *testing.T) {
	o := agent(t, answers(200, crm))
	t.Setenv("STRONGROOM_SOCKET", o.Socket)
	if _, err := client.New(client.Options{}).Get(t.Context(), "crm"); err != nil {
		t.Error(err)
	}
	if _, err := client.New(client.Options{Socket: o.Socket + "x"}).Get(t.Context(), "crm"); !errors.Is(err, client.ErrNotReachable) {
		t.Errorf("the option did not win over the environment: %v", err)
	}
}
