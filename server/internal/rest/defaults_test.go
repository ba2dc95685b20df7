package rest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

// A credential shows the defaults of its application as its own, and ends as that says where nobody said it.
func TestApplicationsDefaults(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	app := must(c.Application(ctx, "gitlab"))(t)
	if text := string(must(json.Marshal(app.ExpiresDays))(t)); text != `{"access_token":365}` {
		t.Errorf("the days are %s", text)
	}
	never, later := time.Time{}, time.Date(2033, 1, 2, 0, 0, 0, 0, time.UTC)
	add := func(name string, end *time.Time) *api.CredentialDetail {
		t.Helper()
		in := api.CredentialAdd{Name: name, Application: "gitlab", AuthType: "access_token", Expires: end}
		return must(c.AddCredential(ctx, in, api.Values{Secrets: map[string]*secret.Buffer{"token": s.secret("t")}}))(t)
	}
	plain := add("plain", nil)
	if text := string(must(json.Marshal(plain.Fields))(t)); text != `{"url":"https://gitlab.com"}` {
		t.Errorf("the fields are %s", text)
	}
	if plain.Expires == nil || plain.Expires.Sub(plain.Created).Round(time.Minute) != 8760*time.Hour {
		t.Errorf("made %s, it ends %v", plain.Created, plain.Expires)
	}
	if endless := add("endless", &never); endless.Expires != nil {
		t.Errorf("never: %s", endless.Expires)
	}
	if long := add("long", &later); long.Expires == nil || !long.Expires.Equal(later) {
		t.Errorf("2033-01-02: %v", long.Expires)
	}
	edited := must(c.EditCredential(ctx, "plain", 0, api.CredentialEdit{Expires: &never}, api.Values{}))(t)
	if edited.Expires != nil || edited.Version != 1 {
		t.Errorf("taken away: %v", edited.Expires)
	}
	edited = must(c.EditCredential(ctx, "plain", 0, api.CredentialEdit{}, api.Values{Secrets: map[string]*secret.Buffer{"token": s.secret("u")}}))(t)
	if edited.Expires == nil || edited.Expires.Sub(edited.Updated).Round(time.Minute) != 8760*time.Hour {
		t.Errorf("with a new token it ends %v", edited.Expires)
	}
}
