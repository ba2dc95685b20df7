package credential

// Injection says how an application wants a credential on its HTTP requests, where it differs from the auth type's own
// way. At most one of Header, Query, Cookie and Basic is set.
type Injection struct {
	Header  string            `json:"header,omitempty"`  // the header that carries the secret
	Query   string            `json:"query,omitempty"`   // the query parameter that carries it
	Cookie  string            `json:"cookie,omitempty"`  // the cookie that carries it
	Basic   string            `json:"basic,omitempty"`   // basic authentication, as a template such as "{key}:X"
	Prefix  string            `json:"prefix,omitempty"`  // stands before the secret in its header
	Base64  bool              `json:"base64,omitempty"`  // the secret is base64-encoded behind the prefix
	Headers map[string]string `json:"headers,omitempty"` // further headers, templates of plain fields
	// None says that the secret is never sent as it is (a signing key, a database password): no request takes it.
	None bool `json:"none,omitempty"`
}

// Placed says whether the application leaves no choice of where its requests carry the secret, or carry none.
func (in Injection) Placed() bool {
	return in.None || in.Header != "" || in.Query != "" || in.Cookie != "" || in.Basic != ""
}
