package credential

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tool runs a program in dir, which makes keys that are not of our own making.
func tool(t testing.TB, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s; install it: tools/parts.sh openssl ssh-keygen", program, args, err, complaints.String())
	}
	return string(out)
}

func read(t testing.TB, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSSHKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"ed25519": {"-t", "ed25519"}, "rsa": {"-t", "rsa", "-b", "2048"}, "ecdsa": {"-t", "ecdsa"},
		"rsa-pem": {"-t", "rsa", "-b", "2048", "-m", "PEM"}, "ecdsa-pkcs8": {"-t", "ecdsa", "-m", "PKCS8"},
		"locked": {"-t", "ed25519", "-a", "1", "-N", "the passphrase"}, "locked-pem": {"-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "the passphrase"},
		"locked-pkcs8": {"-t", "ecdsa", "-m", "PKCS8", "-N", "the passphrase"},
	} {
		if !strings.HasPrefix(name, "locked") {
			args = append(args, "-N", "")
		}
		tool(t, dir, "ssh-keygen", append(args, "-q", "-C", "", "-f", name)...)
		fields := map[string]string{"private_key": read(t, dir, name)}
		if strings.HasPrefix(name, "locked") {
			fields["passphrase"] = "the passphrase"
			for wrong, want := range map[string]string{"": "the key is encrypted", "The passphrase": "does not open with this passphrase"} {
				value := texts(t, map[string]string{"private_key": fields["private_key"], "passphrase": wrong})
				err := SSHKey.Accept(arena(t), SSHKey.Fields(), map[string]string{}, value, today)
				if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s with %q: %v, want %q", name, wrong, err, want)
				}
			}
		}
		plain, value := map[string]string{"public_key": "whatever was given"}, texts(t, fields)
		if err := SSHKey.Accept(arena(t), SSHKey.Fields(), plain, value, today); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := strings.Join(strings.Fields(read(t, dir, name+".pub"))[:2], " "); plain["public_key"] != want {
			t.Errorf("%s: public half %s, want %s", name, plain["public_key"], want)
		}
		if want := strings.Fields(tool(t, dir, "ssh-keygen", "-l", "-f", name+".pub"))[1]; plain["fingerprint"] != want {
			t.Errorf("%s: fingerprint %s, want %s", name, plain["fingerprint"], want)
		}
		if value["passphrase"] != nil || bytes.Contains(value["private_key"].Reveal(), []byte("ENCRYPTED")) {
			t.Errorf("%s: the passphrase is kept, or still needed", name)
		}
		// What is stored, OpenSSH reads without a passphrase.
		if err := os.WriteFile(filepath.Join(dir, "stored"), value["private_key"].Reveal(), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(tool(t, dir, "ssh-keygen", "-y", "-P", "", "-f", "stored")); got[1] != strings.Fields(plain["public_key"])[1] {
			t.Errorf("%s: another key is stored", name)
		}
	}
}

func TestGeneratedSSHKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := SSHKey.Generate(arena(t), "private_key")
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]string{}
	if err := SSHKey.Accept(arena(t), SSHKey.Fields(), plain, Value{"private_key": key}, today); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), key.Reveal(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(tool(t, dir, "ssh-keygen", "-y", "-f", "key")); got != plain["public_key"] || !strings.HasPrefix(got, "ssh-ed25519 ") {
		t.Errorf("%s, want %s", got, plain["public_key"])
	}
}

func TestWeakSSHKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tool(t, dir, "ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-m", "PEM", "-N", "", "-f", "rsa")
	tool(t, dir, "openssl", "dsaparam", "-noout", "-genkey", "-out", "dsa", "1024")
	tool(t, dir, "openssl", "ecparam", "-name", "secp224r1", "-genkey", "-out", "p224")
	tool(t, dir, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", "p256")
	for name, want := range map[string]string{"rsa": "RSA with 1024 bits; 2048 or more are accepted", "dsa": "DSA; RSA, ECDSA and Ed25519 are accepted", "p224": "P-224", "p256": ""} {
		err := SSHKey.Accept(arena(t), SSHKey.Fields(), map[string]string{}, texts(t, map[string]string{"private_key": read(t, dir, name)}), today)
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "field private_key") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// authority makes root, intermediate and leaf with openssl, in dir.
func authority(t testing.TB, dir string) {
	t.Helper()
	ext := "basicConstraints=critical,CA:TRUE\n"
	if err := os.WriteFile(filepath.Join(dir, "ca.ext"), []byte(ext), 0o600); err != nil {
		t.Fatal(err)
	}
	genpkey := func(name string, args ...string) {
		tool(t, dir, "openssl", append([]string{"genpkey", "-out", name + ".key", "-algorithm"}, args...)...)
	}
	genpkey("root", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	tool(t, dir, "openssl", "req", "-x509", "-new", "-key", "root.key", "-sha1", "-days", "30", "-subj", "/CN=root", "-out", "root.pem")
	issue := func(name, by string, args ...string) {
		tool(t, dir, "openssl", "req", "-new", "-key", name+".key", "-subj", "/CN="+name, "-out", name+".csr")
		tool(t, dir, "openssl", append([]string{"x509", "-req", "-in", name + ".csr", "-CA", by + ".pem", "-CAkey", by + ".key",
			"-CAcreateserial", "-days", "30", "-out", name + ".pem"}, args...)...)
	}
	genpkey("middle", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
	issue("middle", "root", "-extfile", "ca.ext")
	genpkey("brief", "ED25519")
	issue("brief", "root", "-days", "3")
	for name, args := range map[string][]string{"leaf": {"RSA", "-pkeyopt", "rsa_keygen_bits:2048"}, "ed": {"ED25519"},
		"short": {"RSA", "-pkeyopt", "rsa_keygen_bits:1024"}, "p224": {"EC", "-pkeyopt", "ec_paramgen_curve:P-224"}, "sha1": {"EC", "-pkeyopt", "ec_paramgen_curve:P-256"}} {
		genpkey(name, args...)
		if name == "sha1" {
			issue(name, "middle", "-sha1")
		} else {
			issue(name, "middle")
		}
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority(t, dir)
	for name, args := range map[string][]string{
		"pkcs1.key": {"rsa", "-in", "leaf.key", "-traditional"}, "sec1.key": {"ec", "-in", "middle.key"},
		"pbkdf2.key": {"pkcs8", "-topk8", "-in", "leaf.key", "-v2", "aes-256-cbc", "-passout", "pass:the passphrase"},
		"scrypt.key": {"pkcs8", "-topk8", "-in", "leaf.key", "-scrypt", "-passout", "pass:the passphrase"},
		"legacy.key": {"rsa", "-in", "leaf.key", "-traditional", "-aes256", "-passout", "pass:the passphrase"},
		"costly.key": {"pkcs8", "-topk8", "-in", "leaf.key", "-v2", "aes-256-cbc", "-iter", "2000001", "-passout", "pass:the passphrase"},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(tool(t, dir, "openssl", args...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	soon := time.Now()
	block, _ := pem.Decode([]byte(read(t, dir, "leaf.pem")))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		chain, key, passphrase string
		now                    time.Time
		want                   string
	}{
		{"leaf middle root", "leaf.key", "", soon, ""},
		{"leaf middle", "pkcs1.key", "", soon, ""},
		{"leaf", "leaf.key", "", soon, ""},
		{"middle root", "sec1.key", "", soon, ""},
		{"ed middle", "ed.key", "", soon, ""},
		{"leaf", "pbkdf2.key", "the passphrase", soon, ""},
		{"leaf", "scrypt.key", "the passphrase", soon, ""},
		{"leaf", "legacy.key", "the passphrase", soon, ""},
		{"leaf", "pbkdf2.key", "", soon, "field private_key: the key is encrypted; give its passphrase in field passphrase"},
		{"leaf", "pbkdf2.key", "The passphrase", soon, "field private_key: the key does not open with this passphrase"},
		{"leaf", "costly.key", "the passphrase", soon, "field private_key: its passphrase's derivation asks for too much work"},
		{"leaf", "leaf.key", "the passphrase", soon, "field private_key: the key is not encrypted; leave the field passphrase out"},
		{"leaf middle", "ed.key", "", soon, "field private_key: it is not the key of the certificate"},
		{"leaf middle", "leaf.key", "", soon.AddDate(0, 2, 0), `field certificate: "CN=leaf" ended on ` + leaf.NotAfter.UTC().Format(time.DateOnly)},
		{"short middle", "short.key", "", soon, `field certificate: "CN=short" has a weak key: RSA with 1024 bits`},
		{"p224 middle", "p224.key", "", soon, `field certificate: "CN=p224" has a weak key: ECDSA on P-224`},
		{"sha1 middle", "sha1.key", "", soon, `field certificate: "CN=sha1" has a weak signature: ECDSA-SHA1`},
	} {
		var chain strings.Builder
		for name := range strings.FieldsSeq(v.chain) {
			chain.WriteString(read(t, dir, name+".pem"))
		}
		secrets := map[string]string{"private_key": read(t, dir, v.key)}
		if v.passphrase != "" {
			secrets["passphrase"] = v.passphrase
		}
		value := texts(t, secrets)
		err := ClientCertificate.Accept(arena(t), ClientCertificate.Fields(), map[string]string{"certificate": chain.String()}, value, v.now)
		if v.want == "" && err != nil || v.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), v.want)) {
			t.Errorf("%s with %s: %v\nwant %q", v.chain, v.key, err, v.want)
		}
		if err != nil {
			continue
		}
		if value["passphrase"] != nil {
			t.Errorf("%s: the passphrase is kept", v.key)
		}
		if err := WithPrivateKey("private_key", value["private_key"], func(s crypto.Signer) error { return nil }); err != nil {
			t.Errorf("%s: what is stored cannot be read: %v", v.key, err)
		}
	}
	chain, err := ParseChain("certificate", read(t, dir, "leaf.pem")+read(t, dir, "brief.pem"))
	if err != nil || !chain.End().Equal(chain[1].NotAfter) || !chain[1].NotAfter.Before(chain[0].NotAfter) {
		t.Errorf("the chain ends at %v, %v", chain.End(), err)
	}
	for text, want := range map[string]string{
		read(t, dir, "leaf.key"):                     "it holds a private key",
		read(t, dir, "leaf.pem") + "x":               "what follows certificate 1 is not PEM",
		strings.Repeat(read(t, dir, "leaf.pem"), 11): "more than 10 certificates",
		"": "it must be a certificate in PEM",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "certificate 1 cannot be read",
	} {
		if _, err := ParseChain("certificate", text); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzPrivateKey(f *testing.F) {
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n-----END OPENSSH PRIVATE KEY-----\n"), []byte(""))
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGj\n-----END ENCRYPTED PRIVATE KEY-----\n"), []byte("x"))
	f.Fuzz(func(t *testing.T, text, passphrase []byte) {
		if len(text) > MaxValue {
			return
		}
		key, err := parsePrivateKey("key", text, passphrase)
		if (key == nil) == (err == nil) {
			t.Errorf("%v, %v", key, err)
		}
	})
}
