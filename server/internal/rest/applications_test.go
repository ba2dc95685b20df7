package rest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

const definitionBody = `{"yaml":"name: {x}\ntitle: X\ncategory: c\nauth_types: [{type: basic}]\n"}`

// anApplication is one that was imported.
func anApplication(m *matrix, _ string) string {
	name := m.fresh()
	must(m.rooms.Vault.SetApplication(m.t.Context(), m.people["admin"], name, definition(name, "X"), 0, false))(m.t)
	return name
}

func definition(name, title string) string {
	return fmt.Sprintf("name: %s\ntitle: %s\ncategory: erp\nauth_types: [{type: basic, env: {ACME_USER: username}}]\norigins: [\"https://acme.example\"]\n", name, title)
}

func TestImportedApplications(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	set := func(name, text string, revision uint64, dry bool) (*api.ApplicationChanged, error) {
		return c.SetApplication(ctx, name, revision, api.ApplicationSet{YAML: text, DryRun: dry})
	}
	tried := must(set("acme", definition("acme", "Acme"), 0, true))(t)
	if tried.Outcome != "added" || tried.Source != "added" || !tried.DryRun || len(tried.Differences) < 4 {
		t.Errorf("tried: %+v", tried)
	}
	_, err := c.Application(ctx, "acme")
	wantErr(t, err, api.ErrNotFound)
	done := must(set("acme", definition("acme", "Acme"), 0, false))(t)
	if at := slices.IndexFunc(done.Differences, func(d api.ApplicationDifference) bool { return d.What == "origins" }); at < 0 || done.DryRun ||
		!slices.Equal(done.Differences[at].Added, []string{"basic: https://acme.example"}) || len(done.Differences[at].Removed) != 0 {
		t.Errorf("imported: %+v", done)
	}
	app := must(c.Application(ctx, "acme"))(t)
	if app.Source != "added" || app.UpdatedBy != "alice" || app.Updated == nil || app.Broken != "" || app.Revision < 2 || len(app.Fields["basic"]) != 2 {
		t.Errorf("shown: %+v", app)
	}
	text := string(must(json.Marshal(app.Definition))(t))
	if want := `{"auth_types":[{"env":{"ACME_USER":"username"},"type":"basic"}],"category":"erp","name":"acme","origins":["https://acme.example"],"title":"Acme"}`; text != want {
		t.Errorf("its definition:\n%s\nwant\n%s", text, want)
	}
	list := must(c.Applications(ctx))(t).Items
	at := slices.IndexFunc(list, func(a api.Application) bool { return a.Name == "acme" })
	if at < 0 || list[at].Source != "added" || list[at].Revision != app.Revision {
		t.Errorf("listed: %+v", list)
	}
	if again := must(set("acme", definition("acme", "Acme"), app.Revision, false))(t); again.Outcome != "unchanged" || len(again.Differences) != 0 {
		t.Errorf("again: %+v", again)
	}
	if changed := must(set("acme", definition("acme", "Other"), app.Revision, false))(t); changed.Outcome != "changed" || len(changed.Differences) != 1 ||
		changed.Differences[0].What != "texts" || changed.Differences[0].Removed[0] != "title Acme" || changed.Differences[0].Added[0] != "title Other" {
		t.Errorf("another title: %+v", changed)
	}
	_, err = set("acme", definition("acme", "Third"), app.Revision, false)
	wantErr(t, err, api.ErrChanged)

	over := must(set("generic-rest", definition("generic-rest", "Ours"), 1, false))(t)
	if over.Source != "override" || over.Outcome != "changed" {
		t.Errorf("over the built-in one: %+v", over)
	}
	_, err = c.DeleteApplication(ctx, "generic-rest", 1)
	wantErr(t, err, api.ErrChanged)
	if back := must(c.DeleteApplication(ctx, "generic-rest", 0))(t); back.Source != "built-in" || back.Outcome != "changed" {
		t.Errorf("the built-in one is back: %+v", back)
	}
	value := api.Values{Secrets: map[string]*secret.Buffer{"password": s.secret("p")}}
	must(c.AddCredential(ctx, api.CredentialAdd{Name: "erp", Application: "acme", AuthType: "basic", Fields: map[string]string{"username": "u"}}, value))(t)
	_, err = c.DeleteApplication(ctx, "acme", 0)
	wantErr(t, err, api.ErrConflict)
	if !strings.Contains(err.Error(), "1 credential is of the application acme; delete it first") {
		t.Errorf("in use: %v", err)
	}
	must(c.DeleteCredential(ctx, "erp", 0))(t)
	if gone := must(c.DeleteApplication(ctx, "acme", 0))(t); gone.Outcome != "deleted" || gone.Source != "" {
		t.Errorf("deleted: %+v", gone)
	}
	_, err = set("acme", definition("acme", "A")+"colour: red\n", 0, true)
	wantErr(t, err, api.ErrUsage)
	if !strings.Contains(err.Error(), "line 6: there is no key colour here") {
		t.Errorf("an unknown key: %v", err)
	}
}

