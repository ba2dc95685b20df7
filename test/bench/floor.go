//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/strongroom/strongroom/shared/wire"
)

// What the floor is asked for, in place of a credential.
const (
	roleFloor  = "floor" // argument with which this program becomes the floor
	justEcho   = "echo"
	withCommit = "commit"

	// entrySize is about what an audit entry of a read takes on disk.
	entrySize = 256
)

// A floor is a process that answers what the server and the agent answer, with their types and on their transports, and
// does nothing for it.
type floor struct {
	*daemon
	address string // of gRPC over mTLS
	web     string // URL of HTTPS
	socket  string // of HTTP
	host    host   // with whose certificate to connect
}

// newFloor starts one, with certificates of its own.
func newFloor(s *stage, env ...string) (*floor, error) {
	name := fmt.Sprintf("floor%d", len(s.daemons))
	dir := s.path(name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	a, err := newAuthority()
	if err != nil {
		return nil, err
	}
	if err := a.issue(filepath.Join(dir, "server"), "server"); err != nil {
		return nil, err
	}
	if err := a.issue(filepath.Join(dir, "host"), "host"); err != nil {
		return nil, err
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "host.crt"), filepath.Join(dir, "host.key"))
	if err != nil {
		return nil, err
	}
	f := &floor{host: host{a.client(own)}}
	if f.daemon, err = s.start(name, env, s.self, roleFloor, dir); err != nil {
		return nil, err
	}
	f.address, f.web, f.socket = f.ready["grpc"], "https://"+f.ready["web"], f.ready["socket"]
	return f, nil
}

// hosts is the same host again and again: the floor does not care who it is.
func (f *floor) hosts(n int) []host {
	hosts := make([]host, n)
	for i := range hosts {
		hosts[i] = f.host
	}
	return hosts
}

// serveFloor is the floor's process, until SIGTERM.
func serveFloor(ctx context.Context, dir string) error {
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		return err
	}
	roots, err := readRoots(filepath.Join(dir, "server.crt"))
	if err != nil {
		return err
	}
	log, err := newCommitter(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "s")
	local, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	agents := floorAgents(ctx, own, roots, log)
	bare := &http.Server{Handler: http.HandlerFunc(floorHTTP), ReadHeaderTimeout: patience}
	web := &http.Server{
		Handler: floorWrites(log), ReadHeaderTimeout: patience,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}},
	}
	failed := make(chan error, 3)
	go func() { failed <- agents.Serve(l) }()
	go func() { failed <- bare.Serve(local) }()
	go func() { failed <- web.ServeTLS(w, "", "") }()
	fmt.Printf("ready grpc=%s web=%s socket=%s\n", l.Addr(), w.Addr(), socket)
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	_, _ = bare.Close(), web.Close() // the process ends
	agents.Stop()
	return err
}

func floorAgents(ctx context.Context, own tls.Certificate, roots *x509.CertPool, log *committer) *grpc.Server {
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		})),
		grpc.ReadBufferSize(1<<10), grpc.WriteBufferSize(4<<10), // lean; the write buffer is shared by default
	)
	wire.RegisterAgentsServer(server, &floorCalls{log: log, answer: floorAnswer(), ctx: ctx})
	return server
}

// floorAnswer is a lease as the server gives one.
func floorAnswer() *wire.LeaseResponse {
	id := strings.Repeat("0", 32)
	return &wire.LeaseResponse{
		Credential: id, Name: credentialName, Kind: "app", Application: "generic-rest", AuthType: "access_token", Version: 1,
		Terms:       []*wire.Terms{{Grant: "bench", Access: "read", TtlMs: (15 * time.Minute).Milliseconds()}},
		TermsDigest: make([]byte, 32),
		Fields:      []*wire.Field{{Name: "token", Secret: true, Sealed: make([]byte, 8+valueSize+16)}},
	}
}

type floorCalls struct {
	wire.UnimplementedAgentsServer
	log    *committer
	answer *wire.LeaseResponse
	ctx    context.Context
}

// Lease answers at once, or after a commit.
func (f *floorCalls) Lease(_ context.Context, r *wire.LeaseRequest) (*wire.LeaseResponse, error) {
	if r.GetReference() == withCommit {
		if err := f.log.commit(make([]byte, entrySize)); err != nil {
			return nil, err
		}
	}
	return f.answer, nil
}

// Watch welcomes and then idles.
func (f *floorCalls) Watch(stream wire.Agents_WatchServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.Send(&wire.WatchEvent{Sequence: 1, Event: &wire.WatchEvent_Welcome{Welcome: &wire.Welcome{}}}); err != nil {
		return err
	}
	select {
	case <-f.ctx.Done():
	case <-stream.Context().Done():
	}
	return nil
}

// floorHTTP answers with as many bytes as an agent does.
func floorHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(make([]byte, valueSize+150)) // who asked sees a short answer
}

// floorWrites commits a record for each request.
func floorWrites(log *committer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := log.commit(make([]byte, recordSize)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		floorHTTP(w, r)
	})
}

// writer is a connection of its own to what floorWrites serves.
func (f *floor) writer() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // as api.Client has it
	return &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: f.host.config, Protocols: protocols, MaxConnsPerHost: 1}}
}

// write posts about as much as an edit of a credential does.
func (f *floor) write(ctx context.Context, c *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, f.web, bytes.NewReader(make([]byte, 64)))
	if err != nil {
		return err
	}
	answer, err := c.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err = io.Copy(io.Discard, answer.Body); err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New("the floor answered " + answer.Status)
	}
	return err
}
