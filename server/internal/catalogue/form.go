package catalogue

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// mostErrors is how many of a file's errors of form are named at a time.
const mostErrors = 5

// formError says where a file has not the form of an application, in the file's words and not in Go's. It names keys and
// repeats no value: the file may be another than was meant.
func formError(err error) error {
	var all *yaml.LoadErrors
	var one *yaml.LoadError
	var lines []string
	switch {
	case errors.As(err, &all):
		for i, e := range all.Errors {
			if i == mostErrors {
				lines = append(lines, fmt.Sprintf("and %d more", len(all.Errors)-i))
				break
			}
			lines = append(lines, formLine(e))
		}
	case errors.As(err, &one):
		lines = append(lines, formLine(one))
	default:
		return errors.New("the file is not YAML that can be read")
	}
	return errors.New(strings.Join(lines, "; "))
}

func formLine(e *yaml.LoadError) string {
	what := e.Message
	key, isKey := strings.CutPrefix(what, "field ")
	if key, _, found := strings.Cut(key, " not found in type "); isKey && found {
		what = fmt.Sprintf("there is no key %.64s here", key)
	} else if at := strings.LastIndex(what, " into "); at >= 0 {
		what = "expected " + formOf(what[at+len(" into "):])
	} else if strings.Contains(what, "`") { // which quotes the value
		what = "a value is not what its tag says"
	}
	if e.Mark.Line == 0 {
		return what // the parser does not say where
	}
	return fmt.Sprintf("line %d: %s", e.Mark.Line, what)
}

// formOf names the YAML that a Go type is read from.
func formOf(goType string) string {
	switch {
	case goType == "string" || strings.HasPrefix(goType, "credential.") && !strings.HasSuffix(goType, "Injection") && !strings.HasSuffix(goType, "Policy"):
		return "a text"
	case goType == "int":
		return "a whole number"
	case goType == "bool":
		return "true or false"
	case goType == "[]string":
		return "a list of texts"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	}
	return "a list of keys with their values"
}
