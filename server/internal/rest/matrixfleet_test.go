package rest

import "strings"

// named makes a grant's name of what it is on, which has a slash in it.
func named(m *matrix, column string) string { return m.fresh() }

var grantRows = []row{
	{route: "GET /v1/grants", path: "/v1/grants", want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "POST /v1/grants", about: "app", path: "/v1/grants", body: grantBody, make: anApp, want: cells{201, 201, 403, 403, 403, 403, 401}},
	{route: "POST /v1/grants", about: "by tag", path: "/v1/grants", body: `{"name":"{x}","tags":["a=b"],"any_host":true}`, make: named, want: cells{201, 201, 403, 403, 403, 403, 401}},
	{route: "POST /v1/grants", about: "own", path: "/v1/grants", body: ownGrant, make: tail(own), want: cells{201, 201, 201, 201, 403, 201, 401}, hidden: true},
	{route: "POST /v1/grants", about: "other's", path: "/v1/grants", body: olgasGrant, make: tail(others), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "POST /v1/grants", about: "absent", path: "/v1/grants", body: olgasGrant, make: absent, want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "GET /v1/grants/{name}", about: "app", path: "/v1/grants/{x}", make: granted("admin", anApp), want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "GET /v1/grants/{name}", about: "own", path: "/v1/grants/{x}", make: granted("", own), want: cells{200, 200, 200, 200, 404, 200, 401}},
	// Who reads the log sees it, with an ID in place of the name.
	{route: "GET /v1/grants/{name}", about: "other's", path: "/v1/grants/{x}", make: granted("olga", olgas(own)), want: cells{200, 404, 404, 404, 200, 200, 401}},
	{route: "GET /v1/grants/{name}", about: "absent", path: "/v1/grants/{x}", make: absent, want: cells{404, 404, 404, 404, 404, 404, 401}},
	{route: "PUT /v1/grants/{name}", about: "app", path: "/v1/grants/{x}", body: ruleBody, make: granted("admin", anApp), want: cells{200, 200, 403, 403, 403, 403, 401}},
	{route: "PUT /v1/grants/{name}", about: "own", path: "/v1/grants/{x}", body: ownRule, make: granted("", own), want: cells{200, 200, 200, 200, 403, 200, 401}, hidden: true},
	{route: "PUT /v1/grants/{name}", about: "other's", path: "/v1/grants/{x}", body: ownRule, make: granted("olga", olgas(own)), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "PUT /v1/grants/{name}", about: "absent", path: "/v1/grants/{x}", body: ownRule, make: absent, want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "DELETE /v1/grants/{name}", about: "app", path: "/v1/grants/{x}", make: granted("admin", anApp), want: cells{200, 200, 403, 403, 403, 403, 401}},
	{route: "DELETE /v1/grants/{name}", about: "own", path: "/v1/grants/{x}", make: granted("", own), want: cells{200, 200, 200, 200, 403, 200, 401}, hidden: true},
	{route: "DELETE /v1/grants/{name}", about: "other's", path: "/v1/grants/{x}", make: granted("olga", olgas(own)), want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "DELETE /v1/grants/{name}", about: "absent", path: "/v1/grants/{x}", make: absent, want: cells{404, 404, 404, 404, 403, 404, 401}, hidden: true},
	{route: "POST /v1/explain", about: "own", path: "/v1/explain", body: explainBody, make: plainly(own), want: cells{200, 200, 200, 200, 200, 200, 401}, hidden: true},
	{route: "POST /v1/explain", about: "other's", path: "/v1/explain", body: explainBody, make: plainly(others), want: cells{200, 200, 200, 200, 200, 200, 401}, hidden: true},
	{route: "POST /v1/explain", about: "absent", path: "/v1/explain", body: explainBody, make: plainly(absentOthers), want: cells{200, 200, 200, 200, 200, 200, 401}, hidden: true},
}

const (
	ownGrant    = `{"name":"{x}-g","credentials":["{me}/{x}"],"any_host":true}`
	olgasGrant  = `{"name":"{x}-g","credentials":["olga/{x}"],"any_host":true}`
	explainBody = `{"credential":"{x}","host":"{host}","job":{"user":"etl"}}`
)

// tail is a custom credential's name without its owner.
func tail(make func(*matrix, string) string) func(*matrix, string) string {
	return func(m *matrix, column string) string {
		full := plainly(make)(m, column)
		return full[strings.IndexByte(full, '/')+1:]
	}
}

