package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// authority is a small CA: root, and one issuer below it.
type authority struct {
	root, issuer *x509.Certificate
	key          *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, usage x509.ExtKeyUsage) authority {
	t.Helper()
	rootKey, key := newKey(t), newKey(t)
	ca := func() *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	rootTemplate := ca()
	root := sign(t, rootTemplate, rootTemplate, &rootKey.PublicKey, rootKey)
	issuer := ca()
	issuer.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	return authority{root, sign(t, issuer, root, &key.PublicKey, rootKey), key}
}

func (a authority) leaf(t *testing.T, uri string, usage x509.ExtKeyUsage, notAfter time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	cert := sign(t, template, a.issuer, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.issuer.Raw, a.root.Raw}, PrivateKey: key, Leaf: cert}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, public any, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// handshake returns what each end says of the other.
func handshake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(time.Minute)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	done := make(chan error, 1)
	go func() {
		c := tls.Server(b, server)
		err := c.Handshake()
		if err == nil {
			_, err = c.Write([]byte("x")) // the client learns of a refusal after its own handshake
		}
		b.Close()
		done <- err
	}()
	c := tls.Client(a, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	a.Close()
	return clientErr, <-done
}

func TestPinnedClient(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, x509.ExtKeyUsageServerAuth), newAuthority(t, x509.ExtKeyUsageServerAuth)
	good := ours.leaf(t, "spiffe://d/console/1", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	// Another CA's leaf that sends our root along: only the fingerprint is right.
	impostor := theirs.leaf(t, "spiffe://d/console/1", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	impostor.Certificate = append(impostor.Certificate, ours.root.Raw)
	tests := []struct {
		name string
		cert tls.Certificate
		dial string
		want string // in the error; empty: trusted
	}{
		{"trusted", good, "localhost", ""},
		{"trusted by address", good, "127.0.0.1", ""},
		{"another name", good, "vault.example.com", "vault.example.com"},
		{"another address", good, "127.0.0.2", "127.0.0.2"},
		{"no name", good, "", "valid for localhost"},
		{"another CA", theirs.leaf(t, "spiffe://d/console/1", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour)), "localhost", "does not have the fingerprint"},
		{"another CA with our root beside it", impostor, "localhost", "unknown authority"},
		{"ended", ours.leaf(t, "spiffe://d/console/1", x509.ExtKeyUsageServerAuth, time.Now().Add(-time.Minute)), "localhost", "expired"},
		{"for clients", ours.leaf(t, "spiffe://d/console/1", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour)), "localhost", "usage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := PinnedClient(Fingerprint(ours.root), tt.dial)
			err, _ := handshake(t, client, &tls.Config{Certificates: []tls.Certificate{tt.cert}})
			check(t, err, tt.want)
		})
	}
}

func TestHostsTrustServersAlone(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, x509.ExtKeyUsageServerAuth)
	hour := time.Now().Add(time.Hour)
	for uri, want := range map[string]string{
		"spiffe://d/server/1":     "",
		"spiffe://d/console/1":    "wanted is a server",
		"spiffe://d/host/1":       "wanted is a server",
		"spiffe://other/server/1": "wanted is a server",
		"https://d/server/1":      "not spiffe",
		"spiffe://d/server/1/2":   "not spiffe",
		"":                        "instead of one",
	} {
		roots := x509.NewCertPool()
		roots.AddCert(ours.root)
		server := &tls.Config{Certificates: []tls.Certificate{ours.leaf(t, uri, x509.ExtKeyUsageServerAuth, hour)}}
		err, _ := handshake(t, AgentClient(roots, "d", tls.Certificate{}), server)
		check(t, err, want)
		if uri != "spiffe://other/server/1" { // a host that joins does not know the domain yet
			err, _ = handshake(t, JoiningClient(Fingerprint(ours.root)), server)
			check(t, err, want)
		}
	}
}

