package rest

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// The columns: who asks, by role. The editor's is made of named permissions: it may edit everything and grant nothing. The
// last has no token.
var columns = [...]string{"admin", "credential-manager", "fleet-manager", "developer", "auditor", "editor", "nobody"}

// cells are the statuses that those get, typed by hand from what the roles are for.
type cells [len(columns)]int

// row is a route and what it is asked about. In path and body {x} stands for what make made, {me} for the caller.
type row struct {
	route string
	about string // own, other's, absent, or in words
	path  string
	body  string
	make  func(m *matrix, column string) string
	match string // the If-Match; empty: *
	want  cells
	// hidden: of own, other's and absent, the latter two get the same answer, byte for byte.
	hidden bool
}

// stale is no ETag that anything has: the answer to those who may change the thing is 412.
const stale = `"999999"`

// matrix is a site with somebody of each role, and olga, whose things are other's.
type matrix struct {
	*site
	raw    *http.Client
	people map[string]grant.Person
	tokens map[string]string
	token  map[string]people.Token
	n      int
	host   string // to explain with
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{site: newSite(t), people: map[string]grant.Person{}, tokens: map[string]string{}, token: map[string]people.Token{}}
	m.raw = m.site.raw()
	m.rooms.Keeping = Keeping{
		Slots: func() []seal.Slot { return nil },
		RemoveSlot: func(context.Context, grant.Person, api.Authority, string) (seal.Slot, error) {
			return seal.Slot{}, seal.ErrSlotID
		},
		Rekey:      func(context.Context, grant.Person) (api.Rekey, error) { return api.Rekey{}, nil },
		RekeyState: func() api.Rekey { return api.Rekey{} },
		Backup: func(context.Context, grant.Person) (Backup, error) {
			return Backup{File: must(os.Open(os.DevNull))(t), Done: func() {}}, nil
		},
	}
	ctx := t.Context()
	admin, token, err := m.rooms.People.Authenticate(ctx, m.site.token)
	check(t, err)
	m.people["admin"], m.token["admin"], m.tokens["admin"] = admin, token, m.site.token
	pass := must(m.arena.From([]byte(password)))(t)
	defer pass.Wipe()
	without := grant.PermissionsOf(grant.GrantEdit, grant.VaultSeal) // who seals ends the test
	must(m.rooms.People.AddRole(ctx, admin, "editor", grant.AllPermissions.Beyond(without).Names()))(t)
	for name, role := range map[string]string{
		"credential-manager": "credential-manager", "fleet-manager": "fleet-manager", "developer": "developer", "auditor": "auditor",
		"editor": "editor", "olga": "developer", "heir": "developer",
	} {
		must(m.rooms.People.AddUser(ctx, admin, people.NewUser{Name: name, Role: role, Password: pass}))(t)
		m.tokens[name] = must(m.rooms.People.Login(ctx, people.Login{User: name, Password: pass}))(t).Token
		m.people[name], m.token[name], err = m.rooms.People.Authenticate(ctx, m.tokens[name])
		check(t, err)
	}
	m.host = aHost(m, "")
	must(m.rooms.Vault.AddGrant(ctx, admin, grant.Grant{Name: "labelled", Tags: []string{"class=granted"}, HostLabels: []string{"class=granted"}}))(t)
	return m
}

// me is the caller's user name.
func (m *matrix) me(column string) string {
	if p, ok := m.people[column]; ok {
		return p.Name
	}
	return "nobody"
}

func (m *matrix) fresh() string {
	m.n++
	return fmt.Sprintf("x%04d", m.n)
}

// What rows are about. Each is made anew for each cell.

func absent(m *matrix, _ string) string { return m.fresh() }

func anApp(m *matrix, _ string) string {
	name := m.fresh()
	value := credential.Value{"password": m.secret("hidden-" + name)}
	defer value.Wipe()
	must(m.rooms.Vault.Add(m.t.Context(), m.people["admin"], name, vault.Change{
		Application: "generic-rest", AuthType: credential.Basic, Value: value,
		Fields: map[string]string{"url": "https://api.example.com", "username": "bot"},
	}))(m.t)
	return name
}

