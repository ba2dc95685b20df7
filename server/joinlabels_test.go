package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// joining is a running server with people who make join tokens, and its agents' listener.
type joining struct {
	t        *testing.T
	server   *Server
	people   *people.People
	password *secret.Buffer
	agents   wire.EnrolmentClient
}

func newJoining(t *testing.T) *joining {
	t.Helper()
	v := &small{data: t.TempDir(), keyFile: filepath.Join(t.TempDir(), "unseal.key")}
	a := newTestArena(t, 1<<16)
	password := must(a.From([]byte("Anvil-cobalt-drift-77")))(t)
	must(Create(t.Context(), Init{
		Data: v.data, Seal: SealKeyFile, KeyFile: v.keyFile, Admin: "admin", Password: password, TrustDomain: "strongroom.local",
	}))(t)
	s := must(v.start(t))(t)
	t.Cleanup(func() { stop(t, s) })
	settings := must(setting.Open(s.rooms.barrier, s.log))(t)
	config := identity.JoiningClient(s.rooms.fleet.RootFingerprint())
	conn := must(grpc.NewClient(s.rooms.agents.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config))))(t)
	t.Cleanup(func() { _ = conn.Close() })
	return &joining{
		t: t, server: s, people: people.New(s.rooms.barrier, s.log, settings, time.Now), password: password,
		agents: wire.NewEnrolmentClient(conn),
	}
}

func (j *joining) role(name, role string) {
	j.t.Helper()
	must(j.people.EditUser(j.t.Context(), tamperer, name, people.UserEdit{Role: &role}))(j.t)
}

// token makes a user of a role who makes a join token.
func (j *joining) token(name, role string, labels map[string]string, uses int) string {
	j.t.Helper()
	u := must(j.people.AddUser(j.t.Context(), tamperer, people.NewUser{Name: name, Role: role, Password: j.password}))(j.t)
	token, _, err := j.server.rooms.fleet.NewJoinToken(j.t.Context(), must(j.people.Person(u.ID))(j.t), labels, time.Hour, uses)
	if err != nil {
		j.t.Fatal(err)
	}
	return token
}

// join asks at the agents' listener as a host with a key.
func (j *joining) join(token string, key *ecdsa.PrivateKey) (host string, err error) {
	j.t.Helper()
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(j.t)
	answer, err := j.agents.Join(j.t.Context(), &wire.JoinRequest{Token: token, CertificateRequest: csr, Name: "runner"})
	return answer.GetHost(), err
}

func (j *joining) key() *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(j.t)
}

func (j *joining) wantJoined(who, token string) {
	j.t.Helper()
	if host, err := j.join(token, j.key()); err != nil || host == "" {
		j.t.Errorf("by %s: host %q, %v; want it to join", who, host, err)
	}
}

const labelsRefused = "its labels give access that whoever made it may not grant: have somebody who may grant make a new join token"

func (j *joining) wantRefused(who, token string) {
	j.t.Helper()
	before := len(j.server.rooms.fleet.List())
	_, err := j.join(token, j.key())
	if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != labelsRefused {
		j.t.Errorf("by %s: %v; want it refused for its labels", who, err)
	}
	if now := len(j.server.rooms.fleet.List()); now != before {
		j.t.Errorf("by %s: there are %d hosts, before there were %d", who, now, before)
	}
	j.server.log.FlushRefusals()
	page := must(j.server.log.Read(j.t.Context(), j.server.rooms.keys, audit.Query{Action: "host.enroll", Limit: 1}))(j.t)
	want := "the labels of the join token give access by grant by-role, and " + who + ", who made it, may not grant"
	if e := page.Items[0]; e.Outcome != audit.Refused || e.Reason != want {
		j.t.Errorf("by %s: the log has %+v; want it refused: %s", who, e, want)
	}
}

// crm is what grants give.
func (j *joining) crm() *vault.Vault {
	j.t.Helper()
	rooms := j.server.credentials.Load()
	value := credential.Value{"token": must(j.server.arena.From([]byte("value-of-crm")))(j.t)}
	defer value.Wipe()
	must(rooms.Add(j.t.Context(), tamperer, "crm", vault.Change{Application: "generic-rest", AuthType: credential.AccessToken,
		Fields: map[string]string{"url": "https://crm.example.com"}, Value: value}))(j.t)
	return rooms
}