func TestAgentListenerTakesHostsOrNobody(t *testing.T) {
	t.Parallel()
	servers, hosts, others := newAuthority(t, x509.ExtKeyUsageServerAuth), newAuthority(t, x509.ExtKeyUsageClientAuth), newAuthority(t, x509.ExtKeyUsageClientAuth)
	hour := time.Now().Add(time.Hour)
	ended := time.Now().Add(-time.Minute)
	own := servers.leaf(t, "spiffe://d/server/1", x509.ExtKeyUsageServerAuth, hour)
	pool := x509.NewCertPool()
	pool.AddCert(hosts.issuer)
	listener := AgentListener(func() (*tls.Certificate, error) { return &own, nil }, pool, "d")
	roots := x509.NewCertPool()
	roots.AddCert(servers.root)
	tests := map[string]struct {
		cert tls.Certificate
		want string
	}{
		"none":             {tls.Certificate{}, ""},
		"a host":           {hosts.leaf(t, "spiffe://d/host/1", x509.ExtKeyUsageClientAuth, hour), ""},
		"another issuer":   {others.leaf(t, "spiffe://d/host/1", x509.ExtKeyUsageClientAuth, hour), "certificate of another issuer"},
		"the servers' one": {own, "certificate of another issuer"},
		"ended": {hosts.leaf(t, "spiffe://d/host/1", x509.ExtKeyUsageClientAuth, ended),
			"certificate ended at " + ended.UTC().Format("2006-01-02T15:04:05Z")},
		"another's that ended": {others.leaf(t, "spiffe://d/host/1", x509.ExtKeyUsageClientAuth, ended), "certificate of another issuer"},
		"a client":             {hosts.leaf(t, "spiffe://d/client/1", x509.ExtKeyUsageClientAuth, hour), "certificate of another kind than a host's"},
		"another domain":       {hosts.leaf(t, "spiffe://e/host/1", x509.ExtKeyUsageClientAuth, hour), "certificate of another kind than a host's"},
		"for servers":          {hosts.leaf(t, "spiffe://d/host/1", x509.ExtKeyUsageServerAuth, hour), "certificate of another kind than a host's"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := handshake(t, AgentClient(roots, "d", tt.cert), listener)
			check(t, err, tt.want)
			var r *Refused
			if host := map[bool]string{true: "1"}[name == "ended"]; tt.want != "" && (!errors.As(err, &r) || r.Reason != tt.want || r.Host != host) {
				t.Errorf("reason %+v, want %q and host %q", r, tt.want, host)
			}
		})
	}
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("trusted, want: %s", want)
	case want != "" && (!errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want ErrUntrusted with: %s", err, want)
	}
}

func TestJoinStrings(t *testing.T) {
	t.Parallel()
	fingerprint := "sha256:" + strings.Repeat("0a", 32)
	text := "join1,vault.example.com:7443," + fingerprint + ",srj_abc_def"
	j, err := ParseJoin(text)
	if err != nil || j.Server != "vault.example.com:7443" || j.Fingerprint != fingerprint || j.Token != "srj_abc_def" || j.Text() != text {
		t.Errorf("%+v, %v", j, err)
	}
	for _, bad := range []string{"", "join2," + text[6:], text + ",more", "join1,,,", "join1,a:1,sha256:00,t",
		"join1,vault.example.com," + fingerprint + ",t", "join1,a:1\r\nX: y," + fingerprint + ",t", strings.Repeat("x", 2000)} {
		if _, err := ParseJoin(bad); !errors.Is(err, ErrJoin) {
			t.Errorf("%q: %v, want ErrJoin", bad, err)
		}
	}
}

func FuzzParseJoin(f *testing.F) {
	f.Add("join1,vault.example.com:7443,sha256:" + strings.Repeat("0a", 32) + ",srj_abc_def")
	f.Add("join1,[::1]:7443,sha256:" + strings.Repeat("0a", 32) + ",t")
	f.Fuzz(func(t *testing.T, s string) {
		j, err := ParseJoin(s)
		if err == nil && (j.Text() != s || strings.ContainsAny(j.Server, " \r\n\x00")) {
			t.Errorf("%q is read as %q", s, j.Text())
		}
	})
}

func TestValidServer(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"vault.example.com:7443": true, "10.0.0.1:1": true, "[2001:db8::1]:65535": true, "[fe80::1%eth0]:7443": true,
		"": false, "vault": false, "vault:": false, ":7443": false, "vault:0": false, "vault:65536": false, "vault:x": false,
		"2001:db8::1:7443": false, "a b:1": false, "a\r\nX: y:1": false, "a\x00:1": false, "u:p@a:1": false, "https://a:1": false,
	} {
		if err := ValidServer(address); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// FuzzNameOf: a certificate's URI is a name of ours that is written as it was read, or refused.
func FuzzNameOf(f *testing.F) {
	f.Add("spiffe://example.org/host/h1")
	f.Add("spiffe://example.org/host/a%2fb")
	f.Add("https://example.org/server/1?x#y")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		name, err := NameOf(&x509.Certificate{URIs: []*url.URL{u}})
		if err != nil {
			if !errors.Is(err, ErrUntrusted) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		again, err := NameOf(&x509.Certificate{URIs: []*url.URL{name.URI()}})
		if err != nil || again != name || name.Role == "" || name.ID == "" || strings.Contains(name.ID, "/") {
			t.Errorf("%q is read as %+v, and that as %+v, %v", text, name, again, err)
		}
	})
}
