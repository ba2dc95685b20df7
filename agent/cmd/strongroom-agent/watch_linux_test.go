package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// changing is an agent whose credentials change by the test's hand. It tells of that as the real one does.
type changing struct {
	socket  string
	mu      sync.Mutex
	held    map[string]held
	refused bool
	news    chan struct{}
}

type held struct {
	version uint64
	fields  map[string]string
}

func newChanging(t *testing.T) *changing {
	t.Helper()
	c := &changing{held: map[string]held{}, news: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/credentials/value", c.value)
	mux.HandleFunc("/v1/credentials/changes", c.changes)
	c.socket = serve(t, mux)
	return c
}

// set gives credentials their next version, all of them at once.
func (c *changing) set(all map[string]map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, fields := range all {
		c.held[name] = held{c.held[name].version + 1, fields}
	}
	c.tell()
}

func (c *changing) refuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = true
	c.tell()
}

func (c *changing) tell() {
	close(c.news)
	c.news = make(chan struct{})
}

func (c *changing) get(ref string) (held, bool, chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.held[ref]
	return h, ok && !c.refused, c.news
}

func (c *changing) value(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("ref")
	h, ok, _ := c.get(ref)
	if !ok {
		problem(w, 403, "refused", "refused: not yours or not there")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"credential": ref, "version": h.version, "fields": h.fields, "secret_fields": []string{"password", "token", "key"},
		"lease": map[string]any{"remaining": "10m0s", "stale": false},
	})
}

func (c *changing) changes(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for {
		h, ok, news := c.get(q.Get("ref"))
		if !ok {
			problem(w, 403, "refused", "refused: not yours or not there")
			return
		}
		if q.Get("version") != fmt.Sprint(h.version) || q.Get("credential") != q.Get("ref") {
			fmt.Fprintf(w, `{"credential":%q,"version":%d}`, q.Get("ref"), h.version)
			return
		}
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
	}
}

// started is a run of the program that goes on.
type started struct {
	*exec.Cmd
	t      *testing.T
	out    *bufio.Reader
	stderr *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (c *changing) start(t *testing.T, args ...string) *started {
	t.Helper()
	s := &started{Cmd: exec.Command("/proc/self/exe", args...), t: t, stderr: &lockedBuffer{}}
	s.Env = append(os.Environ(), programVariable+"=1", "STRONGROOM_SOCKET="+c.socket)
	s.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal of the tester's takes part
	s.Stderr = s.stderr
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-s.Process.Pid, syscall.SIGKILL) })
	if err := out.(*os.File).SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	return s
}

func (s *started) line(want string) {
	s.t.Helper()
	if line, err := s.out.ReadString('\n'); line != want+"\n" {
		s.t.Fatalf("line %q, %v; want %q (stderr %q)", line, err, want, s.stderr)
	}
}

func (s *started) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *started) ends(code int) {
	s.t.Helper()
	var exit *exec.ExitError
	if err := s.Wait(); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if got := s.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d, want %d (stderr %q)", got, code, s.stderr)
	}
}

func (s *started) says(words string) {
	s.t.Helper()
	eventually(s.t, func() (bool, string) {
		stderr := s.stderr.String()
		return strings.Contains(stderr, words), fmt.Sprintf("stderr %q, want %q in it", stderr, words)
	})
}

// eventually waits until it is done, with room for the pause that follows a refusal.
func eventually(t *testing.T, is func() (done bool, instead string)) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		done, instead := is()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(instead)
		}
	}
}

type fields = map[string]map[string]string

const loop = `; while :; do sleep 0.02; done`

