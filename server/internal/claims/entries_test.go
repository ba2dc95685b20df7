package claims

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEntries(t *testing.T) {
	t.Parallel()
	const issuer = "https://ci.example.com:8443/a"
	for _, c := range []struct {
		claims string
		want   []string
	}{
		{`{}`, nil},
		{`{"project_path":"group/app"}`, []string{"project_path=group/app"}},
		{`{"a":"x=y:z","b":""}`, []string{"a=x=y:z", "b="}},
		{`{"n":42,"f":1.50,"e":1e3,"minus":-0,"big":12345678901234567890}`, []string{"big=12345678901234567890", "e=1e3", "f=1.50", "minus=-0", "n=42"}},
		{`{"yes":true,"no": false ,"none":null}`, []string{"no=false", "yes=true"}},
		{`{"groups":["b","a","a",3,true,null,{"c":"d"},["e"]]}`, []string{"groups=3", "groups=a", "groups=b", "groups=true"}},
		{`{"nested":{"sub":"root","a":{"b":1}},"empty":[],"lists":[[]]}`, nil},
		{`{"exp":1,"nbf":1,"iat":1,"jti":"x","EXP":2}`, []string{"EXP=2"}},
		{`{"a:sub":"x","a=b":"x","":"x","https://example.com/role":"admin"}`, nil},
		{`{"utf":"\u00fc\ud83d\ude00","line":"a\nb"}`, []string{"line=a\nb", "utf=ü😀"}},
		{`{"a":"` + strings.Repeat("x", 500-len(issuer)-3) + `","b":"` + strings.Repeat("x", 500-len(issuer)-2) + `"}`,
			[]string{"a=" + strings.Repeat("x", 500-len(issuer)-3)}},
	} {
		var all map[string]json.RawMessage
		if err := json.Unmarshal([]byte(c.claims), &all); err != nil {
			t.Fatal(err)
		}
		got, err := entries(issuer, all)
		var want []string
		for _, entry := range c.want {
			want = append(want, issuer+":"+entry)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%.60s: %q, %v, want %q", c.claims, got, err, want)
		}
	}
}

func TestTooManyEntries(t *testing.T) {
	t.Parallel()
	list := func(n, size int) map[string]json.RawMessage {
		var groups []string
		for i := range n {
			groups = append(groups, fmt.Sprintf("%0*d", size, i))
		}
		b, err := json.Marshal(groups)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]json.RawMessage{"g": b}
	}
	const issuer = "https://a" // each entry is 12 bytes longer than its value
	for _, c := range []struct {
		n, size int
		good    bool
	}{{256, 10, true}, {257, 10, false}, {128, 244, true}, {128, 245, false}} {
		got, err := entries(issuer, list(c.n, c.size))
		if c.good && (err != nil || len(got) != c.n) || !c.good && (!errors.Is(err, ErrToken) || got != nil) {
			t.Errorf("%d of %d bytes: %d entries, %v", c.n, c.size, len(got), err)
		}
	}
}
