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
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// Errors that callers tell apart.
var (
	ErrNotReachable = errors.New("the server is not reachable")
	ErrRefused      = errors.New("refused")
	ErrRevoked      = errors.New(wire.MessageRevoked)
	ErrFrozen       = errors.New(wire.MessageFrozen)
	ErrRecover      = errors.New("the server did not renew the certificate of this host, which has ended: enrol it again")
)

// A dead connection is noticed within 15 s.
var keepaliveParameters = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}

const (
	firstRetry   = 200 * time.Millisecond
	lastRetry    = 15 * time.Second
	revokedRetry = 5 * time.Minute
	// steady is how long a connection has to last for its loss to be a new outage:
	// a server that takes everybody in and dies of it must not be met at full pace.
	steady = 10 * time.Second
)

// Subscriber is who holds what the uplink pulled. Its methods may be called at
// the same time and return once the memory is wiped.
type Subscriber struct {
	Drop func(credential string)
	// Held is what to present at the next connection; Kept is what the server
	// lets the host keep, and the rest is dropped.
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
	Revoked     bool      // or frozen, or not recovered: the server no longer knows this host
	Why         string    // not connected: the reason
	Expires     time.Time // of the host's certificate
	Server      string    // HOST:PORT that it is connected to, or tries next
}

// Uplink is the room. It is safe for concurrent use.
type Uplink struct {
	route   Route
	arena   *secret.Arena
	log     *slog.Logger
	version string
	to      Subscriber
	reports reports
	witness *witness
	now     func() time.Time // judges the certificate
	look    time.Duration    // how often

	mu        sync.Mutex
	at        int // of the route's servers
	id        *Identity
	state     State
	lost      error // why there is no connection
	session   *session
	switching chan struct{} // closed once going over to a new certificate is over; nil: not under way
}

// New makes an uplink that is not connected yet. to must be set up before Run.
func New(id *Identity, route Route, arena *secret.Arena, log *slog.Logger, version string) *Uplink {
	if len(route.Servers) == 0 {
		route.Servers = id.Servers
	}
	begin := fmt.Errorf("%w yet: the agent is connecting", ErrNotReachable)
	return &Uplink{
		id: id, route: route, arena: arena, log: log, version: version,
		reports: reports{wake: make(chan struct{}, 1)}, witness: newWitness(id, log),
		now: time.Now, look: crash.Duration("look", time.Minute),
		state: State{Since: time.Now(), Why: begin.Error()}, lost: begin,
	}
}

// Subscribe sets who is told. It is called before Run.
func (u *Uplink) Subscribe(to Subscriber) { u.to = to }

// State returns how the connection stands.
func (u *Uplink) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.state
	s.Expires, s.Server = u.id.Expires, u.route.server(u.at)
	if s.Connected {
		s.LastContact = u.session.heard.last()
	}
	return s
}

// server is the one that is asked: the one that answered last, or the next.
func (u *Uplink) server() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.route.server(u.at)
}

// Run keeps the connection until ctx ends. It tries one server after the other,
// first that which it was connected to, and waits longer with each round of all.
func (u *Uplink) Run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		server := u.server()
		err := u.connect(ctx, failures > 0)
		if ctx.Err() != nil {
			return
		}
		if u.disconnected(err) > steady {
			failures = 0
		}
		wait := backoff(failures / max(len(u.route.Servers), 1))
		// Of several servers only one may have been put back to an older copy.
		allAsked := (failures+1)%max(len(u.route.Servers), 1) == 0
		if turnedAway(err) || errors.Is(err, ErrLog) && allAsked {
			wait = revokedRetry
		}
		failures++
		u.log.Warn("not connected", "server", server, "why", err, "retry_in", wait.Round(time.Millisecond))
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
	return spread(upper) + 10*time.Millisecond
}

// spread draws from all of what lies below upper.
func spread(upper time.Duration) time.Duration {
	if upper <= 0 {
		return 0
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(upper)))
	if err != nil {
		return upper
	}
	return time.Duration(n.Int64())
}

// turnedAway: the server was asked, and no longer knows this host for its own.
func turnedAway(err error) bool {
	return errors.Is(err, ErrRevoked) || errors.Is(err, ErrFrozen) || errors.Is(err, ErrRecover)
}

// disconnected says how long the connection that was lost had lasted; 0: there
// was none.
func (u *Uplink) disconnected(why error) (lasted time.Duration) {
	revoked := turnedAway(why)
	if !revoked && !errors.Is(why, ErrNotReachable) {
		why = fmt.Errorf("%w: %w", ErrNotReachable, why)
	}
	u.mu.Lock()
	now := time.Now()
	if u.state.Connected {
		lasted = now.Sub(u.state.Since)
		u.state.Since, u.state.LastContact = now, u.session.heard.last()
	} else {
		u.at = (u.at + 1) % max(len(u.route.Servers), 1)
	}
	u.lost, u.state.Connected, u.state.Why = why, false, why.Error()
	u.state.Revoked = u.state.Revoked || revoked
	u.session = nil
	u.mu.Unlock()
	if revoked {
		u.to.Kept(nil)
	}
	return lasted
}

func (u *Uplink) connected(s *session) {
	u.mu.Lock()
	u.state = State{Connected: true, Since: time.Now()}
	u.session = s
	u.mu.Unlock()
	u.log.Info("connected", "server", u.server())
}

func (u *Uplink) identity() *Identity {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.id
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

// toError turns gRPC's errors into this package's. Only PermissionDenied is the
// server's no; all else means that it could not be asked.
func toError(err error) error {
	s := status.Convert(err)
	switch {
	case s.Code() == codes.PermissionDenied && s.Message() == wire.MessageRevoked:
		return ErrRevoked
	case s.Code() == codes.PermissionDenied && s.Message() == wire.MessageFrozen:
		return ErrFrozen
	case s.Code() == codes.PermissionDenied && s.Message() == wire.MessageHash:
		return grant.ErrHashWanted
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
	if strings.HasSuffix(message, "remote error: tls: bad certificate") {
		return "it did not take this host's certificate; its audit log says why"
	}
	message = strings.TrimPrefix(message, "transport: ")
	return strings.TrimPrefix(message, "Error while dialing: ")
}
