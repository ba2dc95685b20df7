package httpauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

// changeOne gives the text with one byte changed.
func changeOne(s string) string {
	b := []byte(s)
	b[len(b)/2] ^= 1
	return string(b)
}

func TestBasicAgainstNginx(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	dir := folder(t, map[string]string{
		"www/index.html": "in\n", "users": "frau müller:{SHA}o6wG8L5pQeLIIvTqJfJXU3x5nFg=\n", // of p:ä"\ss
		"nginx.conf": `daemon off; master_process off; pid @DIR@/pid; error_log @DIR@/error.log;
events {}
http {
	access_log off; client_body_temp_path @DIR@/t1; proxy_temp_path @DIR@/t2; fastcgi_temp_path @DIR@/t3; uwsgi_temp_path @DIR@/t4; scgi_temp_path @DIR@/t5;
	server { listen ` + address + `; root @DIR@/www; auth_basic "the vault"; auth_basic_user_file @DIR@/users; }
}`})
	serve(t, address, "nginx", "-p", dir, "-e", dir+"/error.log", "-c", dir+"/nginx.conf")
	url := "http://" + address + "/"
	for password, want := range map[string]int{`p:ä"\ss`: 200, changeOne(`p:ä"\ss`): 401} {
		c := Credential{Type: credential.Basic, Plain: map[string]string{"username": "frau müller"},
			Secrets: hidden(t, map[string]string{"password": password}), Origins: originOf(t, url)}
		if got := status(t, c, "GET", url, "", ""); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
}

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
	dir := folder(t, map[string]string{
		"www/index.html": "in\n", "root.pem": rootPEM, "server.pem": serverPEM, "server.key": serverKey,
		"nginx.conf": `daemon off; master_process off; pid @DIR@/pid; error_log @DIR@/error.log;
events {}
http {
	access_log off; client_body_temp_path @DIR@/t1; proxy_temp_path @DIR@/t2; fastcgi_temp_path @DIR@/t3; uwsgi_temp_path @DIR@/t4; scgi_temp_path @DIR@/t5;
	server {
		listen ` + address + ` ssl; root @DIR@/www; ssl_certificate @DIR@/server.pem; ssl_certificate_key @DIR@/server.key;
		ssl_client_certificate @DIR@/root.pem; ssl_verify_client on;
	}
}`})
	serve(t, address, "nginx", "-p", dir, "-e", dir+"/error.log", "-c", dir+"/nginx.conf")
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

const apacheConf = `ServerRoot /usr/lib/apache2
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authn_core_module modules/mod_authn_core.so
LoadModule authn_file_module modules/mod_authn_file.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule authz_user_module modules/mod_authz_user.so
LoadModule auth_digest_module modules/mod_auth_digest.so
ServerName localhost
Listen %s
PidFile @DIR@/pid
ErrorLog @DIR@/error.log
DocumentRoot @DIR@/www
User www-data
Group www-data
<Directory @DIR@/www>
	Require all granted
</Directory>
<LocationMatch "^/(plain|short)">
	AuthType Digest
	AuthName "the vault, ours"
	AuthUserFile @DIR@/users
	Require valid-user
</LocationMatch>
<Location /short>
	AuthDigestNonceLifetime 1
</Location>
`

func TestDigestAgainstApache(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	dir := folder(t, map[string]string{
		"www/plain/index.html": "in\n", "www/short/index.html": "in\n",
		// md5("kate:the vault, ours:s3cret, with: colons")
		"users":      "kate:the vault, ours:d40c5b8d67576dbd39d5ffd1d5ed05eb\n",
		"httpd.conf": fmt.Sprintf(apacheConf, address)})
	serve(t, address, "apache2", "-X", "-f", filepath.Join(dir, "httpd.conf"))
	url := "http://" + address
	for _, c := range []struct {
		password, path string
		want           int
	}{
		{"s3cret, with: colons", "/plain/index.html?a=b,c", 200}, {changeOne("s3cret, with: colons"), "/plain/index.html", 401},
	} {
		credential := digestCredential(t, c.password, url)
		if got := status(t, credential, "GET", url+c.path, "", ""); got != c.want {
			t.Errorf("%s: %d, want %d", c.path, got, c.want)
		}
	}

	transport, err := NewTransport(digestCredential(t, "s3cret, with: colons", url), &http.Transport{})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	nonce := func() string { return transport.sessions[originOf(t, url)[0]].challenge.Nonce }
	for i := range 3 { // with one nonce, whose count goes up
		if got := statusOf(t, transport, "GET", url+"/plain/index.html", "", ""); got != 200 {
			t.Errorf("request %d: %d", i, got)
		}
	}
	if s := transport.sessions[originOf(t, url)[0]]; s.count != 3 {
		t.Errorf("the nonce was used %d times, want 3", s.count)
	}
	before := nonce()
	if got := statusOf(t, transport, "GET", url+"/short/index.html", "", ""); got != 200 {
		t.Errorf("with another resource's nonce: %d", got)
	}
	if nonce() == before {
		t.Error("the server's next nonce was not taken up")
	}
	time.Sleep(2100 * time.Millisecond) // the server's clock of nonces has whole seconds
	before = nonce()
	if got := statusOf(t, transport, "GET", url+"/short/index.html", "", ""); got != 200 {
		t.Errorf("with a stale nonce: %d", got)
	}
	if nonce() == before {
		t.Error("the nonce did not get stale: the test tests nothing")
	}
}

func digestCredential(t testing.TB, password, url string) Credential {
	return Credential{Type: credential.Digest, Plain: map[string]string{"username": "kate"},
		Secrets: hidden(t, map[string]string{"password": password}), Origins: originOf(t, url)}
}

func TestDigestSHA256AgainstLighttpd(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			address := freeAddress(t)
			_, port, _ := net.SplitHostPort(address)
			dir := folder(t, map[string]string{"www/index.html": "in\n", "users": "kate:s3cret\n", "conf": `
server.document-root = "@DIR@/www"
server.bind = "127.0.0.1"
server.port = ` + port + `
server.errorlog = "@DIR@/error.log"
index-file.names = ( "index.html" )
server.modules = ( "mod_auth", "mod_authn_file" )
auth.backend = "plain"
auth.backend.plain.userfile = "@DIR@/users"
auth.require = ( "/" => ( "method" => "digest", "algorithm" => "` + algorithm + `", "realm" => "the vault", "require" => "valid-user" ) )
`})
			serve(t, address, "lighttpd", "-D", "-f", filepath.Join(dir, "conf"))
			url := "http://" + address + "/"
			for password, want := range map[string]int{"s3cret": 200, changeOne("s3cret"): 401} {
				if got := status(t, digestCredential(t, password, url), "GET", url, "", ""); got != want {
					t.Errorf("%d, want %d", got, want)
				}
			}
		})
	}
}
