package rest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/delivery"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
)

// fleetOf enrols hosts with a label.
func (s *site) fleetOf(label string, names ...string) (ids []string) {
	s.t.Helper()
	admin, _, err := s.rooms.People.Authenticate(s.t.Context(), s.token)
	check(s.t, err)
	token, _, err := s.rooms.Fleet.NewJoinToken(s.t.Context(), admin, map[string]string{"role": label}, time.Hour, len(names))
	check(s.t, err)
	for _, name := range names {
		ids = append(ids, s.join(token, name))
	}
	return ids
}

// A grant that is made or changed says which hosts it reaches, to those who may list hosts.
func TestGrantsSayWhomTheyReach(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	must(s.addBasic(c, "crm", "x"))(t)
	etl := s.fleetOf("etl", "a", "b", "c", "put-out")
	db := s.fleetOf("db", "d")
	must(c.RevokeHost(ctx, etl[3]))(t)
	made := must(c.AddGrant(ctx, api.GrantRule{Name: "g", Credentials: []string{"crm"}, HostLabels: []string{"role=etl"}}))(t)
	if want := (&api.HostsReached{Hosts: []string{"a", "b", "c"}, Total: 3}); !reflect.DeepEqual(made.Reaches, want) {
		t.Errorf("by label: %+v, want %+v", made.Reaches, want)
	}
	edited := must(c.EditGrant(ctx, made.Revision, api.GrantRule{Name: "g", Credentials: []string{"crm"}, Hosts: db}))(t)
	if want := (&api.HostsReached{Hosts: []string{"d"}, Total: 1}); !reflect.DeepEqual(edited.Reaches, want) {
		t.Errorf("by ID: %+v, want %+v", edited.Reaches, want)
	}
	none := must(c.AddGrant(ctx, api.GrantRule{Name: "none", Credentials: []string{"crm"}, HostLabels: []string{"role=web"}}))(t)
	if want := (&api.HostsReached{Hosts: []string{}}); !reflect.DeepEqual(none.Reaches, want) {
		t.Errorf("no host: %+v, want %+v", none.Reaches, want)
	}
	var many []string
	for i := range 21 {
		many = append(many, fmt.Sprintf("web%02d", i))
	}
	s.fleetOf("web", many...)
	all := must(c.EditGrant(ctx, none.Revision, api.GrantRule{Name: "none", Credentials: []string{"crm"}, HostLabels: []string{"role=web"}}))(t)
	if all.Reaches.Total != 21 || !slices.Equal(all.Reaches.Hosts, many[:20]) {
		t.Errorf("many hosts: %+v", all.Reaches)
	}
	blind := must(c.AddToken(ctx, api.TokenAdd{Name: "blind", Scopes: []string{"grant.edit", "grant.view", "credential.view"}}))(t)
	defer blind.Token.Wipe()
	unseen := must(s.client(string(blind.Token.Reveal())).AddGrant(ctx, api.GrantRule{Name: "unseen", Credentials: []string{"crm"}, AnyHost: true}))(t)
	if unseen.Reaches != nil {
		t.Errorf("to who may not list hosts: %+v", unseen.Reaches)
	}
}

// What a token with few scopes leaves behind does no more later than the token does now.
func TestMakersOfJoinTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	admin, _, err := s.rooms.People.Authenticate(ctx, s.token)
	check(t, err)
	var maker string
	s.rooms.Fleet.JudgeJoins(func(by string, _ map[string]string, store func(widened string) error) error {
		maker = by
		return store("")
	})
	for _, row := range []struct {
		scopes []string
		want   string
	}{
		{nil, admin.ID},
		{[]string{"host.join"}, ""},
		{[]string{"host.join", "grant.edit"}, admin.ID},
	} {
		t1 := must(c.AddToken(ctx, api.TokenAdd{Name: "t" + strings.Join(row.scopes, ""), Scopes: row.scopes}))(t)
		defer t1.Token.Wipe()
		made := must(s.client(string(t1.Token.Reveal())).AddJoinToken(ctx, api.JoinTokenAdd{Labels: map[string]string{"a": "b"}}))(t)
		maker = "nobody asked"
		s.join(made.Token, "h")
		if maker != row.want {
			t.Errorf("scopes %v: its maker is %q, want %q", row.scopes, maker, row.want)
		}
	}
}

