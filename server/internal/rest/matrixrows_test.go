package rest

import (
	"context"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/grant"
)

// The rows of the permission matrix; the columns are admin, credential-manager, fleet-manager, developer, auditor,
// editor, who may not grant, and nobody, who has no token.

var openRows = []row{
	{route: "GET /healthz", path: "/healthz", want: cells{200, 200, 200, 200, 200, 200, 200}},
	{route: "GET /readyz", path: "/readyz", want: cells{200, 200, 200, 200, 200, 200, 200}},
	{route: "GET /docs", path: "/docs", want: cells{200, 200, 200, 200, 200, 200, 200}},
	{route: "GET /openapi.json", path: "/openapi.json", want: cells{200, 200, 200, 200, 200, 200, 200}},
	{route: "GET /metrics", path: "/metrics", want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "GET /v1/status", path: "/v1/status", want: cells{200, 200, 200, 200, 200, 200, 200}},
	{route: "GET /v1/envelope", path: "/v1/envelope", want: cells{200, 200, 200, 200, 200, 200, 200}},
	{route: "POST /v1/unseal", about: "with nothing", path: "/v1/unseal", body: `{}`, want: cells{422, 422, 422, 422, 422, 422, 422}},
	{route: "POST /v1/login", about: "with nothing", path: "/v1/login", body: `{}`, want: cells{422, 422, 422, 422, 422, 422, 422}},
	{route: "POST /v1/logout", about: "a token of its own", path: "/v1/logout", want: cells{204, 204, 204, 204, 204, 204, 401}},
	{route: "GET /v1/whoami", path: "/v1/whoami", want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "GET /v1/tokens", path: "/v1/tokens", want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "POST /v1/tokens", path: "/v1/tokens", body: `{"name":"{x}"}`, make: absent, want: cells{201, 201, 201, 201, 201, 201, 401}},
	{route: "DELETE /v1/tokens/{name}", about: "own", path: "/v1/tokens/{x}", make: aToken, want: cells{204, 204, 204, 204, 204, 204, 401}, hidden: true},
	{route: "DELETE /v1/tokens/{name}", about: "other's", path: "/v1/tokens/{x}", make: olgas(aToken), want: cells{404, 404, 404, 404, 404, 404, 401}, hidden: true},
	{route: "DELETE /v1/tokens/{name}", about: "absent", path: "/v1/tokens/{x}", make: absent, want: cells{404, 404, 404, 404, 404, 404, 401}, hidden: true},
	{route: "GET /v1/applications", path: "/v1/applications", want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "GET /v1/applications/{name}", path: "/v1/applications/generic-rest", want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "GET /v1/applications/{name}", about: "absent", path: "/v1/applications/{x}", make: absent, want: cells{404, 404, 404, 404, 404, 404, 401}},
	{route: "PUT /v1/applications/{name}", about: "new", path: "/v1/applications/{x}", body: definitionBody, make: absent, want: cells{200, 403, 403, 403, 403, 403, 401}},
	{route: "PUT /v1/applications/{name}", about: "imported", path: "/v1/applications/{x}", body: definitionBody, make: anApplication, want: cells{200, 403, 403, 403, 403, 403, 401}},
	{route: "PUT /v1/applications/{name}", about: "imported, as it was before", path: "/v1/applications/{x}", body: definitionBody, match: stale, make: anApplication, want: cells{412, 403, 403, 403, 403, 403, 401}},
	{route: "PUT /v1/applications/{name}", about: "under another name", path: "/v1/applications/generic-rest", body: definitionBody, make: absent, want: cells{422, 403, 403, 403, 403, 403, 401}},
	{route: "DELETE /v1/applications/{name}", about: "imported", path: "/v1/applications/{x}", make: anApplication, want: cells{200, 403, 403, 403, 403, 403, 401}},
	{route: "DELETE /v1/applications/{name}", about: "imported, as it was before", path: "/v1/applications/{x}", match: stale, make: anApplication, want: cells{412, 403, 403, 403, 403, 403, 401}},
	{route: "DELETE /v1/applications/{name}", about: "built in", path: "/v1/applications/generic-rest", want: cells{403, 403, 403, 403, 403, 403, 401}},
	{route: "DELETE /v1/applications/{name}", about: "absent", path: "/v1/applications/{x}", make: absent, want: cells{404, 403, 403, 403, 403, 403, 401}},
}