var hostRows = []row{
	{route: "GET /v1/hosts", path: "/v1/hosts", want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "GET /v1/hosts/{id}", path: "/v1/hosts/{x}", make: aHost, want: cells{200, 200, 200, 200, 200, 200, 401}},
	{route: "GET /v1/hosts/{id}", about: "absent", path: "/v1/hosts/{x}", make: absent, want: cells{404, 404, 404, 404, 404, 404, 401}},
	{route: "PATCH /v1/hosts/{id}", path: "/v1/hosts/{x}", body: `{"labels":{"a":"b"}}`, make: aHost, want: cells{200, 403, 200, 403, 403, 200, 401}},
	{route: "PATCH /v1/hosts/{id}", about: "absent", path: "/v1/hosts/{x}", body: `{"labels":{"a":"b"}}`, make: absent, want: cells{404, 403, 404, 403, 403, 404, 401}},
	{route: "DELETE /v1/hosts/{id}", path: "/v1/hosts/{x}", make: aHost, want: cells{200, 403, 200, 403, 403, 200, 401}},
	{route: "DELETE /v1/hosts/{id}", about: "absent", path: "/v1/hosts/{x}", make: absent, want: cells{404, 403, 404, 403, 403, 404, 401}},
	{route: "POST /v1/hosts/join-tokens", path: "/v1/hosts/join-tokens", body: `{}`, want: cells{201, 403, 201, 403, 403, 201, 401}},
}

// In the rows of people and of the vault's keys, 409 is what a request gets that may do it and has no envelope.
const (
	passwordBody = `{"request":"r","password":"AAAA"}`
	factorBody   = `{"request":"r","public_key":"{key}","password":"AAAA"}`
)

var peopleRows = []row{
	{route: "GET /v1/users", path: "/v1/users", want: cells{200, 200, 403, 403, 200, 200, 401}},
	{route: "POST /v1/users", path: "/v1/users", body: `{"name":"{x}","role":"developer","password":"SEALED"}`, make: absent, want: cells{201, 403, 403, 403, 403, 201, 401}},
	{route: "GET /v1/users/{name}", about: "own", path: "/v1/users/{me}", want: cells{200, 200, 403, 403, 200, 200, 401}},
	{route: "GET /v1/users/{name}", about: "other's", path: "/v1/users/olga", want: cells{200, 200, 403, 403, 200, 200, 401}},
	{route: "GET /v1/users/{name}", about: "absent", path: "/v1/users/{x}", make: absent, want: cells{404, 404, 403, 403, 404, 404, 401}},
	{route: "PATCH /v1/users/{name}", about: "own", path: "/v1/users/{me}", body: `{"disabled":false}`, want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "PATCH /v1/users/{name}", about: "other's", path: "/v1/users/{x}", body: `{"disabled":true}`, make: aUser, want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "PATCH /v1/users/{name}", about: "absent", path: "/v1/users/{x}", body: `{"disabled":true}`, make: absent, want: cells{404, 403, 403, 403, 403, 404, 401}},
	{route: "PATCH /v1/users/{name}", about: "the last admin", path: "/v1/users/alice", body: `{"disabled":true}`, want: cells{403, 403, 403, 403, 403, 403, 401}},
	{route: "DELETE /v1/users/{name}", about: "other's", path: "/v1/users/{x}", make: aUser, want: cells{204, 403, 403, 403, 403, 204, 401}},
	{route: "DELETE /v1/users/{name}", about: "absent", path: "/v1/users/{x}", make: absent, want: cells{404, 403, 403, 403, 403, 404, 401}},
	{route: "POST /v1/users/{name}/password", about: "own", path: "/v1/users/{me}/password", body: passwordBody, want: cells{409, 409, 409, 409, 409, 409, 401}},
	{route: "POST /v1/users/{name}/password", about: "other's", path: "/v1/users/{x}/password", body: `{"password":"SEALED"}`, make: aUser, want: cells{204, 403, 403, 403, 403, 204, 401}},
	{route: "POST /v1/users/{name}/password", about: "absent", path: "/v1/users/{x}/password", body: passwordBody, make: absent, want: cells{409, 403, 403, 403, 403, 409, 401}},
	{route: "POST /v1/factor", about: "own", path: "/v1/factor", body: factorBody, want: cells{409, 409, 409, 409, 409, 409, 401}},
	{route: "POST /v1/factor/confirm", about: "none begun", path: "/v1/factor/confirm", body: `{"code":"123456"}`, want: cells{422, 422, 422, 422, 422, 422, 401}},
	{route: "POST /v1/factor/remove", about: "own, of which there is none", path: "/v1/factor/remove", body: `{"code":"123456"}`, want: cells{422, 422, 422, 422, 422, 422, 401}},
	{route: "POST /v1/factor/remove", about: "other's", path: "/v1/factor/remove", body: `{"user":"olga"}`, want: cells{422, 403, 403, 403, 403, 422, 401}},
	{route: "POST /v1/factor/remove", about: "absent", path: "/v1/factor/remove", body: `{"user":"{x}"}`, make: absent, want: cells{404, 403, 403, 403, 403, 404, 401}},
	{route: "GET /v1/roles", path: "/v1/roles", want: cells{200, 200, 403, 403, 200, 200, 401}},
	{route: "POST /v1/roles", path: "/v1/roles", body: `{"name":"{x}","permissions":["grant.view"]}`, make: absent, want: cells{201, 403, 403, 403, 403, 201, 401}},
	{route: "GET /v1/roles/{name}", path: "/v1/roles/developer", want: cells{200, 200, 403, 403, 200, 200, 401}},
	{route: "GET /v1/roles/{name}", about: "absent", path: "/v1/roles/{x}", make: absent, want: cells{404, 404, 403, 403, 404, 404, 401}},
	{route: "DELETE /v1/roles/{name}", path: "/v1/roles/{x}", make: aRole, want: cells{204, 403, 403, 403, 403, 204, 401}},
	{route: "DELETE /v1/roles/{name}", about: "built in", path: "/v1/roles/auditor", want: cells{403, 403, 403, 403, 403, 403, 401}},
	{route: "DELETE /v1/roles/{name}", about: "absent", path: "/v1/roles/{x}", make: absent, want: cells{404, 403, 403, 403, 403, 404, 401}},
}

