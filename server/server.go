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
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/configs"
	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/rest"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// ErrNoVault means that the folder holds no vault.
var ErrNoVault = errors.New("there is no vault")

// arenaSize bounds what the server holds in the clear at a time.
const arenaSize = 4 << 20

// Config is what a server needs to run.
type Config struct {
	Data    string
	Agents  string // HOST:PORT of the agents' listener
	Console string // HOST:PORT of the people's
	KeyFile string // empty: DIR/unseal.key
	// Passphrase opens the vault instead of the key file; nil: there is none. Run
	// wipes it as soon as it was tried.
	Passphrase *secret.Buffer
	Version    string
	Log        *slog.Logger
	Ready      func(Ready) // called once
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
	header    *seal.Header
	db        *store.DB
	log       *audit.Log
	catalogue *catalogue.Catalogue
	rest      *rest.REST
	console   atomic.Pointer[tls.Certificate]
	shares    collection

	stretching chan struct{} // has room for one: a passphrase at a time
	sealed     atomic.Bool
	mu         sync.Mutex // serialises seal and unseal
	rooms      *rooms     // nil while sealed
	fail       chan error // a room stopped by itself
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
	go func() { s.fail <- people.ServeTLS(listener, "", "") }()
	defer people.Close()
	ready := Ready{Console: listener.Addr().String()}
	if ready.Agents, err = s.unsealAtStart(ctx); err != nil {
		return explain(err)
	}
	c.Ready(ready)
	go s.keepConsole(ctx)
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
	s := &Server{config: c, stretching: make(chan struct{}, 1), fail: make(chan error, 4)}
	s.sealed.Store(true)
	var err error
	if s.catalogue, err = catalogue.Load(configs.Applications); err != nil {
		return nil, err
	}
	if s.header, err = seal.Load(filepath.Join(dir, sealFile)); err != nil {
		return nil, err
	}
	console, err := readConsole(s.path(consoleFile))
	if err != nil {
		return nil, err
	}
	s.console.Store(console)
	if s.arena, err = secret.NewArena(arenaSize); err != nil {
		return nil, err
	}
	// The store's lock keeps a second server from both, so it comes first.
	if s.db, err = store.Open(s.path(storeFile)); err != nil {
		return nil, explain(err)
	}
	if s.log, err = audit.Open(s.path(auditFolder), s.arena); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	control := rest.Control{Status: s.status, Seal: s.Seal, Unseal: s.unsealByRequest}
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

// explain adds what to do next to what the lower rooms found.
func explain(err error) error {
	switch {
	case errors.Is(err, store.ErrLocked):
		return fmt.Errorf("%w: is a server running on this folder already?", err)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, store.ErrCorrupt), errors.Is(err, barrier.ErrRollback),
		errors.Is(err, audit.ErrCorrupt), errors.Is(err, audit.ErrLogRolledBack), errors.Is(err, audit.ErrVaultRolledBack):
		return fmt.Errorf("%w: put back vault.db and audit/ of the same backup, both", err)
	}
	return err
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
	out := api.Status{Version: s.config.Version, Sealed: s.sealed.Load(), Vault: s.header.Vault(), Warnings: []string{}, Shares: s.collected()}
	if s.header.HasKeyFile() && filepath.Dir(s.keyFile()) == filepath.Clean(s.config.Data) {
		if _, err := os.Stat(s.keyFile()); err == nil {
			out.Warnings = append(out.Warnings, "the key file lies beside the data it opens: keep it elsewhere and name it with --key-file, or whoever copies the folder has the vault")
		}
	}
	return out
}

// Seal loses the root key: every room that needs it is dropped, the agents' port
// closes, and their leases end by themselves.
func (s *Server) Seal(ctx context.Context, who grant.Person) error {
	entry := audit.Entry{Actor: who.Name, Action: "vault.seal", Outcome: audit.Allowed}
	if _, err := s.log.Append(ctx, entry); err != nil {
		return err
	}
	s.drop()
	return nil
}
