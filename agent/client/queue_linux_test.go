package client_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strongroom/strongroom/agent/client"
)

// A job that comes while others fill the socket's queue waits for its place.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: socket}), unix.Listen(fd, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), socket)
	l, err := net.FileListener(file)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		conn, err := net.Dial("unix", socket)
		if full = errors.Is(err, syscall.EAGAIN); err != nil && !full {
			t.Fatal(err)
		}
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
	}
	s := &http.Server{Handler: answers(200, crm)}
	t.Cleanup(func() { s.Close() })
	time.AfterFunc(100*time.Millisecond, func() { _ = s.Serve(l) })
	if got, err := client.New(client.Options{Socket: socket}).Get(t.Context(), "crm"); err != nil || got.Version != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}