// What a host held is named to whoever revokes it; what is private to others only to those who find it in the log.
func TestNamesOfWhatAHostHeld(t *testing.T) {
	t.Parallel()
	s := newMatrix(t)
	app, own := anApp(s, ""), s.custom(s.people["developer"], false)
	id := func(who, ref string) string {
		m, _, err := s.rooms.Vault.Show(s.people[who], ref)
		check(t, err)
		return m.ID
	}
	appID, ownID := id("admin", app), id("developer", own)
	for _, row := range []struct {
		who, credential, want string
		named                 bool
	}{
		{"fleet-manager", appID, app, true},
		{"fleet-manager", ownID, "", false},
		{"fleet-manager", "gone", "", false},
		{"developer", ownID, own, true},
		{"admin", ownID, ownID, true},
		{"auditor", "gone", "gone", true},
	} {
		name, ok := heldName(&call{rooms: s.rooms, person: s.people[row.who]}, delivery.Held{Credential: row.credential, Version: 1})
		if ok != row.named || ok && name != row.want {
			t.Errorf("%s to %s: %q, %t; want %q, %t", row.credential, row.who, name, ok, row.want, row.named)
		}
	}
}

// How many credentials of their own somebody has is theirs to know.
func TestUserWithOwnIsNotDeleted(t *testing.T) {
	t.Parallel()
	s := newMatrix(t)
	c := s.client(s.site.token)
	s.custom(s.people["developer"], false)
	err := c.DeleteUser(t.Context(), "developer", 0, false)
	wantErr(t, err, api.ErrConflict)
	const want = "this user has credentials of their own: have them transferred first, or delete them as well (purge, --purge)"
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v; want %s", err, want)
	}
	check(t, c.DeleteUser(t.Context(), "developer", 0, true))
}

// Whom an ID stands for is as people are now.
func TestPersonOfAnID(t *testing.T) {
	t.Parallel()
	s := newMatrix(t)
	ctx, admin := t.Context(), s.people["admin"]
	olga := s.people["olga"]
	want := func(when string, p grant.Permission, may bool) {
		t.Helper()
		if who := must(s.rooms.People.Person(olga.ID))(t); who.Can(p) != may {
			t.Errorf("%s: %+v; want %s %t", when, who, p, may)
		}
	}
	want("a developer", grant.GrantEdit, false)
	want("a developer", grant.CredentialOwn, true)
	role, yes := "admin", true
	must(s.rooms.People.EditUser(ctx, admin, "olga", people.UserEdit{Role: &role}))(t)
	want("promoted", grant.GrantEdit, true)
	must(s.rooms.People.EditUser(ctx, admin, "olga", people.UserEdit{Disabled: &yes}))(t)
	want("disabled", grant.CredentialOwn, false)
	check(t, s.rooms.People.DeleteUser(ctx, admin, "olga", 0, func(string) error { return nil }))
	want("gone", grant.CredentialOwn, false)
	if who := must(s.rooms.People.Person(""))(t); who.Permissions != 0 {
		t.Errorf("nobody may %v", who.Permissions)
	}
}

// A grant that is made while a host gets labels that were judged already waits until these are stored.
func TestGrantsWaitForLabels(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(s.addBasic(s.client(s.token), "crm", "x"))(t)
	admin, _, err := s.rooms.People.Authenticate(t.Context(), s.token)
	check(t, err)
	host := s.fleetOf("db", "h")[0]
	var granted <-chan struct{}
	var seen []string // by whoever made the grant, by the time that it is made
	var gained []grant.Grant
	judge := judgeLabels(s.rooms.Vault, admin, &gained)
	must(s.rooms.Fleet.Label(t.Context(), admin, host, 0, map[string]string{"role": "etl"}, func(before, after grant.Host, store func() error) error {
		return judge(before, after, func() error {
			granted = roomtest.Meanwhile(t, "vault.(*Vault).AddGrant", func() {
				g, err := s.rooms.Vault.AddGrant(t.Context(), admin, grant.Grant{Name: "by-role", Credentials: []string{"crm"}, HostLabels: []string{"role=etl"}})
				if err != nil {
					t.Error(err)
				}
				for _, h := range s.rooms.Fleet.List() {
					if g.Reaches(h.Caller()) {
						seen = append(seen, h.ID)
					}
				}
			})
			return store()
		})
	}))(t)
	<-granted
	if len(gained) != 0 || !slices.Equal(seen, []string{host}) {
		t.Errorf("the label gave %+v, and whoever made the grant saw %q; want the second to know of %q", gained, seen, host)
	}
}
