// Package server builds the server's rooms in order, at unsealing, and drops
// them at sealing. It holds no logic of its own, prints nothing and reads no
// configuration: its commands do.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/configs"
	"github.com/strongroom/strongroom/server/internal/admission"
	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/rest"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// ErrNoVault means that the folder holds no vault.
var ErrNoVault = errors.New("there is no vault")

// LeastLockedMemory is the least that a server can do with, in bytes. A value of more than half of it cannot be given out.
const LeastLockedMemory = 1 << 20

// Config is what a server needs to run.
type Config struct {
	Data    string
	Agents  string // HOST:PORT of the agents' listener
	Console string // HOST:PORT of the people's
	KeyFile string // empty: DIR/unseal.key
	// Passphrase opens the vault instead of the key file; nil: there is none. Run
	// wipes it as soon as it was tried.
	Passphrase *secret.Buffer
	// LockedMemory bounds what is in the clear at a time, in bytes.
	LockedMemory int
	// OutboundAllow are addresses that the server may connect to although they are closed by default.
	OutboundAllow []netip.Prefix

	Version string
	Log     *slog.Logger
	Ready   func(Ready) // called once
}

// Ready says where the server listens.
type Ready struct {
	Agents  string // empty: sealed
	Console string
}

// Server is one running server. Between unseal and seal it has rooms.
type Server struct {
	config    Config
	arena     *secret.Arena
	header    atomic.Pointer[seal.Header]
	db        *store.DB
	log       *audit.Log
	catalogue *catalogue.Catalogue
	rest      *rest.REST
	console   atomic.Pointer[tls.Certificate]
	shares    collection

	stretching  chan struct{} // has room for one: a passphrase at a time
	backing     chan struct{} // likewise: a backup
	sealed      atomic.Bool
	promises    atomic.Pointer[audit.Checkpoints] // the last; nil: never unsealed
	credentials atomic.Pointer[vault.Vault]       // nil while sealed
	slotting    sync.Mutex                        // held from reading the header until another is in its place
	mu          sync.Mutex                        // serialises seal and unseal
	rooms       *rooms                            // nil while sealed
	fail        chan error                        // a room stopped by itself
}

// Run serves until ctx ends and then returns nil within 5 s.
func Run(ctx context.Context, c Config) error {
	if err := secret.Conceal(); err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	defer s.close()
	listener, err := net.Listen("tcp", c.Console)
	if err != nil {
		return fmt.Errorf("--console: %w", err)
	}
	people := s.consoleServer()
	// People prove who they are with each request: none of their connections is safe from giving way to others.
	bounds := admission.Bounds{All: min(2000, admission.Files()/8), Unproven: 2000, Address: 256}
	go func() { s.fail <- people.ServeTLS(admission.Bound(listener, bounds), "", "") }()
	defer people.Close()
	ready := Ready{Console: listener.Addr().String()}
	if ready.Agents, err = s.unsealAtStart(ctx); err != nil {
		return mend(err)
	}
	c.Ready(ready)
	select {
	case <-ctx.Done():
	case err := <-s.fail:
		return fmt.Errorf("serving stopped: %w", err)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := people.Shutdown(stop); err != nil {
		c.Log.Warn("requests were cut off", "error", err)
	}
	return nil
}

// open takes what is there while sealed: the seal's header, the log, the
// console's certificate.
func open(c Config) (*Server, error) {
	dir := filepath.Join(c.Data, vaultFolder)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s: make one with strongroom-server init --data %s", ErrNoVault, c.Data, c.Data)
	}
	s := &Server{config: c, stretching: make(chan struct{}, 1), backing: make(chan struct{}, 1), fail: make(chan error, 4)}
	s.sealed.Store(true)
	var err error
	if s.catalogue, err = catalogue.Load(configs.Applications); err != nil {
		return nil, err
	}
	header, err := seal.Load(filepath.Join(dir, sealFile))
	if err != nil {
		return nil, mend(err)
	}
	s.header.Store(header)
	console, err := readConsole(s.path(consoleFile))
	if err != nil {
		return nil, err
	}
	s.console.Store(console)
	if s.arena, err = secret.NewArena(c.LockedMemory); err != nil {
		return nil, err
	}
	// The store's lock keeps a second server from both, so it comes first.
	if s.db, err = store.Open(s.path(storeFile)); err != nil {
		return nil, errors.Join(mend(err), s.arena.Close())
	}
	if s.log, err = audit.OpenReserved(s.path(auditFolder), s.arena, s.path(reserveFile)); err != nil {
		return nil, errors.Join(mend(err), s.db.Close(), s.arena.Close())
	}
	if cut := s.log.Recovered(); cut > 0 {
		c.Log.Warn(logCut, "bytes", cut)
	}
	if err := s.log.Reserved(); err != nil {
		c.Log.Warn(noReserve, "error", err)
	}
	refuse := func(ctx context.Context, reason string, why error) error {
		return s.refused(ctx, byRequest, reason, why)
	}
	control := rest.Control{Status: s.status, Seal: s.Seal, Unseal: s.unsealByRequest, RefuseUnseal: refuse}
	s.rest = rest.New(control, s.arena, c.Log)
	return s, nil
}

