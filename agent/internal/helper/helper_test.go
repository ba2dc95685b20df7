package helper

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

var ends = time.Date(2030, 1, 2, 3, 4, 5, 600, time.UTC)

func credential(fields ...string) Credential {
	c := Credential{Reference: "forge", Fields: map[string][]byte{}, Ends: ends}
	for i := 0; i < len(fields); i += 2 {
		c.Fields[fields[i]] = []byte(fields[i+1])
	}
	return c
}

const forge = "https://forge.example.com"

func TestGit(t *testing.T) {
	t.Parallel()
	const asks = "protocol=https\nhost=forge.example.com\n"
	const expiry = "password_expiry_utc=1893553445\n"
	for _, c := range []struct {
		name           string
		credential     Credential
		asks           string
		host, username string
		want           string
		err            error
	}{
		{"password", credential("url", forge, "username", "bot", "password", "p=w"), asks, "", "", "username=bot\npassword=p=w\n" + expiry, nil},
		{"token", credential("url", forge, "token", "t0"), asks, "", "", "username=x-access-token\npassword=t0\n" + expiry, nil},
		{"oauth2", credential("url", forge, "access_token", "t0"), asks, "", "", "username=oauth2\npassword=t0\n" + expiry, nil},
		{"key", credential("url", forge, "key", "k0", "username", "bot"), asks, "", "", "username=bot\npassword=k0\n" + expiry, nil},
		{"--username", credential("url", forge, "token", "t0"), asks, "", "x-token-auth", "username=x-token-auth\npassword=t0\n" + expiry, nil},
		{"the token's user is the URL's", credential("url", forge, "token", "t0"), asks + "username=me\n", "", "", "username=me\npassword=t0\n" + expiry, nil},
		{"same user", credential("url", forge, "username", "bot", "password", "pw"), asks + "username=bot\n", "", "", "username=bot\npassword=pw\n" + expiry, nil},
		{"another user", credential("url", forge, "username", "bot", "password", "pw"), asks + "username=me\n", "", "", "", ErrOtherHost},
		{"case, path and port of url", credential("url", "HTTPS://Forge.Example.com:443/api/v4", "token", "t0"), "protocol=https\nhost=FORGE.example.com\npath=a/b.git\n\n", "", "", "username=x-access-token\npassword=t0\n" + expiry, nil},
		{"unknown keys and what follows the empty line", credential("url", forge, "token", "t0"), "capability[]=authtype\n" + asks + "wwwauth[]=Basic realm=x\nwwwauth[]=Negotiate\n\nhost=evil.example.com\n", "", "", "username=x-access-token\npassword=t0\n" + expiry, nil},
		{"loopback", credential("url", "http://127.0.0.1:3000", "token", "t0"), "protocol=http\nhost=127.0.0.1:3000\n", "", "", "username=x-access-token\npassword=t0\n" + expiry, nil},
		{"loopback by name", credential("url", "http://localhost:3000", "token", "t0"), "protocol=http\nhost=localhost:3000\n", "", "", "username=x-access-token\npassword=t0\n" + expiry, nil},
		{"IPv6", credential("url", "https://[2001:db8::1]:8443", "token", "t0"), "protocol=https\nhost=[2001:db8::1]:8443\n", "", "", "username=x-access-token\npassword=t0\n" + expiry, nil},
		{"--host", credential("url", "https://api.forge.example.com", "token", "t0"), asks, "forge.example.com", "", "username=x-access-token\npassword=t0\n" + expiry, nil},

		{"another host", credential("url", forge, "token", "t0"), "protocol=https\nhost=evil.example.com\n", "", "", "", ErrOtherHost},
		{"a host that some take for it", credential("url", "https://github.com", "token", "t0"), "protocol=https\nhost=gİthub.com\n", "", "", "", ErrInput},
		{"a longer host", credential("url", forge, "token", "t0"), "protocol=https\nhost=forge.example.com.evil.com\n", "", "", "", ErrOtherHost},
		{"another port", credential("url", forge, "token", "t0"), "protocol=https\nhost=forge.example.com:8443\n", "", "", "", ErrOtherHost},
		{"without TLS", credential("url", "http://forge.example.com", "token", "t0"), "protocol=http\nhost=forge.example.com\n", "", "", "", ErrOtherHost},
		{"without TLS, --host", credential("token", "t0"), "protocol=http\nhost=forge.example.com\n", "forge.example.com", "", "", ErrOtherHost},
		{"another scheme", credential("url", "http://127.0.0.1", "token", "t0"), "protocol=https\nhost=127.0.0.1\n", "", "", "", ErrOtherHost},
		{"ssh", credential("url", forge, "token", "t0"), "protocol=ssh\nhost=forge.example.com\n", "", "", "", ErrOtherHost},
		{"no url", credential("token", "t0"), asks, "", "", "", ErrOtherHost},
		{"another --host", credential("url", forge, "token", "t0"), asks, "other.example.com", "", "", ErrOtherHost},

		{"no field", credential("url", forge, "client_id", "x"), asks, "", "", "", ErrCredential},
		{"no user", credential("url", forge, "password", "x"), asks, "", "", "", ErrCredential},
		{"a password of two lines", credential("url", forge, "username", "bot", "password", "a\nhost=evil"), asks, "", "", "", ErrCredential},
		{"a password with a return", credential("url", forge, "username", "bot", "password", "a\r"), asks, "", "", "", ErrCredential},
		{"a password with a NUL", credential("url", forge, "username", "bot", "password", "a\x00"), asks, "", "", "", ErrCredential},
		{"a user of two lines", credential("url", forge, "username", "bot\npassword=x", "password", "a"), asks, "", "", "", ErrCredential},

		{"a host brought in by a line break", credential("url", forge, "token", "t0"), "protocol=https\nhost=evil.example.com\nhost=forge.example.com\n", "", "", "", ErrInput},
		{"a user in the host", credential("url", forge, "token", "t0"), "protocol=https\nhost=forge.example.com@evil.example.com\n", "", "", "", ErrInput},
		{"a path in the host", credential("url", forge, "token", "t0"), "protocol=https\nhost=evil.example.com/forge.example.com\n", "", "", "", ErrInput},
		{"a NUL in the host", credential("url", forge, "token", "t0"), "protocol=https\nhost=forge.example.com\x00.evil.example.com\n", "", "", "", ErrInput},
		{"a return after the host", credential("url", forge, "token", "t0"), "protocol=https\nhost=forge.example.com\r\n", "", "", "", ErrInput},
		{"a return after the user", credential("url", forge, "token", "t0"), asks + "username=me\r\n", "", "", "", ErrInput},
		{"a return after what is unknown", credential("url", forge, "token", "t0"), asks + "path=a\r\n", "", "", "", ErrInput},
		{"a return as the empty line", credential("url", forge, "token", "t0"), asks + "\r\nhost=evil.example.com\n", "", "", "", ErrInput},
		{"no host", credential("url", forge, "token", "t0"), "protocol=https\n", "", "", "", ErrInput},
		{"an empty host", credential("url", "https://", "token", "t0"), "protocol=https\nhost=\n", "", "", "", ErrInput},
		{"no protocol", credential("url", forge, "token", "t0"), "host=forge.example.com\n", "", "", "", ErrInput},
		{"no lines", credential("url", forge, "token", "t0"), "hello\n", "", "", "", ErrInput},
		{"nothing", credential("url", forge, "token", "t0"), "", "", "", "", ErrInput},
		{"too long", credential("url", forge, "token", "t0"), asks + "path=" + strings.Repeat("x", 64<<10), "", "", "", ErrInput},
	} {
		q, err := ReadGit(strings.NewReader(c.asks))
		var got []byte
		if err == nil {
			got, err = c.credential.Git(q, c.host, c.username)
		}
		wantAnswer(t, c.name, got, err, c.want, c.err)
	}
}

