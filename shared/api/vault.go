package api

// Status answers GET /v1/status, to anybody and also while sealed.
type Status struct {
	Version  string   `json:"version" doc:"the server's version"`
	Sealed   bool     `json:"sealed" doc:"whether the vault is sealed"`
	Vault    string   `json:"vault" doc:"the vault's identifier"`
	Warnings []string `json:"warnings" doc:"what an admin should mend"`
	Shares   *Shares  `json:"shares,omitempty" doc:"only of a sealed vault that opens with shares"`
}

// Shares says how far unsealing with shares has come.
type Shares struct {
	In   int `json:"in" doc:"how many shares are in"`
	Need int `json:"need" doc:"how many open the vault"`
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

// UnsealRequest is the body of POST /v1/unseal: one of the first three, each in
// an envelope with the member's name as the field and an empty credential, or
// only reset.
type UnsealRequest struct {
	KeyFile    []byte `json:"key_file,omitempty" maxLength:"8192" doc:"the text of the key file, in an envelope"`
	Passphrase []byte `json:"passphrase,omitempty" maxLength:"8192" doc:"the passphrase, in an envelope"`
	Share      []byte `json:"share,omitempty" maxLength:"8192" doc:"the line of one share, in an envelope"`
	Reset      bool   `json:"reset,omitempty" doc:"wipe the shares that are in, first"`
	Sealed
}

// Seal answers POST /v1/seal and POST /v1/unseal.
type Seal struct {
	Sealed bool    `json:"sealed" doc:"whether the vault is sealed now"`
	Shares *Shares `json:"shares,omitempty" doc:"how far it has come, where it opens with shares and more are needed"`
}
