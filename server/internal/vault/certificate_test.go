package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

const day = 24 * time.Hour

// openIssuing opens a vault that has a certificate authority.
func openIssuing(t *testing.T) (*fixture, *fleet.Fleet) {
	t.Helper()
	f := open(t)
	err := f.Barrier.Update(func(tx *barrier.Tx) error { return fleet.Create(tx, "strongroom.test", f.clock.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	authority, err := fleet.Open(f.Barrier, f.Log, roomtest.Vault, f.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	f.IssueWith(authority)
	return f, authority
}

func (f *fixture) addCertificate(name string, fields map[string]string) (credential.Metadata, error) {
	return f.Add(f.t.Context(), alice, name, vault.Change{
		Application: "generic-rest", AuthType: credential.ClientCertificate, Fields: fields, Generate: []string{"certificate"},
	})
}

func (f *fixture) chain(ref string) credential.Chain {
	f.t.Helper()
	_, v, err := f.Show(alice, ref)
	if err != nil {
		f.t.Fatal(err)
	}
	chain, err := credential.ParseChain("certificate", v.Fields["certificate"])
	if err != nil {
		f.t.Fatal(err)
	}
	return chain
}

func TestIssuedCertificate(t *testing.T) {
	t.Parallel()
	f, authority := openIssuing(t)
	c, err := f.addCertificate("client", map[string]string{"common_name": "etl robot", "days": "30"})
	if err != nil {
		t.Fatal(err)
	}
	chain := f.chain("client")
	cert := chain[0]
	if len(chain) != 2 || cert.Subject.CommonName != "etl robot" || !cert.NotAfter.Equal(f.clock.At.Add(30*day)) || !c.Ends().Equal(cert.NotAfter) {
		t.Errorf("a chain of %d, %s, until %s; the credential ends %s", len(chain), cert.Subject, cert.NotAfter, c.Ends())
	}
	if got := cert.URIs[0].String(); got != "spiffe://strongroom.test/client/"+c.ID {
		t.Errorf("named %s", got)
	}
	// Who trusts its issuer, and nothing else of ours, takes it as a client; the agents' listener does not.
	verify := func(pool *x509.CertPool, use x509.ExtKeyUsage) error {
		_, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: f.clock.At, KeyUsages: []x509.ExtKeyUsage{use}})
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(chain[1])
	if err := verify(pool, x509.ExtKeyUsageClientAuth); err != nil {
		t.Error(err)
	}
	if verify(pool, x509.ExtKeyUsageServerAuth) == nil || verify(authority.HostIssuers(), x509.ExtKeyUsageClientAuth) == nil {
		t.Error("it is good for more than a client")
	}
	o, err := f.Vault.Open(t.Context(), grant.Caller{Person: &alice}, "client")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Value.Wipe()
	block, _ := pem.Decode(o.Value["private_key"].Reveal())
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil || !key.(*ecdsa.PrivateKey).PublicKey.Equal(cert.PublicKey) {
		t.Errorf("the key is not that of the certificate: %v", err)
	}
}

func TestCertificatesThatAreNotMade(t *testing.T) {
	t.Parallel()
	f, _ := openIssuing(t)
	for _, v := range []struct{ field, text, want string }{
		{"days", "0", "field days: from 1 to 825"},
		{"days", "826", "field days: from 1 to 825"},
		{"days", "many", "field days: from 1 to 825"},
		{"common_name", strings.Repeat("x", 65), "field common_name: 65 bytes"},
		{"certificate", "x", "choose one"},
	} {
		if _, err := f.addCertificate("c", map[string]string{v.field: v.text}); !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s=%s: %v", v.field, v.text, err)
		}
	}
	_, err := f.Add(t.Context(), alice, "c", vault.Change{
		Application: "generic-rest", AuthType: credential.ClientCertificate, Generate: []string{"private_key"},
	})
	if !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("a key alone: %v", err)
	}
	if c, err := f.addCertificate("c", map[string]string{"days": "825"}); err != nil || c.Version != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if got := f.chain("c")[0].Subject.CommonName; got != "c" {
		t.Errorf("named %s", got)
	}
}

// At two thirds of its life a certificate is replaced by the next, with a new key, by the vault itself.
func TestCertificatesAreRenewed(t *testing.T) {
	t.Parallel()
	f, _ := openIssuing(t)
	if _, err := f.addCertificate("client", map[string]string{"days": "30", "common_name": "etl"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.addCertificate("paused", map[string]string{"days": "30"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Disconnect(t.Context(), alice, "paused", 0); err != nil {
		t.Fatal(err)
	}
	f.importCertificate("given", f.clock.At, f.clock.At.Add(30*day))
	first := f.chain("client")[0]
	told := 0
	f.OnChange(func() { told++ })
	renew := func(want int) {
		t.Helper()
		if n, err := f.Renew(t.Context()); n != want || err != nil {
			t.Errorf("after %s: %d renewed, %v; want %d", f.clock.At.Sub(first.NotBefore), n, err, want)
		}
	}
	f.clock.Add(19 * day)
	renew(0)
	f.clock.Add(day)
	renew(2)
	renew(0)
	if told != 2 {
		t.Errorf("told %d times", told)
	}
	entries := f.Newest(t, 2)
	if e := entries[1]; e.Actor != "system" || e.Action != "credential.renew" || e.Target != "client" || e.Outcome != "allowed" {
		t.Errorf("logged %+v", e)
	}
	next := f.chain("client")[0]
	if next.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey) || !next.NotAfter.Equal(f.clock.At.Add(30*day)) || next.Subject.CommonName != "etl" {
		t.Errorf("the next one: %s until %s", next.Subject, next.NotAfter)
	}
	if c, _, err := f.Show(alice, "paused"); err != nil || c.Version != 2 || c.Disconnected.IsZero() {
		t.Errorf("a disconnected one: %+v, %v", c, err)
	}
	// What was given is not ours to replace, also in the place of one that was.
	f.importCertificate("client", f.clock.At, f.clock.At.Add(30*day))
	f.clock.Add(29 * day)
	renew(1) // the paused one
	if c, v, err := f.Show(alice, "client"); err != nil || c.Version != 3 || v.Fields["days"] != "" {
		t.Errorf("%+v, %+v, %v", c, v.Fields, err)
	}
	// A server that was off for long renews what has ended meanwhile.
	f.clock.Add(100 * day)
	renew(1)
}

// importCertificate stores somebody else's certificate in a credential, a new one or one that is there.
func (f *fixture) importCertificate(name string, from, to time.Time) {
	f.t.Helper()
	certificate, key := selfSigned(f.t, from, to)
	ch := vault.Change{
		Application: "generic-rest", AuthType: credential.ClientCertificate,
		Fields: map[string]string{"certificate": certificate}, Value: f.value(map[string]string{"private_key": key}),
	}
	_, _, err := f.Show(alice, name)
	if err != nil {
		_, err = f.Add(f.t.Context(), alice, name, ch)
	} else {
		_, err = f.edit(f.t.Context(), alice, name, ch)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func selfSigned(t *testing.T, from, to time.Time) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "given"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestCredentialsEnd(t *testing.T) {
	t.Parallel()
	f, _ := openIssuing(t)
	began := f.clock.At
	f.importCertificate("given", began, began.Add(50*day))
	later, sooner := began.Add(400*day), began.Add(20*day)
	for _, v := range []struct {
		given time.Time
		want  time.Time
	}{{later, began.Add(50 * day)}, {sooner, sooner}, {time.Time{}, began.Add(50 * day)}} {
		c, err := f.edit(t.Context(), alice, "given", vault.Change{Expires: &v.given})
		if err != nil || !c.Ends().Equal(v.want) {
			t.Errorf("with %s given it ends %s, %v; want %s", v.given, c.Ends(), err, v.want)
		}
	}
	f.addToken("forever", "t")
	f.addToken("year", "t")
	year := began.Add(365 * day)
	if _, err := f.edit(t.Context(), alice, "year", vault.Change{Expires: &year}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		after time.Duration
		want  string // given (a fifth of 50 days is 10), forever, year (30 days)
	}{
		{40*day - 1, "unknown unknown unknown"}, {40 * day, "expiring unknown unknown"}, {50*day - 1, "expiring unknown unknown"},
		{50 * day, "expired unknown unknown"}, {335*day - 1, "expired unknown unknown"}, {335 * day, "expired unknown expiring"},
		{365 * day, "expired unknown expired"},
	} {
		f.clock.At = began.Add(v.after)
		var got []string
		for _, ref := range []string{"given", "forever", "year"} {
			c, _, err := f.Show(alice, ref)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(c.Health(f.clock.At)))
		}
		if text := strings.Join(got, " "); text != v.want {
			t.Errorf("after %s: %s, want %s", v.after, text, v.want)
		}
	}
}
