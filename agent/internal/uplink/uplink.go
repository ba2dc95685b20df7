// Package uplink is the agent's connection to the server: it enrols the host,
// keeps one connection open, pulls values out of their envelopes into locked
// memory, and passes on what the server pushes. It caches nothing and judges no
// job. Generated types do not leave this package.
package uplink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// Errors that callers tell apart.
var (
	ErrNotReachable = errors.New("the server is not reachable")
	ErrRefused      = errors.New("refused")
	ErrRevoked      = errors.New(wire.MessageRevoked)
)

// A dead connection is noticed within 15 s.
var keepaliveParameters = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}

const (
	firstRetry   = 200 * time.Millisecond
	lastRetry    = 30 * time.Second
	revokedRetry = 5 * time.Minute
)

// Subscriber is who holds what the uplink pulled. Its methods are called one at
// a time and return once the memory is wiped.
type Subscriber struct {
	Drop func(credential, reason string)
	Wipe func(reason string)
	// Held is what to present at the next connection; Kept what of it the
	// server confirmed, the rest is to be dropped.
	Held func() []Held
	Kept func(credentials []string)
}

// Held names a lease for the server to confirm.
type Held struct {
	Credential string // ID
	Version    uint64
	Terms      []byte // as Leased.Terms had it
}

// State is what status shows.
type State struct {
	Connected   bool
	Since       time.Time // of Connected
	LastContact time.Time
	Revoked     bool
	Why         string // not connected: the reason
}

// Uplink is the room. It is safe for concurrent use.
type Uplink struct {
	id      *Identity
	arena   *secret.Arena
	log     *slog.Logger
	version string
	to      Subscriber
	reports reports

	mu      sync.Mutex
	state   State
	lost    error // why there is no connection
	session *session
}

// New makes an uplink that is not connected yet. to must be set up before Run.
func New(id *Identity, arena *secret.Arena, log *slog.Logger, version string) *Uplink {
	begin := fmt.Errorf("%w yet: the agent is connecting", ErrNotReachable)
	return &Uplink{
		id: id, arena: arena, log: log, version: version,
		reports: reports{wake: make(chan struct{}, 1)},
		state:   State{Since: time.Now(), Why: begin.Error()}, lost: begin,
	}
}

// Subscribe sets who is told. It is called before Run.
func (u *Uplink) Subscribe(to Subscriber) { u.to = to }

// State returns how the connection stands.
func (u *Uplink) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.state
	if s.Connected {
		s.LastContact = time.Now()
	}
	return s
}

// Run keeps the connection until ctx ends.
func (u *Uplink) Run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := u.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		u.disconnected(err)
		if time.Since(began) > time.Minute {
			failures = 0
		}
		wait := backoff(failures)
		if errors.Is(err, ErrRevoked) {
			wait = revokedRetry
		}
		failures++
		u.log.Warn("not connected", "server", u.id.Server, "why", err, "retry_in", wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// backoff doubles its upper bound with each failure and draws from all of what
// lies below, so that a fleet does not return in step.
func backoff(failures int) time.Duration {
	upper := lastRetry
	if failures < 8 {
		upper = min(firstRetry<<failures, lastRetry)
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(upper)))
	if err != nil {
		return upper
	}
	return time.Duration(n.Int64()) + 10*time.Millisecond
}

func (u *Uplink) disconnected(why error) {
	revoked := errors.Is(why, ErrRevoked)
	if !revoked && !errors.Is(why, ErrNotReachable) {
		why = fmt.Errorf("%w: %w", ErrNotReachable, why)
	}
	u.mu.Lock()
	now := time.Now()
	if u.state.Connected {
		u.state.Since, u.state.LastContact = now, now
	}
	u.lost, u.state.Connected, u.state.Why = why, false, why.Error()
	u.state.Revoked = u.state.Revoked || revoked
	u.session = nil
	u.mu.Unlock()
	if revoked {
		u.to.Wipe(wire.MessageRevoked)
	}
}

func (u *Uplink) connected(s *session) {
	u.mu.Lock()
	u.state = State{Connected: true, Since: time.Now()}
	u.session = s
	u.mu.Unlock()
	u.log.Info("connected", "server", u.id.Server)
}