func wantAnswer(t *testing.T, name string, got []byte, err error, want string, is error) {
	t.Helper()
	if string(got) != want || !errors.Is(err, is) || is == nil && err != nil {
		t.Errorf("%s: %q, %v; want %q, %v", name, got, err, want, is)
	}
	for _, secret := range []string{"t0", "pw", "p=w", "a\n", "k0"} {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats the secret: %v", name, err)
		}
	}
}

func TestDocker(t *testing.T) {
	t.Parallel()
	hubCredential := credential("url", "https://registry-1.docker.io", "username", "bot", "password", "pw")
	registry := credential("url", "https://registry.example.com", "username", "bot", "password", "pw")
	for _, c := range []struct {
		name           string
		credential     Credential
		asks           string
		host, username string
		want           string
		err            error
	}{
		{"plain", registry, "registry.example.com\n", "", "", `{"ServerURL":"registry.example.com","Username":"bot","Secret":"pw"}`, nil},
		{"with scheme and path", registry, "https://registry.example.com/v2/", "", "", `{"ServerURL":"https://registry.example.com/v2/","Username":"bot","Secret":"pw"}`, nil},
		{"Docker's own", hubCredential, "https://index.docker.io/v1/", "", "", `{"ServerURL":"https://index.docker.io/v1/","Username":"bot","Secret":"pw"}`, nil},
		{"Docker's own, --host", credential("username", "bot", "password", "pw"), "https://index.docker.io/v1/", "docker.io", "", `{"ServerURL":"https://index.docker.io/v1/","Username":"bot","Secret":"pw"}`, nil},
		{"identity token", credential("url", "https://registry.example.com", "token", "t0"), "registry.example.com", "", "", `{"ServerURL":"registry.example.com","Username":"\u003ctoken\u003e","Secret":"t0"}`, nil},
		{"token with its user", credential("url", "https://registry.example.com", "token", "t0", "username", "bot"), "registry.example.com", "", "", `{"ServerURL":"registry.example.com","Username":"bot","Secret":"t0"}`, nil},
		{"token, --username", credential("url", "https://registry.example.com", "token", "t0"), "registry.example.com", "", "me", `{"ServerURL":"registry.example.com","Username":"me","Secret":"t0"}`, nil},
		{"loopback without TLS", credential("url", "http://localhost:5000", "username", "bot", "password", "pw"), "localhost:5000", "", "", `{"ServerURL":"localhost:5000","Username":"bot","Secret":"pw"}`, nil},
		{"another registry", registry, "evil.example.com", "", "", "", ErrOtherHost},
		{"another port", registry, "registry.example.com:5000", "", "", "", ErrOtherHost},
		{"without TLS", credential("url", "http://registry.example.com", "username", "bot", "password", "pw"), "http://registry.example.com", "", "", "", ErrOtherHost},
		{"without TLS and scheme", credential("url", "http://registry.example.com", "username", "bot", "password", "pw"), "registry.example.com", "", "", "", ErrOtherHost},
		{"no url", credential("username", "bot", "password", "pw"), "registry.example.com", "", "", "", ErrOtherHost},
		{"a password that is no text", credential("url", "https://registry.example.com", "username", "bot", "password", "\xff"), "registry.example.com", "", "", "", ErrCredential},
		{"two lines", registry, "registry.example.com\nevil", "", "", "", ErrInput},
		{"a user", registry, "https://registry.example.com@evil.example.com/", "", "", "", ErrInput},
		{"nothing", registry, "\n", "", "", "", ErrInput},
		{"too long", registry, "registry.example.com/" + strings.Repeat("x", 64<<10), "", "", "", ErrInput},
	} {
		q, err := ReadDocker(strings.NewReader(c.asks))
		var got []byte
		if err == nil {
			got, err = c.credential.Docker(q, c.host, c.username)
		}
		wantAnswer(t, c.name, got, err, c.want, c.err)
	}
	for host, want := range map[string]string{"": `{"https://index.docker.io/v1/":"bot"}`, "r.example.com": `{"r.example.com":"bot"}`, "r.example.com:5000": `{"r.example.com:5000":"bot"}`} {
		got, err := hubCredential.DockerList(host, "")
		wantAnswer(t, "list "+host, got, err, want, nil)
	}
}

