package main

import (
	"encoding/json"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dockerclient "github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/strongroom/strongroom/test/kit"
)

// tools are a folder of programs that tools look for, and an environment for them.
type tools struct {
	dir string
	env []string
}

// newTools has strongroom-agent be this test's program, with c as its agent.
func newTools(t *testing.T, c *changing) tools {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	x := tools{dir: dir, env: append(os.Environ(), programVariable+"=1", "STRONGROOM_SOCKET="+c.socket, "PATH="+dir+":"+os.Getenv("PATH"),
		"HOME="+dir, "XDG_CONFIG_HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=")}
	x.program(t, "strongroom-agent", `exec "`+self+`" "$@"`)
	return x
}

func (x tools) program(t *testing.T, name, script string) {
	t.Helper()
	kit.Program(t, filepath.Join(x.dir, name), []byte("#!/bin/sh\n"+script+"\n"))
}

// run runs a program of the system's.
func (x tools) run(t *testing.T, stdin string, args ...string) (out string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdin = x.env, x.dir, strings.NewReader(stdin)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

func (x tools) succeeds(t *testing.T, args ...string) {
	t.Helper()
	if out, err := x.run(t, "", args...); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

func TestGitFills(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"forge": {"url": "https://forge.example.com", "username": "bot", "password": "s3cr3t=<&>'"}})
	x := newTools(t, c)
	x.succeeds(t, "git", "config", "--global", "credential.helper", "!strongroom-agent helper git forge")
	out, err := x.run(t, "protocol=https\nhost=forge.example.com\n\n", "git", "credential", "fill")
	if err != nil || !strings.HasPrefix(out, "protocol=https\nhost=forge.example.com\nusername=bot\npassword=s3cr3t=<&>'\n") {
		t.Errorf("%q, %v", out, err)
	}
	for _, other := range []string{"protocol=https\nhost=evil.example.com\n\n", "protocol=http\nhost=forge.example.com\n\n", "protocol=https\nhost=forge.example.com:444\n\n"} {
		out, err := x.run(t, other, "git", "credential", "fill")
		if err == nil || strings.Contains(out, "s3cr3t") || !strings.Contains(out, "strongroom-agent: the credential is not for this host") {
			t.Errorf("%q: %q, %v", other, out, err)
		}
	}
	for _, operation := range []string{"approve", "reject"} { // nothing to do, and nothing to complain of
		out, err := x.run(t, "protocol=https\nhost=forge.example.com\nusername=bot\npassword=x\n\n", "git", "credential", operation)
		if err != nil || out != "" {
			t.Errorf("%s: %q, %v", operation, out, err)
		}
	}
	c.refuse()
	if out, err := x.run(t, "protocol=https\nhost=forge.example.com\n\n", "git", "credential", "fill"); err == nil || !strings.Contains(out, "refused: not yours or not there") {
		t.Errorf("refused: %q, %v", out, err)
	}
}

// A clone from git's own server, which wants a password.
func TestGitClones(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	x := newTools(t, c)
	core, err := x.run(t, "", "git", "--exec-path")
	if err != nil {
		t.Fatal(core, err)
	}
	for _, args := range [][]string{
		{"git", "init", "-q", "source"},
		{"git", "-C", "source", "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", "the only one"},
		{"git", "clone", "-q", "--bare", "source", "served/repository.git"},
	} {
		x.succeeds(t, args...)
	}
	backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(core), "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + x.dir + "/served", "GIT_HTTP_EXPORT_ALL=1"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "bot" || password != "s3cr3t" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.set(fields{"forge": {"url": server.URL, "username": "bot", "password": "s3cr3t"}})
	if out, err := x.run(t, "", "git", "clone", "-q", server.URL+"/repository.git", "without"); err == nil {
		t.Fatalf("without a helper: %s", out)
	}
	x.succeeds(t, "git", "-c", "credential.helper=!strongroom-agent helper git forge", "clone", "-q", server.URL+"/repository.git", "cloned")
	if out, err := x.run(t, "", "git", "-C", "cloned", "log", "--format=%s"); err != nil || out != "the only one\n" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := x.run(t, "", "grep", "-r", "s3cr3t", "."); err == nil {
		t.Errorf("the password is on the disk: %s", out)
	}
}

