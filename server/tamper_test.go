package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// The tamper suite takes a whole vault as a server leaves it, changes its files behind the server's back, and starts
// the server's own rooms on them. What comes of it is an error by name or exactly what the vault answered before.
// The rooms' own suites (TestTampering, TestTamperedWhileOpen, TestGarbled, TestEveryByteOfTheHeader and others) know
// each file better; this one knows that nothing falls between them. TestBothPutBack is its end beside real agents.

// errBehind stands for what a start does not fail with, and the server says in its log and in `strongroom status`.
var errBehind = errors.New("log.behind")

// named are the errors that tampering may come out as.
var named = []error{
	store.ErrCorrupt, store.ErrNewerFormat,
	barrier.ErrRollback,
	audit.ErrCorrupt, audit.ErrNewerFormat, audit.ErrLogRolledBack, audit.ErrVaultRolledBack, audit.ErrWrongKeys,
	seal.ErrHeader, seal.ErrNewerFormat, seal.ErrNoSlot, seal.ErrWrongKey,
	errBehind,
}

func isNamed(err error) bool {
	return slices.ContainsFunc(named, func(name error) bool { return errors.Is(err, name) })
}

// answers is all that a vault can be asked for.
type answers struct {
	Values      map[string]string // of the newest versions, through the gate, by NAME.FIELD
	Credentials []credential.Metadata
	Versions    []credential.Version
	Grants      []grant.Grant
	Hosts       []fleet.Host
	Users       []people.User
	Settings    []setting.Setting
	Records     map[string]string // every record's plaintext and every name's owner
	Log         []audit.Entry     // newest first; not what opening the vault adds
}

// small is a vault with a little of everything, and what it answers.
type small struct {
	data    string
	older   string // a copy of before the last changes
	keyFile string
	keys    []string // of all records
	entries uint64   // of the log
	answers answers
}

var tamperer = grant.Person{ID: "id-admin", Name: "admin", Role: "admin", Permissions: grant.AllPermissions}

func newSmall(t *testing.T) *small {
	t.Helper()
	v := &small{data: t.TempDir(), older: t.TempDir(), keyFile: filepath.Join(t.TempDir(), "unseal.key")}
	a := newTestArena(t, 1<<16)
	password := must(a.From([]byte("Anvil-cobalt-drift-77")))(t)
	defer password.Wipe()
	must(Create(t.Context(), Init{
		Data: v.data, Seal: SealKeyFile, KeyFile: v.keyFile, Admin: "admin", Password: password, TrustDomain: "strongroom.local",
	}))(t)
	v.change(t, v.begin)
	copyTree(t, v.data, v.older)
	v.change(t, v.goOn)
	v.keys = storeKeys(t, v.path(storeFile))
	v.entries = must(audit.Check(v.path(auditFolder)))(t).Size
	v.answers = must(v.copied(t).open(t))(t)
	if again, err := v.copied(t).open(t); err != nil || cmp.Diff(v.answers, again) != "" {
		t.Fatalf("the vault as it is: %v, %s", err, cmp.Diff(v.answers, again))
	}
	return v
}

// begin is before the older copy was taken, goOn after it.
func (v *small) begin(t *testing.T, s *Server, credentials *vault.Vault) {
	t.Helper()
	add := func(name string, ch vault.Change) {
		t.Helper()
		must(credentials.Add(t.Context(), tamperer, name, ch))(t)
	}
	token := func(text string) credential.Value {
		return credential.Value{"token": must(s.arena.From([]byte(text)))(t)}
	}
	yes := true
	add("crm", vault.Change{Application: "generic-rest", AuthType: credential.AccessToken, Default: &yes,
		Fields: map[string]string{"url": "https://crm.example.com"}, Value: token("first-value-of-crm")})
	add("erp", vault.Change{Application: "generic-rest", AuthType: credential.AccessToken,
		Fields: map[string]string{"url": "https://erp.example.com"}, Value: token("value-of-erp-same")})
	add("retired", vault.Change{Application: "generic-rest", AuthType: credential.AccessToken,
		Fields: map[string]string{"url": "https://old.example.com"}, Value: token("value-of-retired")})
	must(credentials.AddGrant(t.Context(), tamperer, grant.Grant{Name: "all", Credentials: []string{"crm", "erp"}, AnyHost: true}))(t)
}

func (v *small) goOn(t *testing.T, s *Server, credentials *vault.Vault) {
	t.Helper()
	value := credential.Value{"token": must(s.arena.From([]byte("second-value-of-crm")))(t)}
	_, _, err := credentials.Edit(t.Context(), tamperer, "crm", vault.Change{Value: value})
	value.Wipe()
	if err != nil {
		t.Fatal(err)
	}
	value = credential.Value{"iban": must(s.arena.From([]byte("value-of-payroll")))(t)}
	must(credentials.Add(t.Context(), tamperer, "admin/payroll", vault.Change{Value: value}))(t)
	value.Wipe()
	if _, _, err := credentials.Delete(t.Context(), tamperer, "retired", 0); err != nil {
		t.Fatal(err)
	}
	token, _, err := s.rooms.fleet.NewJoinToken(t.Context(), tamperer, map[string]string{"role": "ci"}, time.Hour, 2)
	if err != nil {
		t.Fatal(err)
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	request := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t)
	must(s.rooms.fleet.Join(t.Context(), fleet.JoinRequest{Token: token, Certificate: request, Name: "runner1", OS: "linux/amd64", Version: "1"}))(t)
}

// change starts the server on the vault, and stops it after fn. All of the log is on the disk by then: for what is still
// on its way closing waits for two seconds only, and the last checkpoint would lack it.
func (v *small) change(t *testing.T, fn func(*testing.T, *Server, *vault.Vault)) {
	t.Helper()
	s, err := v.start(t)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	fn(t, s, must(v.vault(s))(t))
	must(s.log.Read(t.Context(), s.rooms.keys, audit.Query{Limit: 1}))(t)
}

