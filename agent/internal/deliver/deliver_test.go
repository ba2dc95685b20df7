package deliver

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func fields(pairs ...string) map[string][]byte {
	m := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = []byte(pairs[i+1])
	}
	return m
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		credentials []Credential
		want        []string
	}{
		{"none", nil, nil},
		{"a reference", []Credential{{Reference: "salesforce-prod", Fields: fields("password", "p=w\n", "user.name", "")}},
			[]string{"SALESFORCE_PROD_PASSWORD=p=w\n", "SALESFORCE_PROD_USER_NAME="}},
		{"an application", []Credential{{Reference: "app:salesforce", Fields: fields("k", "\xff")}}, []string{"APP_SALESFORCE_K=\xff"}},
		{"a person's", []Credential{{Reference: "alice/payroll", Fields: fields("DatabaseURL", "x")}}, []string{"ALICE_PAYROLL_DATABASEURL=x"}},
		{"a leading digit", []Credential{{Reference: "3scale", Fields: fields("4th", "x")}}, []string{"_3SCALE_4TH=x"}},
		{"not ASCII", []Credential{{Reference: "é", Fields: fields("clé", "x")}}, []string{"__CL_=x"}},
		{"a prefix as it is", []Credential{{Reference: "3scale", Prefix: "My_p1", Fields: fields("k", "x")}}, []string{"My_p1_K=x"}},
		{"two", []Credential{{Reference: "b", Fields: fields("k", "2")}, {Reference: "a", Fields: fields("k", "1")}}, []string{"A_K=1", "B_K=2"}},
		{"names that are only like those that steer", []Credential{{Reference: "ld", Fields: fields("sdk-key", "x")}, {Reference: "path", Fields: fields("k", "y")}},
			[]string{"LD_SDK_KEY=x", "PATH_K=y"}},
	} {
		if got, err := Environment(c.credentials); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestToolVariables(t *testing.T) {
	t.Parallel()
	postgres := map[string]string{"PGHOST": "{host}", "PGUSER": "{username}", "PGPASSWORD": "{password}", "PGDATABASE": "{database}"}
	for _, c := range []struct {
		name        string
		credentials []Credential
		want        []string
	}{
		{"beside the fields, and not of what is empty or not there",
			[]Credential{{Reference: "pg", Fields: fields("host", "db", "password", "p=w", "database", ""), Tools: postgres}},
			[]string{"PGHOST=db", "PGPASSWORD=p=w", "PG_DATABASE=", "PG_HOST=db", "PG_PASSWORD=p=w"}},
		{"with a prefix",
			[]Credential{{Reference: "pg", Prefix: "DB", Fields: fields("host", "db"), Tools: postgres}}, []string{"DB_HOST=db", "PGHOST=db"}},
		{"composed",
			[]Credential{{Reference: "pg", Fields: fields("u", "etl", "p", "pw"), Tools: map[string]string{"URL": "db://{u}:{p}@h", "NO": "{u}{absent}"}}},
			[]string{"PG_P=pw", "PG_U=etl", "URL=db://etl:pw@h"}},
		{"the name that the prefix makes too",
			[]Credential{{Reference: "github", Fields: fields("token", "t"), Tools: map[string]string{"GITHUB_TOKEN": "{token}", "GH_TOKEN": "{token}"}}},
			[]string{"GH_TOKEN=t", "GITHUB_TOKEN=t"}},
		{"one credential with two prefixes",
			[]Credential{{Reference: "pg", Fields: fields("host", "db"), Tools: postgres}, {Reference: "pg", Prefix: "X", Fields: fields("host", "db"), Tools: postgres}},
			[]string{"PGHOST=db", "PG_HOST=db", "X_HOST=db"}},
		{"two that share a tool, and no variable that would be set",
			[]Credential{{Reference: "a", Fields: fields("host", "db"), Tools: postgres}, {Reference: "b", Fields: fields("password", "pw"), Tools: postgres}},
			[]string{"A_HOST=db", "B_PASSWORD=pw", "PGHOST=db", "PGPASSWORD=pw"}},
		{"a value that looks like a template",
			[]Credential{{Reference: "pg", Fields: fields("password", "{host}", "host", "db"), Tools: postgres}},
			[]string{"PGHOST=db", "PGPASSWORD={host}", "PG_HOST=db", "PG_PASSWORD={host}"}},
	} {
		if got, err := Environment(c.credentials); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestToolVariablesRefused(t *testing.T) {
	t.Parallel()
	of := func(ref, variable, template string) Credential {
		return Credential{Reference: ref, Fields: fields("k", "hunter22", "j", "hunter22"), Tools: map[string]string{variable: template}}
	}
	for _, c := range []struct {
		name        string
		credentials []Credential
		want        []string
	}{
		{"two credentials", []Credential{of("src", "PGPASSWORD", "{k}"), of("dst", "PGPASSWORD", "{k}")},
			[]string{"the tool variable of src and the tool variable of dst would both be PGPASSWORD", "--no-tool-variables"}},
		{"a field's of another credential", []Credential{of("a", "B_K", "{k}"), of("b", "X", "{k}")},
			[]string{"the tool variable of a and field k of b would both be B_K", "--no-tool-variables"}},
		{"another field's of the same credential", []Credential{of("a", "A_K", "{j}")},
			[]string{"field k of a and the tool variable of a would both be A_K", "--no-tool-variables"}},
		{"a loader's", []Credential{of("a", "LD_PRELOAD", "{k}")}, []string{"LD_PRELOAD, which changes how programs run", "--no-tool-variables"}},
		{"a loader's that would not be set", []Credential{of("a", "PATH", "{absent}")}, []string{"PATH, which changes how programs run"}},
		{"a shell's function", []Credential{of("a", "BASH_FUNC_ls", "x")}, []string{"which changes how programs run"}},
		{"no name", []Credential{of("a", "A=B", "{k}")}, []string{`"A=B", which is no variable's name`}},
		{"an empty name", []Credential{of("a", "", "{k}")}, []string{"which is no variable's name"}},
		{"no template", []Credential{of("a", "A", "{k")}, []string{"A of a: invalid template"}},
		{"a NUL", []Credential{of("a", "A", "\x00{k}")}, []string{"A of a holds a NUL byte"}},
	} {
		got, err := Environment(c.credentials)
		if !errors.Is(err, ErrVariable) || got != nil || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %q, %v", c.name, got, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q", c.name, err, want)
			}
		}
	}
}

func TestEnvironmentRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		credentials []Credential
		want        string
	}{
		{"two fields", []Credential{{Reference: "crm", Fields: fields("a-b", "hunter22", "a.b", "hunter22")}},
			"field a-b of crm and field a.b of crm would both be CRM_A_B"},
		{"two credentials", []Credential{{Reference: "a-b", Fields: fields("k", "hunter22")}, {Reference: "x", Prefix: "A_B", Fields: fields("k", "hunter22")}},
			"field k of a-b and field k of x would both be A_B_K"},
		{"prefix and field meet", []Credential{{Reference: "a", Fields: fields("b-c", "hunter22")}, {Reference: "a-b", Fields: fields("c", "hunter22")}},
			"would both be A_B_C; give one credential another prefix, as in --credential a-b=OTHER"},
		{"a NUL", []Credential{{Reference: "crm", Fields: fields("key", "hunter22\x00")}}, "field key of crm holds a NUL byte"},
		{"prefix with a dash", []Credential{{Reference: "crm", Prefix: "a-b", Fields: fields("k", "")}}, `"a-b" cannot begin`},
		{"prefix with a digit first", []Credential{{Reference: "crm", Prefix: "1a", Fields: fields("k", "")}}, `"1a" cannot begin`},
		{"prefix with another letter", []Credential{{Reference: "crm", Prefix: "ſ", Fields: fields("k", "")}}, `cannot begin`},
		{"prefix with an =", []Credential{{Reference: "crm", Prefix: "a=b", Fields: fields("k", "")}}, `cannot begin`},
		{"a loader's variable", []Credential{{Reference: "ld", Fields: fields("preload", "hunter22")}}, "LD_PRELOAD, which changes how programs run"},
		{"a loader's variable by prefix", []Credential{{Reference: "x", Prefix: "ld_library", Fields: fields("path", "hunter22")}}, "ld_library_PATH, which"},
		{"a shell's function", []Credential{{Reference: "bash", Fields: fields("func-ls", "hunter22")}}, "BASH_FUNC_LS, which"},
	} {
		got, err := Environment(c.credentials)
		if !errors.Is(err, ErrVariable) || got != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}