func TestAWS(t *testing.T) {
	t.Parallel()
	got, err := credential("access_key_id", "AKIA0", "key", "s<k", "region", "eu-central-1").AWS()
	wantAnswer(t, "key", got, err, `{"Version":1,"AccessKeyId":"AKIA0","SecretAccessKey":"s\u003ck","Expiration":"2030-01-02T03:04:05Z"}`, nil)
	got, err = credential("access_key_id", "AKIA0", "key", "sk", "session_token", "st").AWS()
	wantAnswer(t, "temporary key", got, err, `{"Version":1,"AccessKeyId":"AKIA0","SecretAccessKey":"sk","SessionToken":"st","Expiration":"2030-01-02T03:04:05Z"}`, nil)
	for _, c := range []Credential{credential("key", "sk"), credential("access_key_id", "AKIA0"), credential("access_key_id", "AKIA0", "key", "\xff"),
		credential("access_key_id", "AKIA0", "key", "sk", "session_token", "\xff")} {
		got, err := c.AWS()
		wantAnswer(t, "incomplete", got, err, "", ErrCredential)
	}
}

func TestKubectl(t *testing.T) {
	t.Parallel()
	const group = "client.authentication.k8s.io/"
	info := func(version, server string) string {
		cluster := ""
		if server != "" {
			cluster = `,"cluster":{"server":"` + server + `","certificate-authority-data":"eA==","config":null}`
		}
		return `{"kind":"ExecCredential","apiVersion":"` + version + `","spec":{"interactive":false` + cluster + `}}`
	}
	const token = `"status":{"expirationTimestamp":"2030-01-02T03:04:05Z","token":"t0"}}`
	cluster := credential("url", "https://k8s.example.com:6443", "token", "t0")
	for _, c := range []struct {
		name       string
		credential Credential
		info, host string
		want       string
		err        error
	}{
		{"v1", cluster, info(group+"v1", ""), "", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",` + token, nil},
		{"v1beta1", cluster, info(group+"v1beta1", ""), "", `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential",` + token, nil},
		{"nothing said", cluster, "", "", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",` + token, nil},
		{"its cluster", cluster, info(group+"v1", "https://k8s.example.com:6443"), "", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",` + token, nil},
		{"--host", cluster, info(group+"v1", "https://10.0.0.1"), "10.0.0.1", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",` + token, nil},
		{"oauth2", credential("access_token", "t0"), "", "", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",` + token, nil},
		{"certificate", credential("certificate", "CERT\n", "private_key", "KEY\n"), "", "",
			`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"expirationTimestamp":"2030-01-02T03:04:05Z","clientCertificateData":"CERT\n","clientKeyData":"KEY\n"}}`, nil},
		{"another cluster", cluster, info(group+"v1", "https://evil.example.com:6443"), "", "", ErrOtherHost},
		{"a cluster without TLS", cluster, info(group+"v1", "http://k8s.example.com:6443"), "", "", ErrOtherHost},
		{"certificate without key", credential("certificate", "CERT\n"), "", "", "", ErrCredential},
		{"neither", credential("password", "pw"), "", "", "", ErrCredential},
		{"v1alpha1", cluster, info(group+"v1alpha1", ""), "", "", ErrInput},
		{"another group", cluster, info("v1", ""), "", "", ErrInput},
		{"another kind", cluster, `{"kind":"Pod","apiVersion":"client.authentication.k8s.io/v1"}`, "", "", ErrInput},
		{"no JSON", cluster, "{", "", "", ErrInput},
		{"too long", cluster, strings.Repeat(" ", 64<<10) + info(group+"v1", ""), "", "", ErrInput},
	} {
		q, err := ReadKubectl(c.info)
		var got []byte
		if err == nil {
			got, err = c.credential.Kubectl(q, c.host)
		}
		wantAnswer(t, c.name, got, err, c.want, c.err)
	}
}

var fuzzed = credential("url", forge, "username", "bot", "password", "hunter22")

func FuzzGit(f *testing.F) {
	f.Add("protocol=https\nhost=forge.example.com\n\n")
	f.Add("protocol=https\nhost=forge.example.com:443\nusername=bot\nwwwauth[]=Basic\n")
	f.Add("protocol=http\nhost=[::1]:80\r\n")
	f.Fuzz(func(t *testing.T, asks string) {
		q, err := ReadGit(strings.NewReader(asks))
		if err != nil {
			return
		}
		got, err := fuzzed.Git(q, "", "")
		if err == nil && string(got) != "username=bot\npassword=hunter22\npassword_expiry_utc=1893553445\n" {
			t.Errorf("%q", got)
		}
		if err == nil && !strings.Contains(strings.ToLower(asks), "host=forge.example.com") {
			t.Errorf("given for %q", asks)
		}
	})
}

func FuzzDocker(f *testing.F) {
	f.Add("forge.example.com")
	f.Add("https://forge.example.com:443/v2/")
	f.Add("http://[::1]:5000")
	f.Fuzz(func(t *testing.T, asks string) {
		q, err := ReadDocker(strings.NewReader(asks))
		if err != nil {
			return
		}
		got, err := fuzzed.Docker(q, "", "")
		if err != nil {
			return
		}
		var answer struct{ ServerURL, Username, Secret string }
		if err := json.Unmarshal(got, &answer); err != nil || answer.ServerURL != strings.TrimSpace(asks) || answer.Secret != "hunter22" {
			t.Errorf("%q: %q, %v", asks, got, err)
		}
		if lower := strings.ToLower(answer.ServerURL); !strings.HasPrefix(strings.TrimPrefix(lower, "https://"), "forge.example.com") {
			t.Errorf("given for %q", asks)
		}
	})
}

func FuzzKubectl(f *testing.F) {
	f.Add(`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://forge.example.com"}}}`)
	f.Fuzz(func(t *testing.T, info string) {
		q, err := ReadKubectl(info)
		if err != nil {
			return
		}
		got, err := credential("url", forge, "token", "t0").Kubectl(q, "")
		if err == nil && !json.Valid(got) {
			t.Errorf("%q: %q", info, got)
		}
	})
}
