package rest

import (
	"github.com/strongroom/strongroom/server/internal/vault"
)

// What widens access, which takes the permission to grant besides that of the route: class=granted is what the grant
// labelled goes by. The editor may do all of it where it widens nothing, as the rows of the routes show.
var wideningRows = []row{
	{route: "POST /v1/credentials", about: "with the tag of a grant", path: "/v1/credentials", body: plus(appBody, `"tags":{"class":"granted"}`), make: absent, want: cells{201, 201, 403, 403, 403, 403, 401}},
	{route: "POST /v1/credentials", about: "with a tag of no grant", path: "/v1/credentials", body: plus(appBody, `"tags":{"class":"other"}`), make: absent, want: cells{201, 201, 403, 403, 403, 201, 401}},
	{route: "POST /v1/credentials", about: "as the default", path: "/v1/credentials", body: plus(appBody, `"default":true`), make: absent, want: cells{201, 201, 403, 403, 403, 403, 401}},
	{route: "PATCH /v1/credentials/{ref}", about: "to the tag of a grant", path: "/v1/credentials/{x}", body: `{"tags":{"class":"granted"}}`, make: anApp, want: cells{200, 200, 403, 403, 403, 403, 401}},
	{route: "PATCH /v1/credentials/{ref}", about: "to a tag of no grant", path: "/v1/credentials/{x}", body: `{"tags":{"class":"other"}}`, make: anApp, want: cells{200, 200, 403, 403, 403, 200, 401}},
	{route: "PATCH /v1/credentials/{ref}", about: "to the default", path: "/v1/credentials/{x}", body: `{"default":true}`, make: anApp, want: cells{200, 200, 403, 403, 403, 403, 401}},
	{route: "PATCH /v1/credentials/{ref}", about: "to the default no more", path: "/v1/credentials/{x}", body: `{"default":false}`, make: theDefault, want: cells{200, 200, 403, 403, 403, 200, 401}},
	// It was made the default, and granted, by somebody who might.
	{route: "POST /v1/credentials/{ref}/connect", about: "the default", path: "/v1/credentials/{x}/connect", make: then(theDefault, disconnected), want: cells{200, 200, 403, 403, 403, 200, 401}},
	// Requestable is its owner's to say, whatever others may grant.
	{route: "PATCH /v1/credentials/{ref}", about: "own to requestable", path: "/v1/credentials/{x}", body: `{"requestable":true}`, make: then(own, edited(vault.Change{Requestable: new(bool)})), want: cells{200, 200, 200, 200, 403, 200, 401}},
	{route: "PATCH /v1/credentials/{ref}", about: "other's to requestable", path: "/v1/credentials/{x}", body: `{"requestable":true}`, make: others, want: cells{404, 404, 404, 404, 403, 404, 401}},
	{route: "PATCH /v1/credentials/{ref}", about: "app to requestable", path: "/v1/credentials/{x}", body: `{"requestable":true}`, make: anApp, want: cells{422, 422, 403, 403, 403, 422, 401}},

	{route: "PATCH /v1/hosts/{id}", about: "to the label of a grant", path: "/v1/hosts/{x}", body: `{"labels":{"class":"granted"}}`, make: aHost, want: cells{200, 403, 403, 403, 403, 403, 401}},
	{route: "PATCH /v1/hosts/{id}", about: "to a label of no grant", path: "/v1/hosts/{x}", body: `{"labels":{"class":"other"}}`, make: aHost, want: cells{200, 403, 200, 403, 403, 200, 401}},
	{route: "POST /v1/hosts/join-tokens", about: "with the label of a grant", path: "/v1/hosts/join-tokens", body: `{"labels":{"class":"granted"}}`, want: cells{201, 403, 403, 403, 403, 403, 401}},
	{route: "POST /v1/hosts/join-tokens", about: "with a label of no grant", path: "/v1/hosts/join-tokens", body: `{"labels":{"class":"other"}}`, want: cells{201, 403, 201, 403, 403, 201, 401}},

	// A role is handed out by those who have what it may.
	{route: "POST /v1/users", about: "of a role that may grant", path: "/v1/users", body: `{"name":"{x}","role":"credential-manager","password":"SEALED"}`, make: absent, want: cells{201, 403, 403, 403, 403, 403, 401}},
	{route: "PATCH /v1/users/{name}", about: "to a role that may grant", path: "/v1/users/{x}", body: `{"role":"credential-manager"}`, make: aUser, want: cells{200, 403, 403, 403, 403, 403, 401}},
	{route: "PATCH /v1/users/{name}", about: "to a role that may not", path: "/v1/users/{x}", body: `{"role":"fleet-manager"}`, make: aUser, want: cells{200, 403, 403, 403, 403, 200, 401}},
	{route: "POST /v1/roles", about: "that may grant", path: "/v1/roles", body: `{"name":"{x}","permissions":["grant.edit"]}`, make: absent, want: cells{201, 403, 403, 403, 403, 403, 401}},
	{route: "POST /v1/tokens", about: "that may grant", path: "/v1/tokens", body: `{"name":"{x}","scopes":["grant.edit"]}`, make: absent, want: cells{201, 201, 403, 403, 403, 403, 401}},

	{route: "PUT /v1/settings/{name}", about: "whose tokens are taken", path: "/v1/settings/job-issuers", body: `{"value":"https://ci.example.com"}`, want: cells{200, 403, 403, 403, 403, 403, 401}},
	{route: "PUT /v1/applications/{name}", about: "over a built-in one", path: "/v1/applications/box", body: `{"yaml":"name: box\ntitle: Box\ncategory: test\nauth_types: [{type: oauth2}, {type: access_token}]\n"}`, want: cells{200, 403, 403, 403, 403, 403, 401}},
}

// plus lays one more member over a body.
func plus(body, member string) string { return body[:len(body)-1] + "," + member + "}" }

func theDefault(m *matrix, column string) string {
	yes := true
	return then(anApp, edited(vault.Change{Default: &yes}))(m, column)
}
