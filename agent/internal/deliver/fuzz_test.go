package deliver

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
)

// Whatever a server says of a tool's variable, exec sets what an environment can carry and what steers no program.
func FuzzToolVariables(f *testing.F) {
	f.Add("PGPASSWORD", "{password}", "pw")
	f.Add("URL", "db://{user}:{password}@{", "pw")
	f.Add("LD_PRELOAD", "}{", "\x00")
	f.Add("A=B", "{password}{password}", "{password}")
	f.Fuzz(func(t *testing.T, name, template, password string) {
		got, err := Environment([]Credential{{
			Reference: "crm", Fields: fields("password", password, "user", "etl"), Tools: map[string]string{name: template},
		}})
		if err != nil {
			return
		}
		set := 0
		for _, v := range got {
			variable, value, _ := strings.Cut(v, "=")
			if credential.SteersPrograms(variable) || !validVariable(variable) || strings.Contains(value, "\x00") {
				t.Errorf("%q is set", v)
			}
			if variable != "CRM_PASSWORD" && variable != "CRM_USER" {
				set++
			}
		}
		if set > 1 || set == 1 && strings.Contains(template, "{password}") && password == "" {
			t.Errorf("%q of %q: %q", name, template, got)
		}
	})
}
