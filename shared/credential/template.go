package credential

import (
	"fmt"
	"strings"
)

// Expand replaces each {field} of a template by what value gives for it. A field that value does not know, and a brace
// without its partner, are errors; there is no way to write a literal brace.
func Expand(template string, value func(field string) (string, bool)) (string, error) {
	var out strings.Builder
	for rest := template; rest != ""; {
		before, after, open := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return "", fmt.Errorf("%w template: a } without {", ErrInvalid)
		}
		out.WriteString(before)
		if !open {
			break
		}
		field, tail, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("%w template: a { without }", ErrInvalid)
		}
		text, known := value(field)
		if !known {
			return "", fmt.Errorf("%w template: it names the field %q, which there is not", ErrInvalid, field)
		}
		out.WriteString(text)
		rest = tail
	}
	return out.String(), nil
}
