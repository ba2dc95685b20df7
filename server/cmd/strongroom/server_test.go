package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/api/apitest"
)

// scriptServer answers with what stands in answers below. It takes the token
// tok-alice only. A file "sealed" in the script's folder seals it, one "broken"
// damages its log.
type scriptServer struct {
	*apitest.Server
	tb  testing.TB
	dir string
	mu  sync.Mutex
}

func startServer(tb testing.TB, dir string) *scriptServer {
	tb.Helper()
	s := &scriptServer{tb: tb, dir: dir}
	s.Server = apitest.Start(tb, apitest.Chain{}, s)
	return s
}

var answers = map[string]string{
	"GET /v1/status": `{"version":"1.0.0","sealed":false,"vault":"00112233445566778899aabbccddeeff","warnings":["the key file lies beside the data"]}`,
	"POST /v1/seal":  `{"sealed":true}`,
	"GET /v1/whoami": `{"user":"alice","role":"admin","permissions":["host.view","host.join"],"token":{"name":"login","expires":"2030-01-02T03:04:05Z"}}`,

	"GET /v1/applications": `{"items":[{"name":"generic-rest","title":"REST","category":"generic","auth_types":["basic","api_key"],"source":"built-in","revision":1},` +
		`{"name":"acme-erp","title":"Acme","category":"erp","auth_types":["basic"],"source":"added","revision":7},{"name":"old","title":"","category":"","auth_types":[],"source":"added","revision":8,"broken":"line 1: there is no key later here"}]}`,
	"GET /v1/applications/generic-rest": `{"name":"generic-rest","title":"REST","category":"generic","auth_types":["basic"],"source":"built-in","revision":1,"fields":{"basic":[{"name":"url","secret":false,"required":true,"help":"the base"},{"name":"password","secret":true,"required":true,"help":"the password"}]}}`,
	"GET /v1/applications/acme-erp":     `{"name":"acme-erp","title":"Acme","category":"erp","auth_types":[],"source":"added","revision":7,"fields":{},"password_policy":{},"updated":"2026-01-03T03:04:05Z","updated_by":"bob","definition":{"name":"acme-erp"}}`,
	"PUT /v1/applications/acme-erp":     `{"name":"acme-erp","outcome":"changed","source":"added","differences":[{"what":"origins","removed":["basic: https://a.example"],"added":["basic: https://b.example"]},{"what":"env","removed":[],"added":["basic: ACME_USER is username"]}]}`,
	"PUT /v1/applications/generic-rest": `{"name":"generic-rest","outcome":"unchanged","source":"override","differences":[]}`,
	"DELETE /v1/applications/acme-erp":  `{"name":"acme-erp","outcome":"deleted","differences":[{"what":"auth types","removed":["basic"],"added":[]}]}`,

	"GET /v1/credentials": `{"items":[{"name":"crm","kind":"app","application":"generic-rest","auth_type":"basic","owner":"alice","default":true,"version":2,` +
		`"created":"2026-01-02T03:04:05Z","updated":"2026-01-03T03:04:05Z","expires":null,"disconnected":null,"health":"unknown","tags":{"env":"prod","a":"<b>\u001b[31m"}},` +
		`{"name":"cut","kind":"app","application":"generic-rest","auth_type":"basic","owner":"alice","version":1,` +
		`"created":"2026-01-02T03:04:05Z","updated":"2026-01-03T03:04:05Z","disconnected":"2026-01-04T03:04:05Z","health":"expiring","tags":{}}]}`,
	"GET /v1/credentials/etl": `{"name":"etl","kind":"app","application":"generic-rest","auth_type":"client_certificate","version":1,"tags":{},"revision":2,"secret_fields":["private_key"],` +
		`"fields":{"url":"https://crm.example.com","certificate":"-----BEGIN CERTIFICATE-----\nMIHUMIGHAgIQADAFBgMrZXAwHjENMAsGA1UECgwEQWNtZTENMAsGA1UEAwwEcm9v\ndDAeFw0yNjExMjIxMDA2MjFaFw0zNjExMTkxMDA2MjFaMA4xDDAKBgNVBAMMA2V0\nbDAqMAUGAytlcAMhADqZpTA6R+FeQvgq0HBRTFzxf+rEardDPIPTjtjbOX7PMAUG\nAytlcANBAPe3rl5/l/4NbGnV3zejm/X37aUsHfTTHGDhFCS0sLmnlnhn7HD190Pr\nL6iqy80TpYgCxgwvna5iP3wWdHMe4g4=\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nMIIBQDCB86ADAgECAgIKGzAFBgMrZXAwHjENMAsGA1UECgwEQWNtZTENMAsGA1UE\nAwwEcm9vdDAgFw0yNjExMjIxMDA2MjBaGA8yMTI2MTAyOTEwMDYyMFowHjENMAsG\nA1UECgwEQWNtZTENMAsGA1UEAwwEcm9vdDAqMAUGAytlcAMhAGSDhA+DjGGk3FED\n+rFhB9lGEe1sEvGYxHdNb9z/1WYxo1MwUTAdBgNVHQ4EFgQUTecJUjscO2gSoj0P\neMB45VB452MwHwYDVR0jBBgwFoAUTecJUjscO2gSoj0PeMB45VB452MwDwYDVR0T\nAQH/BAUwAwEB/zAFBgMrZXADQQDIixZ7GBkDwa6fHCwtpuXuKhzEG4gowkDtVoXP\nqp8Ai6rRll2bvc6tJYRc9ja4liX+VB5mlQrBdFGEflfJjfsO\n-----END CERTIFICATE-----\n"}}`,
	"GET /v1/credentials/damaged": `{"name":"damaged","kind":"app","application":"generic-rest","auth_type":"client_certificate","version":1,"tags":{},"revision":2,"fields":{"certificate":"none"},"secret_fields":[]}`,
	"GET /v1/credentials/crm": `{"name":"crm","kind":"app","application":"generic-rest","auth_type":"basic","owner":"alice","default":true,"version":2,` +
		`"created":"2026-01-02T03:04:05Z","updated":"2026-01-03T03:04:05Z","expires":null,"disconnected":null,"health":"unknown","tags":{},"revision":7,"description":"","requestable":false,` +
		`"fields":{"url":"https://crm.example.com"},"secret_fields":["bin","password"]}`,
	"GET /v1/applications/gitlab": `{"name":"gitlab","title":"GitLab","category":"source-code","auth_types":["access_token","oauth2"],"source":"built-in","revision":1,"expires_days":{"access_token":365},` +
		`"definition":{"docs":["https://docs.gitlab.com/api/","https://docs.gitlab.com/cli/"],"origins":["https://{site}.gitlab.com"],"fields":[{"name":"url","origin":true},{"name":"site"}],` +
		`"auth_types":[{"type":"access_token","title":"Personal access token","fields":[{"name":"mirror","origin":true}]},{"type":"oauth2","origins":["https://login.gitlab.com"]}]},` +
		`"fields":{"access_token":[{"name":"token","secret":true,"required":true,"help":"the token"},{"name":"url","secret":false,"required":false,"default":"https://gitlab.com","help":"the instance"}],"oauth2":[]}}`,
	"GET /v1/credentials/lab":          `{"name":"lab","kind":"app","application":"gitlab","auth_type":"access_token","version":1,"expires":"2027-11-22T13:00:00Z","tags":{},"revision":2,"fields":{"url":"https://gitlab.com"},"secret_fields":["token"]}`,
	"GET /v1/credentials/lab-app":      `{"name":"lab-app","kind":"app","application":"gitlab","auth_type":"oauth2","version":1,"expires":"2027-11-22T13:00:00Z","tags":{},"revision":2,"fields":{},"secret_fields":[]}`,
	"GET /v1/credentials/secret":       `{"name":"secret","kind":"app","version":1,"tags":{},"revision":2,"fields":{},"secret_fields":[]}`,
	"GET /v1/credentials/alice%2Fown":  `{"name":"alice/own","kind":"custom","owner":"alice","version":1,"tags":{},"revision":3,"fields":{},"secret_fields":["PIN"]}`,
	"GET /v1/credentials/crm/versions": `{"items":[{"version":2,"current":true,"created":"2026-01-03T03:04:05Z","created_by":"alice","origins":["https://crm.example.com:443"]}]}`,
	"DELETE /v1/credentials/crm":       `{"deleted":"crm","grants_changed":["nightly"],"leases_ended":3}`,

	"POST /v1/grants":           `{"name":"nightly","credentials":["crm"],"applications":[],"tags":[],"hosts":[],"host_labels":["role=etl"],"any_host":false,"job_users":["etl"],"access":"read","ttl":"15m","offline":"0s","until":null,"created":"2026-01-03T03:04:05Z","created_by":"alice"}`,
	"GET /v1/grants":            `{"items":[]}`,
	"GET /v1/grants/nightly":    `{"name":"nightly","credentials":["crm"],"any_host":true,"job_users":["etl"],"job_exes":["/x"],"access":"read","ttl":"15m","offline":"0s","until":null,"revision":3}`,
	"PUT /v1/grants/nightly":    `{"name":"nightly","credentials":["crm"],"any_host":true,"job_users":["etl"],"job_units":["a.service"],"access":"read","ttl":"15m","offline":"0s","until":null}`,
	"DELETE /v1/grants/nightly": `{"revoked":"nightly","leases_ended":1}`,

	"GET /v1/hosts":              `{"items":[{"id":"h1","name":"runner1","labels":{},"os":"linux","version":"1.0.0","enrolled":"2026-01-03T03:04:05Z","last_seen":null,"connected":true,"revoked":false}]}`,
	"DELETE /v1/hosts/h1":        `{"host":"h1","versions_held":[{"credential":"crm","version":2}]}`,
	"POST /v1/hosts/join-tokens": `{"token":"jt","join":"join1,vault:7443,sha256:00,jt","expires":"2030-01-02T03:04:05Z"}`,

	"GET /v1/tokens":           `{"items":[{"name":"deploy","created":"2026-01-03T03:04:05Z","expires":null,"last_used":null}]}`,
	"POST /v1/tokens":          `{"name":"deploy","token":"tok-deploy","expires":null}`,
	"DELETE /v1/tokens/deploy": ``,
	"POST /v1/logout":          ``,

	"GET /v1/audit": `{"items":[{"seq":9,"time":"2026-01-03T03:04:05Z","actor":"alice","action":"credential.read","target":"crm","host":"h1","job":"user=etl","outcome":"refused","reason":"line one\nline \u001b[2Jtwo"}],"next":"c2"}`,
}

