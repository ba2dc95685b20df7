package credential

// Digest is a user name and a password for HTTP digest authentication (RFC 7616), where the password is never sent.
const Digest AuthType = "digest"

var _ = define(Digest, definition{
	title: "User name and password, HTTP digest",
	fields: []Field{
		{Name: "username", Required: true, Help: "the account's name"},
		{Name: "password", Secret: true, Password: true, Required: true, Help: "the account's password; only hashes of it are sent"},
	},
})
