package api

import "time"

// Credential is a credential as it is listed: what is known of it without its
// value.
type Credential struct {
	Name         string            `json:"name" doc:"the reference: of a custom credential with its owner" example:"salesforce-prod"`
	Kind         string            `json:"kind" enum:"app,custom"`
	Application  string            `json:"application" doc:"empty for a custom credential" example:"salesforce"`
	AuthType     string            `json:"auth_type" doc:"empty for a custom credential" example:"basic"`
	Owner        string            `json:"owner" example:"alice"`
	Default      bool              `json:"default" doc:"whether app:APPLICATION means this one"`
	Version      uint64            `json:"version" doc:"the current version"`
	Created      time.Time         `json:"created"`
	Updated      time.Time         `json:"updated"`
	Expires      *time.Time        `json:"expires" doc:"when it ends, as was said or as its application or its certificate says; null: never; it is delivered all the same"`
	Disconnected *time.Time        `json:"disconnected" doc:"since when it is delivered to nobody; null: it is connected"`
	Health       string            `json:"health" doc:"expired, expiring (within 30 days, or the last fifth of a shorter life), or unknown" example:"unknown"`
	Tags         map[string]string `json:"tags"`
	Revision     uint64            `json:"revision" doc:"for If-Match, in double quotes"`
}

// CredentialList answers GET /v1/credentials.
type CredentialList struct {
	Items []Credential `json:"items"`
	Next  string       `json:"next,omitempty" doc:"the cursor of the next page; empty: there is none"`
}

// CredentialQuery narrows GET /v1/credentials; empty members do not.
type CredentialQuery struct {
	Application string
	Owner       string
	Tag         string // KEY=VALUE
	Search      string // part of a name or description
	Cursor      string // the Next of the page before
	Limit       int    // credentials a page; 0: 100
}

// CredentialDetail answers GET /v1/credentials/{ref}, POST and PATCH.
type CredentialDetail struct {
	Credential
	Description  string            `json:"description"`
	Describe     map[string]string `json:"describe,omitempty" doc:"what single variables are for"`
	Requestable  bool              `json:"requestable" doc:"whether others may ask for a custom credential"`
	Fields       map[string]string `json:"fields" doc:"the fields that are not secret"`
	FieldsBase64 map[string][]byte `json:"fields_base64,omitempty" doc:"those of them that are not UTF-8; then absent from fields"`
	SecretFields []string          `json:"secret_fields" doc:"the names of the secret fields"`
	AccessAdded  []Access          `json:"access_added,omitempty" doc:"what hosts gained by this change, up to 100"`
}

// Access is a credential that a host may have by a grant.
type Access struct {
	Grant      string `json:"grant"`
	Host       string `json:"host" doc:"its ID; empty: no host that is enrolled now"`
	Credential string `json:"credential"`
}

// Rollback is the body of POST /v1/credentials/{ref}/rollback.
type Rollback struct {
	To uint64 `json:"to" minimum:"1" doc:"the version that shall be the newest again"`
}

// CredentialSwitched answers POST /v1/credentials/{ref}/disconnect and connect.
type CredentialSwitched struct {
	CredentialDetail
	LeasesEnded int `json:"leases_ended" doc:"the leases that hosts had"`
}

// Transfer is the body of POST /v1/credentials/{ref}/transfer.
type Transfer struct {
	To string `json:"to" maxLength:"63" doc:"the user who shall have it" example:"bob"`
}

// Transferred answers it.
type Transferred struct {
	Waiting       bool     `json:"waiting" doc:"nothing has changed yet: a second person has to ask for the same"`
	GrantsChanged []string `json:"grants_changed" doc:"the grants that named it and do so no longer"`
}

