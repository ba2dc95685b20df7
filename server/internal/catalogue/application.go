package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"

	"github.com/strongroom/strongroom/shared/credential"
)

// Application is one entry: one file, in the form of these members.
type Application struct {
	Name            string   `yaml:"name" json:"name,omitempty"`
	Title           string   `yaml:"title" json:"title,omitempty"`
	Category        string   `yaml:"category" json:"category,omitempty"`
	Docs            []string `yaml:"docs" json:"docs,omitempty"`             // the vendor's pages to hold the entry against
	Unverified      []string `yaml:"unverified" json:"unverified,omitempty"` // what was not seen on these pages
	Auth            []Auth   `yaml:"auth_types" json:"auth_types,omitempty"`
	Own             []Field  `yaml:"fields" json:"fields,omitempty"`   // besides those of the auth type
	OriginTemplates []string `yaml:"origins" json:"origins,omitempty"` // such as https://{instance}.service-now.com
	OAuth2          *OAuth2  `yaml:"oauth2" json:"oauth2,omitempty"`
	Validate        *Request `yaml:"validate" json:"validate,omitempty"`
	Files           []File   `yaml:"files" json:"files,omitempty"`
	// PasswordPolicy is what the application asks of passwords; nothing where it is zero.
	PasswordPolicy credential.Policy `yaml:"password_policy" json:"password_policy,omitzero"`

	AuthTypes []credential.AuthType `yaml:"-" json:"-"` // of Auth, in its order
}

// Auth is one auth type as the application has it.
type Auth struct {
	Type        credential.AuthType  `yaml:"type" json:"type,omitempty"`
	Title       string               `yaml:"title" json:"title,omitempty"`   // what the vendor calls it
	Own         []Field              `yaml:"fields" json:"fields,omitempty"` // of this type only, or said differently of the type's own
	Inject      credential.Injection `yaml:"inject" json:"inject,omitzero"`
	Origins     []string             `yaml:"origins" json:"origins,omitempty"`           // in the place of the application's
	Env         map[string]string    `yaml:"env" json:"env,omitempty"`                   // variable to field
	Validate    *Request             `yaml:"validate" json:"validate,omitempty"`         // in the place of the application's
	ExpiresDays int                  `yaml:"expires_days" json:"expires_days,omitempty"` // of a new value; 0: no end is known
}

// Field is a field that the application adds to those of the auth type, or what it says differently of one of them.
type Field struct {
	Name       string            `yaml:"name" json:"name,omitempty"`
	Help       string            `yaml:"help" json:"help,omitempty"`
	Required   *bool             `yaml:"required" json:"required,omitempty"`
	Secret     bool              `yaml:"secret" json:"secret,omitempty"`           // of an added field
	ServerOnly bool              `yaml:"server_only" json:"server_only,omitempty"` // of an added field
	Password   bool              `yaml:"password" json:"password,omitempty"`       // of an added field: the password policy is for it
	Format     credential.Format `yaml:"format" json:"format,omitempty"`
	Choices    []string          `yaml:"choices" json:"choices,omitempty"`
	Default    string            `yaml:"default" json:"default,omitempty"`
	Origin     bool              `yaml:"origin" json:"origin,omitempty"` // a URL whose origin the value may be sent to
}

// over lays what the application says over a field.
func (f Field) over(g *credential.Field) {
	if f.Help != "" {
		g.Help = f.Help
	}
	if f.Required != nil {
		g.Required = *f.Required
	}
	if f.Format != "" {
		g.Format, g.Choices = f.Format, f.Choices
	} else if f.Origin && g.Format == "" {
		g.Format = credential.FormatURL
	}
	if f.Default != "" {
		g.Default = f.Default
	}
	g.Secret = g.Secret || f.Secret
	g.ServerOnly = g.ServerOnly || f.ServerOnly
	g.Password = g.Password || f.Password
}

