package fleet_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/identity"
)

var admin = grant.Person{ID: "1", Name: "alice", Role: "admin"}

func open(t *testing.T) (*fleet.Fleet, *roomtest.Rooms, *roomtest.Clock) {
	t.Helper()
	r, clock := roomtest.Open(t), roomtest.NewClock()
	err := r.Log.Change(t.Context(), r.Barrier, audit.Entry{Actor: "system", Action: "vault.create", Outcome: audit.Allowed},
		func(tx *barrier.Tx) error { return fleet.Create(tx, "example.org", clock.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	return reopen(t, r, clock), r, clock
}

func reopen(t *testing.T, r *roomtest.Rooms, clock *roomtest.Clock) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Open(r.Barrier, r.Log, roomtest.Vault, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	f.JudgeJoins(roomtest.AnyLabels)
	return f
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	// It asks for names that it must not get.
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "root"},
		DNSNames: []string{"vault.example.com"},
		URIs:     []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/server/1"}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func join(t *testing.T, f *fleet.Fleet, token string, key *ecdsa.PrivateKey) (fleet.Joined, error) {
	t.Helper()
	return f.Join(t.Context(), fleet.JoinRequest{Token: token, Certificate: request(t, key), Name: "runner1", OS: "linux/amd64", Version: "1"})
}

func newToken(t *testing.T, f *fleet.Fleet, uses int) string {
	t.Helper()
	token, _, err := f.NewJoinToken(t.Context(), admin, map[string]string{"role": "ci"}, time.Hour, uses)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestJoinMakesAHostCertificateAndNothingElse(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	key := newKey(t)
	joined, err := join(t, f, newToken(t, f, 1), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(joined.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://example.org/host/"+joined.Host || len(leaf.DNSNames) != 0 || leaf.Subject.CommonName != "host "+joined.Host {
		t.Errorf("names %v %v %s", leaf.URIs, leaf.DNSNames, leaf.Subject)
	}
	if leaf.IsCA || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || !leaf.NotAfter.Equal(clock.At.Add(24*time.Hour)) {
		t.Errorf("CA %t, usage %v, until %s", leaf.IsCA, leaf.ExtKeyUsage, leaf.NotAfter)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		t.Error("it is for another key")
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: f.HostIssuers(), CurrentTime: clock.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		t.Errorf("the agents' listener does not trust it: %v", err)
	}
	shown := shown(t, joined.Certificates, clock)
	for _, f := range []*fleet.Fleet{f, reopen(t, r, clock)} {
		h, err := f.Admit(t.Context(), shown)
		if err != nil || h.Labels["role"] != "ci" || h.Name != "runner1" {
			t.Errorf("%+v, %v", h, err)
		}
		other := shown
		other.Key = [32]byte{}
		if _, err := f.Check(other); !errors.Is(err, fleet.ErrSuperseded) {
			t.Errorf("with another key: %v, want ErrSuperseded", err)
		}
		other.Host = "nobody"
		if _, err := f.Check(other); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("of another host: %v, want ErrNotFound", err)
		}
	}
	if e := r.Newest(t, 1)[0]; e.Action != "host.enroll" || e.Host != joined.Host || e.Outcome != "allowed" {
		t.Errorf("logged: %+v", e)
	}
}

// A join token is good once; the same key may repeat its join, since the answer
// may have been lost.
func TestJoinTokenWorksOnce(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	token, key := newToken(t, f, 1), newKey(t)
	first, err := join(t, f, token, key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := join(t, reopen(t, r, clock), token, key)
	if err != nil || again.Host != first.Host {
		t.Errorf("the same key again: host %s, %v; want %s", again.Host, err, first.Host)
	}
	refused(t, f, r, token, newKey(t), "the join token was used already, by another key")
	if n := len(f.List()); n != 1 {
		t.Errorf("%d hosts, want 1", n)
	}
	if err := f.Revoke(t.Context(), admin, first.Host); err != nil {
		t.Fatal(err)
	}
	refused(t, f, r, token, key, "the host that this key became is revoked")
}

func TestJoinTokenOfSeveralUses(t *testing.T) {
	t.Parallel()
	f, r, _ := open(t)
	token := newToken(t, f, 2)
	for range 2 {
		if _, err := join(t, f, token, newKey(t)); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, f, r, token, newKey(t), "the join token was used already, by another key")
}

// A token is not the way back for a host that was revoked.
func TestJoinTokenEndsWithARevokedHost(t *testing.T) {
	t.Parallel()
	f, r, _ := open(t)
	token, other := newToken(t, f, 3), newToken(t, f, 1)
	joined, err := join(t, f, token, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Revoke(t.Context(), admin, joined.Host); err != nil {
		t.Fatal(err)
	}
	refused(t, f, r, token, newKey(t), "a host that joined with this token is revoked or frozen")
	if _, err := join(t, f, other, newKey(t)); err != nil {
		t.Errorf("another token: %v", err)
	}
}

func TestJoinTokensThatAreNone(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	token := newToken(t, f, 1)
	parts := strings.Split(token, "_")
	for bad, reason := range map[string]string{
		"":                                     "not a join token",
		"srt_" + token[4:]:                     "not a join token",
		"srj_../../x_y":                        "not a join token",
		"srj_" + strings.Repeat("a", 300):      "not a join token",
		"srj_" + parts[1] + "_":                "wrong join token",
		"srj_" + parts[1] + "_" + "aaaaaaaaaa": "wrong join token",
		"srj_aaaaaaaaaaaaaaaaaaaaaaaaaa_" + parts[2]: "no such join token",
	} {
		refused(t, f, r, bad, newKey(t), reason)
	}
	clock.Add(time.Hour)
	refused(t, f, r, token, newKey(t), "the join token has ended")
}

func refused(t *testing.T, f *fleet.Fleet, r *roomtest.Rooms, token string, key *ecdsa.PrivateKey, reason string) {
	t.Helper()
	_, err := join(t, f, token, key)
	if !errors.Is(err, fleet.ErrJoin) || err.Error() != fleet.ErrJoin.Error() {
		t.Errorf("%q: %v, want the one answer of ErrJoin", token, err)
	}
	if e := r.Newest(t, 1)[0]; e.Action != "host.enroll" || e.Outcome != "refused" || e.Reason != reason {
		t.Errorf("%q: logged %+v, want the reason %q", token, e, reason)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	f, _, _ := open(t)
	token := newToken(t, f, 1)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, newKey(t))
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	for name, der := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "large": make([]byte, 9<<10),
		"RSA": request(t, rsaKey), "P-384": request(t, p384), "forged": forged,
	} {
		_, err := f.Join(t.Context(), fleet.JoinRequest{Token: token, Certificate: der})
		if !errors.Is(err, credential.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	for _, bad := range []string{"\x1b[31m", "\n", "\r", "\t", "\u0085", "\u2028", "\u2029", "\xff", strings.Repeat("x", 257)} {
		for field, r := range map[string]fleet.JoinRequest{
			"name": {Name: "runner" + bad}, "os": {OS: "linux" + bad}, "version": {Version: "1" + bad},
		} {
			r.Token, r.Certificate = token, good
			if _, err := f.Join(t.Context(), r); !errors.Is(err, credential.ErrInvalid) || !strings.HasPrefix(err.Error(), "invalid "+field+": ") {
				t.Errorf("%s with %q: %v, want ErrInvalid", field, bad, err)
			}
		}
	}
	if _, err := f.Join(t.Context(), fleet.JoinRequest{Token: token, Certificate: good, Name: "runner"}); err != nil {
		t.Errorf("the token was burnt by requests that are none: %v", err)
	}
}

func TestRevokedHostIsNotAdmitted(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	joined, err := join(t, f, newToken(t, f, 1), newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	f.OnChange(func(host string) { told = append(told, host) })
	for range 2 {
		if err := f.Revoke(t.Context(), admin, joined.Host); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 1 || told[0] != joined.Host {
		t.Errorf("told of %v, want the host once", told)
	}
	for _, f := range []*fleet.Fleet{f, reopen(t, r, clock)} {
		if _, err := f.Admit(t.Context(), shown(t, joined.Certificates, clock)); !errors.Is(err, fleet.ErrRevoked) {
			t.Errorf("%v, want ErrRevoked", err)
		}
	}
	if err := f.Revoke(t.Context(), admin, "nobody"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("an unknown host: %v, want ErrNotFound", err)
	}
}

func TestServerCertificates(t *testing.T) {
	t.Parallel()
	f, _, clock := open(t)
	cert, err := f.ServerCertificate(identity.Console, []string{"vault.example.com", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	name, err := identity.NameOf(cert.Leaf)
	if err != nil || name.URI().String() != "spiffe://example.org/console/"+roomtest.Vault {
		t.Errorf("%s, %v", name.URI(), err)
	}
	root, err := x509.ParseCertificate(cert.Certificate[2])
	if err != nil || identity.Fingerprint(root) != f.RootFingerprint() {
		t.Errorf("the chain does not end with the root: %v", err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	issuer, err := x509.ParseCertificate(cert.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	between.AddCert(issuer)
	for _, host := range []string{"vault.example.com", "::1"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host, CurrentTime: clock.At}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: f.HostIssuers(), Intermediates: between, CurrentTime: clock.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("the hosts' issuer vouches for a server")
	}
}

// Revisions begin at 1, also of a host whose record an earlier version began at 0.
func TestRevisionsOfAHost(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	joined, err := join(t, f, newToken(t, f, 1), newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	host, err := f.Get(joined.Host)
	if err != nil || host.Revision != 1 {
		t.Fatalf("a new host has revision %d, %v", host.Revision, err)
	}
	host.Revision = 0
	entry := audit.Entry{Actor: "test", Action: "host.label", Target: host.ID, Outcome: audit.Allowed}
	if err := r.Log.Change(t.Context(), r.Barrier, entry, func(tx *barrier.Tx) error { return tx.PutJSON("host", host.ID, host) }); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, r, clock)
	label := func(revision uint64) (fleet.Host, error) {
		return again.Label(t.Context(), admin, host.ID, revision, map[string]string{"role": "etl"}, func(_, _ grant.Host, store func() error) error { return store() })
	}
	if _, err := label(2); !errors.Is(err, fleet.ErrChanged) {
		t.Errorf("revision 2 of what has 1: %v", err)
	}
	if host, err = label(1); err != nil || host.Revision != 2 {
		t.Errorf("after a change it has revision %d, %v", host.Revision, err)
	}
}