var keepingRows = []row{
	{route: "GET /v1/settings", path: "/v1/settings", want: cells{200, 403, 403, 403, 200, 200, 401}},
	{route: "GET /v1/settings/{name}", path: "/v1/settings/requests", want: cells{200, 403, 403, 403, 200, 200, 401}},
	{route: "GET /v1/settings/{name}", about: "absent", path: "/v1/settings/{x}", make: absent, want: cells{404, 403, 403, 403, 404, 404, 401}},
	{route: "PUT /v1/settings/{name}", path: "/v1/settings/requests", body: `{"value":"on"}`, want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "PUT /v1/settings/{name}", about: "absent", path: "/v1/settings/{x}", body: `{"value":"on"}`, make: absent, want: cells{404, 403, 403, 403, 403, 404, 401}},
	{route: "GET /v1/audit", path: "/v1/audit", want: cells{200, 403, 403, 403, 200, 200, 401}},
	{route: "GET /v1/audit/export", path: "/v1/audit/export", want: cells{200, 403, 403, 403, 200, 200, 401}},
	{route: "GET /v1/audit/verify", path: "/v1/audit/verify", want: cells{200, 403, 403, 403, 200, 200, 401}},
	{route: "GET /v1/audit/entries/{seq}/proof", path: "/v1/audit/entries/1/proof", want: cells{200, 403, 403, 403, 200, 200, 401}},
	{route: "GET /v1/audit/entries/{seq}/proof", about: "absent", path: "/v1/audit/entries/999999/proof", want: cells{404, 403, 403, 403, 404, 404, 401}},
	{route: "GET /v1/slots", path: "/v1/slots", want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "POST /v1/slots", path: "/v1/slots", body: `{"kind":"passphrase","request":"r"}`, want: cells{422, 403, 403, 403, 403, 422, 401}},
	{route: "POST /v1/slots/{id}/remove", path: "/v1/slots/1/remove", body: `{"request":"r"}`, want: cells{422, 403, 403, 403, 403, 422, 401}},
	{route: "GET /v1/rekey", path: "/v1/rekey", want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "POST /v1/rekey", path: "/v1/rekey", want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "GET /v1/backup", path: "/v1/backup", want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "POST /v1/seal", path: "/v1/seal", want: cells{200, 403, 403, 403, 403, 403, 401}},
}
