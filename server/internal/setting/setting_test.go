package setting_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

var alice = grant.Person{ID: "a", Name: "alice", Permissions: grant.AllPermissions}

func open(t *testing.T, r *roomtest.Rooms) *setting.Settings {
	t.Helper()
	s, err := setting.Open(r.Barrier, r.Log)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSettings(t *testing.T) {
	t.Parallel()
	r := roomtest.Open(t)
	s := open(t, r)
	if s.Duration(setting.SessionIdle) != 30*time.Minute || !s.On(setting.Requests) || s.Count(setting.PasswordMin) != 12 || len(s.Words(setting.PasswordBanned)) != 0 {
		t.Fatal("the defaults are not what they should be")
	}
	for _, c := range []struct {
		name       setting.Name
		text, want string // an empty want: refused
	}{
		{setting.Requests, "off", "off"},
		{setting.Requests, "", "on"},
		{setting.Requests, "no", ""},
		{setting.Requests, "ON", ""},
		{setting.SessionIdle, "90m", "1h30m0s"},
		{setting.SessionIdle, "1d", "24h0m0s"},
		{setting.SessionIdle, "0s", ""},
		{setting.SessionIdle, "59s", ""},
		{setting.SessionIdle, "25h", ""},
		{setting.SessionIdle, "-1h", ""},
		{setting.CustomLock, "0s", ""},
		{setting.CustomLock, "30s", ""},
		{setting.CustomLock, "99999d", ""},
		{setting.AuditRetention, "90d", "2160h0m0s"},
		{setting.AuditRetention, "1d", ""},
		{setting.PasswordMin, "14", "14"},
		{setting.PasswordMin, "8", ""},
		{setting.PasswordMin, "1e3", ""},
		{setting.JobIssuers, "https://gitlab.example.com, https://ci.example.com:8443/realms/a/", "https://gitlab.example.com,https://ci.example.com:8443/realms/a/"},
		{setting.JobIssuers, "http://gitlab.example.com", ""},
		{setting.JobIssuers, "https://gitlab.example.com,ci.example.com", ""},
		{setting.JobIssuers, "https://", ""},
		{setting.JobIssuers, "https://:443", ""},
		{setting.JobIssuers, "https://user@gitlab.example.com", ""},
		{setting.JobIssuers, "https://gitlab.example.com/?a", ""},
		{setting.JobIssuers, "https://gitlab.example.com/#a", ""},
		{setting.JobIssuers, "https://gitlab.example.com/a=b", ""},
		{setting.JobIssuers, "https://gitlab.example.com/a\x00b", ""},
		{setting.JobIssuers, "https://" + strings.Repeat("a", 2000), ""},
		{setting.JobAudience, "https://strongroom.example.com", "https://strongroom.example.com"},
		{setting.JobAudience, "strong room", ""},
		{setting.JobAudience, "a,b", ""},
		{setting.JobAudience, ",", ""},
		{setting.JobAudience, "a\nb", ""},
		{setting.JobAudience, strings.Repeat("a", 256), ""},
		{setting.JobAudience, "", "strongroom"},
		{setting.PasswordBanned, "acme, winter,", "acme,winter"},
		{setting.PasswordBanned, "a\x00b", ""},
		{setting.PasswordBanned, strings.Repeat("a", 1001), ""},
	} {
		before, _ := s.Get(c.name)
		got, err := s.Set(t.Context(), alice, c.name, c.text)
		if c.want == "" {
			after, _ := s.Get(c.name)
			if !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), string(c.name)) || after != before {
				t.Errorf("%s = %.20q: %v, and it is now %q", c.name, c.text, err, after.Value)
			}
			continue
		}
		if err != nil || got.Value != c.want {
			t.Errorf("%s = %q: %q, %v, want %q", c.name, c.text, got.Value, err, c.want)
		}
	}
	if got := s.Words(setting.JobIssuers); len(got) != 2 || got[1] != "https://ci.example.com:8443/realms/a/" {
		t.Errorf("issuers: %q", got)
	}
	if none, err := s.Set(t.Context(), alice, setting.JobIssuers, ""); err != nil || none.Value != "" || len(s.Words(setting.JobIssuers)) != 0 {
		t.Errorf("no issuers: %q, %v", none.Value, err)
	}
	if e := r.Newest(t, 2)[1]; e.Actor != "alice" || e.Action != "setting.set" || e.Target != "password-banned" || e.Outcome != "allowed" {
		t.Errorf("logged: %+v", e)
	}
	again := open(t, r)
	if again.Duration(setting.SessionIdle) != 24*time.Hour || !again.On(setting.Requests) || again.Count(setting.PasswordMin) != 14 {
		t.Error("what was set is not there after opening the vault again")
	}
	if got := again.Words(setting.PasswordBanned); len(got) != 2 || got[0] != "acme" || got[1] != "winter" {
		t.Errorf("words: %q", got)
	}
}

// What says which jobs get credentials takes the permission to grant as well.
func TestWhoMaySetWhatWidens(t *testing.T) {
	t.Parallel()
	r := roomtest.Open(t)
	s := open(t, r)
	editor := grant.Person{ID: "id-ed", Name: "ed", Permissions: grant.PermissionsOf(grant.SettingEdit)}
	granter := grant.Person{ID: "id-gr", Name: "gr", Permissions: grant.PermissionsOf(grant.SettingEdit, grant.GrantEdit)}
	for name, value := range map[setting.Name]string{setting.JobIssuers: "https://ci.example.com", setting.JobAudience: "others"} {
		before, _ := s.Get(name)
		if _, err := s.Set(t.Context(), editor, name, value); !errors.Is(err, setting.ErrRefused) {
			t.Errorf("%s by who may not grant: %v", name, err)
		}
		if now, _ := s.Get(name); now != before {
			t.Errorf("%s is %q after a refusal", name, now.Value)
		}
		if e := r.Newest(t, 1)[0]; e.Actor != "ed" || e.Action != "setting.set" || e.Outcome != "refused" || e.Reason != "needs grant.edit" {
			t.Errorf("logged: %+v", e)
		}
		if now, err := s.Set(t.Context(), granter, name, value); err != nil || now.Value != value {
			t.Errorf("%s by who may: %q, %v", name, now.Value, err)
		}
	}
	if _, err := s.Set(t.Context(), editor, setting.SessionIdle, "1h"); err != nil {
		t.Errorf("what widens nothing: %v", err)
	}
}

func TestUnknownSettings(t *testing.T) {
	t.Parallel()
	r := roomtest.Open(t)
	s := open(t, r)
	if _, err := s.Get("nothing"); !errors.Is(err, setting.ErrUnknown) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.Set(t.Context(), alice, "nothing", "on"); !errors.Is(err, setting.ErrUnknown) {
		t.Errorf("Set: %v", err)
	}
	// What a later version stored, or stored differently, is not in the way.
	err := r.Barrier.Update(func(tx *barrier.Tx) error {
		return errors.Join(tx.Put("setting", "of-a-later-version", []byte("x")), tx.Put("setting", "session-max", []byte("soon")))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := open(t, r).Duration(setting.SessionMax); got != 12*time.Hour {
		t.Errorf("a value that cannot be read gives %s", got)
	}
	for _, one := range s.List() {
		if one.Value != one.Default || one.Help == "" || one.Allowed == "" {
			t.Errorf("%+v", one)
		}
	}
}