// olgas makes what another person has.
func olgas(make func(*matrix, string) string) func(*matrix, string) string {
	return func(m *matrix, _ string) string { return make(m, "olga") }
}

const (
	appBody    = `{"name":"{x}","application":"generic-rest","auth_type":"basic","fields":{"url":"https://a.example.com","username":"u"},"generate":["password"]}`
	revealBody = `{"request":"r","public_key":"{key}"}`
)

// about gives a row for each thing that a credential's route may be about. An app credential's permission is the
// role's; a custom one is its owner's alone. What do does is done before.
func about(route, path, body string, do func(*vault.Vault, context.Context, grant.Person, string) error, app, own_, others_ cells) []row {
	missing := others_
	r := row{route: route, path: path, body: body}
	with := func(about string, make func(*matrix, string) string, want cells, hidden bool) row {
		r := r
		if r.about, r.make, r.want, r.hidden = about, make, want, hidden; do != nil {
			r.make = then(make, do)
		}
		return r
	}
	return []row{
		with("app", anApp, app, false), with("absent app", absent, missing, false),
		with("own", own, own_, true), with("other's", others, others_, true), with("absent", absentOthers, missing, true),
	}
}

var credentialRows = concat(
	[]row{
		{route: "GET /v1/credentials", path: "/v1/credentials", want: cells{200, 200, 200, 200, 200, 200, 401}},
		{route: "POST /v1/credentials", about: "app", path: "/v1/credentials", body: appBody, make: absent, want: cells{201, 201, 403, 403, 403, 201, 401}},
		{route: "POST /v1/credentials", about: "own", path: "/v1/credentials", body: `{"name":"{me}/{x}"}`, make: absent, want: cells{422, 422, 422, 422, 403, 422, 401}, hidden: true}, // it has no value
		{route: "POST /v1/credentials", about: "other's", path: "/v1/credentials", body: `{"name":"{x}"}`, make: plainly(others), want: cells{422, 422, 422, 422, 403, 422, 401}, hidden: true},
		{route: "POST /v1/credentials", about: "absent", path: "/v1/credentials", body: `{"name":"{x}"}`, make: plainly(absentOthers), want: cells{422, 422, 422, 422, 403, 422, 401}, hidden: true},
	},
	about("GET /v1/credentials/{ref}", "/v1/credentials/{x}", "", nil,
		cells{200, 200, 200, 200, 200, 200, 401}, cells{200, 200, 200, 200, 404, 200, 401}, cells{404, 404, 404, 404, 404, 404, 401}),
	about("GET /v1/credentials/{ref}/versions", "/v1/credentials/{x}/versions", "", nil,
		cells{200, 200, 200, 200, 200, 200, 401}, cells{200, 200, 200, 200, 404, 200, 401}, cells{404, 404, 404, 404, 404, 404, 401}),
	about("PATCH /v1/credentials/{ref}", "/v1/credentials/{x}", `{"description":"d"}`, nil,
		cells{200, 200, 403, 403, 403, 200, 401}, cells{200, 200, 200, 200, 403, 200, 401}, cells{404, 404, 404, 404, 403, 404, 401}),
	about("DELETE /v1/credentials/{ref}", "/v1/credentials/{x}", "", nil,
		cells{200, 200, 403, 403, 403, 200, 401}, cells{200, 200, 200, 200, 403, 200, 401}, cells{404, 404, 404, 404, 403, 404, 401}),
	about("POST /v1/credentials/{ref}/rollback", "/v1/credentials/{x}/rollback", `{"to":1}`, edited(vault.Change{Fields: map[string]string{"username": "next"}}),
		cells{200, 200, 403, 403, 403, 200, 401}, cells{200, 200, 200, 200, 403, 200, 401}, cells{404, 404, 404, 404, 403, 404, 401}),
	about("POST /v1/credentials/{ref}/disconnect", "/v1/credentials/{x}/disconnect", "", nil,
		cells{200, 200, 403, 403, 403, 200, 401}, cells{200, 200, 200, 200, 403, 200, 401}, cells{404, 404, 404, 404, 403, 404, 401}),
	about("POST /v1/credentials/{ref}/connect", "/v1/credentials/{x}/connect", "", disconnected,
		cells{200, 200, 403, 403, 403, 200, 401}, cells{200, 200, 200, 200, 403, 200, 401}, cells{404, 404, 404, 404, 403, 404, 401}),
	about("POST /v1/credentials/{ref}/reveal", "/v1/credentials/{x}/reveal", revealBody, nil,
		cells{200, 200, 403, 403, 403, 200, 401}, cells{200, 200, 200, 200, 403, 200, 401}, cells{404, 404, 404, 404, 403, 404, 401}),
	[]row{
		{route: "POST /v1/credentials/{ref}/transfer", about: "app", path: "/v1/credentials/{x}/transfer", body: `{"to":"heir"}`, make: anApp, want: cells{200, 200, 403, 403, 403, 200, 401}},
		{route: "POST /v1/credentials/{ref}/transfer", about: "own", path: "/v1/credentials/{x}/transfer", body: `{"to":"heir"}`, make: own, want: cells{200, 200, 200, 200, 403, 200, 401}, hidden: true},
		// Who may edit users may begin what takes two, whether it is there or not, but not on the first day, which this is.
		{route: "POST /v1/credentials/{ref}/transfer", about: "other's", path: "/v1/credentials/{x}/transfer", body: `{"to":"heir"}`, make: others, want: cells{403, 404, 404, 404, 403, 403, 401}, hidden: true},
		{route: "POST /v1/credentials/{ref}/transfer", about: "absent", path: "/v1/credentials/{x}/transfer", body: `{"to":"heir"}`, make: absentOthers, want: cells{403, 404, 404, 404, 403, 403, 401}, hidden: true},
	},
)

