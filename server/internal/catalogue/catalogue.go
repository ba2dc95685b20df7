// Package catalogue knows the applications that credentials are for. It reads
// what package configs embeds and decides nothing about any credential.
package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/strongroom/strongroom/shared/credential"
)

// ErrUnknown means that the catalogue has no such application.
var ErrUnknown = errors.New("no such application")

// Application is one entry.
type Application struct {
	Name      string                `yaml:"name"`
	Title     string                `yaml:"title"`
	Category  string                `yaml:"category"`
	AuthTypes []credential.AuthType `yaml:"auth_types"`
	Own       []Field               `yaml:"fields"`
}

// Field is a field that the application adds to those of the auth type.
type Field struct {
	Name     string `yaml:"name"`
	Help     string `yaml:"help"`
	Required bool   `yaml:"required"`
	Origin   bool   `yaml:"origin"` // a URL whose origin the value may be sent to
}

// Catalogue is the set of applications. It does not change after Load.
type Catalogue struct {
	applications []Application // by name
}

// Load reads and checks every applications/*.yaml of files.
func Load(files fs.FS) (*Catalogue, error) {
	names, err := fs.Glob(files, "applications/*.yaml")
	if err != nil {
		return nil, err
	}
	c := &Catalogue{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		app, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if name != "applications/"+app.Name+".yaml" {
			return nil, fmt.Errorf("%s: name is %s, the file must be called after it", name, app.Name)
		}
		c.applications = append(c.applications, app)
	}
	slices.SortFunc(c.applications, func(a, b Application) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

func parse(text []byte) (Application, error) {
	var app Application
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithKnownFields(), yaml.WithUniqueKeys())
	if err != nil {
		return app, err
	}
	if err := loader.Load(&app); err != nil {
		return app, err
	}
	if err := credential.ValidName("name", app.Name); err != nil {
		return app, err
	}
	if app.Title == "" || app.Category == "" || len(app.AuthTypes) == 0 {
		return app, errors.New("title, category and auth_types are required")
	}
	for _, t := range app.AuthTypes {
		if t.Fields() == nil {
			return app, fmt.Errorf("auth_types: %q is not known", t)
		}
	}
	for _, f := range app.Own {
		if err := credential.ValidField(f.Name); err != nil {
			return app, err
		}
	}
	return app, nil
}

// List returns every application, by name.
func (c *Catalogue) List() []Application { return slices.Clone(c.applications) }

// Get returns one application or ErrUnknown with the names that exist.
func (c *Catalogue) Get(name string) (Application, error) {
	i := slices.IndexFunc(c.applications, func(a Application) bool { return a.Name == name })
	if i < 0 {
		known := make([]string, len(c.applications))
		for i, a := range c.applications {
			known[i] = a.Name
		}
		return Application{}, fmt.Errorf("%w %q; there is: %s", ErrUnknown, name, strings.Join(known, ", "))
	}
	return c.applications[i], nil
}

// Fields returns all fields of a credential of auth type t.
func (a Application) Fields(t credential.AuthType) ([]credential.Field, error) {
	if !slices.Contains(a.AuthTypes, t) {
		return nil, fmt.Errorf("%w auth type %q: %s takes %v", credential.ErrInvalid, t, a.Name, a.AuthTypes)
	}
	fields := t.Fields()
	for _, f := range a.Own {
		fields = append(fields, credential.Field{Name: f.Name, Required: f.Required, Help: f.Help})
	}
	return fields, nil
}

// Origins reads where a value may be sent to out of the plain fields.
func (a Application) Origins(plain map[string]string) ([]credential.Origin, error) {
	var origins []credential.Origin
	for _, f := range a.Own {
		if plain[f.Name] == "" || !f.Origin {
			continue
		}
		o, err := credential.OriginOf(f.Name, plain[f.Name])
		if err != nil {
			return nil, err
		}
		origins = append(origins, o)
	}
	return origins, nil
}
