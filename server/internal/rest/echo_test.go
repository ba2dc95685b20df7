package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
)

// canary is not in the form of any name.
const canary = "Kanarie=Vogel+7f3c"

// leaks says in which form a text has the canary.
func leaks(text string) string {
	short := canary[:len(canary)/3*3]
	for form, sign := range map[string]string{
		"plain": canary, "beginning": canary[:8], "escaped": url.QueryEscape(canary),
		"base64": base64.StdEncoding.EncodeToString([]byte(short)), "hex": fmt.Sprintf("%x", canary), "bytes": strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
	} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(sign)) {
			return form
		}
	}
	return ""
}

// echo is a request with the canary in it, and the status of its answer.
type echo struct {
	method, path, body string
	status             int
}

// echoes puts the canary into each place of a request where somebody may put a secret by mistake.
func echoes() []echo {
	path := url.PathEscape(canary)
	query := url.QueryEscape(canary)
	over := func(limit int) string { return strings.Repeat(canary, limit/len(canary)+1000) }
	return []echo{
		{"POST", "/v1/login", `{"user":"` + canary + `","password":"` + canary + `"}`, 401},
		{"POST", "/v1/login", `{"user":"alice","password":"` + canary + `"}`, 401},
		{"POST", "/v1/login", `{"user":{"` + canary + `":1},"password":"x"}`, 422},
		{"POST", "/v1/login", `{"user":"alice","password":["` + canary + `"]}`, 422},
		{"POST", "/v1/login", `{"user":"alice","password":"` + canary, 422},
		{"POST", "/v1/login", `{"user":"` + strings.Repeat(canary, 10) + `","password":"x"}`, 422},
		{"POST", "/v1/login", `{"user":"alice","password":"` + over(maxLogin) + `"}`, 413},
		{"POST", "/v1/tokens", `{"name":"` + canary + `"}`, 422},
		{"POST", "/v1/tokens", `{"` + canary + `":1,"name":"a"}`, 422},
		{"POST", "/v1/tokens", `{"name":"a","expires":"` + canary + `"}`, 422},
		{"POST", "/v1/tokens", `{"name":["` + canary + `"]}`, 422},
		{"POST", "/v1/tokens", `{"name":"a","expires":{"` + canary + `":"` + canary + `"}}`, 422},
		{"POST", "/v1/tokens", canary, 400},
		{"POST", "/v1/tokens", `"` + canary + `"`, 422},
		{"POST", "/v1/tokens", `{"name":"` + over(1<<20) + `"}`, 413},
		{"DELETE", "/v1/tokens/" + path, "", 404},
		{"POST", "/v1/unseal", `{"key_file":"` + canary + `"}`, 422},
		{"POST", "/v1/unseal", `{"key_file":{"` + canary + `":1}}`, 422},
		{"POST", "/v1/credentials", `{"name":"` + canary + `","application":"generic-rest","auth_type":"basic"}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","application":"` + canary + `","auth_type":"basic"}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","application":"generic-rest","auth_type":"` + canary + `"}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","secrets":{"password":"` + canary + `"}}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","secrets":{"` + canary + `":"AAAA"}}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","secrets":"` + canary + `"}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","secrets":{"` + canary + `":5}}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","` + canary + `":"` + canary + `"}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","fields":{"` + canary + `":"` + canary + `"}}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","application":"generic-rest","auth_type":"basic","fields":{"url":"https://u:` + canary + `@h"},"generate":["password"]}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","application":"generic-rest","auth_type":"basic","fields":{"username":"b","url":"` + canary + `"},"generate":["password"]}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","generate":["` + canary + `"],"application":"generic-rest","auth_type":"basic"}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","tags":{"` + canary + `":"x"}}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","default":"` + canary + `"}`, 422},
		{"POST", "/v1/credentials", `{"name":"a","description":"` + over(api.MaxRequest) + `"}`, 413},
		{"PATCH", "/v1/credentials/" + path, `{}`, 404},
		{"PATCH", "/v1/credentials/salesforce-prod", `{"tags":{"team":"` + canary + `\n"}}`, 422},
		{"PATCH", "/v1/credentials/salesforce-prod", `{"name":"` + canary + `"}`, 422},
		{"GET", "/v1/credentials/" + path, "", 404},
		{"GET", "/v1/credentials/" + path + "/versions", "", 404},
		{"DELETE", "/v1/credentials/" + path, "", 404},
		{"POST", "/v1/credentials/" + path + "/reveal", `{"public_key":"` + canary + `","request":"r"}`, 422},
		{"GET", "/v1/credentials?tag=" + query, "", 200},
		{"GET", "/v1/credentials?" + query + "=1", "", 422},
		{"GET", "/v1/applications/" + path, "", 404},
		{"PUT", "/v1/applications/" + path, `{"yaml":"name: x"}`, 422},
		{"PUT", "/v1/applications/x", `{"yaml":"` + canary + `"}`, 422},
		{"PUT", "/v1/applications/x", `{"yaml":"title: x\nstringData: {password: ` + canary + `}"}`, 422},
		{"PUT", "/v1/applications/x", `{"yaml":"name: x\nfields: ` + canary + `"}`, 422},
		{"PUT", "/v1/applications/x", `{"yaml":"name: ` + canary + `\ntitle: X\ncategory: c\nauth_types: [{type: basic}]"}`, 422},
		{"PUT", "/v1/applications/x", `{"yaml":["` + canary + `"]}`, 422},
		{"DELETE", "/v1/applications/" + path, "", 404},
		{"POST", "/v1/grants", `{"name":"` + canary + `","credentials":["salesforce-prod"],"any_host":true}`, 422},
		{"POST", "/v1/grants", `{"name":"g","credentials":["` + canary + `"],"any_host":true}`, 404},
		{"POST", "/v1/grants", `{"name":"g","applications":["` + canary + `"],"any_host":true}`, 422},
		{"POST", "/v1/grants", `{"name":"g","credentials":["salesforce-prod"],"any_host":true,"ttl":"` + canary + `"}`, 422},
		{"POST", "/v1/grants", `{"name":"g","credentials":["salesforce-prod"],"any_host":true,"access":"` + canary + `"}`, 422},
		{"POST", "/v1/grants", `{"name":"g","credentials":["salesforce-prod"],"any_host":"` + canary + `"}`, 422},
		{"POST", "/v1/grants", `{"name":"g","tags":["` + strings.ReplaceAll(canary, "=", "") + `"],"any_host":true}`, 422},
		{"GET", "/v1/grants/" + path, "", 404},
		{"DELETE", "/v1/grants/" + path, "", 404},
		{"POST", "/v1/explain", `{"host":"` + canary + `","credential":"` + canary + `","job":{"user":"` + canary + `"}}`, 422},
		{"POST", "/v1/explain", `{"host":"` + canary + `","credential":"a","job":{}}`, 200},
		{"POST", "/v1/explain", `{"host":"h","credential":"a","job":{"` + canary + `":"x"}}`, 422},
		{"GET", "/v1/hosts/" + path, "", 404},
		{"DELETE", "/v1/hosts/" + path, "", 404},
		{"POST", "/v1/hosts/join-tokens", `{"labels":{"` + canary + `":"x"}}`, 422},
		{"POST", "/v1/hosts/join-tokens", `{"ttl":"` + canary + `"}`, 422},
		{"POST", "/v1/hosts/join-tokens", `{"uses":"` + canary + `"}`, 422},
		{"GET", "/v1/audit?cursor=" + query, "", 422},
		{"GET", "/v1/audit?since=" + query, "", 422},
		{"GET", "/v1/audit?limit=" + query, "", 422},
		{"GET", "/v1/" + path, "", 404},
		{"GET", "/v1/" + path + "//x", "", 404},
	}
}

