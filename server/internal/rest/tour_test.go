package rest

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

func (s *site) addBasic(c *api.Client, name, text string) (*api.CredentialDetail, error) {
	return c.AddCredential(s.t.Context(), api.CredentialAdd{
		Name: name, Application: "generic-rest", AuthType: "basic",
		Fields: map[string]string{"url": "https://api.example.com/v2", "username": "bot"},
		Tags:   map[string]string{"team": "crm"}, Description: "for the nightly job",
	}, api.Values{Secrets: map[string]*secret.Buffer{"password": s.secret(text)}})
}

func TestSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx := t.Context()
	session := must(s.client("").Login(ctx, "alice", s.secret(password), ""))(t)
	c := s.client(string(session.Token.Reveal()))
	me := must(c.Whoami(ctx))(t)
	if me.User != "alice" || me.Role != "admin" || me.Token.Name != "login" || me.Token.Expires == nil {
		t.Errorf("whoami: %+v", me)
	}
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	made := must(c.AddToken(ctx, api.TokenAdd{Name: "deploy", Expires: &end}))(t)
	if made.Name != "deploy" || made.Expires == nil || !made.Expires.Equal(end) {
		t.Errorf("the token: %+v", made)
	}
	deploy := s.client(string(made.Token.Reveal()))
	if me := must(deploy.Whoami(ctx))(t); me.Token.Name != "deploy" {
		t.Errorf("whoami with the token: %+v", me)
	}
	_, err := c.AddToken(ctx, api.TokenAdd{Name: "deploy"})
	wantErr(t, err, api.ErrConflict)
	list := must(c.Tokens(ctx))(t)
	if len(list.Items) != 1 || list.Items[0].Name != "deploy" || list.Items[0].LastUsed == nil {
		t.Errorf("tokens: %+v", list.Items)
	}
	check(t, c.RevokeToken(ctx, "deploy"))
	_, err = deploy.Whoami(ctx)
	wantErr(t, err, api.ErrUnauthenticated)
	wantErr(t, c.RevokeToken(ctx, "deploy"), api.ErrNotFound)
	check(t, c.Logout(ctx))
	_, err = c.Whoami(ctx)
	wantErr(t, err, api.ErrUnauthenticated)
}

func TestAppCredential(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	before := s.arena.InUse()
	added := must(s.addBasic(c, "salesforce-prod", "first\x00\xffvalue"))(t)
	if added.Name != "salesforce-prod" || added.Kind != "app" || added.Owner != "alice" || added.Version != 1 || added.Health != "unknown" ||
		added.Fields["username"] != "bot" || len(added.SecretFields) != 1 || added.SecretFields[0] != "password" || added.Expires != nil {
		t.Errorf("added: %+v", added)
	}
	_, err := s.addBasic(c, "salesforce-prod", "x")
	wantErr(t, err, api.ErrConflict)
	yes := true
	edited := must(c.EditCredential(ctx, "salesforce-prod", 0, api.CredentialEdit{
		Default: &yes, Tags: map[string]string{"team": "", "tier": "1"},
	}, api.Values{Secrets: map[string]*secret.Buffer{"password": s.secret("second")}}))(t)
	if edited.Version != 2 || !edited.Default || len(edited.Tags) != 1 || edited.Tags["tier"] != "1" || edited.Description != "for the nightly job" {
		t.Errorf("edited: %+v", edited)
	}
	revealed := must(c.Reveal(ctx, "app:generic-rest"))(t)
	defer revealed.Wipe()
	if got := string(revealed.Secrets["password"].Reveal()); got != "second" || revealed.Version != 2 || len(revealed.Secrets) != 1 {
		t.Errorf("revealed %q, version %d", got, revealed.Version)
	}
	versions := must(c.CredentialVersions(ctx, "salesforce-prod"))(t).Items
	if len(versions) != 2 || versions[0].Version != 2 || !versions[0].Current || versions[1].Current ||
		versions[1].CreatedBy != "alice" || !slices.Equal(versions[1].Origins, []string{"https://api.example.com:443"}) {
		t.Errorf("versions: %+v", versions)
	}
	for _, q := range []struct {
		query api.CredentialQuery
		found int
	}{{api.CredentialQuery{}, 1}, {api.CredentialQuery{Tag: "tier=1"}, 1}, {api.CredentialQuery{Tag: "tier=2"}, 0},
		{api.CredentialQuery{Search: "force"}, 1}, {api.CredentialQuery{Owner: "bob"}, 0}, {api.CredentialQuery{Application: "generic-rest"}, 1}} {
		if list := must(c.Credentials(ctx, q.query))(t); len(list.Items) != q.found || list.Items == nil {
			t.Errorf("%+v finds %d", q.query, len(list.Items))
		}
	}
	must(c.AddGrant(ctx, api.GrantRule{Name: "nightly", Credentials: []string{"salesforce-prod"}, AnyHost: true}))(t)
	deleted := must(c.DeleteCredential(ctx, "salesforce-prod", 0))(t)
	if deleted.Deleted != "salesforce-prod" || !slices.Equal(deleted.GrantsChanged, []string{"nightly"}) || deleted.LeasesEnded != 0 {
		t.Errorf("deleted: %+v", deleted)
	}
	_, err = c.Credential(ctx, "salesforce-prod")
	wantErr(t, err, api.ErrNotFound)
	_, err = c.Reveal(ctx, "salesforce-prod")
	wantErr(t, err, api.ErrNotFound)
	if now := s.arena.InUse(); now != before {
		t.Errorf("%d bytes of the arena stay in use", now-before)
	}
}

