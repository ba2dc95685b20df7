package httpauth

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
)

func request(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The examples of RFC 7617 sections 2 and 2.1.
func TestBasicVectors(t *testing.T) {
	t.Parallel()
	for _, v := range [][3]string{
		{"Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
		{"test", "123\u00a3", "Basic dGVzdDoxMjPCow=="},
		{"", "", "Basic Og=="},
	} {
		r := request(t, "GET", "https://a.example/", "")
		c := Credential{Type: credential.Basic, Plain: map[string]string{"username": v[0]}, Origins: originOf(t, "https://a.example"),
			Secrets: hidden(t, map[string]string{"password": v[1]})}
		if err := c.Authenticate(r); err != nil || r.Header.Get("Authorization") != v[2] {
			t.Errorf("%s, %v; want %s", r.Header.Get("Authorization"), err, v[2])
		}
	}
}

// The request of RFC 7616 section 3.9.1 with both of its algorithms; RFC 2617 section 3.5 with its errata for MD5
// without qop. The others are the same request, its answers worked out with another program's hashes.
func TestDigestVectors(t *testing.T) {
	t.Parallel()
	const rfc7616 = `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%, ` +
		`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`
	const cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
	for _, v := range []struct {
		challenge, password, method string
		count                       uint32
		want                        []string
	}{
		{strings.Replace(rfc7616, "%", "MD5", 1), "Circle of Life", "GET", 1, []string{
			`Digest username="Mufasa"`, `realm="http-auth@example.org"`, `uri="/dir/index.html"`, `algorithm=MD5`,
			`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"`, `nc=00000001`, `cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"`,
			`qop=auth`, `response="8ca523f5e9506fed4657c9700eebdbec"`, `opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`}},
		{strings.Replace(rfc7616, "%", "SHA-256", 1), "Circle of Life", "GET", 1, []string{
			`algorithm=SHA-256`, `response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"`}},
		{strings.Replace(rfc7616, "%", "MD5-sess", 1), "Circle of Life", "GET", 1, []string{
			`algorithm=MD5-sess`, `response="e783283f46242139c486a698fec7211d"`}},
		{strings.Replace(rfc7616, "%", "SHA-256-sess", 1), "Circle of Life", "GET", 1, []string{
			`response="2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7"`}},
		{strings.Replace(rfc7616, "auth, auth-int\", algorithm=%", "auth-int\", algorithm=MD5", 1), "Circle of Life", "POST", 2, []string{
			`qop=auth-int`, `nc=00000002`, `response="81cea566dc7dab611414b05af5c4eb90"`}},
		{strings.Replace(rfc7616, "auth, auth-int\", algorithm=%", "auth-int\", algorithm=SHA-256", 1), "Circle of Life", "POST", 2, []string{
			`response="564ead0291358554d8df2a0fe6496c195197037bb219be2a0c8174cf9d6e35e0"`}},
		{strings.Replace(rfc7616, "%", "MD5, userhash=true", 1), "Circle of Life", "GET", 1, []string{
			`username="4238f3a16167373febb9bc4d43db9cc4"`, `userhash=true`, `response="8ca523f5e9506fed4657c9700eebdbec"`}},
		{`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`, "CircleOfLife", "GET", 1, []string{
			`response="1949323746fe6a43ef61f9606e7febea"`}},
	} {
		ch, err := ParseChallenge(http.Header{"Www-Authenticate": {v.challenge}})
		if err != nil {
			t.Errorf("%s: %v", v.challenge, err)
			continue
		}
		body := ""
		if v.method == "POST" {
			body = "the body"
		}
		r := request(t, v.method, "http://www.example.org/dir/index.html", body)
		c := Credential{Type: credential.Digest, Plain: map[string]string{"username": "Mufasa"}, Origins: originOf(t, "http://www.example.org"),
			Secrets: hidden(t, map[string]string{"password": v.password})}
		if err := c.Respond(r, ch, cnonce, v.count); err != nil {
			t.Errorf("%s: %v", v.challenge, err)
		}
		got := r.Header.Get("Authorization")
		for _, part := range v.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s\nwithout %s in %s", v.challenge, part, got)
			}
		}
		if !strings.Contains(v.challenge, "qop") && strings.Contains(got, "cnonce") {
			t.Errorf("without qop there must be no cnonce: %s", got)
		}
	}
}