func (v *small) path(name string) string { return filepath.Join(v.data, vaultFolder, name) }

// copied is the vault in a folder of its own, for one change.
func (v *small) copied(t *testing.T) *small {
	t.Helper()
	c := *v
	c.data = t.TempDir()
	copyTree(t, v.data, c.data)
	return &c
}

// names are the vault's files that are secret or lead to what is.
func (v *small) names(t *testing.T) []string {
	t.Helper()
	names := []string{sealFile, storeFile}
	for _, path := range must(filepath.Glob(v.path(auditFolder + "/*")))(t) {
		names = append(names, filepath.Join(auditFolder, filepath.Base(path)))
	}
	return names
}

// start does what Run does, without people's listener.
func (v *small) start(t *testing.T) (*Server, error) {
	s, err := open(sealedConfig(v.data, v.keyFile))
	if err != nil {
		return nil, err
	}
	if _, err := s.unsealAtStart(t.Context()); err != nil {
		stop(t, s)
		return nil, mend(err)
	}
	return s, nil
}

func sealedConfig(data, keyFile string) Config {
	return Config{
		Data: data, Agents: "127.0.0.1:0", KeyFile: keyFile, LockedMemory: LeastLockedMemory, Log: slog.New(slog.DiscardHandler),
	}
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	s.close()
	if err := s.arena.Close(); err != nil {
		t.Error(err)
	}
}

// vault is the room over the one that the server has opened for its requests.
func (v *small) vault(s *Server) (*vault.Vault, error) {
	settings, err := setting.Open(s.rooms.barrier, s.log)
	if err != nil {
		return nil, err
	}
	return vault.Open(s.rooms.barrier, s.log, s.arena, s.catalogue, settings, time.Now)
}

// open starts the server on the vault, asks it for everything, and stops it.
func (v *small) open(t *testing.T) (answers, error) {
	t.Helper()
	s, err := v.start(t)
	if err != nil {
		return answers{}, err
	}
	defer stop(t, s)
	if what := s.promises.Load().Behind(); what != "" {
		return answers{}, fmt.Errorf("%w: %s", errBehind, what)
	}
	return v.ask(t, s)
}

func (v *small) ask(t *testing.T, s *Server) (a answers, err error) {
	page, err := s.log.Read(t.Context(), s.rooms.keys, audit.Query{Limit: 1000})
	if err != nil {
		return a, err
	}
	for _, e := range page.Items {
		if e.Seq <= v.entries {
			a.Log = append(a.Log, e)
		}
	}
	if a.Records, err = readRecords(s.rooms.barrier, v.keys); err != nil {
		return a, err
	}
	settings, err := setting.Open(s.rooms.barrier, s.log)
	if err != nil {
		return a, err
	}
	a.Settings, a.Hosts = settings.List(), s.rooms.fleet.List()
	if a.Users, err = people.New(s.rooms.barrier, s.log, settings, time.Now).Users(); err != nil {
		return a, err
	}
	credentials, err := v.vault(s)
	if err != nil {
		return a, err
	}
	a.Grants = credentials.Grants(tamperer)
	a.Credentials, _ = credentials.List(tamperer, vault.Filter{})
	a.Values = map[string]string{}
	for _, c := range a.Credentials {
		versions, err := credentials.Versions(tamperer, c.Name)
		if err != nil {
			return a, err
		}
		a.Versions = append(a.Versions, versions...)
		opened, err := credentials.Open(t.Context(), grant.Caller{Person: &tamperer}, c.Name)
		if err != nil {
			return a, err
		}
		for field, value := range opened.Value {
			a.Values[c.Name+"."+field] = string(value.Reveal())
		}
		opened.Value.Wipe()
	}
	return a, nil
}

// readRecords reads each record that can be read through the barrier, and no other may be there.
func readRecords(b *barrier.Barrier, keys []string) (map[string]string, error) {
	out := map[string]string{}
	err := b.View(func(tx *barrier.Tx) error {
		last := barrier.Kind("")
		for _, key := range keys {
			k, id, _ := strings.Cut(key, "/")
			kind := barrier.Kind(k)
			if kind == "keyring" || kind == "root" || kind == "name" {
				continue // read by the barrier itself
			}
			if kind != last {
				last = kind
				if err := tx.Scan(kind, func(id string, text []byte) error { out[k+"/"+id] = string(text); return nil }); err != nil {
					return err
				}
			}
			text, err := tx.GetSecret(kind, id)
			if err != nil {
				return err
			}
			if out[key] != string(text.Reveal()) {
				out[key] = "Get and Scan differ"
			}
			text.Wipe()
		}
		for _, name := range []string{"credential/crm", "credential/erp", "credential/admin/payroll", "grant/all", "user/admin"} {
			kind, name, _ := strings.Cut(name, "/")
			id, err := tx.Lookup(barrier.Kind(kind), name)
			if err != nil {
				return err
			}
			out["name of "+kind+" "+name] = id
		}
		return nil
	})
	return out, err
}

// wants opens the vault as it now lies there. Without a wanted error, any name and the original answers will do.
func (v *small) wants(t *testing.T, what string, want error) {
	t.Helper()
	got, err := v.open(t)
	switch {
	case want != nil && !errors.Is(err, want):
		t.Errorf("%s: %v, want %v", what, err, want)
	case err != nil && !isNamed(err):
		t.Errorf("%s: an error without a name: %v", what, err)
	case err == nil:
		if diff := cmp.Diff(v.answers, got); diff != "" {
			t.Errorf("%s: other answers: %s", what, diff)
		}
	}
}