func (m *matrix) custom(owner grant.Person, requestable bool) string {
	name := owner.Name + "/" + m.fresh()
	if !owner.Can(grant.CredentialOwn) {
		return name // there can be none
	}
	change := vault.Change{Fields: map[string]string{"a": "b"}, Requestable: &requestable}
	must(m.rooms.Vault.Add(m.t.Context(), owner, name, change))(m.t)
	return name
}

func own(m *matrix, column string) string {
	if column == "nobody" {
		return "nobody%2Fx"
	}
	return strings.ReplaceAll(m.custom(m.people[column], true), "/", "%2F")
}

func others(m *matrix, _ string) string {
	return strings.ReplaceAll(m.custom(m.people["olga"], false), "/", "%2F")
}

func requestable(m *matrix, _ string) string { return m.custom(m.people["olga"], true) }

func absentOthers(m *matrix, _ string) string { return "olga%2F" + m.fresh() }

// plainly makes a name fit for a body.
func plainly(make func(*matrix, string) string) func(*matrix, string) string {
	return func(m *matrix, column string) string { return strings.ReplaceAll(make(m, column), "%2F", "/") }
}

// then has more done, by its owner or the admin, to what is made; not where there is none, as of who can have none.
func then(make func(*matrix, string) string, do func(*vault.Vault, context.Context, grant.Person, string) error) func(*matrix, string) string {
	return func(m *matrix, column string) string {
		name, who := make(m, column), m.people["admin"]
		ref := strings.ReplaceAll(name, "%2F", "/")
		for _, p := range m.people {
			if strings.HasPrefix(ref, p.Name+"/") {
				who = p
			}
		}
		if err := do(m.rooms.Vault, m.t.Context(), who, ref); !errors.Is(err, vault.ErrNotFound) {
			check(m.t, err)
		}
		return name
	}
}

func disconnected(v *vault.Vault, ctx context.Context, who grant.Person, ref string) error {
	_, err := v.Disconnect(ctx, who, ref, 0)
	return err
}

func edited(ch vault.Change) func(*vault.Vault, context.Context, grant.Person, string) error {
	return func(v *vault.Vault, ctx context.Context, who grant.Person, ref string) error {
		_, _, err := v.Edit(ctx, who, ref, ch)
		return err
	}
}

// granted makes a grant of what is made, which has its name.
func granted(by string, make func(*matrix, string) string) func(*matrix, string) string {
	return func(m *matrix, column string) string {
		who := m.people[column]
		if by != "" {
			who = m.people[by]
		}
		if !who.Can(grant.CredentialOwn) {
			return m.fresh()
		}
		ref := plainly(make)(m, column)
		name := ref[strings.IndexByte(ref, '/')+1:]
		must(m.rooms.Vault.AddGrant(m.t.Context(), who, grant.Grant{Name: name, AnyHost: true, Credentials: []string{ref}}))(m.t)
		return name
	}
}

func aUser(m *matrix, _ string) string {
	name := m.fresh()
	hash := must(m.arena.From([]byte("$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy")))(m.t)
	defer hash.Wipe()
	must(m.rooms.People.AddUser(m.t.Context(), m.people["admin"], people.NewUser{Name: name, Role: "developer", Bcrypt: hash}))(m.t)
	return name
}

func aRole(m *matrix, _ string) string {
	name := m.fresh()
	must(m.rooms.People.AddRole(m.t.Context(), m.people["admin"], name, []string{"grant.view"}))(m.t)
	return name
}

func aHost(m *matrix, _ string) string {
	token, _, err := m.rooms.Fleet.NewJoinToken(m.t.Context(), m.people["admin"], nil, time.Hour, 1)
	check(m.t, err)
	return m.join(token, m.fresh())
}

func aToken(m *matrix, column string) string {
	name := m.fresh()
	if column == "nobody" {
		return name
	}
	_, _, err := m.rooms.People.CreateToken(m.t.Context(), m.people[column], m.token[column], people.NewToken{Name: name})
	check(m.t, err)
	return name
}

