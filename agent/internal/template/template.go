// Package template makes a file's content out of a job's template and the fields of credentials. It knows text/template
// and three functions; it reads no file, asks nobody for a credential, and puts no value into an error.
package template

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"unicode/utf8"
)

// ErrTemplate means that a template is wrong, or cannot be filled in with what there is.
var ErrTemplate = errors.New("template")

const (
	// MaxSource bounds a template, in bytes.
	MaxSource = 256 << 10
	// MaxOutput bounds what is made of one, in bytes.
	MaxOutput = 1 << 20
)

// Lookup answers all fields of a credential by name. An error of it is Execute's, with the template's line before it.
type Lookup func(reference string) (map[string][]byte, error)

// Template is a parsed template. It is safe for concurrent use.
type Template struct {
	name   string
	source string
	parsed *template.Template
}

// Parse reads a template of at most MaxSource bytes. name is how errors call it, such as its file's name.
//
//	{{ field "crm" "password" }}         a field's value as it is
//	{{ field "crm" "password" | json }}  a JSON string with its quotes, which YAML reads as well
//	{{ field "crm" "password" | quote }} one word for a POSIX shell
//	{{ field "crm" "key" | base64 }}     for values that are not text
func Parse(name string, source []byte) (*Template, error) {
	if len(source) > MaxSource {
		return nil, fmt.Errorf("%w %s: it has %d bytes, and at most %d are allowed", ErrTemplate, name, len(source), MaxSource)
	}
	t := &Template{name: name, source: string(source)}
	var err error
	t.parsed, err = template.New(name).Option("missingkey=error").Funcs(t.functions(nil)).Parse(t.source)
	if err != nil {
		return nil, fmt.Errorf("%w %s", ErrTemplate, strings.TrimPrefix(err.Error(), "template: "))
	}
	return t, nil
}

// Execute fills the template in. Its errors wrap ErrTemplate, and what look failed with; they name the template's line,
// and the credential and field that the template asks for there.
func (t *Template) Execute(look Lookup) ([]byte, error) {
	filling, err := t.parsed.Clone()
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrTemplate, t.name, err)
	}
	out := &bounded{}
	// There is no data to reach into: whatever is not a function's answer is an error.
	if err := filling.Funcs(t.functions(look)).Execute(out, struct{}{}); err != nil {
		clear(out.Bytes())
		return nil, t.failed(err)
	}
	return out.Bytes(), nil
}

func (t *Template) functions(look Lookup) template.FuncMap {
	return template.FuncMap{
		"field":  func(reference, name string) (string, error) { return t.field(look, reference, name) },
		"json":   quoteJSON,
		"quote":  quoteShell,
		"base64": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	}
}

func (t *Template) field(look Lookup, reference, name string) (string, error) {
	// What the template computed may be a value: only what stands in it is repeated.
	if !strings.Contains(t.source, reference) || !strings.Contains(t.source, name) {
		return "", &ownError{errors.New("field wants a reference and a field that stand in the template")}
	}
	fields, err := look(reference)
	if err != nil {
		return "", &ownError{fmt.Errorf("field %q %q: %w", reference, name, err)}
	}
	value, ok := fields[name]
	if !ok {
		return "", &ownError{fmt.Errorf("field %q %q: the credential has no such field", reference, name)}
	}
	return string(value), nil
}

func quoteJSON(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", &ownError{errors.New("json: the value is not UTF-8; use base64")}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return "", &ownError{errors.New("json: the value cannot be written")}
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func quoteShell(s string) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", &ownError{errors.New("quote: the value holds a NUL byte, which no shell can; use base64")}
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'", nil
}

// ownError is one whose text holds no value. Those of text/template may.
type ownError struct{ error }

func (e *ownError) Unwrap() error { return e.error }

// place is what text/template says before and about the action that failed; both are the template's own text.
var place = regexp.MustCompile(`^:(\d+)(?::\d+)?: executing (?s:.*?) at (<.*?>): `)

// failed keeps of an error of text/template's what cannot hold a value.
func (t *Template) failed(err error) error {
	line, action := "", "an action"
	if m := place.FindStringSubmatch(strings.TrimPrefix(err.Error(), "template: "+t.name)); m != nil {
		line, action = " line "+m[1], m[2]
	}
	var own *ownError
	if errors.As(err, &own) {
		return fmt.Errorf("%w %s%s: %w", ErrTemplate, t.name, line, own.error)
	}
	return fmt.Errorf("%w %s%s: %s cannot be done with the values that there are", ErrTemplate, t.name, line, strconv.Quote(action))
}

// bounded is what a template writes to.
type bounded struct{ bytes.Buffer }

var errTooLong = &ownError{fmt.Errorf("it makes more than %d bytes", MaxOutput)}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > MaxOutput {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}
