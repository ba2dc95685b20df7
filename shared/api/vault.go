package api

// Status answers GET /v1/status, to anybody and also while sealed.
type Status struct {
	Version  string   `json:"version" doc:"the server's version"`
	Sealed   bool     `json:"sealed" doc:"whether the vault is sealed"`
	Vault    string   `json:"vault" doc:"the vault's identifier"`
	Warnings []string `json:"warnings" doc:"what an admin should mend"`
}

// Envelope answers GET /v1/envelope, to anybody and also while sealed: a
// recipient that is bound to this TLS connection, good for one request and for
// 60 seconds.
type Envelope struct {
	PublicKey []byte `json:"public_key" doc:"the recipient's X25519 public key"`
}

// Sealed is the part that every request with values in envelopes has. The
// context of each value (envelope.Context) is Request as it stands here, the
// credential as the request names it, version 0, and the member's name.
type Sealed struct {
	Enc     []byte `json:"enc,omitempty" maxLength:"64" doc:"the encapsulated key, made from the public key of GET /v1/envelope on this connection"`
	Request string `json:"request,omitempty" maxLength:"64" doc:"a random identifier of this request, bound into each envelope"`
}

// UnsealRequest is the body of POST /v1/unseal.
type UnsealRequest struct {
	KeyFile []byte `json:"key_file" maxLength:"8192" doc:"the text of the key file in an envelope; field key_file, credential empty"`
	Sealed
}

// Seal answers POST /v1/seal and POST /v1/unseal.
type Seal struct {
	Sealed bool `json:"sealed" doc:"whether the vault is sealed now"`
}
