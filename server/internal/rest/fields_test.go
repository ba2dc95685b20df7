package rest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
)

// rightBodies are what the routes take, typed by hand: fieldRows lay one wrong member over them. X25519 and SEALED stand
// for a client's key, and for an envelope on this connection with its members enc and request.
var rightBodies = map[string]string{
	"POST /v1/login":                      `{"user":"alice","password":"x"}`,
	"POST /v1/tokens":                     `{"name":"deploy"}`,
	"POST /v1/unseal":                     `{}`,
	"POST /v1/credentials":                `{"name":"new","application":"generic-rest","auth_type":"basic","fields":{"url":"https://a.example","username":"bot"},"generate":["password"]}`,
	"PATCH /v1/credentials/{ref}":         `{}`,
	"POST /v1/credentials/{ref}/reveal":   `{"request":"r","public_key":"X25519"}`,
	"POST /v1/credentials/{ref}/rollback": `{"to":1}`,
	"POST /v1/credentials/{ref}/transfer": `{"to":"heir"}`,
	"POST /v1/requests":                   `{"credential":"OLGAS","access":"read","reason":"year end","host":"HOST"}`,
	"POST /v1/requests/{number}/approve":  `{}`,
	"PUT /v1/applications/{name}":         `{"yaml":"name: acme"}`,
	"POST /v1/grants":                     `{"name":"new","credentials":["crm"],"any_host":true}`,
	"PUT /v1/grants/{name}":               `{"name":"nightly","credentials":["crm"],"any_host":true}`,
	"POST /v1/explain":                    `{"host":"HOST","credential":"crm","job":{}}`,
	"PATCH /v1/hosts/{id}":                `{"labels":{}}`,
	"POST /v1/hosts/join-tokens":          `{}`,
	"POST /v1/users":                      `{"name":"new","role":"developer","password":"SEALED"}`,
	"PATCH /v1/users/{name}":              `{}`,
	"POST /v1/users/{name}/password":      `{"password":"SEALED"}`,
	"POST /v1/factor":                     `{"password":"SEALED","public_key":"X25519"}`,
	"POST /v1/factor/confirm":             `{"code":"123456"}`,
	"POST /v1/factor/remove":              `{"code":"123456"}`,
	"POST /v1/roles":                      `{"name":"new","permissions":["host.view"]}`,
	"PUT /v1/settings/{name}":             `{"value":"1h"}`,
	"POST /v1/slots":                      `{"request":"r","public_key":"X25519","passphrase":"AAAA","new_passphrase":"AAAA"}`,
	"POST /v1/slots/{id}/remove":          `{"request":"r"}`,
}

// fieldSite is a site with what the rows are about: an app credential crm, a grant nightly, a host, and of olga
// one that may be asked for.
type fieldSite struct {
	*matrix
	olgas string
}

func newFieldSite(t *testing.T) *fieldSite {
	m := newMatrix(t)
	must(m.addBasic(m.client(m.site.token), "crm", "x"))(t)
	grant := `{"name":"nightly","credentials":["crm"],"any_host":true}`
	if a := m.do(m.raw, m.request("POST", "/v1/grants", m.site.token, grant)); a.status != 201 {
		t.Fatalf("the grant: %d %s", a.status, a.body)
	}
	return &fieldSite{m, m.custom(m.people["olga"], true)}
}

// send asks a route with its right body, over which one member is laid; an empty one is none.
func (s *fieldSite) send(route, member, value string) reply {
	s.t.Helper()
	body := map[string]json.RawMessage{}
	check(s.t, json.Unmarshal([]byte(rightBodies[route]), &body))
	if about, is := map[string]string{"POST /v1/users": "new", "POST /v1/users/{name}/password": "heir", "POST /v1/factor": "alice"}[route]; is {
		if member == "name" {
			_ = json.Unmarshal([]byte(value), &about) // what is no name has no envelope either
		}
		maps.Copy(body, s.sealed(about, "password", "a password that is good"))
	}
	if member != "" {
		body[member] = json.RawMessage(value)
	}
	key, _ := json.Marshal(bytes.Repeat([]byte{9}, 32))
	text := strings.NewReplacer(`"X25519"`, string(key), "HOST", s.host, "OLGAS", s.olgas).Replace(string(must(json.Marshal(body))(s.t)))
	method, path, _ := strings.Cut(route, " ")
	last := path[:strings.LastIndexByte(path, '/')]
	path = strings.NewReplacer("{ref}", "crm", "{id}", s.host, "{number}", "1", "{name}", map[string]string{
		"/v1/grants": "nightly", "/v1/users": "heir", "/v1/users/{name}": "heir", "/v1/settings": "session-idle", "/v1/applications": "acme"}[last]).Replace(path)
	return s.do(s.raw, s.request(method, path, s.site.token, text))
}

