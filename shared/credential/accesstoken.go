package credential

// AccessToken is a token that was issued elsewhere, sent as a bearer token (RFC 6750).
const AccessToken AuthType = "access_token"

var _ = define(AccessToken, definition{
	title: "Access token",
	fields: []Field{
		{Name: "token", Secret: true, Required: true, Help: "the access token, sent as a bearer token"},
	},
})
