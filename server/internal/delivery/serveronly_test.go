package delivery

import (
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/envelope"
)

// A host is given the access token, and nothing that new ones are had with: not the client's secret, not its key, not
// the refresh token.
func TestServerOnlyFieldsStay(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	a.open()
	value := credential.Value{}
	defer value.Wipe()
	for _, name := range []string{"client_secret", "refresh_token", "access_token"} {
		var err error
		value[name], err = f.Arena.From([]byte("canary-" + name))
		f.must(err)
	}
	c, err := f.vault.Add(t.Context(), alice, "crm", vault.Change{
		Application: "generic-rest", AuthType: credential.OAuth2, Value: value,
		Fields: map[string]string{"url": "https://api.example.com", "client_id": "id", "token_url": "https://login.example.com/token"},
	})
	f.must(err)
	f.grantAll("g", "crm")
	l, err := a.lease("crm")
	f.must(err)
	var names []string
	for _, field := range l.GetFields() {
		names = append(names, field.GetName())
		opened, err := a.opener.Open(field.GetSealed(), envelope.Context{Request: "r1", Credential: c.ID, Version: 1, Field: field.GetName()})
		f.must(err)
		if text := string(opened.Reveal()); strings.Contains(text, "canary") && text != "canary-access_token" {
			t.Errorf("field %s carries %s", field.GetName(), text)
		}
		opened.Wipe()
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "access_token client_id grant token_url url" {
		t.Errorf("the host is given %s", got)
	}
}
