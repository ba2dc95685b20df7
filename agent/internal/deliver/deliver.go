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
}

// Environment answers the variables of all credentials as NAME=VALUE, sorted. PREFIX_FIELD is the name of each. It
// fails with ErrVariable where two fields would set the same variable, where a variable would change how programs run,
// and where a value holds a NUL byte, which no environment can carry.
func Environment(credentials []Credential) ([]string, error) {
	var environment []string
	from := map[string]string{}
	for _, c := range credentials {
		prefix := c.Prefix
		if prefix == "" {
			prefix = leadingDigit(variablePart(c.Reference))
		} else if !validVariable(prefix) {
			return nil, fmt.Errorf("%w: %q cannot begin a variable's name; use letters, digits and _, not beginning with a digit",
				ErrVariable, prefix)
		}
		for _, field := range slices.Sorted(maps.Keys(c.Fields)) {
			name, value := prefix+"_"+variablePart(field), c.Fields[field]
			source := "field " + field + " of " + c.Reference
			if other, taken := from[fold(name)]; taken {
				return nil, fmt.Errorf("%w: %s and %s would both be %s; give one credential another prefix, as in --credential %s=OTHER",
					ErrVariable, other, source, name, c.Reference)
			}
			from[fold(name)] = source
			if credential.SteersPrograms(name) {
				return nil, fmt.Errorf("%w: %s would be %s, which changes how programs run; give the credential another prefix, as in --credential %s=OTHER",
					ErrVariable, source, name, c.Reference)
			}
			if bytes.IndexByte(value, 0) >= 0 {
				return nil, fmt.Errorf("%w: %s holds a NUL byte, which a variable cannot; have the command read it from strongroom-agent get %s --field %s",
					ErrVariable, source, c.Reference, field)
			}
			environment = append(environment, name+"="+string(value))
		}
	}
	slices.Sort(environment)
	return environment, nil
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
