package credential

import (
	"strings"
	"testing"
)

// FuzzParseReference: what is read is written back as it was, and is made of names alone.
func FuzzParseReference(f *testing.F) {
	f.Add("salesforce-prod")
	f.Add("app:salesforce")
	f.Add("alice/payroll")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err != nil {
			return
		}
		if r.String() != s || len(s) > 127 || strings.ContainsAny(s, "\x00 @\n") || strings.Contains(s, "//") {
			t.Errorf("%q is read as %+v", s, r)
		}
	})
}
