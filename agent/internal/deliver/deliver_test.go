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
