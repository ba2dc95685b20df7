package httpauth

import (
	"fmt"
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
	AuthDigestNonceLifetime 8
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
	time.Sleep(9100 * time.Millisecond) // the server's clock of nonces has whole seconds
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