func TestExecFollowsChanges(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"password": "first-secret"}, "erp": {"password": "other-secret"}})
	s := c.start(t, "exec", "--credential", "crm", "--credential", "erp", "--restart-on-change", "sh", "-c",
		`trap "echo ended; exit 0" TERM; echo "start ${#CRM_PASSWORD} ${#ERP_PASSWORD} $CRM_PASSWORD first-secret"`+loop)
	s.line("start 12 12 *** ***")
	c.set(fields{"crm": {"password": "first-secret"}}) // another version of the same: nothing happens
	time.Sleep(1500 * time.Millisecond)
	c.set(fields{"crm": {"password": "second-secret"}})
	c.set(fields{"erp": {"password": "another-secret"}}) // soon after: one restart for both
	s.line("ended")
	s.line("start 13 14 *** ***") // the old value is masked as well
	c.refuse()
	s.says("crm: refused: not yours or not there; the command goes on with the value that it has")
	s.signal(syscall.SIGTERM)
	s.line("ended")
	s.ends(0)
}

// A command that does not end at SIGTERM is killed, after its grace; and one that ends by itself ends exec.
func TestExecKillsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"password": "first-secret"}})
	s := c.start(t, "exec", "--credential", "crm", "--restart-on-change", "sh", "-c",
		`trap "" TERM; echo ${#CRM_PASSWORD}; test ${#CRM_PASSWORD} = 13 && exit 7`+loop)
	s.line("12")
	began := time.Now()
	c.set(fields{"crm": {"password": "second-secret"}})
	s.line("13")
	if took := time.Since(began); took < 11*time.Second {
		t.Errorf("killed after %v, want a second and 10 s of grace", took)
	}
	s.ends(7)
}

// Who asks the command to end while it is being started again wants its end, not a new one.
func TestExecEndsInsteadOfRestarting(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"password": "first-secret"}})
	s := c.start(t, "exec", "--credential", "crm", "--restart-on-change", "sh", "-c",
		`n=0; trap 'n=$((n+1)); echo term $n' TERM; echo start; while test $n -lt 2; do sleep 0.02; done; exit 9`)
	s.line("start")
	c.set(fields{"crm": {"password": "second-secret"}})
	s.line("term 1") // by the change
	s.signal(syscall.SIGTERM)
	s.line("term 2")
	s.ends(9)
}

// Signals go on to the command that runs now.
func TestExecPassesSignalsOnAfterRestart(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"password": "first-secret"}})
	s := c.start(t, "exec", "--credential", "crm", "--restart-on-change", "sh", "-c", `trap "echo usr1" USR1; echo ${#CRM_PASSWORD}`+loop)
	s.line("12")
	c.set(fields{"crm": {"password": "second-secret"}})
	s.line("13")
	s.signal(syscall.SIGUSR1)
	s.line("usr1")
	s.signal(syscall.SIGTERM)
	s.ends(143)
}

// The job's token is a secret of the command's as well, whether it is shown by a flag or by the environment.
func TestJobTokenIsMasked(t *testing.T) {
	const shown, inherited = "eyJhbGci.eyJzdWIi.c2lnbmF0", "eyJhbGci.aW5oZXJp.dGVkLXRv"
	t.Setenv("STRONGROOM_JOB_TOKEN", inherited)
	c := newChanging(t)
	c.set(fields{"crm": {"password": "first-secret"}})
	file := write(t, shown+"\n")
	script := []string{"-c", "cat " + file + "; echo $STRONGROOM_JOB_TOKEN; echo first-secret; echo eyJhbGci"}
	const want = "***\n***\n***\neyJhbGci\n"
	exec := append([]string{"exec", "--job-token", "@" + file, "--credential", "crm", "sh"}, script...)
	program(t, c.socket, "", exec...).prints(t, want)
	render := []string{"render", "--job-token", "@" + file, "--template", write(t, `{{ field "crm" "password" }}`) + ":" + memory(t) + "/a"}
	program(t, c.socket, "", append(append(render, "--exec", "sh", "--"), script...)...).prints(t, want)
	if r := program(t, c.socket, "", "exec", "--no-redact", "--credential", "crm", "sh", "-c", "echo $STRONGROOM_JOB_TOKEN"); r.stdout != inherited+"\n" {
		t.Errorf("--no-redact: %+v", r)
	}
}