// close seals. The arena stays: its buffers are wiped by whoever has them, and a
// request that outlives its time must not find the memory gone under it.
func (s *Server) close() {
	s.drop()
	s.shares.reset()
	if err := errors.Join(s.log.Close(), s.db.Close()); err != nil {
		s.config.Log.Error("closing", "error", err)
	}
}

func (s *Server) path(name string) string { return filepath.Join(s.config.Data, vaultFolder, name) }

func (s *Server) keyFile() string {
	if s.config.KeyFile != "" {
		return s.config.KeyFile
	}
	return filepath.Join(s.config.Data, keyFile)
}

func (s *Server) consoleServer() *http.Server {
	// An envelope's key is bound to the connection of its request, which is
	// plainest where a connection carries one request at a time.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:   s.rest.Handler(),
		Protocols: &protocols,
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS13,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.console.Load(), nil },
		},
		ConnContext:       s.rest.ConnContext,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) status() api.Status {
	out := api.Status{Version: s.config.Version, Sealed: s.sealed.Load(), Vault: s.header.Load().Vault(), Warnings: []string{}, Shares: s.collected()}
	if s.header.Load().HasKeyFile() && filepath.Dir(s.keyFile()) == filepath.Clean(s.config.Data) {
		if _, err := os.Stat(s.keyFile()); err == nil {
			out.Warnings = append(out.Warnings, "the key file lies beside the data it opens: keep it elsewhere and name it with --key-file, or whoever copies the folder has the vault")
		}
	}
	switch err := s.log.Reserved(); {
	case errors.Is(err, audit.ErrNoSpace):
		out.Warnings = append(out.Warnings, "the disk of the vault is full: only revoking, deleting and sealing work until some space on it is free")
	case err != nil:
		out.Warnings = append(out.Warnings, noReserve)
	}
	if promises := s.promises.Load(); promises != nil {
		out.Warnings = append(out.Warnings, promises.Warnings()...)
	}
	if credentials := s.credentials.Load(); credentials != nil {
		broken := 0 // their names are for people who are signed in
		for _, app := range credentials.Applications() {
			if app.Broken != nil {
				broken++
			}
		}
		if broken > 0 {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%d imported definitions of applications are not such as this version takes, so they are not used: "+
				"strongroom application list shows which, and strongroom application show why; mend the files and import them again, or delete them", broken))
		}
	}
	return out
}

// logCut is how a crash leaves the log, and also how somebody does who cuts its end off.
const logCut = "the audit log ended with an entry that was not whole, which was cut off: that is what a crash or a power failure leaves. " +
	"If the server was stopped in good order, somebody changed the log: compare it with what a host has seen, " +
	"strongroom-server verify --checkpoint @FILE with the file checkpoint of an agent's STATE folder"

// noReserve is no more than a warning; the log says why.
const noReserve = "no space is kept on the disk for revoking and sealing when it is full: free some, and the server takes it"

// Seal loses the root key: every room that needs it is dropped, the agents' port
// closes, and their leases end by themselves.
func (s *Server) Seal(ctx context.Context, who grant.Person) error {
	s.log.FlushRefusals()
	entry := audit.Entry{Actor: who.Name, Action: "vault.seal", Outcome: audit.Allowed}
	if _, err := s.log.Append(ctx, entry); err != nil {
		return err
	}
	s.drop()
	return nil
}
