// Package credential holds the nouns that server, agent and people share:
// names and references, auth types with their fields, origins, and the value
// of a version. It decides nothing and does no I/O.
package credential

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits that every room enforces alike.
const (
	MaxValue       = 64 << 10  // bytes of one field's value
	MaxValueTotal  = 512 << 10 // bytes of all of a version's values
	MaxFields      = 64        // fields of a credential
	MaxVariables   = 64        // variables of an application's own tools, for one credential
	MaxTags        = 64        // tags of a credential, labels of a host
	MaxDescription = 4 << 10   // bytes of a description
	MaxName        = 63        // bytes of a name, of an owner, of a field
)

// ErrInvalid is wrapped by every error about input that a caller can mend.
var ErrInvalid = errors.New("invalid")

// Kind tells an application's credential from a person's own.
type Kind string

// The kinds.
const (
	App    Kind = "app"
	Custom Kind = "custom"
)

// NewID returns a random identifier: 26 lower-case letters and digits that
// carry at least 128 bits. Records, grants and certificates name things by it,
// since names may change hands.
func NewID() string { return strings.ToLower(rand.Text()) }

// ValidName checks the name of a credential, user, grant or application:
// [a-z0-9][a-z0-9._-]{0,62}. The error names what.
func ValidName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%w %s: it is empty", ErrInvalid, what)
	}
	if len(name) > MaxName {
		return fmt.Errorf("%w %s: %d bytes, at most %d are allowed", ErrInvalid, what, len(name), MaxName)
	}
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return fmt.Errorf("%w %s: use a-z, 0-9, and after the first character . _ -", ErrInvalid, what)
		}
	}
	return nil
}

// ValidText checks free text that is shown to people: UTF-8 without control
// characters other than tab and newline, at most max bytes.
func ValidText(what, s string, max int) error {
	if len(s) > max {
		return fmt.Errorf("%w %s: %d bytes, at most %d are allowed", ErrInvalid, what, len(s), max)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w %s: not UTF-8", ErrInvalid, what)
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return fmt.Errorf("%w %s: control characters are not allowed", ErrInvalid, what)
		}
	}
	return nil
}

// ValidTags checks tags and labels: keys are names, values at most 256 bytes
// of one line.
func ValidTags(what string, tags map[string]string) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("%w %s: %d given, at most %d are allowed", ErrInvalid, what, len(tags), MaxTags)
	}
	for k, v := range tags {
		if err := ValidName(what+" key", k); err != nil {
			return err
		}
		if err := ValidText(what+" "+k, v, 256); err != nil {
			return err
		}
		if strings.ContainsAny(v, "\n\t") {
			return fmt.Errorf("%w %s %s: one line only", ErrInvalid, what, k)
		}
	}
	return nil
}

// ValidField checks the name of a field or variable: letters, digits and
// . _ -, at most 63 bytes, beginning with a letter or _.
func ValidField(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%w field name: 1 to %d characters", ErrInvalid, MaxName)
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '.' && c != '-') {
			return fmt.Errorf("%w field name: letters, digits and . _ -, beginning with a letter", ErrInvalid)
		}
	}
	return nil
}

// Reference is how people and jobs name a credential. Exactly one form is
// filled: Name alone (an app credential), Application (that application's
// default), or Owner and Name (a custom credential).
type Reference struct {
	Name        string
	Application string
	Owner       string
}

// ParseReference reads "salesforce-prod", "app:salesforce" or "alice/payroll".
func ParseReference(s string) (Reference, error) {
	if app, ok := strings.CutPrefix(s, "app:"); ok {
		return Reference{Application: app}, ValidName("application in the reference", app)
	}
	if owner, name, ok := strings.Cut(s, "/"); ok {
		if err := ValidName("owner in the reference", owner); err != nil {
			return Reference{}, err
		}
		return Reference{Owner: owner, Name: name}, ValidName("credential name", name)
	}
	return Reference{Name: s}, ValidName("credential name", s)
}

// String gives the form that ParseReference reads.
func (r Reference) String() string {
	switch {
	case r.Application != "":
		return "app:" + r.Application
	case r.Owner != "":
		return r.Owner + "/" + r.Name
	}
	return r.Name
}

// Metadata is what is known of a credential without its value.
type Metadata struct {
	ID          string            `json:"id"`
	Kind        Kind              `json:"kind"`
	Name        string            `json:"name"` // as in a reference: of a custom credential with its owner
	Application string            `json:"application,omitempty"`
	AuthType    AuthType          `json:"auth_type,omitempty"`
	Owner       string            `json:"owner"`    // the owner's name
	OwnerID     string            `json:"owner_id"` // and immutable ID
	Description string            `json:"description,omitempty"`
	Describe    map[string]string `json:"describe,omitempty"` // of single variables
	Tags        map[string]string `json:"tags,omitempty"`
	Default     bool              `json:"default,omitempty"`
	Requestable bool              `json:"requestable,omitempty"`
	Created     time.Time         `json:"created"`
	Updated     time.Time         `json:"updated"`
	Expires     time.Time         `json:"expires,omitzero"`
	Version     uint64            `json:"version"` // the newest, from 1
	// ValueSince is when the newest version began, and ValueEnds when it ends by itself, as a certificate does; zero: it
	// does not.
	ValueSince time.Time `json:"value_since,omitzero"`
	ValueEnds  time.Time `json:"value_ends,omitzero"`
	// Disconnected is when its delivery was stopped until it is connected again.
	Disconnected time.Time `json:"disconnected,omitzero"`
	// Revision counts every change, of the value or of what is said of it.
	Revision uint64 `json:"revision"`
}

// Version is one value of a credential, without its secrets.
type Version struct {
	Credential string            `json:"credential"` // ID
	Number     uint64            `json:"number"`
	Created    time.Time         `json:"created"`
	CreatedBy  string            `json:"created_by"` // a person's name
	Fields     map[string]string `json:"fields,omitempty"`
	Secrets    []string          `json:"secrets,omitempty"` // names, sorted
	Origins    []Origin          `json:"origins,omitempty"` // where it may be sent
	// Injection is how requests carry it, as the application was when its secrets were given; nil: of a custom credential,
	// or of a version from before this was kept, which go by the application as it is.
	Injection *Injection `json:"injection,omitempty"`
	// Withheld are the secrets that never leave the server, whatever becomes of the application.
	Withheld []string `json:"withheld,omitempty"`
	// Since and Ends are what the value itself says of its life, as a certificate does; zero: nothing.
	Since time.Time `json:"since,omitzero"`
	Ends  time.Time `json:"ends,omitzero"`
}
