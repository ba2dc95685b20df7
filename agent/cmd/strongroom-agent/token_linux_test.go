package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/internal/deliver"
)

const (
	firstToken  = "eyJhbGci.Zmlyc3Qx.c2lnbmF0"
	secondToken = "eyJhbGci.c2Vjb25k.dXJlMjIy"
)

// gate is an agent that takes one token, by what a request shows when it begins, as the real one does.
type gate struct {
	*changing
	mu    sync.Mutex
	taken string
	shown map[string]bool // the tokens of questions for changes
	again chan struct{}   // closed: open questions end without a change
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{changing: newChanging(t), taken: firstToken, shown: map[string]bool{}, again: make(chan struct{})}
	g.socket = serve(t, g)
	return g
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, question := r.Header.Get("X-Strongroom-Job-Token"), r.URL.Path == "/v1/credentials/changes"
	g.mu.Lock()
	taken, again := token == g.taken, g.again
	g.shown[token] = g.shown[token] || question
	g.mu.Unlock()
	switch {
	case !taken:
		problem(w, 403, "refused", "refused: the job's token is not taken: it has ended")
		return
	case !question:
		g.value(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-again:
			cancel()
		case <-ctx.Done():
		}
	}()
	g.changes(w, r.WithContext(ctx))
	if ctx.Err() != nil {
		w.WriteHeader(http.StatusNoContent)
	}
}

// awaits waits for a question with the token.
func (g *gate) awaits(t *testing.T, token string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.shown[token], "nobody asks for changes with " + token
	})
}

// takes has only this token be good for what is asked from now on.
func (g *gate) takes(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken = token
}

// askAgain ends the questions that are open.
func (g *gate) askAgain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.again)
	g.again = make(chan struct{})
}