// OAuth2 is the application's authorization server and its quirks.
type OAuth2 struct {
	AuthorizeURL    string            `yaml:"authorize_url" json:"authorize_url,omitempty"`
	TokenURL        string            `yaml:"token_url" json:"token_url,omitempty"`
	DeviceURL       string            `yaml:"device_url" json:"device_url,omitempty"`
	RevokeURL       string            `yaml:"revoke_url" json:"revoke_url,omitempty"`
	Grants          []string          `yaml:"grants" json:"grants,omitempty"` // what credential.OAuth2's field grant may be
	Scopes          []string          `yaml:"scopes" json:"scopes,omitempty"` // what to ask for where the credential does not say
	ScopeSeparator  string            `yaml:"scope_separator" json:"scope_separator,omitempty"`
	AuthorizeParams map[string]string `yaml:"authorize_params" json:"authorize_params,omitempty"` // what makes it give a refresh token, and the like
	PKCE            bool              `yaml:"pkce" json:"pkce,omitempty"`                         // it takes S256
	ClientAuth      string            `yaml:"client_auth" json:"client_auth,omitempty"`           // basic or post
	Refresh         Refresh           `yaml:"refresh" json:"refresh,omitzero"`
}

// Refresh says what refreshing does there. Times are in the units of their names; 0 is not known.
type Refresh struct {
	Rotates       bool `yaml:"rotates" json:"rotates,omitempty"`               // each use gives a new refresh token and ends the old
	LeewayMinutes int  `yaml:"leeway_minutes" json:"leeway_minutes,omitempty"` // the old one may be retried for so long
	AccessMinutes int  `yaml:"access_minutes" json:"access_minutes,omitempty"` // how long an access token lasts
	IdleDays      int  `yaml:"idle_days" json:"idle_days,omitempty"`           // a refresh token unused for so long is gone
	MaxDays       int  `yaml:"max_days" json:"max_days,omitempty"`             // and after so long in any case
	KillsAccess   bool `yaml:"kills_access" json:"kills_access,omitempty"`     // a refresh ends the old access token at once
}

// Request is a request that shows whether a credential is good. It changes nothing at the application.
type Request struct {
	Method  string            `yaml:"method" json:"method,omitempty"`
	URL     string            `yaml:"url" json:"url,omitempty"` // a template within the application's origins
	Status  []int             `yaml:"status" json:"status,omitempty"`
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	OK      string            `yaml:"ok" json:"ok,omitempty"` // the member of the JSON answer that must be true, where the status always is 200
}

// File is a file that the application's own tools read.
type File struct {
	Path     string              `yaml:"path" json:"path,omitempty"` // where they look for it
	Env      string              `yaml:"env" json:"env,omitempty"`   // the variable that names another place
	Type     credential.AuthType `yaml:"type" json:"type,omitempty"` // the auth type it is for
	Template string              `yaml:"template" json:"template,omitempty"`
}

// Parse reads and checks the text of one file that somebody brings. An error names the line or the member. Beyond what is
// asked of the files that are built in, none of its variables may change how programs run: whoever may import a file
// need not be somebody who may run programs on hosts.
func Parse(text []byte) (Application, error) {
	app, err := parse(text)
	if err != nil {
		return app, err
	}
	return app, app.checkVariables()
}

func parse(text []byte) (Application, error) {
	var app Application
	if len(text) > maxFile {
		return app, fmt.Errorf("the file is too long: at most %d bytes are read", maxFile)
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithKnownFields(), yaml.WithUniqueKeys())
	if err != nil {
		return app, err
	}
	if err := loader.Load(&app); err != nil {
		if errors.Is(err, io.EOF) {
			return app, errors.New("name: the file is empty")
		}
		return app, formError(err)
	}
	if err := loader.Load(new(any)); !errors.Is(err, io.EOF) {
		return app, errors.New("name: there is more than one document in the file")
	}
	for _, auth := range app.Auth {
		app.AuthTypes = append(app.AuthTypes, auth.Type)
	}
	return app, app.check()
}
