package rest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/people"
)

// every route, typed by hand: what it answers without a token, and while sealed.
var table = []struct {
	method, path    string
	stranger        int
	sealedForTokens int
}{
	{"POST", "/v1/login", 422, 503},
	{"POST", "/v1/logout", 401, 503},
	{"GET", "/v1/whoami", 401, 503},
	{"GET", "/v1/tokens", 401, 503},
	{"POST", "/v1/tokens", 401, 503},
	{"DELETE", "/v1/tokens/{name}", 401, 503},
	{"GET", "/v1/status", 200, 200},
	{"GET", "/v1/envelope", 200, 200},
	{"POST", "/v1/seal", 401, 503},
	{"POST", "/v1/unseal", 400, 400},
	{"GET", "/v1/credentials", 401, 503},
	{"POST", "/v1/credentials", 401, 503},
	{"GET", "/v1/credentials/{ref}", 401, 503},
	{"PATCH", "/v1/credentials/{ref}", 401, 503},
	{"DELETE", "/v1/credentials/{ref}", 401, 503},
	{"GET", "/v1/credentials/{ref}/versions", 401, 503},
	{"POST", "/v1/credentials/{ref}/reveal", 401, 503},
	{"POST", "/v1/credentials/{ref}/rollback", 401, 503},
	{"POST", "/v1/credentials/{ref}/disconnect", 401, 503},
	{"POST", "/v1/credentials/{ref}/connect", 401, 503},
	{"POST", "/v1/credentials/{ref}/transfer", 401, 503},
	{"GET", "/v1/requests", 401, 503},
	{"POST", "/v1/requests", 401, 503},
	{"POST", "/v1/requests/{number}/approve", 401, 503},
	{"POST", "/v1/requests/{number}/deny", 401, 503},
	{"POST", "/v1/requests/{number}/revoke", 401, 503},
	{"GET", "/v1/applications", 401, 503},
	{"GET", "/v1/applications/{name}", 401, 503},
	{"PUT", "/v1/applications/{name}", 401, 503},
	{"DELETE", "/v1/applications/{name}", 401, 503},
	{"GET", "/v1/grants", 401, 503},
	{"POST", "/v1/grants", 401, 503},
	{"GET", "/v1/grants/{name}", 401, 503},
	{"PUT", "/v1/grants/{name}", 401, 503},
	{"DELETE", "/v1/grants/{name}", 401, 503},
	{"POST", "/v1/explain", 401, 503},
	{"GET", "/v1/hosts", 401, 503},
	{"GET", "/v1/hosts/{id}", 401, 503},
	{"PATCH", "/v1/hosts/{id}", 401, 503},
	{"DELETE", "/v1/hosts/{id}", 401, 503},
	{"POST", "/v1/hosts/join-tokens", 401, 503},
	{"GET", "/v1/users", 401, 503},
	{"POST", "/v1/users", 401, 503},
	{"GET", "/v1/users/{name}", 401, 503},
	{"PATCH", "/v1/users/{name}", 401, 503},
	{"DELETE", "/v1/users/{name}", 401, 503},
	{"POST", "/v1/users/{name}/password", 401, 503},
	{"POST", "/v1/factor", 401, 503},
	{"POST", "/v1/factor/confirm", 401, 503},
	{"POST", "/v1/factor/remove", 401, 503},
	{"GET", "/v1/roles", 401, 503},
	{"POST", "/v1/roles", 401, 503},
	{"GET", "/v1/roles/{name}", 401, 503},
	{"DELETE", "/v1/roles/{name}", 401, 503},
	{"GET", "/v1/settings", 401, 503},
	{"GET", "/v1/settings/{name}", 401, 503},
	{"PUT", "/v1/settings/{name}", 401, 503},
	{"GET", "/v1/audit", 401, 503},
	{"GET", "/v1/audit/verify", 401, 503},
	{"GET", "/v1/audit/export", 401, 503},
	{"POST", "/v1/slots/{id}/remove", 401, 503},
	{"POST", "/v1/slots", 401, 503},
	{"GET", "/v1/slots", 401, 503},
	{"POST", "/v1/rekey", 401, 503},
	{"GET", "/v1/rekey", 401, 503},
	{"GET", "/v1/backup", 401, 503},
	{"GET", "/v1/audit/entries/{seq}/proof", 401, 503},
	{"GET", "/openapi.json", 200, 200},
	{"GET", "/docs", 200, 200},
	{"GET", "/healthz", 200, 200},
	{"GET", "/readyz", 200, 503},
	{"GET", "/metrics", 401, 503},
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var want []string
	for _, at := range table {
		want = append(want, at.method+" "+at.path)
	}
	got := slices.Sorted(maps.Keys(s.rest.routes))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the routes are\n%s\nand the table has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c := s.raw()
	for _, token := range []string{"", "srt_wrong_token", strings.Repeat("x", 8000)} {
		for _, at := range table {
			if a := s.do(c, s.request(at.method, at.path, token, "")); a.status != at.stranger {
				t.Errorf("%s %s with the token %.12q: %d, want %d: %s", at.method, at.path, token, a.status, at.stranger, a.body)
			}
		}
	}
	s.rest.Close()
	for _, at := range table {
		a := s.do(c, s.request(at.method, at.path, s.token, ""))
		if a.status != at.sealedForTokens || a.status == 503 && a.problem.Code != "sealed" && at.path != "/readyz" {
			t.Errorf("%s %s while sealed: %d %q, want %d", at.method, at.path, a.status, a.problem.Code, at.sealedForTokens)
		}
	}
}

