package catalogue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// Difference is what two definitions of an application have differently of one kind: origins, auth types, fields, and so
// on. Each line is complete by itself.
type Difference struct {
	What    string
	Removed []string
	Added   []string
}

// kinds are what a definition is taken apart into, those first by which a secret could go elsewhere.
var kinds = []struct {
	what string
	of   func(Application) []string
}{
	{"auth types", func(a Application) []string { return texts(a.AuthTypes) }},
	{"origins", Application.originLines},
	{"endpoints", Application.endpointLines},
	{"injection", Application.injectionLines},
	{"fields", Application.fieldLines},
	{"env", Application.variableLines},
	{"files", func(a Application) []string { return eachJSON(a.Files) }},
	{"passwords", func(a Application) []string { return []string{asJSON(a.PasswordPolicy)} }},
	{"texts", Application.textLines},
}

// Compare takes two definitions apart and gives what they do not have in common. Nothing: they are alike. The zero
// Application is nothing at all.
func Compare(before, after Application) (out []Difference) {
	for _, kind := range kinds {
		had, has := kind.of(before), kind.of(after)
		if len(before.Auth) == 0 {
			had = nil
		}
		if len(after.Auth) == 0 {
			has = nil
		}
		d := Difference{What: kind.what, Removed: without(had, has), Added: without(has, had)}
		if len(d.Removed)+len(d.Added) > 0 {
			out = append(out, d)
		}
	}
	if len(out) == 0 && asJSON(before) != asJSON(after) {
		out = append(out, Difference{What: "order", Added: []string{"the same things stand in another order"}})
	}
	return out
}

func without(lines, others []string) (out []string) {
	for _, line := range lines {
		if !slices.Contains(others, line) && !slices.Contains(out, line) && line != "{}" {
			out = append(out, line)
		}
	}
	return out
}

// ofEach puts the auth type before each of its lines.
func (a Application) ofEach(lines func(Auth) []string) (out []string) {
	for _, auth := range a.Auth {
		for _, line := range lines(auth) {
			out = append(out, string(auth.Type)+": "+line)
		}
	}
	return out
}

func (a Application) originLines() []string {
	return a.ofEach(func(auth Auth) []string {
		templates, own := a.origins(auth)
		out := slices.Clone(templates)
		for _, f := range own {
			if f.Origin {
				out = append(out, fmt.Sprintf("the field %s%s", f.Name, defaultOf(f.Default)))
			}
		}
		return out
	})
}

func (a Application) endpointLines() []string {
	out := a.ofEach(func(auth Auth) []string {
		p := a.Probe(auth.Type)
		if p == nil {
			return nil
		}
		line := "shown to be good by " + p.Method + " " + p.URL
		rest := *p
		rest.Method, rest.URL = "", ""
		return []string{line + " " + asJSON(rest)}
	})
	if a.OAuth2 == nil {
		return out
	}
	rest := *a.OAuth2
	rest.AuthorizeURL, rest.TokenURL, rest.DeviceURL, rest.RevokeURL = "", "", "", ""
	for _, at := range []struct{ name, url string }{
		{"authorize_url", a.OAuth2.AuthorizeURL}, {"token_url", a.OAuth2.TokenURL}, {"device_url", a.OAuth2.DeviceURL}, {"revoke_url", a.OAuth2.RevokeURL},
	} {
		if at.url != "" {
			out = append(out, at.name+" "+at.url)
		}
	}
	return append(out, "oauth2 "+asJSON(rest))
}

func (a Application) injectionLines() []string {
	return a.ofEach(func(auth Auth) []string {
		if in := asJSON(auth.Inject); in != "{}" {
			return []string{in}
		}
		return nil
	})
}

func (a Application) fieldLines() []string {
	return a.ofEach(func(auth Auth) (out []string) {
		fields, _ := a.Fields(auth.Type) // it takes the type
		for _, f := range fields {
			out = append(out, f.Name+" ("+strings.Join(traits(f), ", ")+")"+defaultOf(f.Default))
		}
		return out
	})
}

func traits(f credential.Field) []string {
	out := []string{map[bool]string{true: "required", false: "optional"}[f.Required]}
	for _, is := range []struct {
		so   bool
		word string
	}{{f.Secret, "secret"}, {f.ServerOnly, "never leaves the server"}, {f.Password, "a password"}} {
		if is.so {
			out = append(out, is.word)
		}
	}
	if f.Format != "" {
		out = append(out, string(f.Format))
	}
	if len(f.Choices) > 0 {
		out = append(out, strings.Join(f.Choices, " or "))
	}
	return out
}

func defaultOf(text string) string {
	if text == "" {
		return ""
	}
	return ", else " + text
}

func (a Application) variableLines() []string {
	return a.ofEach(func(auth Auth) (out []string) {
		for _, variable := range slices.Sorted(maps.Keys(auth.Env)) {
			out = append(out, variable+" is "+auth.Env[variable])
		}
		return out
	})
}

// textLines are what is for people, and how long a credential lasts.
func (a Application) textLines() []string {
	out := []string{"title " + a.Title, "category " + a.Category}
	for _, link := range a.Docs {
		out = append(out, "docs "+link)
	}
	for _, text := range a.Unverified {
		out = append(out, "unverified "+text)
	}
	ofTypes := a.ofEach(func(auth Auth) (out []string) {
		if auth.Title != "" {
			out = append(out, "title "+auth.Title)
		}
		if auth.ExpiresDays > 0 {
			out = append(out, fmt.Sprintf("lasts %d days", auth.ExpiresDays))
		}
		return append(out, helpLines(auth.Own)...)
	})
	return slices.Concat(out, ofTypes, helpLines(a.Own))
}

func helpLines(fields []Field) (out []string) {
	for _, f := range fields {
		if f.Help != "" {
			out = append(out, f.Name+": "+f.Help)
		}
	}
	return out
}

func texts[T ~string](in []T) (out []string) {
	for _, t := range in {
		out = append(out, string(t))
	}
	return out
}

func eachJSON[T any](in []T) (out []string) {
	for _, v := range in {
		out = append(out, asJSON(v))
	}
	return out
}

// asJSON writes what is set. It cannot fail: there are texts, numbers and lists of them only.
func asJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return strings.TrimSpace(b.String())
}