func TestNothingIsEchoed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	must(s.addBasic(s.client(s.token), "salesforce-prod", "x"))(t)
	for _, e := range echoes() {
		a := s.do(c, s.request(e.method, e.path, s.token, e.body))
		about := fmt.Sprintf("%s %s %.120s", e.method, e.path, e.body)
		if form := leaks(a.everything()); form != "" {
			t.Errorf("%s: the answer has the canary (%s): %s", about, form, a.body)
		}
		if a.status != e.status {
			t.Errorf("%s: %d, want %d: %s", about, a.status, e.status, a.body)
		}
		if e.status != 200 && a.problem.Code == "" {
			t.Errorf("%s: no problem document: %s", about, a.body)
		}
	}
	req := s.request("POST", "/v1/tokens", s.token, `{"name":"a"}`)
	req.Header.Set("Content-Type", "text/"+canary)
	if a := s.do(c, req); leaks(a.everything()) != "" || a.status != 415 || a.problem.Code != "usage" {
		t.Errorf("content type: %d %s", a.status, a.body)
	}
	req = s.request("GET", "/v1/whoami", canary, "")
	req.Header.Set("Accept", canary)
	if a := s.do(c, req); leaks(a.everything()) != "" || a.status != 401 {
		t.Errorf("token: %d %s", a.status, a.body)
	}
	if form := leaks(s.logged.String()); form != "" {
		t.Errorf("the server's log has the canary (%s): %s", form, s.logged)
	}
	s.scannerWorks(c)
}

// scannerWorks is the control: an answer that rightly has the canary.
func (s *site) scannerWorks(c *http.Client) {
	s.t.Helper()
	a := s.do(c, s.request("PATCH", "/v1/credentials/salesforce-prod", s.token, `{"description":"`+canary+`"}`))
	if a.status != 200 || leaks(a.everything()) == "" {
		s.t.Errorf("the scanner does not find what is there: %d %s", a.status, a.body)
	}
}

