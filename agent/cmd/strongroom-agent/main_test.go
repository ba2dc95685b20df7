package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/cli/clitest"
)

// With this variable set the test binary is the program.
const programVariable = "STRONGROOM_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// result is what a run of the program left behind.
type result struct {
	code           int
	stdout, stderr string
}

func program(t *testing.T, socket, stdin string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), programVariable+"=1", "STRONGROOM_SOCKET="+socket)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// fails checks a run that must print nothing and say why in one line.
func (r result) fails(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code || r.stdout != "" {
		t.Errorf("exit code %d, stdout %q; want %d and nothing (stderr %q)", r.code, r.stdout, code, r.stderr)
	}
	if strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "strongroom-agent: ") {
		t.Errorf("stderr is not one line of the program's: %q", r.stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("stderr %q, want %q in it", r.stderr, w)
		}
	}
}

func (r result) prints(t *testing.T, want string) {
	t.Helper()
	if r.code != 0 || r.stdout != want || r.stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q; want 0 and %q", r.code, r.stdout, r.stderr, want)
	}
}

// agentSocket serves the local API as an agent with one credential does, and refuses everything else.
func agentSocket(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/credentials", text(`{"items":[{"name":"crm","kind":"app","application":"generic-rest","auth_type":"basic","version":3}],"stale":false}`))
	mux.HandleFunc("/v1/status", text(`{"host":"h1","connected":true,"since":"2026-11-21T10:00:00Z","leases":2,"locked_bytes":4096,"certificate_expires":"2026-11-22T10:00:00Z","health":"ok","why":"","server":"vault:7443"}`))
	mux.HandleFunc("/v1/explain", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"allowed":%t,"reason":"as typed","host":"h1","job":{"user":"ci","uid":1001,"pid":42,"exe":"/bin/sh"},"connected":true,"ask_admin":"strongroom explain --host h1"}`,
			r.URL.Query().Get("ref") == "crm")
	})
	mux.HandleFunc("/v1/credentials/value", func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case q.Get("ref") == "away":
			problem(w, 503, "not_reachable", "the server cannot be reached")
		case q.Get("ref") == "UPPER":
			problem(w, 400, "usage", "ref: not a reference")
		case q.Get("ref") == "broken":
			problem(w, 500, "failed", "two\nlines\x1b[2J")
		case q.Get("ref") == "src" || q.Get("ref") == "dst":
			fmt.Fprintf(w, `{"credential":%q,"version":1,"fields":{"host":"db.example","username":"etl","password":"canary-canary"},
				"environment":{"PGHOST":"{host}","PGUSER":"{username}","PGPASSWORD":"{password}","PGDATABASE":"{database}"},
				"secret_fields":["password"],"lease":{"remaining":"14m58s","stale":false}}`, q.Get("ref"))
		case q.Get("ref") == "hostile":
			fmt.Fprint(w, `{"credential":"hostile","version":1,"fields":{"password":"/tmp/canary.so"},"environment":{"LD_PRELOAD":"{password}"},
				"secret_fields":["password"],"lease":{"remaining":"14m58s","stale":false}}`)
		case q.Get("ref") != "crm" && q.Get("ref") != "stale":
			problem(w, 403, "refused", "refused: not yours or not there")
		case q.Get("field") == "password":
			fmt.Fprint(w, "s3cr3t-<&>\n")
		default:
			fmt.Fprintf(w, `{"credential":"crm","version":3,"fields":{"username":"bot","password":"s3cr3t-<&>\n"},"fields_base64":{"key":"//79/Pv6"},
				"secret_fields":["password","key"],"lease":{"remaining":"14m58s","stale":%t}}`, q.Get("ref") == "stale")
		}
	})
	return serve(t, mux)
}

// serve answers on a socket in a folder of its own, whose name is short enough for one.
func serve(t *testing.T, h http.Handler) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return socket
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": "T", "status": status, "code": code, "detail": detail})
}

func TestEveryHelpEndsWithAnExample(t *testing.T) {
	t.Parallel()
	// The root, help, and all commands with those that stand below them.
	if seen := clitest.Help(t, newApp().root()); seen != 22 {
		t.Errorf("%d commands were visited, want 22", seen)
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--help"}, {"help"}, {"help", "exec"}, {"exec", "--help"}, {"completion", "bash"}, {"completion", "powershell"}, {"version"}} {
		if r := program(t, "", "", args...); r.code != 0 || r.stderr != "" || r.stdout == "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	var v struct{ Version, Go, OS, Arch string }
	if r := program(t, "", "", "version", "--json"); json.Unmarshal([]byte(r.stdout), &v) != nil || v.Version == "" || v.OS == "" {
		t.Errorf("version --json: %+v", r)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"hunter22"}, {"--no-such-flag", "hunter22"}, {"-hunter22"}, {"help", "hunter22"}, {"list", "hunter22"}, {"list", "--wait", "hunter22"}, {"list", "--wait"},
		{"get"}, {"get", "crm", "hunter22"}, {"get", "crm", "--field", ""}, {"get", "crm", "--field", "x", "--json"},
		{"explain"}, {"completion"}, {"completion", "hunter22"}, {"run", "hunter22"}, {"install", "hunter22"},
		{"enroll"}, {"enroll", "--join", "hunter22"}, {"enroll", "--join", "@/no/such/hunter22"}, {"enroll", "--join", "@"},
		{"enroll", "--join", "-", "--server", "h:1"},
		{"enroll", "--server", "h:1"}, {"enroll", "--server", "h:1", "--ca-fingerprint", "x"},
		{"enroll", "--server", "h:1", "--ca-fingerprint", "hunter22", "--token", "-"},
		{"enroll", "--server", "h:1", "--ca-fingerprint", "sha256:" + strings.Repeat("ab", 32), "--token", "hunter22"},
	} {
		r := program(t, "", "this is no join string, but hunter22\n", args...)
		r.fails(t, 2)
		if strings.Contains(r.stderr, "hunter22") {
			t.Errorf("%v: what may be a secret is echoed: %q", args, r.stderr)
		}
	}
	program(t, "", "hunter22\n", "enroll", "--join", "-").fails(t, 2, "join")
}

func TestJobCommands(t *testing.T) {
	t.Parallel()
	socket := agentSocket(t)
	program(t, socket, "", "list").prints(t, "crm\tapp\tgeneric-rest\tbasic\t3\n")
	program(t, socket, "", "get", "crm", "--field", "password").prints(t, "s3cr3t-<&>\n")
	program(t, socket, "", "get", "crm").prints(t, `{
  "credential": "crm",
  "version": 3,
  "fields": {
    "password": "s3cr3t-<&>\n",
    "username": "bot"
  },
  "fields_base64": {
    "key": "//79/Pv6"
  },
  "secret_fields": [
    "password",
    "key"
  ],
  "lease": {
    "remaining": "14m58s",
    "stale": false
  }
}
`)
	program(t, "/no/such/socket", "", "explain", "crm", "--socket", socket).prints(t,
		"allowed\tyes\nreason\tas typed\nhost\th1\nuser\tci\nuid\t1001\npid\t42\nunit\t\ncontainer\t\nexe\t/bin/sh\nconnected\tyes\n")
	for args, want := range map[string]string{
		"list --json":   `{"items":[{"name":"crm","kind":"app","application":"generic-rest","auth_type":"basic","version":3}],"stale":false}`,
		"status --json": `{"host":"h1","connected":true,"since":"2026-11-21T10:00:00Z","leases":2,"locked_bytes":4096,"certificate_expires":"2026-11-22T10:00:00Z","health":"ok","why":"","server":"vault:7443"}`,
	} {
		r := program(t, socket, "", strings.Fields(args)...)
		var got bytes.Buffer
		if err := json.Compact(&got, []byte(r.stdout)); err != nil || r.code != 0 || got.String() != want {
			t.Errorf("%s: %+v, want %s", args, r, want)
		}
	}
	if r := program(t, socket, "", "status"); r.code != 0 || !strings.HasPrefix(r.stdout, "host\th1\nhealth\tok\n") {
		t.Errorf("status: %+v", r)
	}
	r := program(t, socket, "", "explain", "other")
	if r.code != 3 || r.stderr != "" || !strings.HasPrefix(r.stdout, "allowed\tno\n") || !strings.Contains(r.stdout, "strongroom explain --host h1") {
		t.Errorf("explain of what is not allowed: %+v", r)
	}
	if r := program(t, socket, "", "explain", "other", "--json"); r.code != 3 || !json.Valid([]byte(r.stdout)) {
		t.Errorf("explain --json of what is not allowed: %+v", r)
	}
}

func TestJobCommandErrors(t *testing.T) {
	t.Parallel()
	socket := agentSocket(t)
	program(t, socket, "", "get", "other").fails(t, 3, "refused: not yours or not there")
	program(t, socket, "", "get", "other", "--field", "x").fails(t, 3, "refused: not yours or not there")
	program(t, socket, "", "get", "away").fails(t, 5, "the server cannot be reached")
	program(t, socket, "", "get", "UPPER").fails(t, 2, "not a reference")
	program(t, socket, "", "get", "broken").fails(t, 1, `two\nlines`)
	for _, command := range []string{"list", "get crm", "explain crm", "status"} {
		program(t, "/no/such/socket", "", strings.Fields(command)...).fails(t, 5, "/no/such/socket", "--wait 30s")
	}
	began := time.Now()
	program(t, "/no/such/socket", "", "list", "--wait", "300ms").fails(t, 5)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("--wait 300ms took %v", took)
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	socket := agentSocket(t)
	const show = `echo "$CRM_USERNAME $CRM_PASSWORD"; echo "$CRM_PASSWORD" >&2; exit 7`
	r := program(t, socket, "", "exec", "--credential", "crm", "--", "sh", "-c", show)
	if r.code != 7 || r.stdout != "bot ***\n" || r.stderr != "***\n" {
		t.Errorf("%+v", r)
	}
	r = program(t, socket, "in", "exec", "--credential=crm=P", "--no-redact", "sh", "-c", `printf %s "$P_PASSWORD"; cat`)
	if r.code != 0 || r.stdout != "s3cr3t-<&>\nin" || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	r = program(t, socket, "", "exec", "--credential", "stale", "true")
	if r.code != 0 || !strings.Contains(r.stderr, "could not renew stale") {
		t.Errorf("stale: %+v", r)
	}
	r = program(t, socket, "", "exec", "--credential", "crm", "--", "sh", "-c", "kill -KILL $$")
	if r.code != 137 || r.stderr != "" {
		t.Errorf("killed: %+v", r)
	}
}

// What the application's own tools read is set beside PREFIX_FIELD, and masked.
func TestExecSetsToolVariables(t *testing.T) {
	t.Parallel()
	socket := agentSocket(t)
	const show = `echo "$PGHOST $PGUSER $PGPASSWORD ${PGDATABASE-none} $SRC_HOST $OURS_HOST"`
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--credential", "src"}, "db.example etl *** none db.example \n"},
		{[]string{"--credential", "src=OURS"}, "db.example etl *** none  db.example\n"},
		{[]string{"--credential", "src", "--credential", "src=OURS"}, "db.example etl *** none db.example db.example\n"},
		{[]string{"--credential", "src", "--credential", "dst", "--no-tool-variables"}, "   none db.example \n"},
	} {
		r := program(t, socket, "", append(append([]string{"exec"}, c.args...), "--", "sh", "-c", show)...)
		r.prints(t, c.want)
	}
	if r := program(t, socket, "", "get", "src", "--json"); r.code != 0 || !strings.Contains(r.stdout, `"PGPASSWORD": "{password}"`) {
		t.Errorf("get: %+v", r)
	}
}

func TestExecFailures(t *testing.T) {
	t.Parallel()
	socket := agentSocket(t)
	run := func(args ...string) result { return program(t, socket, "", append([]string{"exec"}, args...)...) }
	touched := filepath.Join(t.TempDir(), "ran")
	run("--credential", "other", "--", "touch", touched).fails(t, 125, "refused: not yours or not there")
	run("--credential", "crm", "--credential", "crm", "--", "touch", touched).fails(t, 125, "CRM_KEY", "another prefix")
	run("--credential", "crm=a-b", "--", "touch", touched).fails(t, 125, `"a-b"`)
	run("--credential", "crm=", "--", "touch", touched).fails(t, 125, "prefix")
	run("--credential", "src", "--credential", "dst", "--", "touch", touched).fails(t, 125,
		"PGHOST", "the tool variable of src and the tool variable of dst", "--no-tool-variables")
	run("--credential", "hostile", "--", "touch", touched).fails(t, 125, "LD_PRELOAD", "changes how programs run")
	run("--", "touch", touched).fails(t, 125, "--credential")
	run("--credential", "crm").fails(t, 125, "a command")
	program(t, "/no/such/socket", "", "exec", "--credential", "crm", "touch", touched).fails(t, 125, "/no/such/socket")
	if _, err := os.Stat(touched); err == nil {
		t.Error("the command ran")
	}
	run("--credential", "crm", "--", "/no/such/command").fails(t, 127, "/no/such/command")
	run("--credential", "crm", "--", "/etc").fails(t, 126, "/etc")
}
