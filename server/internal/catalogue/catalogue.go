// Package catalogue knows the applications that credentials are for: their auth types and fields, where they are
// reached, how a credential goes on their requests, and what their own tools read. It reads what package configs
// embeds, and takes further definitions that add to these or override them. It stores nothing, decides nothing about any
// credential and calls nobody.
package catalogue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

// ErrUnknown means that the catalogue has no such application.
var ErrUnknown = errors.New("no such application")

// Limits of what is read.
const (
	maxFile  = 64 << 10 // bytes of one file
	maxFiles = 1000
)

// Catalogue is the set of applications. It does not change.
type Catalogue struct {
	applications []Application // by name
}

// Load reads and checks every applications/*.yaml of files. An error names the file and the field.
func Load(files fs.FS) (*Catalogue, error) {
	byName := map[string]Application{}
	if err := read(files, "applications", byName); err != nil {
		return nil, err
	}
	return catalogueOf(byName), nil
}

// With is the catalogue with these applications in it, each in the place of the one of its name.
func (c *Catalogue) With(applications ...Application) *Catalogue {
	byName := make(map[string]Application, len(c.applications)+len(applications))
	for _, app := range slices.Concat(c.applications, applications) {
		byName[app.Name] = app
	}
	return catalogueOf(byName)
}

func catalogueOf(byName map[string]Application) *Catalogue {
	byOrder := func(a, b Application) int { return strings.Compare(a.Name, b.Name) }
	return &Catalogue{applications: slices.SortedFunc(maps.Values(byName), byOrder)}
}