func TestCustomCredential(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	added := must(c.AddCredential(ctx, api.CredentialAdd{
		Name: "alice/payroll", Describe: map[string]string{"iban": "where it goes"}, Requestable: true,
	}, api.Values{
		Variables: map[string]*secret.Buffer{"iban": s.secret("DE02 1203")}, Masked: map[string]*secret.Buffer{"pin": s.secret("9731")},
	}))(t)
	if added.Kind != "custom" || !added.Requestable || added.Fields["iban"] != "DE02 1203" || !slices.Equal(added.SecretFields, []string{"pin"}) {
		t.Errorf("added: %+v", added)
	}
	revealed := must(c.Reveal(ctx, "alice/payroll"))(t)
	defer revealed.Wipe()
	if string(revealed.Secrets["pin"].Reveal()) != "9731" {
		t.Error("the PIN is another one")
	}
	page := must(c.Audit(ctx, api.AuditQuery{Credential: "alice/payroll"}))(t)
	if len(page.Items) != 2 || page.Items[0].Action != "credential.reveal" || strings.Contains(page.Items[0].Target, "payroll") {
		t.Errorf("the log: %+v", page.Items)
	}
}

func TestGrantsAndExplain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	must(s.addBasic(c, "salesforce-prod", "x"))(t)
	joinToken := must(c.AddJoinToken(ctx, api.JoinTokenAdd{Labels: map[string]string{"env": "prod"}}))(t)
	want := "join1,vault.test:7443," + s.pin + "," + joinToken.Token
	if got := joinToken.Join; got != want || time.Until(joinToken.Expires).Round(time.Minute) != time.Hour {
		t.Errorf("the join string is %q until %v", got, joinToken.Expires)
	}
	host := s.join(joinToken.Token, "runner-1")
	added := must(c.AddGrant(ctx, api.GrantRule{
		Name: "nightly", Credentials: []string{"salesforce-prod"}, HostLabels: []string{"env=prod"}, Jobs: api.Jobs{JobUsers: []string{"etl", "1007"}},
		TTL: api.Duration(time.Hour),
	}))(t)
	if added.Access != "read" || added.CreatedBy != "alice" || !slices.Equal(added.Credentials, []string{"salesforce-prod"}) ||
		time.Duration(added.TTL) != time.Hour || added.Tags == nil || added.Until != nil {
		t.Errorf("added: %+v", added)
	}
	for _, q := range []struct {
		host, ref, user string
		want            api.Explanation
	}{
		{host, "salesforce-prod", "etl", api.Explanation{Allowed: true, Reason: "allowed by grant nightly", Grant: "nightly"}},
		{host, "salesforce-prod", "1007", api.Explanation{Allowed: true, Reason: "allowed by grant nightly", Grant: "nightly"}},
		{host, "salesforce-prod", "bob", api.Explanation{Reason: "no grant of this credential for this host names this job's user"}},
		{host, "nothing", "etl", api.Explanation{Reason: "there is no such credential"}},
		{"nowhere", "salesforce-prod", "etl", api.Explanation{Reason: "there is no such host"}},
	} {
		got := must(c.Explain(ctx, api.ExplainRequest{Host: q.host, Credential: q.ref, Job: api.Job{User: q.user}}))(t)
		if *got != q.want {
			t.Errorf("%+v: %+v", q, got)
		}
	}
	all := api.Jobs{
		JobUsers: []string{"etl"}, JobUnits: []string{"a.service"}, JobContainers: []string{"4f5cc6a1cbd8"}, JobExes: []string{"/x"},
		JobExeHashes: []string{strings.Repeat("ab", 32)}, JobClaims: []string{"https://h:ref=main"},
	}
	narrow := must(c.EditGrant(ctx, 0, api.GrantRule{Name: "nightly", Credentials: []string{"salesforce-prod"}, AnyHost: true, Jobs: all}))(t)
	if !reflect.DeepEqual(narrow.Jobs, all) || added.JobUnits == nil {
		t.Errorf("with every kind of condition: %+v", narrow.Jobs)
	}
	for claim, reason := range map[string]string{
		"https://h:ref=main": "allowed by grant nightly", "https://h:ref=x": "no grant of this credential for this host and user names a claim of this job",
	} {
		got := must(c.Explain(ctx, api.ExplainRequest{Host: host, Credential: "salesforce-prod", Job: api.Job{
			User: "etl", Unit: "a.service", Container: "4f5cc6a1cbd8" + strings.Repeat("0", 52), Exe: "/x",
			SHA256: strings.Repeat("ab", 32), Claims: []string{claim},
		}}))(t)
		if got.Reason != reason {
			t.Errorf("%s: %+v", claim, got)
		}
	}
	if list := must(c.Grants(ctx))(t); len(list.Items) != 1 || list.Items[0].Name != "nightly" {
		t.Errorf("grants: %+v", list.Items)
	}
	must(c.Grant(ctx, "nightly"))(t)
	if gone := must(c.RevokeGrant(ctx, "nightly"))(t); gone.Revoked != "nightly" || gone.LeasesEnded != 0 {
		t.Errorf("revoked: %+v", gone)
	}
	_, err := c.Grant(ctx, "nightly")
	wantErr(t, err, api.ErrNotFound)
	_, err = c.RevokeGrant(ctx, "nightly")
	wantErr(t, err, api.ErrNotFound)

	if list := must(c.Hosts(ctx))(t).Items; len(list) != 1 || list[0].ID != host || list[0].Name != "runner-1" ||
		list[0].Labels["env"] != "prod" || list[0].LastSeen != nil || list[0].Connected || list[0].Revoked {
		t.Errorf("hosts: %+v", list)
	}
	if gone := must(c.RevokeHost(ctx, host))(t); gone.Host != host || gone.VersionsHeld == nil {
		t.Errorf("revoked: %+v", gone)
	}
	if h := must(c.Host(ctx, host))(t); !h.Revoked {
		t.Error("the host is not revoked")
	}
	got := must(c.Explain(ctx, api.ExplainRequest{Host: host, Credential: "salesforce-prod", Job: api.Job{User: "etl"}}))(t)
	if *got != (api.Explanation{Reason: "this host is revoked"}) {
		t.Errorf("explain of a revoked host: %+v", got)
	}
	_, err = c.RevokeHost(ctx, "nowhere")
	wantErr(t, err, api.ErrNotFound)
}