// sealed is a value in an envelope for this connection, with the members that say so.
func (s *matrix) sealed(about, field, text string) map[string]json.RawMessage {
	s.t.Helper()
	state := s.do(s.raw, s.request("GET", "/v1/envelope", "", ""))
	var out api.Envelope
	check(s.t, json.Unmarshal([]byte(state.body), &out))
	sealer, enc, err := envelope.NewSealer(s.arena, out.PublicKey, envelope.ToServer, must(envelope.Exporter(state.tls))(s.t))
	check(s.t, err)
	defer sealer.Wipe()
	value := must(sealer.Seal([]byte(text), envelope.Context{Request: "r1", Credential: about, Field: field}))(s.t)
	encoded := func(v any) json.RawMessage { return must(json.Marshal(v))(s.t) }
	return map[string]json.RawMessage{field: encoded(value), "enc": encoded(enc), "request": encoded("r1")}
}

// stored is all that a request could have left behind.
func (s *fieldSite) stored() string {
	s.t.Helper()
	var all strings.Builder
	for _, path := range []string{"/v1/credentials", "/v1/credentials/crm", "/v1/credentials/crm/versions", "/v1/grants", "/v1/hosts",
		"/v1/users", "/v1/roles", "/v1/tokens", "/v1/requests", "/v1/settings", "/v1/applications"} {
		a := s.do(s.raw, s.request("GET", path, s.site.token, ""))
		if a.status != 200 {
			s.t.Fatalf("GET %s: %d %s", path, a.status, a.body)
		}
		all.WriteString(a.body)
	}
	return all.String()
}

// members are those of every route's body, by route, as the document has them.
func (s *fieldSite) members() map[string]map[string]memberSchema {
	s.t.Helper()
	type ref struct {
		Ref string `json:"$ref"`
	}
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct{ Schema ref }
			}
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]memberSchema
			}
		}
	}
	check(s.t, json.Unmarshal([]byte(s.do(s.raw, s.request("GET", "/openapi.json", "", "")).body), &doc))
	out := map[string]map[string]memberSchema{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			for _, content := range op.RequestBody.Content {
				name := strings.TrimPrefix(content.Schema.Ref, "#/components/schemas/")
				if doc.Components.Schemas[name].Properties == nil {
					s.t.Fatalf("%s %s: the document does not say what its body has", method, path)
				}
				out[strings.ToUpper(method)+" "+path] = doc.Components.Schemas[name].Properties
			}
		}
	}
	return out
}

type memberSchema struct {
	Type any
	Ref  string `json:"$ref"`
}

// Every member of every body that the document has wants a row. What is wrong with it is said by name, with what is
// accepted; nothing is stored, and nothing of what was sent comes back.
func TestFieldsOfRoutes(t *testing.T) {
	t.Parallel()
	s := newFieldSite(t)
	members := s.members()
	rows := map[string]bool{}
	before := s.stored()
	wrong := func(about string, a reply, names, want string) {
		t.Helper()
		text := a.problem.Error()
		if a.problem.Code != "usage" && a.problem.Code != "not_found" || !strings.Contains(text, names) || !strings.Contains(text, want) {
			t.Errorf("%s: %d %q %q, want %q", about, a.status, a.problem.Code, text, want)
		}
		if form := leaks(a.everything()); form != "" {
			t.Errorf("%s: the answer has the canary (%s): %s", about, form, a.body)
		}
		if now := s.stored(); now != before {
			t.Errorf("%s: something was stored:\n%s\nbefore\n%s", about, now, before)
			before = now
		}
	}
	for _, r := range fieldRows {
		about := r.route + " " + r.member
		if _, known := members[r.route][r.member]; !known {
			t.Errorf("%s is not in the document", about)
			continue
		}
		rows[about] = true
		wrong(about, s.send(r.route, r.member, r.wrong), "", r.want)
	}
	for _, route := range slices.Sorted(maps.Keys(members)) {
		for _, member := range slices.Sorted(maps.Keys(members[route])) {
			about := route + " " + member
			if !rows[about] {
				t.Errorf("%s has no row in fieldRows", about)
			}
			value := `{"` + canary + `":"` + canary + `"}`
			if m := members[route][member]; m.Type == "object" || m.Ref != "" {
				value = quoted
			}
			names, accepted := "body."+member, ": expected "
			if route == "POST /v1/login" { // which everybody may ask, and whose body has its own reader
				names, accepted = "", "the request's body must be JSON with user and password, which are texts"
			}
			wrong(about+" of another type", s.send(route, member, value), names, accepted)
		}
	}
	if form := leaks(s.logged.String()); form != "" {
		t.Errorf("the server's log has the canary (%s): %s", form, s.logged)
	}
}
