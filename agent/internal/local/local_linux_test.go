package local

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/test/kit"
)

func socket(t *testing.T) string { return filepath.Join(t.TempDir(), "s") }

// serve serves h on a socket as a Local serves its API.
func serve(t *testing.T, h http.Handler) (path string) {
	t.Helper()
	path = socket(t)
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l := New(nil, nil, nil, nil, nil, slog.New(slog.DiscardHandler))
	l.server.Handler = h
	done := make(chan error)
	go func() { done <- l.Serve(listener) }()
	t.Cleanup(func() {
		_ = l.server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// served tells whether the agent answers on a connection, or has closed it.
func served(c net.Conn) (bool, error) {
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return false, err
	}
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: strongroom\r\n\r\n")
	if err == nil {
		_, err = c.Read(make([]byte, 4096))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return false, nil
	}
	return err == nil, err
}

func demandServed(t *testing.T, c net.Conn, want bool) {
	t.Helper()
	if got, err := served(c); got != want || err != nil {
		t.Fatalf("served: %t, %v", got, err)
	}
}

const otherUser = "LOCAL_TEST_OTHER_USER"

// TestOneUserStarvesNobody fills a user's places and comes as another one.
func TestOneUserStarvesNobody(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(otherUser); dir != "" {
		comeAsNobody(dir)
	}
	path := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var mine []net.Conn
	for range 32 {
		c := dial(t, path)
		demandServed(t, c, true)
		mine = append(mine, c)
	}
	for range 40 {
		demandServed(t, dial(t, path), false)
	}
	t.Run("another user", func(t *testing.T) {
		kit.NeedRoot(t)
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOneUserStarvesNobody$", "-test.count=1")
		child.Env = append(os.Environ(), otherUser+"="+filepath.Dir(path))
		if out, err := child.CombinedOutput(); err != nil || string(out) != "served: true, <nil>\n" {
			t.Errorf("%v: %s", err, out)
		}
	})
	if err := mine[0].Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if again, err := served(dial(t, path)); again {
			break
		} else if err != nil || time.Now().After(deadline) {
			t.Fatalf("the place of a closed connection was not given again: %v", err)
		}
	}
	demandServed(t, mine[1], true)
}

func comeAsNobody(dir string) {
	// A path that does not go through the folders above.
	if err := errors.Join(os.Chdir(dir), syscall.Setuid(65534)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	c, err := net.Dial("unix", "s")
	ok := false
	if err == nil {
		ok, err = served(c)
	}
	fmt.Printf("served: %t, %v\n", ok, err)
	os.Exit(0) // the testing package would look for folders that this user may not see
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	p := &places{}
	for n := range 512 {
		if uid := uint32(n / 32); !p.take(uid) || n%32 == 31 && p.take(uid) {
			t.Fatalf("connection %d", n+1)
		}
	}
	if p.take(99) {
		t.Error("connection 513 was taken")
	}
	p.give(3)
	if p.take(4) || !p.take(3) {
		t.Error("a place was given to who has 32, or not to who gave it")
	}
	for n := range 512 {
		p.give(uint32(n / 32))
	}
	if p.all != 0 || len(p.users) != 0 {
		t.Errorf("%d connections of %v remain", p.all, p.users)
	}
}

// TestAnswersThatAreNotRead do not stand in locked memory for long.
func TestAnswersThatAreNotRead(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	ended := make(chan time.Duration, 1)
	path := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b, err := a.New(900 << 10) // more than the socket takes
		if err != nil {
			t.Error(err)
			return
		}
		defer b.Wipe()
		started := time.Now()
		send(w, "application/octet-stream", b)
		ended <- time.Since(started)
	}))
	if _, err := io.WriteString(dial(t, path), "GET / HTTP/1.1\r\nHost: strongroom\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case took := <-ended:
		if took < 4*time.Second {
			t.Errorf("it gave up after %v", took)
		}
	case <-time.After(time.Minute):
		t.Error("it is still waiting for its reader after a minute")
	}
}

// TestAnswersThatTakeLong: what the server takes is not counted against the reader.
func TestAnswersThatTakeLong(t *testing.T) {
	t.Parallel()
	path := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(5500 * time.Millisecond) }))
	demandServed(t, dial(t, path), true)
}

func TestStatusTellsNoLength(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int]int64{0: 0, 1: 1024, 11: 1024, 1023: 1024, 1024: 1024, 1025: 2048, 70000: 70656} {
		if got := status("h1", uplink.State{}, 1, bytes).LockedBytes; got != want {
			t.Errorf("%d bytes are shown as %v, want %d", bytes, got, want)
		}
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	path := socket(t)
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	demandRefused(t, path, "another agent serves "+path)
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	demandRefused(t, path, "is not a socket")
}

// TestListenBesideABusyAgent: one that has no time to accept lives all the same.
func TestListenBesideABusyAgent(t *testing.T) {
	t.Parallel()
	path := socket(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		c, err := net.Dial("unix", path)
		if errors.Is(err, syscall.EAGAIN) && n > 0 {
			break
		}
		if err != nil || n == 100 {
			t.Fatalf("connection %d: %v", n, err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	demandRefused(t, path, "another agent serves "+path)
}

// demandRefused demands as well that what is at path stays.
func demandRefused(t *testing.T, path, why string) {
	t.Helper()
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("Listen: %v, want %q", err, why)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("%s is no longer what it was: %v", path, err)
	}
}