// A grant that comes to go by a label does not reach hosts that join later with an older token of somebody who may not
// grant.
func TestLabelsAreJudgedAtJoin(t *testing.T) {
	t.Parallel()
	j := newJoining(t)
	etl := map[string]string{"role": "etl"}
	fleetManager := j.token("fleet", "fleet-manager", etl, 2)
	admin := j.token("chief", "admin", etl, 1)
	promoted := j.token("promoted", "fleet-manager", etl, 1)
	demoted := j.token("demoted", "admin", etl, 1)
	disabled := j.token("disabled", "admin", etl, 1)
	gone := j.token("gone", "admin", etl, 1)
	elsewhere := j.token("other", "fleet-manager", map[string]string{"role": "db"}, 1)

	unknown, _, err := j.server.rooms.fleet.NewJoinToken(t.Context(), grant.Person{Name: "somebody"}, etl, time.Hour, 1) // as an earlier version stored it
	if err != nil {
		t.Fatal(err)
	}

	early := j.key()
	joined := must(j.join(fleetManager, early))(t)

	rooms := j.crm()
	must(rooms.AddGrant(t.Context(), tamperer, grant.Grant{Name: "anywhere", Credentials: []string{"crm"}, AnyHost: true}))(t)
	must(rooms.AddGrant(t.Context(), tamperer, grant.Grant{Name: "by-role", Credentials: []string{"crm"}, HostLabels: []string{"role=etl"}}))(t)
	j.role("promoted", "admin")
	j.role("demoted", "fleet-manager")
	yes := true
	must(j.people.EditUser(t.Context(), tamperer, "disabled", people.UserEdit{Disabled: &yes}))(t)
	if err := j.people.DeleteUser(t.Context(), tamperer, "gone", 0, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}

	j.wantRefused("fleet", fleetManager)
	j.wantRefused("demoted", demoted)
	j.wantRefused("disabled", disabled)
	j.wantRefused("gone", gone)
	j.wantRefused("somebody", unknown)
	j.wantJoined("an admin", admin)
	j.wantJoined("somebody who was promoted", promoted)
	j.wantJoined("somebody whose labels no grant goes by", elsewhere)
	if again, err := j.join(fleetManager, early); err != nil || again != joined {
		t.Errorf("a host whose answer was lost asks again: %q, %v; want %q", again, err, joined)
	}
	j.role("fleet", "admin") // the use is left that was refused
	j.wantJoined("the same one, promoted since", fleetManager)
}

// A grant that is made while a host joins with labels that were judged already waits until the host is stored: it reaches
// no host that its maker could not see.
func TestGrantsWaitForWhoJoins(t *testing.T) {
	t.Parallel()
	j := newJoining(t)
	rooms, hosts := j.crm(), j.server.rooms.fleet
	token := j.token("fleet", "fleet-manager", map[string]string{"role": "etl"}, 1)
	var granted <-chan struct{}
	var seen []string // by whoever made the grant, by the time that it is made
	judge := judgeJoins(j.people, rooms)
	hosts.JudgeJoins(func(maker string, labels map[string]string, store func(widened string) error) error {
		return judge(maker, labels, func(widened string) error {
			granted = roomtest.Meanwhile(t, "vault.(*Vault).AddGrant", func() {
				g, err := rooms.AddGrant(t.Context(), tamperer, grant.Grant{Name: "by-role", Credentials: []string{"crm"}, HostLabels: []string{"role=etl"}})
				if err != nil {
					t.Error(err)
				}
				for _, h := range hosts.List() {
					if g.Reaches(h.Caller()) {
						seen = append(seen, h.ID)
					}
				}
			})
			return store(widened)
		})
	})
	host := must(j.join(token, j.key()))(t)
	<-granted
	if want := []string{host}; !slices.Equal(seen, want) {
		t.Errorf("whoever made the grant saw %q, and it reaches %q", seen, want)
	}
}

// A host joins with labels of somebody who may not grant, and at the same time a grant is made that goes by them: the host
// is refused, or whoever makes the grant sees it.
func TestGrantsWhileHostsJoin(t *testing.T) {
	t.Parallel()
	const rounds = 40
	j := newJoining(t)
	rooms, hosts := j.crm(), j.server.rooms.fleet
	token := j.token("fleet", "fleet-manager", map[string]string{"role": "etl"}, rounds)
	for range rounds {
		key, joined := j.key(), make(chan string, 1)
		go func() {
			host, _ := j.join(token, key)
			joined <- host
		}()
		g := must(rooms.AddGrant(t.Context(), tamperer, grant.Grant{Name: "by-role", Credentials: []string{"crm"}, HostLabels: []string{"role=etl"}}))(t)
		seen := hosts.List()
		host := <-joined
		if host != "" && !slices.ContainsFunc(seen, func(h fleet.Host) bool { return h.ID == host && g.Reaches(h.Caller()) }) {
			t.Errorf("host %s joined unseen", host)
		}
		if err := rooms.RevokeGrant(t.Context(), tamperer, "by-role"); err != nil {
			t.Fatal(err)
		}
	}
}
