package httpauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

// serveNginx runs nginx with one server, whose text has @DIR@ for the folder of the files.
func serveNginx(t testing.TB, address string, files map[string]string, server string) {
	t.Helper()
	files["www/index.html"] = "in\n"
	files["nginx.conf"] = `daemon off; master_process off; pid @DIR@/pid; error_log @DIR@/error.log;
events {}
http {
	access_log off; client_body_temp_path @DIR@/t1; proxy_temp_path @DIR@/t2; fastcgi_temp_path @DIR@/t3; uwsgi_temp_path @DIR@/t4; scgi_temp_path @DIR@/t5;
	server { listen ` + address + server + ` root @DIR@/www; }
}`
	dir := folder(t, files)
	serve(t, address, "nginx", "-p", dir, "-e", dir+"/error.log", "-c", dir+"/nginx.conf")
}

func TestBasicAgainstNginx(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	serveNginx(t, address, map[string]string{"users": "frau müller:{SHA}o6wG8L5pQeLIIvTqJfJXU3x5nFg=\n"}, // of p:ä"\ss
		`; auth_basic "the vault"; auth_basic_user_file @DIR@/users;`)
	url := "http://" + address + "/"
	for password, want := range map[string]int{`p:ä"\ss`: 200, changeOne(`p:ä"\ss`): 401} {
		c := Credential{Type: credential.Basic, Plain: map[string]string{"username": "frau müller"},
			Secrets: hidden(t, map[string]string{"password": password}), Origins: originOf(t, url)}
		if got := status(t, c, "GET", url, "", ""); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
}

// What each place carries stands here as nginx compares it: byte by byte, the query not decoded.
func TestKeysAndTokensAgainstNginx(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	serveNginx(t, address, map[string]string{}, `;
		location = /header { if ($http_x_api_key != "k3y+/= of 'ours'; ok") { return 401; } return 200; }
		location = /named { if ($http_private_token != "k3y-named") { return 401; } return 200; }
		location = /prefix { if ($http_authorization != "Token token=k3y-behind") { return 401; } return 200; }
		location = /query { if ($arg_api_key != "k3y%26%3D%2B%20%C3%A9%2Fz") { return 401; } if ($args != "x=%2F&api_key=$arg_api_key") { return 402; } return 200; }
		location = /cookie { if ($cookie_sid != "k3y+/=!~") { return 401; } return 200; }
		location = /token { if ($http_authorization != "Bearer t0ken._~+/==") { return 401; } return 200; }
		location = /oauth2 { if ($http_authorization != "Bearer access-t0ken") { return 401; } return 200; }`)
	for _, v := range []struct {
		path   string
		as     credential.AuthType
		plain  map[string]string
		field  string
		secret string
	}{
		{"/header", credential.APIKey, nil, "key", "k3y+/= of 'ours'; ok"},
		{"/named", credential.APIKey, map[string]string{"header": "private-token"}, "key", "k3y-named"},
		{"/prefix", credential.APIKey, map[string]string{"header": "Authorization", "prefix": "Token token="}, "key", "k3y-behind"},
		{"/query?x=%2F&api_key=another", credential.APIKey, map[string]string{"query": "api_key"}, "key", "k3y&=+ é/z"},
		{"/cookie", credential.APIKey, map[string]string{"cookie": "sid"}, "key", "k3y+/=!~"},
		{"/token", credential.AccessToken, nil, "token", "t0ken._~+/=="},
		{"/oauth2", credential.OAuth2, map[string]string{"client_id": "ours"}, "access_token", "access-t0ken"},
	} {
		url := "http://" + address + v.path
		for secret, want := range map[string]int{v.secret: 200, changeOne(v.secret): 401, v.secret + "x": 401, v.secret[1:]: 401} {
			c := Credential{Type: v.as, Plain: v.plain, Secrets: hidden(t, map[string]string{v.field: secret}), Origins: originOf(t, url)}
			if got := status(t, c, "GET", url, "", ""); got != want {
				t.Errorf("%s with %q: %d, want %d", v.path, secret, got, want)
			}
		}
	}
}

// mutualTLS has a server ask for certificates of root.pem.
const mutualTLS = ` ssl; ssl_certificate @DIR@/server.pem; ssl_certificate_key @DIR@/server.key;
		ssl_client_certificate @DIR@/root.pem; ssl_verify_client on;`

// issue makes a certificate with its key, in PEM; a nil issuer makes a root.
func issue(t testing.TB, name string, issuer *x509.Certificate, with *ecdsa.PrivateKey) (certificate, key string, c *x509.Certificate, k *ecdsa.PrivateKey) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: issuer == nil,
	}
	if issuer == nil {
		issuer, with = template, k
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &k.PublicKey, with)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), c, k
}

