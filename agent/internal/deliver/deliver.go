// Package deliver hands credentials to a job's command: it names the variables, writes the files, runs the command with
// them, again where they change, and takes the secrets out of what the command prints. It fetches nothing and decides
// nothing about who may have what; a secret reaches the command through its environment or a file, never through its
// arguments.
package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// ErrVariable means that a credential cannot be given to a command as it is.
var ErrVariable = errors.New("cannot set the environment")

// Credential is what Environment makes variables of.
type Credential struct {
	// Reference is the credential as the job named it, such as salesforce-prod.
	Reference string
	// Prefix begins the variables' names; an empty one is made from Reference.
	Prefix string
	// Fields are all values by name, secret or not.
	Fields map[string][]byte
	// Tools has, for each variable that the own tools of the credential's application read, the template of its value
	// over Fields, such as {password}.
	Tools map[string]string
}

// Environment answers the variables of all credentials as NAME=VALUE, sorted: PREFIX_FIELD of each field, and those of
// the tools whose templates name no field that is absent or empty. It fails with ErrVariable where two fields or two
// credentials would set the same variable, where a variable would change how programs run, and where a value holds a
// NUL byte, which no environment can carry. A tool's variable that the prefix makes too, of the same field, is no matter.
func Environment(credentials []Credential) ([]string, error) {
	e := environment{from: map[string]source{}}
	for _, c := range credentials {
		if err := e.addFields(c); err != nil {
			return nil, err
		}
		if err := e.addTools(c); err != nil {
			return nil, err
		}
	}
	slices.Sort(e.variables)
	return e.variables, nil
}

// environment is the variables as they come together.
type environment struct {
	variables []string
	from      map[string]source // by folded name
}

// source is where a variable comes from.
type source struct {
	reference, template string
	field               string // empty: it is a variable of the application's tools
}

func (s source) String() string {
	if s.field == "" {
		return "the tool variable of " + s.reference
	}
	return "field " + s.field + " of " + s.reference
}

func (e *environment) addFields(c Credential) error {
	prefix := c.Prefix
	if prefix == "" {
		prefix = leadingDigit(variablePart(c.Reference))
	} else if !validVariable(prefix) {
		return fmt.Errorf("%w: %q cannot begin a variable's name; use letters, digits and _, not beginning with a digit",
			ErrVariable, prefix)
	}
	for _, field := range slices.Sorted(maps.Keys(c.Fields)) {
		name, value := prefix+"_"+variablePart(field), c.Fields[field]
		s := source{reference: c.Reference, template: "{" + field + "}", field: field}
		if err := e.add(name, string(value), s); err != nil {
			return err
		}
		if credential.SteersPrograms(name) {
			return fmt.Errorf("%w: %s would be %s, which changes how programs run; give the credential another prefix, as in --credential %s=OTHER",
				ErrVariable, s, name, c.Reference)
		}
		if bytes.IndexByte(value, 0) >= 0 {
			return fmt.Errorf("%w: %s holds a NUL byte, which a variable cannot; have the command read it from strongroom-agent get %s --field %s",
				ErrVariable, s, c.Reference, field)
		}
	}
	return nil
}

// addTools takes names and templates as the server sent them, which is not trusted with what runs on this machine.
func (e *environment) addTools(c Credential) error {
	for _, name := range slices.Sorted(maps.Keys(c.Tools)) {
		if name == "" || !validVariable(name) {
			return fmt.Errorf("%w: %s is said to be %q, which is no variable's name; leave such variables out with --no-tool-variables",
				ErrVariable, source{reference: c.Reference}, name)
		}
		if credential.SteersPrograms(name) {
			return fmt.Errorf("%w: %s is said to be %s, which changes how programs run; leave such variables out with --no-tool-variables",
				ErrVariable, source{reference: c.Reference}, name)
		}
		absent := false
		value, err := credential.Expand(c.Tools[name], func(field string) (string, bool) {
			absent = absent || len(c.Fields[field]) == 0
			return string(c.Fields[field]), true
		})
		if err != nil {
			return fmt.Errorf("%w: %s of %s: %w", ErrVariable, name, c.Reference, err)
		}
		if absent {
			continue
		}
		if strings.IndexByte(value, 0) >= 0 {
			return fmt.Errorf("%w: %s of %s holds a NUL byte, which a variable cannot; leave such variables out with --no-tool-variables",
				ErrVariable, name, c.Reference)
		}
		if err := e.add(name, value, source{reference: c.Reference, template: c.Tools[name]}); err != nil {
			return err
		}
	}
	return nil
}

// add sets a variable, unless it is set to the same field of the same credential already: of a credential called github
// both ways lead to GITHUB_TOKEN.
func (e *environment) add(name, value string, s source) error {
	other, taken := e.from[fold(name)]
	tool := s.field == "" || other.field == ""
	switch {
	case taken && tool && other.reference == s.reference && other.template == s.template:
		return nil
	case taken && tool:
		return fmt.Errorf("%w: %s and %s would both be %s; leave those of tools out with --no-tool-variables, or run one command for each",
			ErrVariable, other, s, name)
	case taken:
		return fmt.Errorf("%w: %s and %s would both be %s; give one credential another prefix, as in --credential %s=OTHER",
			ErrVariable, other, s, name, s.reference)
	}
	e.from[fold(name)] = s
	e.variables = append(e.variables, name+"="+value)
	return nil
}

// variablePart is s in upper case, with every character that is not an ASCII letter or digit turned into _.
func variablePart(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, s)
}

func leadingDigit(name string) string {
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

func validVariable(name string) bool {
	return leadingDigit(name) == name && variablePart(name) == strings.ToUpper(name)
}

// fold answers what two names of one variable have in common.
func fold(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}