// renew puts a token into place as platforms do, at once.
func renew(t *testing.T, file, token string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(file+".new", []byte(token+"\n"), 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
}

// A command outlives the token that it was started with: what changes after that is got with the token that the file
// has by then, and neither is in the output.
func TestExecReadsItsTokenAgain(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.set(fields{"crm": {"password": "first-secret"}})
	file := write(t, firstToken+"\n")
	s := g.start(t, "exec", "--job-token", "@"+file, "--credential", "crm", "--restart-on-change", "sh", "-c",
		`echo "start ${#CRM_PASSWORD} $CRM_PASSWORD `+firstToken+` $(cat `+file+`)"`+loop)
	s.line("start 12 *** *** ***")
	g.awaits(t, firstToken)
	g.takes(secondToken)
	renew(t, file, secondToken)
	g.set(fields{"crm": {"password": "second-secret"}})
	s.line("start 13 *** *** ***")
	s.signal(syscall.SIGTERM)
	s.ends(143)
	if s.stderr.String() != "" {
		t.Errorf("people are told %q", s.stderr)
	}
}

// A token that took the place of another is masked while the command just goes on, and the command is told nothing.
func TestRenewedTokenIsMasked(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.set(fields{"crm": {"password": "first-secret"}})
	file := write(t, firstToken+"\n")
	s := g.start(t, "render", "--job-token", "@"+file, "--template", write(t, `{{ field "crm" "password" }}`)+":"+memory(t)+"/a", "--exec", "sh", "--", "-c",
		`trap "echo hup" HUP; trap "cat `+file+`" USR1; echo start`+loop)
	s.line("start")
	g.awaits(t, firstToken)
	g.takes(secondToken)
	renew(t, file, secondToken)
	g.askAgain()
	g.awaits(t, secondToken)
	for { // the token is shown a moment before it is masked
		s.signal(syscall.SIGUSR1)
		line, err := s.out.ReadString('\n')
		if line == "***\n" {
			break
		}
		if line != secondToken+"\n" || err != nil {
			t.Fatalf("line %q, %v; want the token, and *** at last (stderr %q)", line, err, s.stderr)
		}
	}
	s.signal(syscall.SIGTERM)
	s.ends(143)
}

// However often a token is renewed, a value that another took the place of stays masked, and so does the newest token.
func TestRenewedTokensDisplaceNoValue(t *testing.T) {
	t.Parallel()
	h := &holdings{known: deliver.NewRedactor([][]byte{[]byte("former-value")}), renewed: make(chan struct{}, 1)}
	newest := ""
	for i := range 200 {
		newest = fmt.Sprintf("eyJ%04d.%s.c2ln", i, strings.Repeat("b", 1200))
		h.learn(newest)
		h.redactor()
	}
	var out bytes.Buffer
	w := h.redactor().Writer(&out)
	fmt.Fprintf(w, "former-value %s end", newest)
	if err := w.Close(); err != nil || out.String() != "*** *** end" {
		t.Errorf("%v: %.100q, want both masked", err, out.String())
	}
}

// While there is no token to show, the command goes on, people are told once, and it is tried again.
func TestUnreadableTokenIsToldOnce(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.set(fields{"crm": {"password": "first-secret"}})
	file, dir := write(t, firstToken+"\n"), memory(t)
	s := g.start(t, "render", "--job-token", "@"+file, "--template", write(t, `{{ field "crm" "password" }}`)+":"+dir+"/a", "--restart-on-change", "--exec", "sleep", "--", "600")
	g.awaits(t, firstToken)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	g.set(fields{"crm": {"password": "second-secret"}})
	const told = "crm: wrong usage: the job's token: it cannot be read: no such file or directory; the command goes on with the value that it has"
	s.says(told)
	time.Sleep(500 * time.Millisecond) // the question that follows at once fails as well
	wantFile(t, dir+"/a", "first-secret", 0o600)
	g.takes(secondToken)
	renew(t, file, secondToken)
	awaitFile(t, dir+"/a", "second-secret") // with the token that is read again
	s.signal(syscall.SIGTERM)
	s.ends(143)
	if got, want := s.stderr.String(), "strongroom-agent: "+told+"\n"; got != want {
		t.Errorf("people are told %q, want %q", got, want)
	}
}

// What comes through a pipe is gone once it was read.
func TestTokenOfAPipe(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.set(fields{"crm": {"password": "first-secret"}, "erp": {"password": "other-secret"}})
	program(t, g.socket, firstToken+"\n", "exec", "--job-token", "@/dev/stdin", "--credential", "crm", "--credential", "erp",
		"sh", "-c", "echo ${#CRM_PASSWORD} ${#ERP_PASSWORD} "+firstToken).prints(t, "12 12 ***\n")
	if r := program(t, g.socket, firstToken, "get", "crm", "--job-token", "-"); r.code != 0 {
		t.Errorf("from stdin: %+v", r)
	}
}

// Kubernetes moves a link to a new folder and removes the old one: who reads meanwhile gets the old token or the new one.
func TestTokenFileIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	place := func(n int) error {
		folder, link := fmt.Sprintf("%s/%d", dir, n), dir+"/link"
		return errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(folder+"/token", []byte(fmt.Sprintln("token", n)), 0o600),
			os.Symlink(fmt.Sprint(n), link), os.Rename(link, dir+"/data"), os.RemoveAll(fmt.Sprintf("%s/%d", dir, n-1)))
	}
	if err := errors.Join(place(0), os.Symlink("data/token", dir+"/token")); err != nil {
		t.Fatal(err)
	}
	replaced := make(chan error)
	go func() {
		var err error
		for n := 1; n <= 30; n++ {
			time.Sleep(20 * time.Millisecond)
			err = errors.Join(err, place(n))
		}
		replaced <- err
	}()
	for last := 0; last < 30; {
		got, err := renewedToken(dir+"/token", tokenIn)
		var n int
		if _, scanned := fmt.Sscanf(got, "token %d", &n); err != nil || scanned != nil || n < last {
			t.Fatalf("after token %d: %q, %v", last, got, err)
		}
		last = n
	}
	if err := <-replaced; err != nil {
		t.Fatal(err)
	}
}

func TestTokenFileThatIsNone(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "hunter22")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{pipe + "none", "it cannot be read: no such file or directory"},
		{filepath.Dir(pipe), "it cannot be read: it is no plain file anymore"},
		{pipe, "it cannot be read: it is no plain file anymore"},
		{write(t, " \n"), "there is no token in it"},
	} {
		if got, err := renewedToken(c.path, tokenIn); got != "" || err == nil || err.Error() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.path, got, err, c.want)
		}
	}
	if got, err := renewedToken(write(t, strings.Repeat("a", 64<<10)), tokenIn); err != nil || len(got) != 32<<10 {
		t.Errorf("of 64 KiB %d bytes are read, %v; want 32 KiB", len(got), err)
	}
}

// A file that is not there is looked for three times, which is no matter of seconds; other errors are no matter of chance.
func TestTokenFileIsLookedForAgain(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "token")
	for found, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3} {
		reads := 0
		got, err := renewedToken(missing, func(path string) (string, error) {
			if reads++; reads == found {
				return "a.b.c", nil
			}
			return tokenIn(path)
		})
		if reads != want || (err == nil) != (found <= 3) || (err == nil) != (got == "a.b.c") {
			t.Errorf("there at read %d: %d reads, %q, %v", found, reads, got, err)
		}
	}
	reads := 0
	if _, err := renewedToken(write(t, "\n"), func(path string) (string, error) { reads++; return tokenIn(path) }); err == nil || reads != 1 {
		t.Errorf("an empty file: %d reads, %v", reads, err)
	}
}
