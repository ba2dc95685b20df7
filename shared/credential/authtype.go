package credential

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// AuthType says how a credential authenticates. What there is to know of a type stands in one table, to which each
// type's own file adds one row: lists, checks, the catalogue and the pages that ask for fields all read it.
type AuthType string

// Format says what a field's text looks like.
type Format string

// The formats. A field without one is text.
const (
	FormatText   Format = "text"
	FormatURL    Format = "url"    // http or https, without user and password
	FormatPEM    Format = "pem"    // one or more PEM blocks
	FormatNumber Format = "number" // decimal digits
	FormatPort   Format = "port"   // 1 to 65535
	FormatHost   Format = "host"   // a host name or address, without scheme and port
	FormatTime   Format = "time"   // RFC 3339
	FormatChoice Format = "choice" // one of Field.Choices
)

// Field describes one field of an auth type or an application.
type Field struct {
	Name       string   `json:"name"`
	Secret     bool     `json:"secret"`
	Password   bool     `json:"password,omitempty"` // password policies are for it: somebody may have thought it up
	Required   bool     `json:"required"`
	ServerOnly bool     `json:"server_only,omitempty"` // never leaves the server: neither agents nor jobs are given it
	ImportOnly bool     `json:"import_only,omitempty"` // used once, when the value is given, and not stored
	Derived    bool     `json:"derived,omitempty"`     // worked out from the others; what is given for it is replaced
	Format     Format   `json:"format,omitempty"`
	Choices    []string `json:"choices,omitempty"` // of FormatChoice
	Default    string   `json:"default,omitempty"` // what a plain field has where none is given
	Help       string   `json:"help"`
	Place      bool     `json:"-"` // says where requests carry the secret; not of an application that says so itself
}

// definition is a type's row of the table.
type definition struct {
	title  string
	fields []Field
	// check looks at what no single field shows; nil where there is nothing to see.
	check func(plain map[string]string, value Value, now time.Time) error
	// complete uses up what is for the import only and derives what can be derived, in place.
	complete func(a *secret.Arena, plain map[string]string, value Value) error
	// generate makes up a secret field; nil where any random text will do.
	generate func(a *secret.Arena, field string) (*secret.Buffer, error)
}

var definitions map[AuthType]definition

// define adds a type to the table. It is called once a type, in a variable's initialisation.
func define(t AuthType, d definition) AuthType {
	if definitions == nil {
		definitions = map[AuthType]definition{}
	}
	definitions[t] = d
	return t
}

// AuthTypes lists every auth type, by name.
func AuthTypes() []AuthType { return slices.Sorted(maps.Keys(definitions)) }

// Title names the type for people; it is empty where the type is not known.
func (t AuthType) Title() string { return definitions[t].title }

// Fields returns the type's own fields, or nil where the type is not known.
func (t AuthType) Fields() []Field { return slices.Clone(definitions[t].fields) }

// Accept checks the fields of a credential of type t against known, which are the type's own fields as an application
// has them (see [AuthType.Fields]), and completes plain and value in place: fields that are for the import only are
// used up and wiped, derived fields are set. Errors wrap ErrInvalid, name the field, and never repeat what is in it.
func (t AuthType) Accept(a *secret.Arena, known []Field, plain map[string]string, value Value, now time.Time) error {
	d, ok := definitions[t]
	if !ok {
		return fmt.Errorf("%w auth type: there is no such one; there is: %v", ErrInvalid, AuthTypes())
	}
	if err := CheckFields(known, plain, value); err != nil {
		return err
	}
	if d.complete != nil {
		if err := d.complete(a, plain, value); err != nil {
			return err
		}
	}
	if d.check != nil {
		if err := d.check(plain, value, now); err != nil {
			return err
		}
	}
	for _, f := range known {
		if f.ImportOnly {
			value[f.Name].Wipe()
			delete(value, f.Name)
			delete(plain, f.Name)
		}
	}
	return nil
}

// Generate makes up the named secret field of the type: a key of its own kind where the type has one, 32 random
// characters otherwise. The caller wipes the buffer.
func (t AuthType) Generate(a *secret.Arena, field string) (*secret.Buffer, error) {
	if g := definitions[t].generate; g != nil {
		return g(a, field)
	}
	return randomText(a)
}

// randomText makes 32 characters out of 64, which is 192 bits without bias.
func randomText(a *secret.Arena) (*secret.Buffer, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b, err := a.Random(32)
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		p := b.Reveal()
		for i := range p {
			p[i] = alphabet[p[i]&63]
		}
	})
	return b, nil
}
