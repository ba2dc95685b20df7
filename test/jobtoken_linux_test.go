package test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// authority is whose certificates an issuer's clients trust.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	a.certificate = a.certify(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "test"}}, a.key)
	a.file = kit.File(t, certificatePEM(a.certificate))
	return a
}

func certificatePEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func (a *authority) certify(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent := a.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// issuer is npm's oidc-provider in the part of a CI system.
type issuer struct {
	url  string
	jobs map[string]ciJob
	http *http.Client
}

// ciJob is what an issuer says of a job.
type ciJob struct {
	Secret    string         `json:"secret"`
	Audience  string         `json:"audience"`
	Algorithm string         `json:"algorithm"`
	Claims    map[string]any `json:"claims"`
	Ends      int            `json:"ends,omitempty"` // in seconds from now; 0: in an hour
}

func (a *authority) newIssuer(t *testing.T, jobs map[string]ciJob) *issuer {
	t.Helper()
	key := newKey(t)
	own := a.certify(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	known, err := json.Marshal(map[string]any{
		"packages": filepath.Join(kit.Root(), "bin", "npm", "node_modules"), "jobs": jobs, "certificate": certificatePEM(own),
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "testdata/oidc_issuer.js", kit.File(t, string(known)))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err, "; install what is missing: tools/parts.sh node npm")
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("%v: %s; install what is missing: tools/parts.sh node npm", err, complaints.String())
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &issuer{
		url: "https://127.0.0.1:" + strings.TrimSpace(port), jobs: jobs,
		http: &http.Client{Timeout: kit.Patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	}
}

// token asks for a job's token as the job's runner does.
func (i *issuer) token(t *testing.T, job string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {"urn:vault"}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.url+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(job, i.jobs[job].Secret)
	answer, err := i.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var given struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &given); err != nil || strings.Count(given.Token, ".") != 2 {
		t.Fatalf("the issuer answers %s: %s", answer.Status, body)
	}
	return given.Token
}

// A job shows a token of its CI system, and gets what grants give to its project; whatever is wrong with a token, it
// gets nothing, is told why, and the log has it. No token is in a log, an answer or a file.
func TestJobTokens(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	of := func(project string) map[string]any {
		return map[string]any{"project_path": project, "protected": true, "run": 42, "groups": []string{"dev", "ops"}}
	}
	jobs := map[string]ciJob{
		"build":     {Secret: "s-build", Audience: "strongroom", Algorithm: "RS256", Claims: of("group/app")},
		"also":      {Secret: "s-also", Audience: "strongroom", Algorithm: "ES256", Claims: of("group/app")},
		"other":     {Secret: "s-other", Audience: "strongroom", Algorithm: "RS256", Claims: of("group/other")},
		"late":      {Secret: "s-late", Audience: "strongroom", Algorithm: "RS256", Claims: of("group/app"), Ends: -120},
		"elsewhere": {Secret: "s-elsewhere", Audience: "vault", Algorithm: "RS256", Claims: of("group/app")},
	}
	ci, stranger := ca.newIssuer(t, jobs), ca.newIssuer(t, jobs)
	server := kit.Command{Env: []string{"SSL_CERT_FILE=" + ca.file}, Args: []string{"--outbound-allow", "127.0.0.0/8"}}.NewServer(t)
	host := server.Enroll(t)
	canary := newCanary()
	server.Admin.With(canary).Do(t, "credential", "add", "crm", "--application", "generic-rest", "--auth-type", "access_token",
		"--field", "url=https://crm.example.com", "--secret", "token=-")
	server.Admin.Do(t, "grant", "add", "app", "--credential", "crm", "--host", host.Host, "--job-claim", ci.url+":project_path=group/app")
	build := ci.token(t, "build")
	get := func(token string) kit.Result {
		t.Helper()
		return host.Run(t, "get", "crm", "--field", "token", "--job-token", "@"+kit.File(t, token+"\n"))
	}
	told := func(what, token, words string) {
		t.Helper()
		got := get(token)
		if got.Code != 3 || !strings.Contains(got.Stderr, words) || got.Stdout != "" {
			t.Errorf("%s: exit %d, %q, want 3 and %q", what, got.Code, got.Stderr, words)
		}
		withoutToken(t, what, got.Stdout+got.Stderr, token)
	}
	told("before any issuer is trusted", build, "refused: the job's token is not taken: its issuer is none of the setting job-issuers")
	server.Admin.Do(t, "setting", "set", "job-issuers", ci.url)

	for _, job := range []string{"build", "also"} {
		if got := get(ci.token(t, job)); got.Code != 0 || got.Stdout != canary {
			t.Errorf("%s: exit %d, %q", job, got.Code, got.Stderr)
		}
		kit.Eventually(t, kit.Patience, "the log names "+job, func() bool {
			e := server.Admin.Audit(t, "--action", "credential.read")[0]
			return e.Outcome == "allowed" && e.Target == "crm" && strings.HasSuffix(e.Job, ",subject="+ci.url+":"+job)
		})
	}
	signature := build[strings.LastIndexByte(build, '.')+1:]
	payload := strings.Split(build, ".")[1]
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	otherToken := ci.token(t, "other")
	const refused = "refused: this job may not read it, or there is no such credential"
	const notTaken = "refused: the job's token is not taken: "
	told("another project", otherToken, refused)
	told("ended", ci.token(t, "late"), notTaken+"it has ended")
	told("for another audience", ci.token(t, "elsewhere"), notTaken+"it is not for the audience that the setting job-audience says")
	told("of another issuer", stranger.token(t, "build"), notTaken+"its issuer is none of the setting job-issuers")
	told("forged claims", strings.Split(otherToken, ".")[0]+"."+payload+"."+strings.Split(otherToken, ".")[2], notTaken+"it is not signed by a key of its issuer")
	told("a stranger's signature", strings.Split(stranger.token(t, "build"), ".")[0]+"."+payload+"."+signature, notTaken+"it is not signed by a key of its issuer")
	told("without a signature", encode([]byte(`{"alg":"none"}`))+"."+encode(claims)+".", notTaken+"it is no JSON Web Token")
	if got := host.Run(t, "get", "crm", "--field", "token"); got.Code != 3 || !strings.Contains(got.Stderr, refused) {
		t.Errorf("no token: exit %d, %q", got.Code, got.Stderr)
	}
	for _, e := range server.Admin.Audit(t, "--action", "job.verify") {
		if e.Outcome != "refused" || e.Host != host.Host || e.Target != ci.url && e.Target != "unknown" {
			t.Errorf("logged %+v", e)
		}
	}

	// Explain has the reason, and who the job is.
	explain := func(token string) kit.Result {
		t.Helper()
		return host.Run(t, "explain", "crm", "--job-token", "@"+kit.File(t, token))
	}
	explain(build).Want(t, 0)
	if got := explain(otherToken).Want(t, 3); !strings.Contains(got.Stdout, "claim="+ci.url+":project_path=group/other") {
		t.Errorf("explained: %s", got.Stdout)
	}
	if got := explain(ci.token(t, "late")).Want(t, 3); !strings.Contains(got.Stderr, notTaken+"it has ended") {
		t.Errorf("explained: %s", got.Stderr)
	}
	facts := func(project string) []string {
		return []string{"explain", "--host", host.Host, "--credential", "crm", "--job", "claim=" + ci.url + ":project_path=" + project}
	}
	server.Admin.Do(t, facts("group/app")...)
	server.Admin.Run(t, facts("group/other")...).Want(t, 3)

	// CI systems hand the token over in the environment, which stays the command's own; what it prints of it is masked.
	inCI := kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-agent"), Env: []string{"STRONGROOM_SOCKET=" + host.Socket, "STRONGROOM_JOB_TOKEN=" + build}}
	if got := inCI.Run(t, "list", "--json").Want(t, 0); !strings.Contains(got.Stdout, `"crm"`) {
		t.Errorf("listed: %s", got.Stdout)
	}
	script := `test -n "$CRM_TOKEN" && printf '%s %s' "${#STRONGROOM_JOB_TOKEN}" "$STRONGROOM_JOB_TOKEN"`
	if got, want := inCI.Run(t, "exec", "--credential", "crm", "--", "sh", "-c", script).Want(t, 0).Stdout, fmt.Sprint(len(build), " ***"); got != want {
		t.Errorf("the command's own STRONGROOM_JOB_TOKEN, printed: %q, want %q", got, want)
	}
	inCI.Run(t, "status").Want(t, 0)
	inCI.Env[1] = "STRONGROOM_JOB_TOKEN=" + ci.token(t, "late")
	inCI.Run(t, "status").Want(t, 0)
	inCI.Run(t, "exec", "--credential", "crm", "--", "true").Want(t, 125)

	// While the server is away, what it verified before goes on with the lease, and nothing new does.
	server.Kill()
	if got := get(build); got.Code != 0 || got.Stdout != canary {
		t.Errorf("without the server: exit %d, %q", got.Code, got.Stderr)
	}
	get(ci.token(t, "build")).Want(t, 5)
	get(otherToken).Want(t, 3)
	if got := host.Run(t, "get", "crm", "--field", "token").Code; got != 3 {
		t.Errorf("without the server and a token: exit %d", got)
	}

	withoutToken(t, "the server's log", server.Output(), build)
	withoutToken(t, "the agent's log", host.Output(), build)
	for _, hit := range kit.Find(t, []string{signature, payload}, server.Data, host.State) {
		t.Errorf("the token is in a file: %+v", hit)
	}
}

// withoutToken looks for each part of a token that is its own.
func withoutToken(t *testing.T, what, text, token string) {
	t.Helper()
	for _, part := range strings.Split(token, ".") {
		if len(part) > 40 && strings.Contains(text, part[:40]) {
			t.Errorf("%s: there is a token in %s", what, text)
		}
	}
}

// A token on the command line, or one that is none, is wrong usage, and is not repeated.
func TestJobTokenUsage(t *testing.T) {
	t.Parallel()
	host := kit.NewAgent(t)
	empty := kit.File(t, "\n")
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"get", "crm", "--job-token", "canary.canary.canary"}, 2, "--job-token: a token is never given on the command line; name a file with @FILE"},
		{[]string{"exec", "--credential", "crm", "--job-token", "canary.canary.canary", "true"}, 125, "--job-token: a token is never given on the command line"},
		{[]string{"exec", "--credential", "crm", "--job-token", "-", "true"}, 125, "--job-token: stdin is for something else here"},
		{[]string{"list", "--job-token", "@/canary"}, 2, "--job-token: it cannot be read: no such file or directory"},
		{[]string{"list", "--job-token", "@" + empty}, 2, "--job-token: there is no token in it"},
		{[]string{"explain", "crm", "--job-token", "-"}, 2, "--job-token: there is no token in it"},
		{[]string{"get", "crm", "--job-token", "@" + kit.File(t, "canary")}, 2, "the job's token is no JSON Web Token of at most 16384 bytes"},
		{[]string{"get", "crm", "--job-token", "@" + kit.File(t, "a.b.canary\r\nX: y")}, 2, "the job's token is no JSON Web Token"},
		{[]string{"get", "crm", "--job-token", "@" + kit.File(t, "a.b."+strings.Repeat("c", 16<<10))}, 2, "the job's token is no JSON Web Token"},
	} {
		got := host.Run(t, c.args...)
		if got.Code != c.code || !strings.Contains(got.Stderr, c.words) || strings.Contains(got.Stderr, "canary") {
			t.Errorf("%q: exit %d, %q, want %d and %q", c.args, got.Code, got.Stderr, c.code, c.words)
		}
	}
	if _, err := os.Stat(host.Socket); err == nil {
		t.Error("there is an agent")
	}
}