func read(files fs.FS, dir string, into map[string]Application) error {
	names, err := fs.Glob(files, path.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	if len(names) > maxFiles {
		return fmt.Errorf("%d applications, at most %d are read", len(names), maxFiles)
	}
	for _, name := range names {
		app, err := readFile(files, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if path.Base(name) != app.Name+".yaml" {
			return fmt.Errorf("%s: name: it is %s, the file must be called after it", name, app.Name)
		}
		into[app.Name] = app
	}
	return nil
}

func readFile(files fs.FS, name string) (Application, error) {
	// Looked at before it is opened: the opening of a named pipe would wait for a writer.
	info, err := fs.Stat(files, name)
	if err != nil {
		return Application{}, err
	}
	if !info.Mode().IsRegular() {
		return Application{}, errors.New("not a regular file")
	}
	f, err := files.Open(name)
	if err != nil {
		return Application{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Application{}, err
	}
	return parse(text)
}

// List returns every application, by name.
func (c *Catalogue) List() []Application { return slices.Clone(c.applications) }

// Get returns one application or ErrUnknown with the names that exist.
func (c *Catalogue) Get(name string) (Application, error) {
	i, found := slices.BinarySearchFunc(c.applications, name, func(a Application, name string) int { return strings.Compare(a.Name, name) })
	if found {
		return c.applications[i], nil
	}
	known := make([]string, len(c.applications))
	for i := range c.applications {
		known[i] = c.applications[i].Name
	}
	return Application{}, fmt.Errorf("%w %q; there is: %s", ErrUnknown, name, strings.Join(known, ", "))
}

// auth is what the application says of an auth type; nothing where it does not take it.
func (a Application) auth(t credential.AuthType) Auth {
	for _, auth := range a.Auth {
		if auth.Type == t {
			return auth
		}
	}
	return Auth{}
}

// Fields returns all fields of a credential of auth type t: the type's own as the application has them, then the
// application's. Where the application says itself how its requests carry the secret, those of the type that would say so
// are left out, unless the application names them.
func (a Application) Fields(t credential.AuthType) ([]credential.Field, error) {
	if !slices.Contains(a.AuthTypes, t) {
		return nil, fmt.Errorf("%w auth type %q: %s takes %v", credential.ErrInvalid, t, a.Name, a.AuthTypes)
	}
	fields := t.Fields()
	auth := a.auth(t)
	own := slices.Concat(auth.Own, a.Own)
	if auth.Inject.Placed() {
		fields = slices.DeleteFunc(fields, func(f credential.Field) bool {
			return f.Place && !slices.ContainsFunc(own, func(g Field) bool { return g.Name == f.Name })
		})
	}
	for _, f := range own {
		i := indexOf(fields, f.Name)
		if i < 0 {
			fields = append(fields, credential.Field{Name: f.Name})
			i = len(fields) - 1
		}
		f.over(&fields[i])
	}
	if i := indexOf(fields, "grant"); t == credential.OAuth2 && a.OAuth2 != nil && !slices.Contains(a.OAuth2.Grants, fields[i].Default) {
		fields[i].Default = "" // the type's own, which the application does not take
	}
	return fields, nil
}

// Origins reads out of the plain fields where a value of auth type t may be sent to: by the application's templates
// and URL fields, and for OAuth 2.0 the token endpoint. A template with an empty field gives none.
func (a Application) Origins(t credential.AuthType, plain map[string]string) ([]credential.Origin, error) {
	fields, err := a.Fields(t)
	if err != nil {
		return nil, err
	}
	filled := fill(fields, plain)
	var origins []credential.Origin
	add := func(field, url string) error {
		o, err := credential.OriginOfAny(field, url)
		if err == nil && !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
		return err
	}
	templates, own := a.origins(a.auth(t))
	for _, f := range own {
		if f.Origin && filled[f.Name] != "" {
			if err := add(f.Name, filled[f.Name]); err != nil {
				return nil, err
			}
		}
	}
	if t == credential.OAuth2 {
		if filled["token_url"] != "" {
			templates = append(slices.Clone(templates), filled["token_url"])
		} else if a.OAuth2 != nil {
			templates = append(slices.Clone(templates), a.OAuth2.TokenURL)
		}
	}
	for _, template := range templates {
		url, whole, err := expandURL(template, fields, filled)
		if err != nil {
			return nil, err
		}
		if whole {
			if err := add("origins", url); err != nil {
				return nil, err
			}
		}
	}
	return origins, nil
}

// origins are the templates and the fields that say where values of an auth type may be sent to.
func (a Application) origins(auth Auth) (templates []string, fields []Field) {
	if len(auth.Origins) > 0 {
		return auth.Origins, auth.Own
	}
	return a.OriginTemplates, slices.Concat(a.Own, auth.Own)
}

// Probe is the request that shows whether a credential of auth type t is good; nil where there is none. Its URL is
// filled by [Application.ProbeURL].
func (a Application) Probe(t credential.AuthType) *Request {
	auth := a.auth(t)
	switch {
	case auth.Type == "", auth.Inject.None, t == credential.SSHKey, t == credential.WebhookSecret:
		return nil
	case auth.Validate != nil:
		return auth.Validate
	}
	return a.Validate
}

// ProbeURL is where Probe goes for a credential with these plain fields.
func (a Application) ProbeURL(t credential.AuthType, plain map[string]string) (string, error) {
	fields, err := a.Fields(t)
	if err != nil {
		return "", err
	}
	p := a.Probe(t)
	if p == nil {
		return "", fmt.Errorf("%w auth type %q: %s has no request that would show whether it is good", credential.ErrInvalid, t, a.Name)
	}
	text, whole, err := expandURL(p.URL, fields, fill(fields, plain))
	if err == nil && !whole {
		err = fmt.Errorf("%w field: the request that shows whether the credential is good needs more of them: %s", credential.ErrInvalid, p.URL)
	}
	return text, err
}

// Filled gives the plain fields of a credential with the application's defaults in the place of absent ones, as a version
// has them that is made now.
func (a Application) Filled(t credential.AuthType, plain map[string]string) map[string]string {
	fields, err := a.Fields(t)
	if err != nil {
		return plain
	}
	return fill(fields, plain)
}

// Injection says how a credential of auth type t goes on the application's requests.
func (a Application) Injection(t credential.AuthType) credential.Injection { return a.auth(t).Inject }

// Environment names, for a credential of auth type t, the field that each variable of the application's own tools
// takes.
func (a Application) Environment(t credential.AuthType) map[string]string { return a.auth(t).Env }

// DefaultExpiry is how long the application's credentials of auth type t last where nothing else is known; 0: no end. A
// certificate says itself when it ends.
func (a Application) DefaultExpiry(t credential.AuthType) time.Duration {
	if t == credential.ClientCertificate {
		return 0
	}
	return time.Duration(a.auth(t).ExpiresDays) * 24 * time.Hour
}

// fill gives the plain fields that there are, and defaults in the place of those that are absent or empty. What is not
// among the fields stays, for whoever checks them to name.
func fill(fields []credential.Field, plain map[string]string) map[string]string {
	out := make(map[string]string, len(fields))
	for name, text := range plain {
		if text != "" {
			out[name] = text
		}
	}
	for _, f := range fields {
		if f.Default != "" && !f.Secret && out[f.Name] == "" {
			out[f.Name] = f.Default
		}
	}
	return out
}