func (s *scriptServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := r.Method + " " + r.URL.EscapedPath()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.tb.Error(err)
	}
	sent, ok := s.opened(w, r, body)
	if !ok {
		return
	}
	if match := r.Header.Get("If-Match"); match != "" {
		sent += " if " + match
	}
	s.record(what, r.URL.RawQuery, r.Header.Get("Authorization"), sent)
	switch {
	case what == "GET /v1/status":
	case what == "POST /v1/unseal":
		apitest.Answer(w, 200, api.Seal{})
		return
	case s.exists("sealed"):
		apitest.Refuse(w, 503, api.CodeSealed, "the vault is sealed")
		return
	case what == "POST /v1/login":
		s.login(w, sent)
		return
	case r.Header.Get("Authorization") != "Bearer tok-alice":
		apitest.Refuse(w, 401, api.CodeUnauthenticated, "the token is not known or has ended")
		return
	}
	s.answer(w, r, what, body)
}

func (s *scriptServer) exists(name string) bool {
	_, err := os.Stat(filepath.Join(s.dir, name))
	return err == nil
}

// opened gives the body as text, without what differs from run to run, and with
// its envelopes opened.
func (s *scriptServer) opened(w http.ResponseWriter, r *http.Request, body []byte) (string, bool) {
	if len(body) == 0 {
		return "", true
	}
	var in struct {
		api.Sealed
		Name      string            `json:"name"`
		KeyFile   []byte            `json:"key_file"`
		Secrets   map[string][]byte `json:"secrets"`
		Variables map[string][]byte `json:"variables"`
		Masked    map[string][]byte `json:"masked"`
	}
	var members map[string]any
	if err := errors.Join(json.Unmarshal(body, &in), json.Unmarshal(body, &members)); err != nil {
		s.tb.Error(err)
	}
	if in.Enc != nil {
		sealed := map[string][]byte{}
		for _, m := range []map[string][]byte{in.Secrets, in.Variables, in.Masked} {
			maps.Copy(sealed, m)
		}
		if in.KeyFile != nil {
			sealed["key_file"] = in.KeyFile
		}
		name := in.Name
		if r.Method == http.MethodPatch {
			name = strings.TrimPrefix(r.URL.Path, "/v1/credentials/")
		}
		plain, ok := s.Open(w, r, in.Sealed, name, sealed)
		if !ok {
			s.tb.Error("an envelope did not open")
			return "", false
		}
		for kind := range members {
			if of, isMap := members[kind].(map[string]any); isMap && kind != "fields" && kind != "describe" {
				for field := range of {
					if value, found := plain[field]; found {
						of[field] = shorten(value)
					}
				}
			}
		}
		if in.KeyFile != nil {
			members["key_file"] = plain["key_file"]
		}
	}
	delete(members, "enc")
	delete(members, "request")
	delete(members, "public_key")
	text, err := json.Marshal(members)
	if err != nil {
		s.tb.Error(err)
	}
	return string(text), true
}

