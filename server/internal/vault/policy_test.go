package vault_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

func (f *fixture) set(name setting.Name, text string) {
	f.t.Helper()
	if _, err := f.settings.Set(f.t.Context(), alice, name, text); err != nil {
		f.t.Fatal(err)
	}
}

// openWith opens a vault whose catalogue has one more application.
func openWith(t *testing.T, name, text string) *fixture {
	t.Helper()
	f := open(t)
	c, err := catalogue.Load(fstest.MapFS{"applications/" + name + ".yaml": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	if f.Vault, err = vault.Open(f.Barrier, f.Log, f.Arena, c, f.settings, f.clock.Now); err != nil {
		t.Fatal(err)
	}
	return f
}

const choosy = `
name: choosy
title: A choosy system
category: test
auth_types:
  - type: basic
  - type: access_token
password_policy:
  max_length: 10
  min_digit: 2
  symbols: "-"
`

func TestPasswordsFollowThePolicy(t *testing.T) {
	t.Parallel()
	f := openWith(t, "choosy", choosy)
	n := 0
	add := func(password string) error {
		n++
		_, err := f.Add(t.Context(), alice, "c"+string(rune('a'+n)), vault.Change{
			Application: "choosy", AuthType: credential.Basic, Fields: map[string]string{"username": "u"},
			Value: f.value(map[string]string{"password": password}),
		})
		return err
	}
	check := func(password, want string) {
		t.Helper()
		err := add(password)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", password, err)
		case want != "" && (!errors.Is(err, credential.ErrInvalid) || !strings.HasPrefix(err.Error(), "field password: ") || !strings.HasSuffix(err.Error(), want)):
			t.Errorf("%s: %v, want %s", password, err, want)
		case err != nil && strings.Contains(err.Error(), password):
			t.Errorf("the error repeats the value: %v", err)
		}
	}
	check("aa11", "")
	check("aaa1", "it needs at least 2 digits")
	check("aaaaaaaaa11", "at most 10 characters are allowed")
	check("aaa11!", "besides letters and digits only these symbols are allowed: -")
	f.set(setting.SecretMin, "6")
	check("aaa11", "it needs at least 6 characters")
	check("aaaa11", "")
	f.set(setting.SecretMin, "14") // more than the application takes: as long as that then
	check("aaaaaaa11", "it needs at least 10 characters")
	check("aaaaaaaa11", "")
	f.set(setting.SecretClasses, "3")
	check("aaaaaaaa11", "it needs 3 of the four: lower-case letters, upper-case letters, digits, symbols")
	check("aaaaaaa-11", "")
	f.set(setting.SecretBanned, "acme,zürich")
	check("xAcMe-1122", "it contains a banned word")

	// A token is not a password, and what nobody gives is not looked at.
	_, err := f.Add(t.Context(), alice, "tok", vault.Change{
		Application: "choosy", AuthType: credential.AccessToken, Value: f.value(map[string]string{"token": "acme"}),
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := f.edit(t.Context(), alice, "cb", vault.Change{Fields: map[string]string{"username": "other"}}); err != nil {
		t.Errorf("the password of before the policy is in the way: %v", err)
	}
}

func TestGeneratedPasswords(t *testing.T) {
	t.Parallel()
	f := openWith(t, "choosy", choosy)
	f.set(setting.SecretBanned, "a")
	f.set(setting.SecretHistory, "50")
	for range 20 {
		if _, _, err := f.Show(alice, "c"); err != nil {
			_, err = f.Add(t.Context(), alice, "c", vault.Change{
				Application: "choosy", AuthType: credential.Basic, Fields: map[string]string{"username": "u"}, Generate: []string{"password"},
			})
			if err != nil {
				t.Fatal(err)
			}
		} else if _, err := f.edit(t.Context(), alice, "c", vault.Change{Generate: []string{"password"}}); err != nil {
			t.Fatal(err)
		}
		o, err := f.Vault.Open(t.Context(), grant.Caller{Person: &alice}, "c")
		if err != nil {
			t.Fatal(err)
		}
		text := string(o.Value["password"].Reveal())
		o.Value.Wipe()
		digits := strings.Count(text, "") - 1 - len(strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return -1
			}
			return r
		}, text))
		if len(text) != 10 || digits < 2 || !strings.Contains(text, "-") || strings.ContainsAny(text, "aA") ||
			text == strings.ToLower(text) || text == strings.ToUpper(text) {
			t.Errorf("generated %s", text)
		}
	}
}

// The policy's history is of what was given before, in any of the last versions, whatever else they changed.
func TestPasswordsAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	f := openWith(t, "choosy", choosy)
	_, err := f.Add(t.Context(), alice, "c", vault.Change{
		Application: "choosy", AuthType: credential.Basic, Fields: map[string]string{"username": "u"},
		Value: f.value(map[string]string{"password": "first-11"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	set := func(password string) error {
		_, err := f.edit(t.Context(), alice, "c", vault.Change{Value: f.value(map[string]string{"password": password})})
		return err
	}
	if err := set("first-11"); err != nil {
		t.Errorf("the setting is off: %v", err)
	}
	f.set(setting.SecretHistory, "3")
	for _, password := range []string{"second-22", "third-33"} {
		if err := set(password); err != nil {
			t.Fatal(err)
		}
	}
	// Versions now: first, first, second, third.
	for _, used := range []string{"first-11", "second-22", "third-33"} {
		err := set(used)
		if !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), "last 3") || strings.Contains(err.Error(), used) {
			t.Errorf("%s again: %v", used, err)
		}
	}
	if err := set("fourth-44"); err != nil {
		t.Fatal(err)
	}
	if err := set("first-11"); err != nil {
		t.Errorf("it is four versions ago: %v", err)
	}
	if _, err := f.Rollback(t.Context(), alice, "c", 5, 0); err != nil {
		t.Errorf("a rollback: %v", err)
	}
}

// An application may ask for a history too: the longer one counts, of it and of the setting.
func TestTheLongerHistoryCounts(t *testing.T) {
	t.Parallel()
	f := openWith(t, "choosy", choosy+"  history: 2\n")
	_, err := f.Add(t.Context(), alice, "c", vault.Change{
		Application: "choosy", AuthType: credential.Basic, Fields: map[string]string{"username": "u"},
		Value: f.value(map[string]string{"password": "first-11"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ setting, password, want string }{
		{"0", "first-11", "field password: it is one of the last 2 that this credential had; choose another"},
		{"0", "second-22", ""},
		{"1", "first-11", "field password: it is one of the last 2 that this credential had; choose another"},
		{"1", "third-33", ""},
		{"3", "first-11", "field password: it is one of the last 3 that this credential had; choose another"},
		{"2", "first-11", ""},
	} {
		f.set(setting.SecretHistory, step.setting)
		_, err := f.edit(t.Context(), alice, "c", vault.Change{Value: f.value(map[string]string{"password": step.password})})
		if step.want == "" && err != nil || step.want != "" && (!errors.Is(err, credential.ErrInvalid) || !strings.HasSuffix(err.Error(), step.want)) {
			t.Errorf("%s with the setting %s: %v, want %q", step.password, step.setting, err, step.want)
		}
	}
}
