package api

import "time"

// LoginRequest is the body of POST /v1/login.
type LoginRequest struct {
	User     string `json:"user" maxLength:"63" doc:"the user's name" example:"alice"`
	Password string `json:"password" maxLength:"1024" doc:"the user's password"`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"of the second factor, or one of its recovery codes"`
}

// LoginAnswer answers a login.
type LoginAnswer struct {
	Token   string    `json:"token" doc:"the bearer token of the session"`
	Expires time.Time `json:"expires" doc:"when it ends"`
}

// Whoami answers GET /v1/whoami.
type Whoami struct {
	User string `json:"user" example:"alice"`
	Role string `json:"role" example:"admin"`
	// Permissions is what role and token let the caller do.
	Permissions []string `json:"permissions"`
	// Notices is what the caller should know.
	Notices []string    `json:"notices,omitempty"`
	Token   WhoamiToken `json:"token" doc:"the token that was shown"`
}

// WhoamiToken is the token of the request itself. It never holds the text.
type WhoamiToken struct {
	Name    string     `json:"name" doc:"its name; login for a session"`
	Expires *time.Time `json:"expires" doc:"when it ends; null: never"`
}

// TokenAdd is the body of POST /v1/tokens.
type TokenAdd struct {
	Name    string     `json:"name" maxLength:"63" doc:"how it is listed and revoked" example:"deploy"`
	Scopes  []string   `json:"scopes,omitempty" maxItems:"64" doc:"the permissions it carries, such as host.view or audit.*; none: all that its owner has"`
	Expires *time.Time `json:"expires,omitempty" doc:"when it ends"`
}

// TokenAdded answers TokenAdd, once: the server keeps no copy of the text.
type TokenAdded struct {
	Name    string     `json:"name"`
	Token   string     `json:"token" doc:"the bearer token; it is shown this once"`
	Expires *time.Time `json:"expires" doc:"when it ends; null: never"`
}

// Token is a token of the caller as GET /v1/tokens lists it.
type Token struct {
	Name     string     `json:"name"`
	Scopes   []string   `json:"scopes" doc:"the permissions it carries; empty: all that its owner has"`
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires" doc:"when it ends; null: never"`
	LastUsed *time.Time `json:"last_used" doc:"null: not yet"`
}

// TokenList answers GET /v1/tokens.
type TokenList struct {
	Items []Token `json:"items"`
}