func shorten(value string) string {
	if len(value) < 100 {
		return value
	}
	return fmt.Sprintf("%s… %d bytes", value[:4], len(value))
}

func (s *scriptServer) record(what, query, authorization, sent string) {
	f, err := os.OpenFile(filepath.Join(s.dir, "requests.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Error(err)
		return
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s?%s [%s] %s\n", what, query, authorization, sent); err != nil {
		s.tb.Error(err)
	}
}

func (s *scriptServer) login(w http.ResponseWriter, sent string) {
	if sent != `{"password":"correct horse","user":"alice"}` {
		apitest.Refuse(w, 401, api.CodeUnauthenticated, "user or password is wrong")
		return
	}
	apitest.Answer(w, 200, json.RawMessage(`{"token":"tok-alice","expires":"2030-01-02T03:04:05Z"}`))
}

func (s *scriptServer) answer(w http.ResponseWriter, r *http.Request, what string, body []byte) {
	text, known := answers[what]
	switch {
	case what == "POST /v1/credentials/crm/reveal":
		var in api.RevealRequest
		if err := json.Unmarshal(body, &in); err != nil {
			s.tb.Error(err)
		}
		out, err := s.Seal(r, in, "crm", 2, map[string]string{"password": "s3cr3t\n<&>", "bin": "\xff\x00"})
		if err != nil {
			s.tb.Error(err)
		}
		apitest.Answer(w, 200, out)
	case what == "POST /v1/credentials" && strings.Contains(string(body), `"lab"`), what == "PATCH /v1/credentials/lab":
		apitest.Answer(w, 200, json.RawMessage(answers["GET /v1/credentials/lab"]))
	case what == "PATCH /v1/credentials/lab-app":
		apitest.Answer(w, 200, json.RawMessage(answers["GET /v1/credentials/lab-app"]))
	case what == "POST /v1/credentials", r.Method == http.MethodPatch:
		apitest.Answer(w, 200, json.RawMessage(answers["GET /v1/credentials/crm"]))
	case what == "POST /v1/explain" && strings.Contains(string(body), `"user":"etl"`):
		apitest.Answer(w, 200, api.Explanation{Allowed: true, Reason: "allowed by grant nightly", Grant: "nightly"})
	case what == "POST /v1/explain":
		apitest.Answer(w, 200, api.Explanation{Reason: "no grant names this credential"})
	case what == "GET /v1/audit/export":
		w.Header().Set("Content-Type", api.ExportType)
		_, _ = w.Write([]byte(`{"seq":1}` + "\n"))
		if s.exists("broken") {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	case what == "GET /v1/audit/verify":
		broken := s.exists("broken")
		apitest.Answer(w, 200, api.AuditCheck{OK: !broken, Size: 9, Root: "AA==", Problem: map[bool]string{true: "entry 4 was changed"}[broken]})
	case what == "DELETE /v1/credentials/secret":
		apitest.Refuse(w, 403, api.CodeRefused, "refused")
	case !known:
		apitest.Refuse(w, 404, api.CodeNotFound, "there is no such thing")
	case text == "":
		w.WriteHeader(http.StatusNoContent)
	default:
		apitest.Answer(w, 200, json.RawMessage(text))
	}
}
