package credential

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

// TestChainInAnyOrder gives certificates as people's files have them. What is stored begins with that of the key.
func TestChainInAnyOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority(t, dir)
	vouched(t, dir)
	text := func(names string) string {
		var out strings.Builder
		for name := range strings.FieldsSeq(names) {
			out.WriteString(read(t, dir, name+".pem"))
		}
		return out.String()
	}
	for _, v := range []struct{ given, key, want string }{
		{"leaf", "leaf", "leaf"},
		{"leaf middle root", "leaf", "leaf middle root"},
		{"root middle leaf", "leaf", "leaf middle root"},
		{"middle leaf root", "leaf", "leaf middle root"},
		{"middle root leaf", "leaf", "leaf middle root"},
		{"root leaf middle", "leaf", "leaf middle root"},
		{"leaf root middle", "leaf", "leaf middle root"},
		{"middle leaf", "leaf", "leaf middle"},
		{"root middle", "middle", "middle root"},
		{"root", "root", "root"},
		{"other root-by-other root middle leaf", "leaf", "leaf middle root root-by-other other"},
		{"root-by-other middle other leaf root", "leaf", "leaf middle root root-by-other other"},
		{"other middle root-by-other leaf", "leaf", "leaf middle root-by-other other"},

		{"leaf middle", "ed", `invalid field private_key: it is not the key of the certificate`},
		{"root leaf", "leaf", `invalid field certificate: "CN=root" did not issue "CN=leaf"; leave out what does not belong, or put in the issuer that is missing`},
		{"leaf middle root", "middle", `invalid field certificate: "CN=leaf" did not issue "CN=middle", "CN=root"; leave out what does not belong, or put in the issuer that is missing`},
		{"other leaf brief middle", "leaf", `invalid field certificate: "CN=other", "CN=brief" did not issue "CN=leaf", "CN=middle"; leave out what does not belong, or put in the issuer that is missing`},
		{"namesake leaf", "leaf", `invalid field certificate: "CN=middle" did not issue "CN=leaf"; leave out what does not belong, or put in the issuer that is missing`},
		{"middle leaf middle", "leaf", `invalid field certificate: "CN=middle" stands in it twice`},
		{"leaf middle leaf", "leaf", `invalid field certificate: "CN=leaf" stands in it twice`},
		{"leaf rude", "leaf", `invalid field certificate: "CN=a\x1b[31m,O=oooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo,L=l" did not issue "CN=leaf"; leave out what does not belong, or put in the issuer that is missing`},
		{"leaf-again middle leaf", "leaf", `invalid field certificate: "CN=leaf again", "CN=leaf" are all for the private key; give one of them`},
	} {
		plain := map[string]string{"certificate": "its subject=CN = x\n" + text(v.given)}
		value := texts(t, map[string]string{"private_key": read(t, dir, v.key+".key")})
		err := ClientCertificate.Accept(arena(t), ClientCertificate.Fields(), plain, value, time.Now())
		switch {
		case strings.HasPrefix(v.want, "invalid "):
			if !errors.Is(err, ErrInvalid) || err.Error() != v.want {
				t.Errorf("%s: %v\nwant %s", v.given, err, v.want)
			}
		case err != nil:
			t.Errorf("%s: %v", v.given, err)
		case plain["certificate"] != text(v.want):
			t.Errorf("%s: what is stored is not %s", v.given, v.want)
		}
	}
}

// vouched adds a second root that vouches for the first, a certificate of middle's name with another key, one
// whose name is long and has an escape sequence, and a second one for leaf's key.
func vouched(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"other", "namesake"} {
		tool(t, dir, "openssl", "genpkey", "-out", name+".key", "-algorithm", "ED25519")
	}
	tool(t, dir, "openssl", "req", "-x509", "-new", "-key", "other.key", "-days", "30", "-subj", "/CN=other", "-out", "other.pem")
	tool(t, dir, "openssl", "req", "-x509", "-new", "-key", "ed.key", "-days", "30", "-out", "rude.pem",
		"-subj", "/CN=a\x1b[31m/O="+strings.Repeat("o", 64)+"/L="+strings.Repeat("l", 64))
	for _, v := range []struct{ name, key, subject, by string }{
		{"root-by-other", "root", "/CN=root", "other"}, {"namesake", "namesake", "/CN=middle", "root"}, {"leaf-again", "leaf", "/CN=leaf again", "middle"},
	} {
		tool(t, dir, "openssl", "req", "-new", "-key", v.key+".key", "-subj", v.subject, "-out", v.name+".csr")
		tool(t, dir, "openssl", "x509", "-req", "-in", v.name+".csr", "-CA", v.by+".pem", "-CAkey", v.by+".key", "-CAcreateserial",
			"-days", "30", "-extfile", "ca.ext", "-out", v.name+".pem")
	}
}