func TestClientCertificateAgainstNginx(t *testing.T) {
	t.Parallel()
	rootPEM, _, root, rootKey := issue(t, "root", nil, nil)
	serverPEM, serverKey, _, _ := issue(t, "server", root, rootKey)
	clientPEM, clientKey, _, _ := issue(t, "client", root, rootKey)
	_, _, strangeRoot, strangeRootKey := issue(t, "root", nil, nil)
	strangerPEM, strangerKey, _, _ := issue(t, "client", strangeRoot, strangeRootKey)

	address := freeAddress(t)
	serveNginx(t, address, map[string]string{"root.pem": rootPEM, "server.pem": serverPEM, "server.key": serverKey}, mutualTLS)
	url := "https://" + address + "/"
	roots := x509.NewCertPool()
	roots.AddCert(root)
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	for name, c := range map[string]struct {
		certificate, key string
		want             int
	}{"ours": {clientPEM, clientKey, 200}, "another root's": {strangerPEM, strangerKey, 400}} {
		transport, err := NewTransport(Credential{Type: credential.ClientCertificate, Origins: originOf(t, url),
			Plain:   map[string]string{"certificate": c.certificate},
			Secrets: hidden(t, map[string]string{"private_key": c.key})}, base)
		if err != nil {
			t.Fatal(err)
		}
		if got := statusOf(t, transport, "GET", url, "", ""); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	_, err := NewTransport(Credential{Type: credential.ClientCertificate, Plain: map[string]string{"certificate": clientPEM},
		Secrets: hidden(t, map[string]string{"private_key": strangerKey})}, base)
	if err == nil {
		t.Error("a certificate with another's key is accepted")
	}
	if base.TLSClientConfig.GetClientCertificate != nil {
		t.Error("the caller's transport presents the certificate now")
	}
}

// fixedCertificate is the same to the last byte of its signature each time, so that every run tries the same bytes.
func fixedCertificate(t *testing.T) (der []byte, key *ecdsa.PrivateKey, root *x509.Certificate) {
	t.Helper()
	keyOf := func(name string) *ecdsa.PrivateKey {
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(name))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	issue := func(name string, serial int64, issuer *x509.Certificate, public *ecdsa.PublicKey, with *ecdsa.PrivateKey) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: issuer == nil,
			NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		if issuer == nil {
			issuer = template
		}
		der, err := x509.CreateCertificate(nil, template, issuer, public, with) // nil: signed as RFC 6979 has it
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	rootKey, key := keyOf("the root's key of 32 bytes, this"), keyOf("the client's key of 32 bytes, ok")
	root = issue("root", 1, nil, &rootKey.PublicKey, rootKey)
	return issue("client", 2, root, &key.PublicKey, rootKey).Raw, key, root
}

// Every byte of a client certificate counts: with any one of them changed it is refused, by our own code or by the
// server. There is no place to leave out. What the root signed is signed as it stands. What stands around that, OpenSSL
// reads strictly: the algorithm outside is compared with the signed one, the signature's bit string may have no unused
// bits, and the two numbers in it must be in DER.
func TestFlippedClientCertificateAgainstNginx(t *testing.T) {
	t.Parallel()
	serverPEM, serverKey, serverRoot, _ := issue(t, "server", nil, nil)
	der, key, root := fixedCertificate(t)
	asPEM := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	address := freeAddress(t)
	serveNginx(t, address, map[string]string{"root.pem": asPEM(root.Raw), "server.pem": serverPEM, "server.key": serverKey}, mutualTLS)
	url := "https://" + address + "/"
	roots := x509.NewCertPool()
	roots.AddCert(serverRoot)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secrets := hidden(t, map[string]string{"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))})
	bare := func(der []byte) bool { // crypto/tls sends it as it is
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
			}}}
		defer transport.CloseIdleConnections()
		return accepted(transport, url)
	}
	ours := func(der []byte) bool {
		transport, err := NewTransport(Credential{Type: credential.ClientCertificate, Origins: originOf(t, url),
			Plain: map[string]string{"certificate": asPEM(der)}, Secrets: secrets}, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}})
		if err != nil {
			return false
		}
		defer transport.CloseIdleConnections()
		return accepted(transport, url)
	}
	for i := range len(der) + 1 {
		sent := append([]byte(nil), der...)
		want := i == len(der) // the certificate itself, last: what was refused was not refused for another reason
		if !want {
			sent[i] ^= 1
		}
		if b, o := bare(sent), ours(sent); b != want || o != want {
			t.Errorf("with byte %d of %d flipped: accepted %v from crypto/tls, %v from ours; want %v", i, len(der), b, o, want)
		}
	}
}

func accepted(transport http.RoundTripper, url string) bool {
	client := http.Client{Transport: transport, Timeout: time.Minute}
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