// Of two admins who both saw that there is none, the second is told, and what the first made stays.
func TestTwoAdminsAddAnApplication(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, first, second := t.Context(), s.client(s.token), s.client(s.token)
	for _, c := range []*api.Client{first, second} {
		list := must(c.Applications(ctx))(t).Items
		if slices.ContainsFunc(list, func(a api.Application) bool { return a.Name == "acme" }) {
			t.Fatal("it is there")
		}
		must(c.AddApplication(ctx, "acme", api.ApplicationSet{YAML: definition("acme", "Acme"), DryRun: true}))(t)
	}
	if done := must(first.AddApplication(ctx, "acme", api.ApplicationSet{YAML: definition("acme", "First")}))(t); done.Outcome != "added" {
		t.Errorf("the first: %+v", done)
	}
	for _, dry := range []bool{true, false} {
		_, err := second.AddApplication(ctx, "acme", api.ApplicationSet{YAML: definition("acme", "Second"), DryRun: dry})
		wantErr(t, err, api.ErrChanged)
		// Also where it would be the same.
		_, err = second.AddApplication(ctx, "acme", api.ApplicationSet{YAML: definition("acme", "First"), DryRun: dry})
		wantErr(t, err, api.ErrChanged)
		_, err = second.AddApplication(ctx, "github", api.ApplicationSet{YAML: definition("github", "Ours"), DryRun: dry})
		wantErr(t, err, api.ErrChanged)
	}
	if app := must(first.Application(ctx, "acme"))(t); app.Title != "First" {
		t.Errorf("it is called %s", app.Title)
	}
	body := strings.ReplaceAll(definitionBody, "{x}", "new")
	for _, v := range []struct {
		match, none string
		status      int
	}{{"*", "*", 422}, {"", `"1"`, 422}, {`"18446744073709551615"`, "", 412}, {"", "*", 200}, {"", "*", 412}} {
		req := s.request("PUT", "/v1/applications/new", s.token, body)
		req.Header.Del("If-Match")
		if v.match != "" {
			req.Header.Set("If-Match", v.match)
		}
		if v.none != "" {
			req.Header.Set("If-None-Match", v.none)
		}
		if a := s.do(s.raw(), req); a.status != v.status {
			t.Errorf("If-Match %s, If-None-Match %s: %d %s, want %d", v.match, v.none, a.status, a.body, v.status)
		}
	}
}

// What one thing is answered with has an ETag, and changing it wants that back.
func TestApplicationETags(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	body := strings.ReplaceAll(definitionBody, "{x}", "x")
	a := s.do(c, s.request("PUT", "/v1/applications/x", s.token, body))
	if shown := s.do(c, s.request("GET", "/v1/applications/x", s.token, "")); a.status != 200 || a.header.Get("ETag") == "" || shown.header.Get("ETag") != a.header.Get("ETag") {
		t.Errorf("PUT %d %s, then GET %s", a.status, a.header.Get("ETag"), shown.header.Get("ETag"))
	}
	for _, method := range []string{"PUT", "DELETE"} {
		req := s.request(method, "/v1/applications/x", s.token, body)
		req.Header.Del("If-Match")
		if a := s.do(c, req); a.status != 428 {
			t.Errorf("%s without If-Match: %d %s", method, a.status, a.body)
		}
	}
	if a := s.do(c, s.request("GET", "/v1/applications/github", s.token, "")); a.header.Get("ETag") != `"1"` {
		t.Errorf("what is built in: %s", a.header.Get("ETag"))
	}
}