func TestUnlistedRoutes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	for _, at := range [][2]string{
		{"GET", "/"}, {"GET", "/v1"}, {"GET", "/v1/"}, {"GET", "/v1/people"}, {"GET", "/v1/whoami/"}, {"GET", "/v1//whoami"},
		{"GET", "/v1/x/../whoami"}, {"PUT", "/v1/whoami"}, {"POST", "/v1/whoami"}, {"OPTIONS", "/v1/whoami"}, {"TRACE", "/v1/whoami"},
		{"GET", "/docs/"}, {"GET", "/openapi.yaml"}, {"GET", "/schemas/Credential.json"}, {"GET", "/v1/credentials/a/b"},
	} {
		a := s.do(c, s.request(at[0], at[1], s.token, ""))
		if a.status != 404 || a.problem.Code != "not_found" {
			t.Errorf("%s %s: %d %s", at[0], at[1], a.status, a.body)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	for _, path := range []string{"/v1/status", "/v1/whoami", "/nowhere", "/openapi.json"} {
		a := s.do(c, s.request("GET", path, "", ""))
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	if a := s.do(c, s.request("GET", "/v1/whoami", "", "")); a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Error("a 401 does not say what it wants")
	}
}

func TestOtherSites(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"} {
		req := s.request("POST", "/v1/seal", s.token, "")
		req.Header.Set(name, value)
		if a := s.do(c, req); a.status != 403 || a.problem.Code != "refused" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if s.rest.current.Load() == nil {
		t.Fatal("another site sealed the vault")
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.do(s.raw(), s.request("GET", "/openapi.json", s.token, ""))
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody any `json:"requestBody"`
		} `json:"paths"`
	}
	check(t, json.Unmarshal([]byte(a.body), &doc))
	for _, at := range table {
		if at.path == "/openapi.json" || at.path == "/docs" {
			continue
		}
		op, ok := doc.Paths[at.path][strings.ToLower(at.method)]
		if !ok {
			t.Errorf("%s %s is not in the document", at.method, at.path)
		}
		if at.path == "/v1/login" && op.RequestBody == nil {
			t.Error("the document does not say what a login has")
		}
	}
	if strings.Contains(a.body, `"$schema"`) {
		t.Error("bodies have a $schema")
	}
}

// What everybody who is signed in may ask for; the rest needs a permission.
var forEverybody = []string{
	"POST /v1/logout", "GET /v1/whoami", "GET /v1/tokens", "POST /v1/tokens", "DELETE /v1/tokens/{name}",
	"GET /v1/applications", "GET /v1/applications/{name}",
	"GET /v1/requests", "POST /v1/requests/{number}/revoke", "POST /v1/users/{name}/password", "POST /v1/factor", "POST /v1/factor/confirm", "POST /v1/factor/remove",
}

func TestWithoutPermissions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	who, token, err := s.rooms.People.Authenticate(t.Context(), s.token)
	check(t, err)
	scoped, _, err := s.rooms.People.CreateToken(t.Context(), who, token, people.NewToken{Name: "little", Scopes: []string{"metrics.view"}})
	check(t, err)
	c := s.raw()
	for _, at := range table {
		if at.stranger != http.StatusUnauthorized || slices.Contains(forEverybody, at.method+" "+at.path) || at.path == "/metrics" {
			continue
		}
		if a := s.do(c, s.request(at.method, at.path, scoped, "")); a.status != 403 || a.problem.Code != "refused" {
			t.Errorf("%s %s: %d %s", at.method, at.path, a.status, a.body)
		}
	}
	if a := s.do(c, s.request("GET", "/v1/whoami", scoped, "")); a.status != 200 || !strings.Contains(a.body, `"permissions":["metrics.view"]`) {
		t.Errorf("whoami: %d %s", a.status, a.body)
	}
}