func TestBadInputNamesItsMember(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	for _, q := range []struct{ method, path, body, want string }{
		{"POST", "/v1/login", `{"password":"x"}`, "user: from 1 to 63 bytes"},
		{"POST", "/v1/login", `{"user":"alice"}`, "password: from 1 to 1024 bytes"},
		{"POST", "/v1/tokens", `{}`, "body: expected required property name to be present"},
		{"POST", "/v1/tokens", `{"name":"a","expires":"soon"}`, "body.expires: expected string to be RFC 3339 date-time"},
		{"POST", "/v1/tokens", `{"name":"a","nom":"b"}`, "body: unknown member; it takes expires, name, scopes"},
		{"POST", "/v1/tokens", `{"name":"a","password":"b","user.name.x":"c","nom":"d"}`, "body: unknown member; it takes expires, name, scopes"},
		{"POST", "/v1/unseal", `{"reset[0].x":1}`, "body: unknown member; it takes "},
		{"POST", "/v1/grants", `{"any_host[0].x":1,"name":"g"}`, "body: unknown member; it takes access, "},
		{"POST", "/v1/tokens", `{"name":"A"}`, "invalid token name: use a-z, 0-9"},
		{"POST", "/v1/credentials", `{"name":"a","application":"nope","auth_type":"basic"}`, "application: there is no such one"},
		{"POST", "/v1/credentials", `{"name":"a","application":"generic-rest","auth_type":"nope"}`, "auth_type: there is no such one"},
		{"POST", "/v1/credentials", `{"name":"a","masked":{"pin":"AAAA"}}`, "variables and masked: they are for credentials of one's own"},
		{"POST", "/v1/credentials", `{"name":"alice/a","generate":["pin"]}`, "secrets, fields and generate: they are for app credentials"},
		{"POST", "/v1/credentials", `{"name":"bob/a"}`, "invalid owner: you can add credentials of your own only"},
		{"POST", "/v1/credentials", `{"name":"a","secrets":{"password":"AAAA"}}`, "request: give a random identifier"},
		{"POST", "/v1/credentials", `{"name":"a","secrets":{"pass word":"AAAA"}}`, "secrets: invalid field name"},
		{"POST", "/v1/credentials", `{"name":"a","secrets":{"password":"` + strings.Repeat("A", 90_000) + `"}}`, "secrets.password: at most 65536 bytes"},
		{"POST", "/v1/credentials", `{"name":"a","secrets":{"pin":5}}`, "body.secrets: expected string"},
		{"POST", "/v1/credentials", `{"name":"a","secrets":{"password":5}}`, "body.secrets.password: expected string"},
		{"POST", "/v1/grants", `{"name":"g","any_host":true}`, "invalid grant: name what it gives"},
		{"POST", "/v1/grants", `{"name":"g","applications":["nope"],"any_host":true}`, "application: there is no such one"},
		{"POST", "/v1/grants", `{"name":"g","ttl":"soon"}`, "body.ttl: expected string to be a duration such as 90d, 12h or 15m"},
		{"POST", "/v1/grants", `{"name":"g","credentials":["a",5]}`, "body.credentials[1]: expected string"},
		{"POST", "/v1/explain", `{"host":"h","credential":"a","job":{"uid":"x"}}`, "body.job: unknown member; it takes claims, container, exe, sha256, unit, user"},
		{"POST", "/v1/hosts/join-tokens", `{"uses":200000}`, "invalid uses: from 1 to 5000"},
		{"GET", "/v1/audit?limit=many", "", "query.limit: invalid integer"},
		{"GET", "/v1/audit?since=noon", "", "query.since: invalid date/time"},
		{"GET", "/v1/audit?cursor=x", "", "cursor: take it from the next of the page before"},
		{"GET", "/v1/credentials?tag=x", "", "tag: write it as KEY=VALUE"},
		{"GET", "/v1/credentials?tagg=x", "", "query: unknown parameter; it takes application, owner, tag, search, limit, cursor"},
		{"GET", "/v1/whoami?name=x", "", "query: unknown parameter; it takes none"},
	} {
		a := s.do(c, s.request(q.method, q.path, s.token, q.body))
		if a.status != 422 || a.problem.Code != "usage" || !strings.Contains(a.problem.Error(), q.want) || strings.Count(a.problem.Error(), "unknown") > 1 {
			t.Errorf("%s %s %.80s: %d %s %q, want %q", q.method, q.path, q.body, a.status, a.problem.Code, a.problem.Error(), q.want)
		}
	}
}

func TestInternalErrorsStayInside(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rest.control.Seal = func(context.Context, grant.Person) error { return errors.New("disk " + canary) }
	c := s.raw()
	a := s.do(c, s.request("POST", "/v1/seal", s.token, ""))
	if a.status != 500 || a.problem.Code != "failed" || leaks(a.everything()) != "" {
		t.Errorf("an internal error: %d %s", a.status, a.body)
	}
	if leaks(s.logged.String()) == "" || !strings.Contains(s.logged.String(), "POST /v1/seal") {
		t.Errorf("the log does not say why: %s", s.logged)
	}
	s.rest.control.Status = func() api.Status { panic("a value: " + canary + "2") }
	a = s.do(c, s.request("GET", "/v1/status", "", ""))
	if a.status != 500 || a.problem.Code != "failed" {
		t.Errorf("a panic: %d %s", a.status, a.body)
	}
	if log := s.logged.String(); !strings.Contains(log, "a request panicked") || strings.Contains(log, canary+"2") {
		t.Errorf("the log of a panic: %s", log)
	}
}
