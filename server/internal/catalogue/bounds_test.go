package catalogue

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
)

// listed is n members of a list, or of a map, each with its number in the place of #.
func listed(n int, member string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.ReplaceAll(member, "#", fmt.Sprint(i))
	}
	return strings.Join(out, ", ")
}

// The beginnings of files: of every one, and of one that would do.
const (
	head  = "name: x\ntitle: X\ncategory: c\n"
	basic = head + "auth_types: [{type: basic}]\norigins: [\"https://a.example\"]\n"
)

// wantBound parses a file with as much as may be at a member of it, and one with one more, of which complaint says so.
func wantBound(t *testing.T, at string, may int, file func(n int) string, complaint string) {
	t.Helper()
	if _, err := Parse([]byte(file(may))); err != nil {
		t.Errorf("%s: %d: %v", at, may, err)
	}
	want := fmt.Sprintf(complaint, at, may+1, may)
	if _, err := Parse([]byte(file(may + 1))); err == nil || err.Error() != want {
		t.Errorf("%s: %d: %v", at, may+1, err)
	}
}

// What a file may cost is bounded by what may be in it: the first number is taken, one more is not.
func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	const oauth = head + "auth_types: [{type: oauth2}]\noauth2: {token_url: \"https://a.example/t\", "
	const probe = "validate: {method: GET, url: \"https://a.example/\", "
	for _, v := range []struct {
		at, before, member, after string
		may                       int
	}{
		{"docs", basic + "docs: [", "\"https://a.example/#\"", "]", 16},
		{"unverified", basic + "unverified: [", "u#", "]", 16},
		{"fields", basic + "fields: [", "{name: f#, help: h}", "]", 64},
		{"fields[0].choices", basic + "fields: [{name: f, help: h, format: choice, choices: [", "c#", "]}]", 64},
		{"origins", head + "auth_types: [{type: basic}]\norigins: [", "\"https://a#.example\"", "]", 32},
		{"files", basic + "files: [", "{path: p#, template: x, type: basic}", "]", 16},
		{"validate.status", basic + probe + "status: [", "200", "]}", 16},
		{"validate.headers", basic + probe + "status: [200], headers: {", "H#: v", "}}", 16},
		{"auth_types[0].fields", head + "auth_types: [{type: basic, fields: [", "{name: f#, help: h}", "]}]", 64},
		{"auth_types[0].origins", head + "auth_types: [{type: basic, origins: [", "\"https://a#.example\"", "]}]", 32},
		{"auth_types[0].env", head + "auth_types: [{type: basic, env: {", "A#: username", "}}]", 64},
		{"auth_types[0].inject.headers", head + "auth_types: [{type: basic, inject: {headers: {", "H#: v", "}}}]", 16},
		{"oauth2.scopes", oauth + "grants: [client_credentials], scopes: [", "s#", "]}", 64},
		{"oauth2.authorize_params", oauth + "grants: [client_credentials], authorize_params: {", "p#: v", "}}", 16},
	} {
		file := func(n int) string { return v.before + listed(n, v.member) + v.after }
		wantBound(t, v.at, v.may, file, "%s: there are %d, at most %d are taken")
	}
	for at, text := range map[string]string{
		"auth_types":    head + "auth_types: [" + listed(17, "{type: basic}") + "]",
		"oauth2.grants": oauth + "grants: [" + listed(17, "client_credentials") + "]}",
		// An alias costs three bytes for a list of any length.
		"origins": head + "auth_types: [{type: basic, origins: &o [" + listed(33, "\"https://a#.example\"") + "]}]\norigins: *o\n",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), at+": there are ") {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestTemplatesAreBounded(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		at, before, begin, after string
		may                      int
	}{
		{"origins[0]", head + "auth_types: [{type: basic}]\norigins: [\"", "https://a.example/", "\"]", 1024},
		{"auth_types[0].origins[0]", head + "auth_types: [{type: basic, origins: [\"", "https://a.example/", "\"]}]", 1024},
		{"auth_types[0].inject.basic", head + "auth_types: [{type: basic, inject: {basic: \"", "a:", "\"}}]", 1024},
		{"auth_types[0].inject.headers.H", head + "auth_types: [{type: basic, inject: {headers: {H: \"", "", "\"}}}]", 1024},
		{"validate.url", basic + "validate: {method: GET, status: [200], url: \"", "https://a.example/", "\"}", 1024},
		{"oauth2.token_url", head + "auth_types: [{type: oauth2}]\noauth2: {grants: [client_credentials], token_url: \"", "https://a.example/", "\"}", 1024},
		{"files[0].template", basic + "files: [{path: p, type: basic, template: \"", "", "\"}]", 8192},
	} {
		file := func(n int) string { return v.before + v.begin + strings.Repeat("a", n-len(v.begin)) + v.after }
		wantBound(t, v.at, v.may, file, "%s: it is %d bytes long, at most %d are taken")
	}
}

// worstFile fills every bound at once, by aliases where that is shorter.
func worstFile() []byte {
	template := "https://a.example/" + strings.Repeat("{f63}", 201)
	var b strings.Builder
	b.WriteString("name: x\ntitle: X\ncategory: c\nauth_types:\n")
	for i, t := range credential.AuthTypes() {
		if i == 0 {
			fmt.Fprintf(&b, "- {type: %s, fields: &g [%s]}\n", t, listed(64, "{name: g#, help: h}"))
			continue
		}
		fmt.Fprintf(&b, "- {type: %s, fields: *g}\n", t)
	}
	fmt.Fprintf(&b, "fields: [%s]\n", listed(64, "{name: f#, help: h}"))
	fmt.Fprintf(&b, "origins: [&o \"%s\"%s]\n", template, strings.Repeat(", *o", 31))
	fmt.Fprintf(&b, "files: [{path: p, type: basic, template: &t \"%s\"}%s]\n", strings.Repeat("{f63}", 1638), strings.Repeat(", {path: p, type: basic, template: *t}", 15))
	fmt.Fprintf(&b, "validate: {method: GET, status: [200], url: *o}\n")
	return []byte(b.String())
}

// The worst that the bounds let through is still read; BenchmarkWorstFile says how long that takes.
func TestWorstFile(t *testing.T) {
	t.Parallel()
	if _, err := Parse(worstFile()); err != nil {
		t.Error(err)
	}
}

func BenchmarkWorstFile(b *testing.B) {
	text := worstFile()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
