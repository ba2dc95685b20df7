package catalogue

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// expandURL fills a template such as https://{instance}.example.com/{path} with the plain fields. whole is false where
// one of them is empty. What a field adds cannot change the place that the template names: in the host it may be
// a host name's characters only, in path and query it is escaped; a field that begins the template is a whole URL.
func expandURL(template string, fields []credential.Field, plain map[string]string) (text string, whole bool, err error) {
	whole = true
	at := 0
	var wrong error
	text, err = credential.Expand(template, func(name string) (string, bool) {
		start := strings.Index(template[at:], "{"+name+"}") + at
		at = start + len(name) + 2
		i := indexOf(fields, name)
		if i < 0 || fields[i].Secret {
			return "", false
		}
		value := plain[name]
		if value == "" {
			whole = false
			return "", true
		}
		switch {
		case start == 0:
			if _, err := credential.OriginOfAny(name, value); err != nil && wrong == nil {
				wrong = err
			}
			return strings.TrimSuffix(value, "/"), true
		case inHost(template[:start]):
			if !hostPart(value, template[:start]) && wrong == nil {
				wrong = fmt.Errorf("%w field %s: letters, digits, hyphens and inner dots only", credential.ErrInvalid, name)
			}
			return value, true
		}
		return url.PathEscape(value), true
	})
	return text, whole, cmp.Or(err, wrong)
}

// indexOf is where the field of a name is, or -1.
func indexOf(fields []credential.Field, name string) int {
	for i := range fields { // by place: a field is too large to be copied for each
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}

// inHost says whether what follows prefix in a URL still belongs to host and port.
func inHost(prefix string) bool {
	_, rest, found := strings.Cut(prefix, "://")
	return !found || !strings.ContainsAny(rest, "/?#")
}

// hostPart says whether a text may stand in a host. A field that is the whole host may also be an IP address.
func hostPart(s, prefix string) bool {
	if strings.HasSuffix(prefix, "://") && strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = strings.ReplaceAll(s[1:len(s)-1], ":", "")
	}
	if s == "" || strings.Trim(s, ".-") != s || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

// samples are harmless values, one for each field by its format.
func samples(fields []credential.Field) map[string]string {
	out := map[string]string{}
	for _, f := range fields {
		switch {
		case f.Secret:
		case f.Format == credential.FormatURL:
			out[f.Name] = "https://sample.example.com"
		case f.Format == credential.FormatPort, f.Format == credential.FormatNumber:
			out[f.Name] = "1"
		case f.Format == credential.FormatChoice:
			out[f.Name] = f.Choices[0]
		default:
			out[f.Name] = "sample"
		}
	}
	return out
}

// sample fills a template with harmless values, and fails where no URL comes out.
func sample(template string, fields []credential.Field) (string, error) {
	if template == "" {
		return "", errors.New("it is empty")
	}
	text, _, err := expandURL(template, fields, samples(fields))
	if err != nil {
		return "", err
	}
	_, err = credential.OriginOfAny("url", text)
	return text, err
}