// asked is a request by one person to another; it is named by its number.
func asked(by, of string) func(*matrix, string) string {
	return func(m *matrix, column string) string {
		who := func(name string) grant.Person {
			if name == "me" {
				return m.people[column]
			}
			return m.people[name]
		}
		owner := who(of)
		if !owner.Can(grant.CredentialOwn) || !who(by).Can(grant.RequestMake) {
			return "4000000"
		}
		r := must(m.rooms.Vault.MakeRequest(m.t.Context(), who(by), m.custom(owner, true), vault.Request{Reason: "why", Access: grant.Read}))(m.t)
		return fmt.Sprint(r.Number)
	}
}

var publicKey = func() string {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(key.PublicKey().Bytes())
}()

// ask makes the request of one cell, and gives its answer with what is fresh in it taken out.
func (m *matrix) ask(r row, column string) (reply, string) {
	m.t.Helper()
	x := ""
	if r.make != nil {
		x = r.make(m, column)
	}
	fill := strings.NewReplacer("{x}", x, "{me}", m.me(column), "{key}", publicKey, "{host}", m.host)
	method, _, _ := strings.Cut(r.route, " ")
	token := m.tokens[column]
	if r.about == "a token of its own" && token != "" {
		var err error
		token, _, err = m.rooms.People.CreateToken(m.t.Context(), m.people[column], m.token[column], people.NewToken{Name: m.fresh()})
		check(m.t, err)
	}
	body := fill.Replace(r.body)
	if strings.Contains(body, `"SEALED"`) {
		body = m.seal(x, body)
	}
	req := m.request(method, fill.Replace(r.path), token, body)
	if r.match != "" {
		req.Header.Set("If-Match", r.match)
	}
	a := m.do(m.raw, req)
	a.header.Del("Date")
	if _, err := strconv.Atoi(x); err == nil {
		return a, a.everything() // a request's number stands in no refusal, but may be part of another
	}
	same := strings.NewReplacer(x, "NAME", strings.ReplaceAll(x, "%2F", "/"), "NAME", x[1+strings.LastIndexAny(x, "/F"):], "TAIL").Replace(a.everything())
	return a, same
}

// seal puts a password for the user into a body, in an envelope.
func (m *matrix) seal(user, body string) string {
	m.t.Helper()
	members := map[string]json.RawMessage{}
	check(m.t, json.Unmarshal([]byte(body), &members))
	maps.Copy(members, m.sealed(user, "password", "a password that is good"))
	return string(must(json.Marshal(members))(m.t))
}

// TestMatrix drives every cell, and fails for a route that has no row.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	rows := slices.Concat(openRows, credentialRows, requestRows, grantRows, hostRows, peopleRows, wideningRows, keepingRows)
	routes := map[string]bool{}
	for _, r := range rows {
		routes[r.route] = true
	}
	if got, want := slices.Sorted(maps.Keys(routes)), slices.Sorted(maps.Keys(m.rest.routes)); !slices.Equal(got, want) {
		t.Errorf("the rows are for\n%s\nand the routes are\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	hidden := map[string]map[string]string{} // by route and column, then by about
	for _, r := range rows {
		for at := len(columns) - 1; at >= 0; at-- { // the admin last, who can seal
			a, same := m.ask(r, columns[at])
			if a.status != r.want[at] {
				t.Errorf("%s, %s, by %s: %d, want %d: %.300s", r.route, r.about, columns[at], a.status, r.want[at], a.body)
			}
			if key := r.route + " by " + columns[at]; r.hidden {
				if hidden[key] == nil {
					hidden[key] = map[string]string{}
				}
				hidden[key][r.about] = same
			}
		}
	}
	for key, answers := range hidden {
		if answers["other's"] == "" || answers["other's"] != answers["absent"] {
			t.Errorf("%s: of what is another's\n%s\nand of what is not there\n%s", key, answers["other's"], answers["absent"])
		}
	}
	if len(hidden) < 60 {
		t.Errorf("only %d pairs were compared", len(hidden))
	}
}