func concat(parts ...[]row) (out []row) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

const requestBody = `{"credential":"{x}","reason":"why","access":"read"}`

var requestRows = []row{
	{route: "GET /v1/requests", path: "/v1/requests", want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "POST /v1/requests", about: "requestable", path: "/v1/requests", body: requestBody, make: requestable, want: cells{201, 201, 201, 201, 403, 201, 401}},
	{route: "POST /v1/requests", about: "own", path: "/v1/requests", body: requestBody, make: plainly(own), want: cells{422, 422, 422, 422, 403, 422, 401}, hidden: true},
	{route: "POST /v1/requests", about: "other's", path: "/v1/requests", body: requestBody, make: plainly(others), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "POST /v1/requests", about: "absent", path: "/v1/requests", body: requestBody, make: plainly(absentOthers), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/approve", about: "own", path: "/v1/requests/{x}/approve", body: `{}`, make: asked("olga", "me"), want: cells{200, 200, 200, 200, 403, 200, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/approve", about: "other's", path: "/v1/requests/{x}/approve", body: `{}`, make: asked("heir", "olga"), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/approve", about: "absent", path: "/v1/requests/{x}/approve", body: `{}`, make: asked("", ""), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/deny", about: "own", path: "/v1/requests/{x}/deny", make: asked("olga", "me"), want: cells{200, 200, 200, 200, 403, 200, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/deny", about: "other's", path: "/v1/requests/{x}/deny", make: asked("heir", "olga"), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/deny", about: "absent", path: "/v1/requests/{x}/deny", make: asked("", ""), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/revoke", about: "own", path: "/v1/requests/{x}/revoke", make: asked("me", "olga"), want: cells{200, 200, 200, 200, 404, 200, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/revoke", about: "other's", path: "/v1/requests/{x}/revoke", make: asked("heir", "olga"), want: cells{404, 404, 404, 404, 404, 404, 401}, hidden: true},
	{route: "POST /v1/requests/{number}/revoke", about: "absent", path: "/v1/requests/{x}/revoke", make: asked("", ""), want: cells{404, 404, 404, 404, 404, 404, 401}, hidden: true},
}

const (
	grantBody = `{"name":"{x}-g","credentials":["{x}"],"any_host":true}`
	ruleBody  = `{"name":"{x}","credentials":["{x}"],"any_host":true}`
	ownRule   = `{"name":"{x}","credentials":["{me}/{x}"],"any_host":true}`
)