// CredentialAdd is the body of POST /v1/credentials. Secrets and Generate are
// for app credentials, Variables and Masked for custom ones.
type CredentialAdd struct {
	Name        string            `json:"name" maxLength:"127" doc:"NAME, or OWNER/NAME for a custom credential" example:"salesforce-prod"`
	Application string            `json:"application,omitempty" maxLength:"63" example:"salesforce"`
	AuthType    string            `json:"auth_type,omitempty" maxLength:"63" example:"basic"`
	Fields      map[string]string `json:"fields,omitempty" maxProperties:"64" doc:"the fields that are not secret; absent ones have their application's default"`
	Secrets     map[string][]byte `json:"secrets,omitempty" maxProperties:"64" doc:"secret fields, each in an envelope"`
	Generate    []string          `json:"generate,omitempty" maxItems:"64" doc:"secret fields that the server shall make up; of a client_certificate: certificate, with its key"`
	Variables   map[string][]byte `json:"variables,omitempty" maxProperties:"64" doc:"variables that are shown, each in an envelope"`
	Masked      map[string][]byte `json:"masked,omitempty" maxProperties:"64" doc:"variables that are masked, each in an envelope"`
	Describe    map[string]string `json:"describe,omitempty" maxProperties:"64" doc:"what single variables are for"`
	Description string            `json:"description,omitempty" maxLength:"4096"`
	Tags        map[string]string `json:"tags,omitempty" maxProperties:"64"`
	Expires     *time.Time        `json:"expires,omitempty" doc:"when the credential's value ends; 0001-01-01T00:00:00Z: never; absent: as its application says (expires_days), or never"`
	Default     bool              `json:"default,omitempty" doc:"app:APPLICATION shall mean this one"`
	Requestable bool              `json:"requestable,omitempty" doc:"others may ask for this custom credential"`
	Sealed
}

// CredentialEdit is the body of PATCH /v1/credentials/{ref}. What is absent
// stays. Maps are merged into what is there; an empty text in fields, tags or
// describe removes that key; a field then has its application's default again. A
// changed value makes a new version.
type CredentialEdit struct {
	Fields      map[string]string `json:"fields,omitempty" maxProperties:"64" doc:"fields that are not secret"`
	Secrets     map[string][]byte `json:"secrets,omitempty" maxProperties:"64" doc:"secret fields, each in an envelope"`
	Generate    []string          `json:"generate,omitempty" maxItems:"64" doc:"secret fields that the server shall make up; of a client_certificate: certificate, with its key"`
	Variables   map[string][]byte `json:"variables,omitempty" maxProperties:"64" doc:"variables that are shown, each in an envelope"`
	Masked      map[string][]byte `json:"masked,omitempty" maxProperties:"64" doc:"variables that are masked, each in an envelope"`
	Describe    map[string]string `json:"describe,omitempty" maxProperties:"64" doc:"what single variables are for"`
	Description *string           `json:"description,omitempty" maxLength:"4096"`
	Tags        map[string]string `json:"tags,omitempty" maxProperties:"64"`
	Expires     *time.Time        `json:"expires,omitempty" doc:"when the credential's value ends; 0001-01-01T00:00:00Z: never; absent beside a new secret: as its application says (expires_days), or as before"`
	Default     *bool             `json:"default,omitempty"`
	Requestable *bool             `json:"requestable,omitempty"`
	Sealed
}

// CredentialVersion is one version of a credential.
type CredentialVersion struct {
	Version   uint64    `json:"version"`
	Current   bool      `json:"current"`
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by" example:"alice"`
	Origins   []string  `json:"origins" doc:"where this version may be sent"`
}

// CredentialVersions answers GET /v1/credentials/{ref}/versions, newest first.
type CredentialVersions struct {
	Items []CredentialVersion `json:"items"`
}

// CredentialDeleted answers DELETE /v1/credentials/{ref}.
type CredentialDeleted struct {
	Deleted       string   `json:"deleted" doc:"the credential's name"`
	GrantsChanged []string `json:"grants_changed" doc:"the grants that named it"`
	DefaultOf     string   `json:"default_of,omitempty" doc:"the application that has no default now"`
	LeasesEnded   int      `json:"leases_ended" doc:"the leases that hosts had"`
}

// RevealRequest is the body of POST /v1/credentials/{ref}/reveal.
type RevealRequest struct {
	PublicKey []byte `json:"public_key" maxLength:"64" doc:"the client's X25519 public key"`
	Request   string `json:"request" maxLength:"64" doc:"a random identifier of this request, bound into each envelope"`
}

// RevealAnswer answers it. The context of each value is the request's
// identifier, the reference as the path had it, Version, and the field's name.
type RevealAnswer struct {
	Enc     []byte            `json:"enc" doc:"the encapsulated key, bound to this TLS connection"`
	Version uint64            `json:"version"`
	Secrets map[string][]byte `json:"secrets" doc:"the secret fields, each in an envelope"`
}