func TestAuditAndApplications(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	since := time.Now()
	for _, name := range []string{"one", "two", "three"} {
		must(s.addBasic(c, name, "x"))(t)
	}
	first := must(c.Audit(ctx, api.AuditQuery{Since: since, Action: "credential.create", Limit: 2}))(t)
	if len(first.Items) != 2 || first.Items[0].Target != "three" || first.Items[0].Actor != "alice" || first.Items[0].Outcome != "allowed" || first.Next == "" {
		t.Fatalf("the first page: %+v", first)
	}
	rest := must(c.Audit(ctx, api.AuditQuery{Action: "credential.create", Limit: 2, Cursor: first.Next}))(t)
	if len(rest.Items) != 1 || rest.Items[0].Target != "one" {
		t.Errorf("the second page: %+v", rest)
	}
	if verified := must(c.VerifyAudit(ctx))(t); !verified.OK || verified.Size < 5 || len(verified.Root) != 44 || verified.Problem != "" {
		t.Errorf("verified: %+v", verified)
	}
	apps := must(c.Applications(ctx))(t).Items
	at := slices.IndexFunc(apps, func(a api.Application) bool { return a.Name == "generic-rest" })
	if at < 0 || !slices.Contains(apps[at].AuthTypes, "basic") || !slices.IsSortedFunc(apps, func(a, b api.Application) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("applications: %+v", apps)
	}
	app := must(c.Application(ctx, "generic-rest"))(t)
	if len(app.Fields["basic"]) < 3 || len(app.Fields) != len(app.AuthTypes) {
		t.Errorf("the application: %+v", app)
	}
	_, err := c.Application(ctx, "nothing")
	wantErr(t, err, api.ErrNotFound)
}

func TestSealAndUnseal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	if st := must(s.client("").Status(ctx))(t); st.Sealed || st.Vault != vaultID || st.Warnings == nil {
		t.Errorf("status: %+v", st)
	}
	if done := must(c.Seal(ctx))(t); !done.Sealed {
		t.Error("it did not seal")
	}
	if log := s.logged.String(); strings.Contains(log, "requests did not end") {
		t.Errorf("sealing waited for itself: %s", log)
	}
	_, err := c.Whoami(ctx)
	wantErr(t, err, api.ErrSealed)
	_, err = s.client("").Login(ctx, "alice", s.secret(password), "")
	wantErr(t, err, api.ErrSealed)
	stranger := s.client("")
	_, err = stranger.Unseal(ctx, api.Unsealing{KeyFile: s.secret(otherKey)})
	wantErr(t, err, api.ErrRefused)
	if st := must(stranger.Status(ctx))(t); !st.Sealed {
		t.Error("a wrong key unsealed it")
	}
	if done := must(stranger.Unseal(ctx, api.Unsealing{KeyFile: s.secret(keyText)}))(t); done.Sealed {
		t.Error("it did not unseal")
	}
	must(c.Whoami(ctx))(t)
}