// Docker's own client of helpers asks ours, through the two lines that the help shows.
func TestDockerAsks(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"registry": {"url": "https://registry.example.com", "username": "bot", "password": `s3cr3t"`}, "ghcr": {"url": "https://ghcr.example.com", "token": "t0ken0"}})
	x := newTools(t, c)
	_, script, _ := strings.Cut(newApp().helperDocker().Long, "#!/bin/sh\n")
	script, _, _ = strings.Cut(strings.TrimSpace(script), "\n")
	x.program(t, "docker-credential-strongroom", strings.ReplaceAll(script, "REF", "registry"))
	x.program(t, "docker-credential-ghcr", strings.ReplaceAll(script, "REF", "ghcr"))
	asks := func(name string) dockerclient.ProgramFunc {
		return dockerclient.NewShellProgramFuncWithEnv(filepath.Join(x.dir, name), &map[string]string{
			programVariable: "1", "STRONGROOM_SOCKET": c.socket, "PATH": x.dir + ":" + os.Getenv("PATH"),
		})
	}
	ours := asks("docker-credential-strongroom")
	got, err := dockerclient.Get(ours, "https://registry.example.com/v2/")
	if err != nil || got.Username != "bot" || got.Secret != `s3cr3t"` {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := dockerclient.Get(asks("docker-credential-ghcr"), "ghcr.example.com"); err != nil || got.Username != "<token>" || got.Secret != "t0ken0" {
		t.Errorf("an identity token: %+v, %v", got, err)
	}
	if _, err := dockerclient.Get(ours, "evil.example.com"); !credentials.IsErrCredentialsNotFound(err) {
		t.Errorf("another registry: %v", err)
	}
	if list, err := dockerclient.List(ours); err != nil || len(list) != 1 || list["registry.example.com"] != "bot" {
		t.Errorf("%v, %v", list, err)
	}
	if err := dockerclient.Store(ours, &credentials.Credentials{ServerURL: "registry.example.com", Username: "x", Secret: "hunter22"}); err == nil || !strings.Contains(err.Error(), "kept in Strongroom's vault") || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("store: %v", err)
	}
	if err := dockerclient.Erase(ours, "registry.example.com"); err == nil || !strings.Contains(err.Error(), "kept in Strongroom's vault") {
		t.Errorf("erase: %v", err)
	}
	c.refuse()
	if _, err := dockerclient.Get(ours, "registry.example.com"); err == nil || credentials.IsErrCredentialsNotFound(err) || !strings.Contains(err.Error(), "refused: not yours or not there") {
		t.Errorf("refused: %v", err)
	}
}

// AWS's own SDK, npm's, runs ours as the credential_process of a profile.
func TestAWSAsks(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"deploy": {"access_key_id": "AKIA0", "key": "s3cr3t/+", "session_token": "t0ken0"}, "crm": {"password": "x"}})
	x := newTools(t, c)
	config := filepath.Join(x.dir, "aws-config")
	profiles := "[profile deploy]\ncredential_process = strongroom-agent helper aws deploy\n[profile crm]\ncredential_process = strongroom-agent helper aws crm\n"
	if err := os.WriteFile(config, []byte(profiles), 0o600); err != nil {
		t.Fatal(err)
	}
	x.env = append(x.env, "AWS_CONFIG_FILE="+config, "NODE_PATH="+filepath.Join(kit.Root(), "bin", "npm", "node_modules"))
	ask := func(profile string) (out string, err error) {
		return x.run(t, "", "node", "-e", `require("@aws-sdk/credential-provider-process").fromProcess({profile: process.argv[1]})().then(
			c => console.log([c.accessKeyId, c.secretAccessKey, c.sessionToken, c.expiration.toISOString()].join(" ")),
			e => { console.log(String(e)); process.exit(1) })`, profile)
	}
	before := time.Now()
	out, err := ask("deploy")
	words := strings.Fields(out)
	if err != nil || len(words) != 4 || !slices.Equal(words[:3], []string{"AKIA0", "s3cr3t/+", "t0ken0"}) {
		t.Fatalf("%q, %v; install what is missing: tools/parts.sh node npm", out, err)
	}
	ends, err := time.Parse(time.RFC3339, words[3])
	if left := ends.Sub(before); err != nil || left < 9*time.Minute || left > 11*time.Minute {
		t.Errorf("it ends in %v, want the 10 minutes of the lease: %v", left, err)
	}
	if out, err := ask("crm"); err == nil {
		t.Errorf("a credential without an access key was taken: %s", out)
	}
	c.refuse()
	if out, err := ask("deploy"); err == nil {
		t.Errorf("what is refused was taken: %s", out)
	}
	program(t, c.socket, "", "helper", "aws", "deploy").fails(t, 3, "refused: not yours or not there")
}

func TestKubectlAsks(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"cluster": {"url": "https://k8s.example.com:6443", "token": "t0ken0"}})
	x := newTools(t, c)
	info := func(server string) string {
		return `KUBERNETES_EXEC_INFO={"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false,"cluster":{"server":"` + server + `"}}}`
	}
	x.env = append(x.env, info("https://k8s.example.com:6443"))
	out, err := x.run(t, "", x.dir+"/strongroom-agent", "helper", "kubectl", "cluster")
	var got struct {
		APIVersion, Kind string
		Status           struct {
			Token               string
			ExpirationTimestamp time.Time
		}
	}
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || got.APIVersion != "client.authentication.k8s.io/v1beta1" || got.Kind != "ExecCredential" ||
		got.Status.Token != "t0ken0" || time.Until(got.Status.ExpirationTimestamp) < 9*time.Minute {
		t.Errorf("%q, %v", out, err)
	}
	x.env = append(x.env, info("https://evil.example.com:6443"))
	if out, err := x.run(t, "", x.dir+"/strongroom-agent", "helper", "kubectl", "cluster"); err == nil || strings.Contains(out, "t0ken0") || !strings.Contains(out, "--host") {
		t.Errorf("another cluster: %q, %v", out, err)
	}
}

func TestHelperUsage(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	for _, args := range [][]string{{"git"}, {"git", "crm"}, {"docker", "crm"}, {"docker", "crm", "hunter22"}, {"aws"}, {"kubectl"}, {"hunter22"}, {"aws", "crm", "get"}} {
		r := program(t, c.socket, "", append([]string{"helper"}, args...)...)
		if r.code != 2 || strings.Contains(r.stderr, "hunter22") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	program(t, c.socket, "hello\n", "helper", "git", "crm", "get").fails(t, 1, "not of the protocol")
	program(t, c.socket, "protocol=https\nhost=x\n", "helper", "git", "crm", "get").fails(t, 3, "refused")
}