func (u *Uplink) current() (*session, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.session != nil:
		return u.session, nil
	case u.state.Revoked:
		return nil, ErrRevoked
	}
	return nil, u.lost
}

// connect holds one connection for as long as it lasts and says why it ended.
func (u *Uplink) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	creds := newHandshaker(identity.AgentClient(u.id.roots, u.id.TrustDomain, u.id.own))
	conn, err := dial(u.id.Server, creds)
	if err != nil {
		return err
	}
	defer conn.Close()
	agents := wire.NewAgentsClient(conn)
	watch, err := agents.Watch(ctx)
	if err != nil {
		return toError(err)
	}
	recipient, err := envelope.NewRecipient()
	if err != nil {
		return err
	}
	presented := u.to.Held()
	hello := &wire.Hello{EnvelopeKey: recipient.PublicKey(), Os: runtime.GOOS + "/" + runtime.GOARCH, Version: u.version}
	for _, h := range presented {
		hello.Held = append(hello.Held, &wire.Held{Credential: h.Credential, Version: h.Version, Terms: h.Terms})
	}
	if err := watch.Send(&wire.WatchRequest{Message: &wire.WatchRequest_Hello{Hello: hello}}); err != nil {
		// The reason comes with Recv.
		_, err = watch.Recv()
		return toError(err)
	}
	first, err := u.welcome(watch, cancel)
	if err != nil {
		return err
	}
	opener, err := openerOf(u.arena, watch.Context(), recipient, first.GetWelcome().GetEncapsulation())
	if err != nil {
		return err
	}
	s := &session{agents: agents, opener: opener}
	defer s.close()
	u.to.Kept(first.GetWelcome().GetConfirmed())
	u.connected(s)
	go u.report(ctx, agents)
	return u.follow(watch)
}

// welcome waits 10 s for the server's first message.
func (u *Uplink) welcome(watch wire.Agents_WatchClient, cancel func()) (*wire.WatchEvent, error) {
	late := time.AfterFunc(10*time.Second, cancel)
	defer late.Stop()
	first, err := watch.Recv()
	if err != nil {
		return nil, toError(err)
	}
	if first.GetWelcome() == nil {
		return nil, errors.New("the server did not answer with welcome: are agent and server of matching versions?")
	}
	return first, nil
}

// follow passes on what the server pushes, and acknowledges it once it is done.
func (u *Uplink) follow(watch wire.Agents_WatchClient) error {
	for {
		e, err := watch.Recv()
		if err != nil {
			return toError(err)
		}
		var revoked error
		switch {
		case e.GetDrop() != nil:
			u.to.Drop(e.GetDrop().GetCredential(), e.GetDrop().GetReason())
		case e.GetWipe() != nil:
			revoked = ErrRevoked
			u.to.Wipe(e.GetWipe().GetReason())
		}
		ack := &wire.WatchRequest{Message: &wire.WatchRequest_Ack{Ack: &wire.Ack{Sequence: e.GetSequence()}}}
		if err := watch.Send(ack); err != nil && revoked == nil {
			continue // Recv says why
		}
		if revoked != nil {
			_ = watch.CloseSend()
			_, _ = watch.Recv() // the server cuts the connection once it has the ack
			return revoked
		}
	}
}

// toError turns gRPC's errors into this package's. Only PermissionDenied is the
// server's no; all else means that it could not be asked.
func toError(err error) error {
	s := status.Convert(err)
	switch {
	case s.Code() == codes.PermissionDenied && s.Message() == wire.MessageRevoked:
		return ErrRevoked
	case s.Code() == codes.PermissionDenied:
		return ErrRefused
	case s.Code() == codes.Canceled:
		return fmt.Errorf("%w: the call was cancelled", ErrNotReachable)
	}
	return fmt.Errorf("%w: %s", ErrNotReachable, plain(s.Message()))
}

// plain takes gRPC's wrapping off a connection error, for people.
func plain(message string) string {
	if _, cause, ok := strings.Cut(message, `desc = "`); ok {
		message = strings.TrimSuffix(cause, `"`)
	}
	message = strings.TrimPrefix(message, "transport: ")
	return strings.TrimPrefix(message, "Error while dialing: ")
}
