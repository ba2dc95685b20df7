package vault_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// wantFields holds the plain fields of a credential's newest version against a list of all of them, NAME=TEXT and sorted.
func (f *fixture) wantFields(what, ref, want string) {
	f.t.Helper()
	_, version, err := f.Show(alice, ref)
	if err != nil {
		f.t.Fatal(err)
	}
	if got := sorted(version.Fields); got != want {
		f.t.Errorf("%s: the fields are %q, want %q", what, got, want)
	}
}

func sorted(fields map[string]string) string {
	var out []string
	for name, text := range fields {
		out = append(out, name+"="+text)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// An app credential has its application's defaults where nothing is said, stored, so that a job has them and another
// catalogue changes nothing by itself.
func TestDefaultsAreStored(t *testing.T) {
	t.Parallel()
	f := open(t)
	_, err := f.Add(t.Context(), alice, "db", vault.Change{
		Application: "postgresql", AuthType: credential.Basic, Fields: map[string]string{"host": "db.example", "username": "etl", "sslmode": ""},
		Value: f.value(map[string]string{"password": "first password"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.wantFields("new", "db", "host=db.example port=5432 sslmode=verify-full username=etl")
	f.grant(grant.Grant{Name: "g", Credentials: []string{"db"}, AnyHost: true})
	o, err := f.Vault.Open(t.Context(), grant.Caller{Host: &runner, Job: etl}, "db")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Value.Wipe()
	if got := sorted(o.Version.Fields); got != "host=db.example port=5432 sslmode=verify-full username=etl" {
		t.Errorf("a job gets %s", got)
	}
	edit := func(name, text string) error {
		_, err := f.edit(t.Context(), alice, "db", vault.Change{Fields: map[string]string{name: text}})
		return err
	}
	for _, v := range []struct{ name, text, want string }{
		{"sslmode", "verify-ca", "host=db.example port=5432 sslmode=verify-ca username=etl"},
		{"sslmode", "", "host=db.example port=5432 sslmode=verify-full username=etl"},
		{"database", "sales", "database=sales host=db.example port=5432 sslmode=verify-full username=etl"},
		{"database", "", "host=db.example port=5432 sslmode=verify-full username=etl"},
	} {
		if err := edit(v.name, v.text); err != nil {
			t.Fatal(err)
		}
		f.wantFields(v.name+"="+v.text, "db", v.want)
	}
	// What is no field, or a secret one, is refused as ever.
	for name, want := range map[string]string{"colour": "field colour: there is no such field", "password": "field password: it is secret already"} {
		if err := edit(name, "x"); !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}

	pg := func(port string) string {
		return "name: postgresql\ntitle: Ours\ncategory: database\nauth_types: [{type: basic}]\norigins: [\"postgres://{host}:{port}\"]\nfields:\n" +
			"  - {name: host, help: where}\n  - {name: port, format: port, default: \"" + port + "\", help: its port}\n  - {name: sslmode, default: disable, help: how}\n" +
			"  - {name: database, help: which}\n  - {name: zone, default: north, help: a zone}\n"
	}
	f.mustRedefine("postgresql", pg("6432"))
	f.wantFields("the catalogue has changed", "db", "host=db.example port=5432 sslmode=verify-full username=etl")
	text := "edited"
	if _, err := f.edit(t.Context(), alice, "db", vault.Change{Description: &text}); err != nil {
		t.Fatal(err)
	}
	f.wantFields("what is said of it is edited", "db", "host=db.example port=5432 sslmode=verify-full username=etl")
	if _, err := f.edit(t.Context(), alice, "db", vault.Change{Value: f.value(map[string]string{"password": "second password"})}); err != nil {
		t.Fatal(err)
	}
	f.wantFields("a new version takes what it lacks", "db", "host=db.example port=5432 sslmode=verify-full username=etl zone=north")
	if err := edit("port", ""); !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), "field password: the place it is sent to changes") {
		t.Errorf("a removed port whose default is another: %v", err)
	}
	if _, err := f.Rollback(t.Context(), alice, "db", 1, 0); err != nil {
		t.Fatal(err)
	}
	f.wantFields("rolled back", "db", "host=db.example port=5432 sslmode=verify-full username=etl")
}

// A version from before defaults were stored has the origins of the defaults of then. To fill them in is no other place;
// another default is one, and takes the secret again.
func TestDefaultsMoveNothing(t *testing.T) {
	t.Parallel()
	hub := func(fields, origins string) string {
		return "name: hub\ntitle: A hub\ncategory: test\nauth_types: [{type: access_token}]\nfields:\n" + fields +
			"  - {name: room, help: a room}\norigins: [" + origins + "]\n"
	}
	withDefaults := func(url, port string) string {
		return hub("  - {name: url, origin: true, help: where, default: \""+url+"\"}\n  - {name: port, format: port, help: port, default: \""+port+"\"}\n", `"redis://mq.example:{port}"`)
	}
	asBefore := hub("  - {name: url, origin: true, help: where}\n  - {name: port, format: port, help: port}\n", `"https://a.example", "redis://mq.example:5671"`)
	for what, v := range map[string]struct {
		url, port, fields string // without the secret; "": refused
		again             string // with it
	}{
		"the defaults of then": {"https://a.example", "5671", "port=5671 room=2 url=https://a.example", "port=5671 room=2 url=https://a.example"},
		"another URL":          {"https://b.example", "5671", "", "port=5671 room=2 url=https://b.example"},
		"another port":         {"https://a.example", "5672", "", "port=5672 room=2 url=https://a.example"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			f.mustRedefine("hub", asBefore)
			_, err := f.Add(t.Context(), alice, "h", vault.Change{
				Application: "hub", AuthType: credential.AccessToken, Value: f.value(map[string]string{"token": "t"}),
			})
			if err != nil {
				t.Fatal(err)
			}
			f.wantFields("before", "h", "")
			f.mustRedefine("hub", withDefaults(v.url, v.port))
			_, err = f.edit(t.Context(), alice, "h", vault.Change{Fields: map[string]string{"room": "2"}})
			if v.fields == "" {
				if !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), "field token: the place it is sent to changes") {
					t.Errorf("without the secret: %v", err)
				}
				f.wantFields("refused", "h", "")
			} else {
				if err != nil {
					t.Fatal(err)
				}
				f.wantFields("without the secret", "h", v.fields)
			}
			ch := vault.Change{Fields: map[string]string{"room": "2"}, Value: f.value(map[string]string{"token": "u"})}
			if _, err := f.edit(t.Context(), alice, "h", ch); err != nil {
				t.Fatal(err)
			}
			f.wantFields("with the secret", "h", v.again)
		})
	}
}

const club = "name: club\ntitle: A club\ncategory: test\nauth_types: [{type: client_certificate}]\nfields:\n  - {name: room, help: a room}\n"

// A certificate that the vault renews by itself takes no default on, and one that was given does not become one that it
// renews because the application has a default for days.
func TestDefaultsAndCertificates(t *testing.T) {
	t.Parallel()
	f, _ := openIssuing(t)
	f.mustRedefine("club", club)
	_, err := f.Add(t.Context(), alice, "made", vault.Change{
		Application: "club", AuthType: credential.ClientCertificate, Generate: []string{"certificate"}, Fields: map[string]string{"days": "30"},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.mustRedefine("club", club+"  - {name: zone, help: a zone, default: north}\n  - {name: days, default: \"60\"}\n  - {name: common_name, default: nobody}\n")
	want := func(what, ref, want string) {
		t.Helper()
		_, version, err := f.Show(alice, ref)
		if err != nil {
			t.Fatal(err)
		}
		fields := maps.Clone(version.Fields)
		delete(fields, "certificate")
		if got := sorted(fields); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	f.clock.Add(21 * day)
	if n, err := f.Renew(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d are renewed, %v", n, err)
	}
	want("renewed", "made", "common_name=made days=30")
	if _, err := f.edit(t.Context(), alice, "made", vault.Change{Generate: []string{"certificate"}}); err != nil {
		t.Fatal(err)
	}
	want("made again by somebody", "made", "common_name=made days=30 zone=north")

	certificate, key := selfSigned(t, f.clock.At, f.clock.At.Add(30*day))
	_, err = f.Add(t.Context(), alice, "given", vault.Change{
		Application: "club", AuthType: credential.ClientCertificate,
		Fields: map[string]string{"certificate": certificate}, Value: f.value(map[string]string{"private_key": key}),
	})
	if err != nil {
		t.Fatal(err)
	}
	want("given", "given", "zone=north")
	if _, err := f.edit(t.Context(), alice, "given", vault.Change{Fields: map[string]string{"room": "2"}}); err != nil {
		t.Fatal(err)
	}
	want("another field of what was given", "given", "room=2 zone=north")
}

const lasting = "name: lasting\ntitle: Lasting\ncategory: test\nauth_types: [{type: access_token, expires_days: 90}, {type: api_key}, " +
	"{type: client_certificate, expires_days: 5}]\nfields: [{name: room, help: a room}]\n"

// A secret that is set without an end has the application's, from then on; whoever says an end, or never, has that.
func TestSecretsEndAsTheirApplicationSays(t *testing.T) {
	t.Parallel()
	f, _ := openIssuing(t)
	f.mustRedefine("lasting", lasting)
	began := f.clock.At
	never, later := time.Time{}, began.Add(400*day)
	add := func(name string, authType credential.AuthType, ch vault.Change) {
		t.Helper()
		ch.Application, ch.AuthType = "lasting", authType
		if _, err := f.Add(t.Context(), alice, name, ch); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, ref string, want time.Time) {
		t.Helper()
		c, _, err := f.Show(alice, ref)
		if err != nil || !c.Ends().Equal(want) {
			t.Errorf("%s: it ends %s, %v; want %s", what, c.Ends(), err, want)
		}
	}
	token := func(text string) credential.Value { return f.value(map[string]string{"token": text}) }
	add("plain", credential.AccessToken, vault.Change{Value: token("1")})
	want("nothing said", "plain", began.Add(90*day))
	add("made", credential.AccessToken, vault.Change{Generate: []string{"token"}})
	want("generated", "made", began.Add(90*day))
	add("endless", credential.AccessToken, vault.Change{Value: token("1"), Expires: &never})
	want("never", "endless", never)
	add("long", credential.AccessToken, vault.Change{Value: token("1"), Expires: &later})
	want("an end", "long", later)
	add("key", credential.APIKey, vault.Change{Value: f.value(map[string]string{"key": "1"})})
	want("an application that does not say", "key", never)
	add("certificate", credential.ClientCertificate, vault.Change{Generate: []string{"certificate"}, Fields: map[string]string{"days": "30"}})
	want("a certificate says it itself", "certificate", began.Add(30*day))
	if _, err := f.Add(t.Context(), alice, "alice/own", vault.Change{Value: f.value(map[string]string{"PIN": "1"})}); err != nil {
		t.Fatal(err)
	}
	want("somebody's own", "alice/own", never)

	f.clock.Add(10 * day)
	text := "edited"
	for _, v := range []struct {
		what, ref string
		change    vault.Change
		want      time.Time
	}{
		{"a text", "plain", vault.Change{Description: &text}, began.Add(90 * day)},
		{"another field", "plain", vault.Change{Fields: map[string]string{"room": "2"}}, began.Add(90 * day)},
		{"another field of an endless one", "endless", vault.Change{Fields: map[string]string{"room": "2"}}, never},
		{"a new secret", "plain", vault.Change{Value: token("2")}, began.Add(100 * day)},
		{"a generated one", "made", vault.Change{Generate: []string{"token"}}, began.Add(100 * day)},
		{"a new secret where an end was said", "long", vault.Change{Value: token("2")}, began.Add(100 * day)},
		{"a new secret, again without an end", "endless", vault.Change{Value: token("2"), Expires: &never}, never},
		{"an end", "plain", vault.Change{Expires: &later}, later},
		{"the end taken away", "plain", vault.Change{Expires: &never}, never},
		{"an end where the application does not say", "key", vault.Change{Expires: &later}, later},
		{"and a new secret", "key", vault.Change{Value: f.value(map[string]string{"key": "2"})}, later},
	} {
		if _, err := f.edit(t.Context(), alice, v.ref, v.change); err != nil {
			t.Fatalf("%s: %v", v.what, err)
		}
		want(v.what, v.ref, v.want)
	}
}

// An end is for people to know: what is over is delivered all the same.
func TestEndsStopNoDelivery(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.mustRedefine("lasting", lasting)
	_, err := f.Add(t.Context(), alice, "l", vault.Change{
		Application: "lasting", AuthType: credential.AccessToken, Value: f.value(map[string]string{"token": "t"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.grant(grant.Grant{Name: "g", Credentials: []string{"l"}, AnyHost: true})
	f.clock.Add(1000 * day)
	if c, _, err := f.Show(alice, "l"); err != nil || c.Health(f.clock.At) != credential.HealthExpired {
		t.Fatalf("%s, %v", c.Health(f.clock.At), err)
	}
	if got, err := f.read(runner, etl, "l"); got != "t" || err != nil {
		t.Errorf("a job reads %q, %v", got, err)
	}
	if list := f.Leasable(runner); len(list) != 1 || list[0].Credential.Name != "l" {
		t.Errorf("the host may have %v", list)
	}
	if d := f.Explain(alice, runner, "l", etl); !d.Allowed {
		t.Errorf("explained: %s", d.Reason)
	}
}