// One signature by a very long key takes seconds: nobody gets as far as that.
func TestChainOfLongKeys(t *testing.T) {
	t.Parallel()
	for bits, want := range map[uint]string{
		8192: "", 8193: "invalid field certificate: certificate 1 is for a key of RSA with 8193 bits; at most 8192 are accepted",
	} {
		long := new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1)
		_, signer, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(nil, template, template, &rsa.PublicKey{N: long, E: 65537}, signer)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseChain("certificate", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%d bits: %v, want %q", bits, err, want)
		}
	}
}

func FuzzParseChain(f *testing.F) {
	f.Add("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", byte(0))
	f.Add(issuerThenLeaf, byte(1))
	f.Fuzz(func(t *testing.T, text string, leaf byte) {
		chain, err := ParseChain("certificate", text)
		if err != nil && !errors.Is(err, ErrInvalid) || err == nil && (len(chain) == 0 || len(chain) > maxChain) {
			t.Errorf("%d certificates, %v", len(chain), err)
		}
		if err != nil {
			return
		}
		_ = chain.check("certificate", today)
		ordered, err := chain.of("certificate", chain[int(leaf)%len(chain)].PublicKey)
		switch {
		case err != nil && (!errors.Is(err, ErrInvalid) || ordered != nil):
			t.Errorf("%d certificates, %v", len(ordered), err)
		case err == nil && (len(ordered) != len(chain) || ordered[0] != chain[int(leaf)%len(chain)]):
			t.Errorf("%d certificates of %d are left, or begin with another", len(ordered), len(chain))
		case text == issuerThenLeaf && leaf == 1 && err != nil:
			t.Error(err)
		}
	})
}

// issuerThenLeaf is made by openssl and lasts until 2036, which nothing here looks at.
const issuerThenLeaf = `-----BEGIN CERTIFICATE-----
MIIBQDCB86ADAgECAgIKGzAFBgMrZXAwHjENMAsGA1UECgwEQWNtZTENMAsGA1UE
AwwEcm9vdDAgFw0yNjExMjIxMDA2MjBaGA8yMTI2MTAyOTEwMDYyMFowHjENMAsG
A1UECgwEQWNtZTENMAsGA1UEAwwEcm9vdDAqMAUGAytlcAMhAGSDhA+DjGGk3FED
+rFhB9lGEe1sEvGYxHdNb9z/1WYxo1MwUTAdBgNVHQ4EFgQUTecJUjscO2gSoj0P
eMB45VB452MwHwYDVR0jBBgwFoAUTecJUjscO2gSoj0PeMB45VB452MwDwYDVR0T
AQH/BAUwAwEB/zAFBgMrZXADQQDIixZ7GBkDwa6fHCwtpuXuKhzEG4gowkDtVoXP
qp8Ai6rRll2bvc6tJYRc9ja4liX+VB5mlQrBdFGEflfJjfsO
-----END CERTIFICATE-----
-----BEGIN CERTIFICATE-----
MIHUMIGHAgIQADAFBgMrZXAwHjENMAsGA1UECgwEQWNtZTENMAsGA1UEAwwEcm9v
dDAeFw0yNjExMjIxMDA2MjFaFw0zNjExMTkxMDA2MjFaMA4xDDAKBgNVBAMMA2V0
bDAqMAUGAytlcAMhADqZpTA6R+FeQvgq0HBRTFzxf+rEardDPIPTjtjbOX7PMAUG
AytlcANBAPe3rl5/l/4NbGnV3zejm/X37aUsHfTTHGDhFCS0sLmnlnhn7HD190Pr
L6iqy80TpYgCxgwvna5iP3wWdHMe4g4=
-----END CERTIFICATE-----
`
