package credential

// Basic is a user name and a password: HTTP basic authentication (RFC 7617), a database's or a directory's account.
const Basic AuthType = "basic"

var _ = define(Basic, definition{
	title: "User name and password",
	fields: []Field{
		{Name: "username", Required: true, Help: "the account's name"},
		{Name: "password", Secret: true, Password: true, Required: true, Help: "the account's password"},
	},
})
