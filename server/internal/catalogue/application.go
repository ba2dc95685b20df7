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
	Name            string   `yaml:"name"`
	Title           string   `yaml:"title"`
	Category        string   `yaml:"category"`
	Docs            []string `yaml:"docs"`       // the vendor's pages to hold the entry against
	Unverified      []string `yaml:"unverified"` // what was not seen on these pages
	Auth            []Auth   `yaml:"auth_types"`
	Own             []Field  `yaml:"fields"`  // besides those of the auth type
	OriginTemplates []string `yaml:"origins"` // such as https://{instance}.service-now.com
	OAuth2          *OAuth2  `yaml:"oauth2"`
	Validate        *Request `yaml:"validate"`
	Files           []File   `yaml:"files"`
	// PasswordPolicy is what the application asks of passwords; nothing where it is zero.
	PasswordPolicy credential.Policy `yaml:"password_policy"`

	AuthTypes []credential.AuthType `yaml:"-"` // of Auth, in its order
}

// Auth is one auth type as the application has it.
type Auth struct {
	Type        credential.AuthType  `yaml:"type"`
	Title       string               `yaml:"title"`  // what the vendor calls it
	Own         []Field              `yaml:"fields"` // of this type only, or said differently of the type's own
	Inject      credential.Injection `yaml:"inject"`
	Origins     []string             `yaml:"origins"`      // in the place of the application's
	Env         map[string]string    `yaml:"env"`          // variable to field
	Validate    *Request             `yaml:"validate"`     // in the place of the application's
	ExpiresDays int                  `yaml:"expires_days"` // 0: no end is known
}

// Field is a field that the application adds to those of the auth type, or what it says differently of one of them.
type Field struct {
	Name       string            `yaml:"name"`
	Help       string            `yaml:"help"`
	Required   *bool             `yaml:"required"`
	Secret     bool              `yaml:"secret"`      // of an added field
	ServerOnly bool              `yaml:"server_only"` // of an added field
	Password   bool              `yaml:"password"`    // of an added field: the password policy is for it
	Format     credential.Format `yaml:"format"`
	Choices    []string          `yaml:"choices"`
	Default    string            `yaml:"default"`
	Origin     bool              `yaml:"origin"` // a URL whose origin the value may be sent to
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
	AuthorizeURL    string            `yaml:"authorize_url"`
	TokenURL        string            `yaml:"token_url"`
	DeviceURL       string            `yaml:"device_url"`
	RevokeURL       string            `yaml:"revoke_url"`
	Grants          []string          `yaml:"grants"` // what credential.OAuth2's field grant may be
	Scopes          []string          `yaml:"scopes"` // what to ask for where the credential does not say
	ScopeSeparator  string            `yaml:"scope_separator"`
	AuthorizeParams map[string]string `yaml:"authorize_params"` // what makes it give a refresh token, and the like
	PKCE            bool              `yaml:"pkce"`             // it takes S256
	ClientAuth      string            `yaml:"client_auth"`      // basic or post
	Refresh         Refresh           `yaml:"refresh"`
}

// Refresh says what refreshing does there. Times are in the units of their names; 0 is not known.
type Refresh struct {
	Rotates       bool `yaml:"rotates"`        // each use gives a new refresh token and ends the old
	LeewayMinutes int  `yaml:"leeway_minutes"` // the old one may be retried for so long
	AccessMinutes int  `yaml:"access_minutes"` // how long an access token lasts
	IdleDays      int  `yaml:"idle_days"`      // a refresh token unused for so long is gone
	MaxDays       int  `yaml:"max_days"`       // and after so long in any case
	KillsAccess   bool `yaml:"kills_access"`   // a refresh ends the old access token at once
}

// Request is a request that shows whether a credential is good. It changes nothing at the application.
type Request struct {
	Method  string            `yaml:"method"`
	URL     string            `yaml:"url"` // a template within the application's origins
	Status  []int             `yaml:"status"`
	Headers map[string]string `yaml:"headers"`
	OK      string            `yaml:"ok"` // the member of the JSON answer that must be true, where the status always is 200
}

// File is a file that the application's own tools read.
type File struct {
	Path     string              `yaml:"path"` // where they look for it
	Env      string              `yaml:"env"`  // the variable that names another place
	Type     credential.AuthType `yaml:"type"` // the auth type it is for
	Template string              `yaml:"template"`
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
		return app, err
	}
	if err := loader.Load(new(any)); !errors.Is(err, io.EOF) {
		return app, errors.New("name: there is more than one document in the file")
	}
	for _, auth := range app.Auth {
		app.AuthTypes = append(app.AuthTypes, auth.Type)
	}
	return app, app.check()
}
