package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A site is a git server over HTTP that demands a user name and a password.
type site struct {
	server             *http.Server
	url                string
	username, password string
}

// newSite makes a repository with one commit and serves it.
func newSite(ctx context.Context, dir string) (*site, error) {
	root := filepath.Join(dir, "site")
	if err := makeRepository(ctx, root); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{url: "http://" + listener.Addr().String(), username: "demo", password: rand.Text()}
	files := http.FileServer(http.Dir(root))
	s.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		username, password, _ := r.BasicAuth()
		if username != s.username || subtle.ConstantTimeCompare([]byte(password), []byte(s.password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="demo"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	})}
	go func() { _ = s.server.Serve(listener) }() // ends with close
	return s, nil
}

func (s *site) close() {
	_ = s.server.Close() // the process ends next
}

// makeRepository leaves root/hello.git as a folder that any web server can serve to git.
func makeRepository(ctx context.Context, root string) error {
	work := filepath.Join(root, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "README"), []byte("you had the password, and never saw it\n"), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "README"},
		{"-c", "user.name=demo", "-c", "user.email=demo@localhost", "commit", "--quiet", "--message", "Say hello"},
		{"clone", "--quiet", "--bare", ".", "../hello.git"},
		{"--git-dir", "../hello.git", "update-server-info"},
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("git %v: %w\n%s", args, err, out))
		}
	}
	return os.RemoveAll(work)
}