// The names of RFC 7616 section 3.9.2 and RFC 9110: beyond ASCII, and with what a quoted string must escape.
func TestDigestUsernames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"J\u00e4s\u00f8n Doe": `Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, `, `a"b\c`: `Digest username="a\"b\\c", `} {
		r := request(t, "GET", "http://a.example/", "")
		c := digestCredential(t, "p", "http://a.example")
		c.Plain = map[string]string{"username": name}
		err := c.Respond(r, Challenge{Realm: "r", Nonce: "n", QOP: []string{"auth"}}, "c", 1)
		if got := r.Header.Get("Authorization"); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

// RFC 5849 section 3.4.1.1 for the base string, and section 1.2 for a signature.
func TestOAuth1Vectors(t *testing.T) {
	t.Parallel()
	r := request(t, "POST", "http://EXAMPLE.com:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b", "c2&a3=2+q")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	parameters, err := formParameters(r)
	if err != nil {
		t.Fatal(err)
	}
	got := baseString(r, append(parameters, parameter{"oauth_consumer_key", "9djdj82h48djs9d2"}, parameter{"oauth_token", "kkk9d7dh3k39sjv7"},
		parameter{"oauth_signature_method", "HMAC-SHA1"}, parameter{"oauth_timestamp", "137131201"}, parameter{"oauth_nonce", "7d8f3e4a"}))
	const want = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26" +
		"oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26" +
		"oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}

	r = request(t, "GET", "http://photos.example.net/photos?file=vacation.jpg&size=original", "")
	parameters, err = formParameters(r)
	if err != nil {
		t.Fatal(err)
	}
	c := Credential{Secrets: hidden(t, map[string]string{"consumer_secret": "kd94hf93k423kf44", "token_secret": "pfkkdhi9sl3r4s00"})}
	signature, err := c.signatureOf("HMAC-SHA1", baseString(r, append(parameters, parameter{"oauth_consumer_key", "dpf43f3p2l4k3l03"},
		parameter{"oauth_token", "nnch734d00sl2jdk"}, parameter{"oauth_signature_method", "HMAC-SHA1"},
		parameter{"oauth_timestamp", "137131202"}, parameter{"oauth_nonce", "chapoH"})))
	if text := base64.StdEncoding.EncodeToString(signature); err != nil || text != "MdpQcU8iPSUjWoN/UDMsK2sui9I=" {
		t.Errorf("%s, %v", text, err)
	}
	for _, v := range [][2]string{{"abcABC123", "abcABC123"}, {"-._~", "-._~"}, {"%", "%25"}, {"+", "%2B"}, {"&=*", "%26%3D%2A"},
		{"\n", "%0A"}, {" ", "%20"}, {"\u0080", "%C2%80"}, {"\u3001", "%E3%80%81"}} {
		if got := escape(v[0]); got != v[1] {
			t.Errorf("%q is encoded as %s, want %s", v[0], got, v[1])
		}
	}
}

// GitHub's example of a signed delivery, and the same with other hashes by openssl dgst -hmac.
func TestWebhookVectors(t *testing.T) {
	t.Parallel()
	const key, body = "It's a Secret to Everybody", "Hello, World!"
	for _, v := range []struct {
		plain  map[string]string
		header string
		want   string
	}{
		{map[string]string{"header": "X-Hub-Signature-256", "prefix": "sha256="}, "X-Hub-Signature-256",
			"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
		{map[string]string{"encoding": "base64"}, "X-Signature", "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="},
		{map[string]string{"algorithm": "sha1"}, "X-Signature", "01dc10d0c83e72ed246219cdd91669667fe2ca59"},
	} {
		c := Credential{Type: credential.WebhookSecret, Plain: v.plain, Secrets: hidden(t, map[string]string{"secret": key})}
		h := http.Header{}
		if err := c.SignWebhook(h, []byte(body)); err != nil || h.Get(v.header) != v.want {
			t.Errorf("%s, %v; want %s", h.Get(v.header), err, v.want)
		}
		if err := c.VerifyWebhook(h, []byte(body)); err != nil {
			t.Errorf("%s: %v", v.want, err)
		}
		for name, wrong := range map[string]http.Header{
			"changed": {v.header: {changeOne(v.want)}}, "cut": {v.header: {v.want[:len(v.want)-1]}}, "absent": {},
			"twice": {v.header: {v.want, v.want}}, "empty": {v.header: {v.plain["prefix"]}}, "longer": {v.header: {v.want + "00"}},
		} {
			if err := c.VerifyWebhook(wrong, []byte(body)); err == nil {
				t.Errorf("%s, %s: accepted", v.want, name)
			}
		}
		if err := c.VerifyWebhook(h, []byte(changeOne(body))); err == nil {
			t.Errorf("%s: another body is accepted", v.want)
		}
	}
}
