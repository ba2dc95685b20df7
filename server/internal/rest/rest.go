// Package rest serves the people's API of shared/api: it takes requests apart,
// says who asks, lets the rooms below do the work and puts their answers and
// errors into HTTP. It decides nothing about credentials, hosts or grants, and
// values pass through it sealed or in locked memory only.
package rest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/delivery"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/repeat"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Rooms are what an unsealed server works with.
type Rooms struct {
	Settings      *setting.Settings
	People        *people.People
	Fleet         *fleet.Fleet
	Vault         *vault.Vault
	Audit         *audit.Log
	AuditKeys     audit.Keys // for reading the log
	Checkpoints   *audit.Checkpoints
	Delivery      *delivery.Delivery
	Keeping       Keeping
	Repeats       *repeat.Requests
	AgentsAddress string // HOST:PORT for join strings
}

// Control is what the server as a whole does, also while sealed. Seal calls
// Close, and Unseal calls Open before it returns where the vault is open; what it
// got is wiped afterwards.
type Control struct {
	Status func() api.Status
	Seal   func(context.Context, grant.Person) error
	Unseal func(context.Context, Unsealing) (api.Seal, error)
	// RefuseUnseal logs why something was not even tried, and returns why.
	RefuseUnseal func(ctx context.Context, reason string, why error) error
}

// Unsealing is what a request brings to open the vault: at most one of the
// three, the others are nil.
type Unsealing struct {
	KeyFile    *secret.Buffer // a key file's text
	Passphrase *secret.Buffer
	Share      *secret.Buffer // one share's line
	Reset      bool           // wipe the shares that are in, first
}

// How long a request may take, and an answer to be written behind that.
const (
	usualTime = 30 * time.Second
	longTime  = 10 * time.Minute // unsealing and verifying read everything
	writeTime = 10 * time.Second
)

// REST is the API. It begins sealed.
type REST struct {
	control Control
	arena   *secret.Arena
	log     *slog.Logger
	now     func() time.Time

	mux     *http.ServeMux
	routes  map[string]*route // by pattern of mux
	members map[string]bool   // the names that requests may have in bodies, paths and queries
	schemas huma.Registry     // of the bodies
	origins *http.CrossOriginProtection

	limits   *limits
	requests requests
	checking chan struct{} // bounds the passwords that are in the arena at a time

	current atomic.Pointer[unsealed] // nil while sealed
}

// New makes the API. Values that are on their way are held in arena; log gets
// what clients are not told.
func New(c Control, arena *secret.Arena, log *slog.Logger) *REST {
	r := &REST{
		control: c, arena: arena, log: log, now: time.Now,
		mux: http.NewServeMux(), routes: map[string]*route{}, members: map[string]bool{},
		origins:  http.NewCrossOriginProtection(),
		limits:   newLimits(),
		checking: make(chan struct{}, 8),
	}
	r.register()
	return r
}

// Handler serves the API. It counts on ConnContext being the server's.
func (r *REST) Handler() http.Handler { return http.HandlerFunc(r.serve) }

// ConnContext gives each connection the state that envelopes are bound to.
func (r *REST) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, new(connection))
}

// Open lets requests in, once the vault is unsealed.
func (r *REST) Open(rooms *Rooms) { r.current.Store(newUnsealed(rooms)) }

// Close lets no request in any more and waits for those that are under way.
// After two seconds it cancels them, and a second later it gives up on them.
func (r *REST) Close() {
	u := r.current.Swap(nil)
	if u == nil {
		return
	}
	if left := u.close(2*time.Second, time.Second); left > 0 {
		r.log.Warn("requests did not end when the vault was sealed", "requests", left)
	}
}

// call is one request on its way to its handler.
type call struct {
	request    *http.Request
	connection *connection
	unsealed   *unsealed // nil on routes that are served while sealed
	rooms      *Rooms    // likewise
	person     grant.Person
	token      people.Token
	leave      func() // gives the rooms back; may be called twice
	route      *route
	revision   uint64 // of the one thing that is answered with, for its ETag; 0: none
}

type callKey struct{}

func (r *REST) serve(w http.ResponseWriter, req *http.Request) {
	req = req.WithContext(audit.WithFrom(req.Context(), from(req)))
	at := r.match(req)
	counted := &watched{ResponseWriter: w}
	defer func() { r.requests.count(at.pattern(), counted.answer()) }()
	w = counted
	defer r.recovered(w, at)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	limit := usualTime
	if at != nil && at.timeout != 0 {
		limit = at.timeout
	}
	ctx, cancel := bound(w, req, limit)
	defer cancel()
	if err := r.origins.Check(req); err != nil {
		write(w, refusal(http.StatusForbidden, api.CodeRefused, "requests from other sites' pages are refused"))
		return
	}
	if at == nil {
		write(w, refusal(http.StatusNotFound, api.CodeNotFound, "there is no such route"))
		return
	}
	c := &call{request: req, route: at, leave: func() {}}
	c.connection, _ = req.Context().Value(connectionKey{}).(*connection)
	if at.access != anytime {
		if p := r.admit(c, at); p != nil {
			write(w, p)
			return
		}
		defer c.leave()
		// A request that is under way for too long when the vault is sealed ends here.
		defer context.AfterFunc(c.unsealed.ending, cancel)()
	}
	r.mux.ServeHTTP(w, req.WithContext(context.WithValue(ctx, callKey{}, c)))
}

// from is the address that the log gives the request.
func from(req *http.Request) string {
	at, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return ""
	}
	return at.Addr().Unmap().String()
}

// match finds the request's route. The mux itself would answer what has none
// with a redirect that repeats the path, or in plain text.
func (r *REST) match(req *http.Request) *route {
	if escaped := req.URL.EscapedPath(); path.Clean(escaped) != escaped {
		return nil
	}
	_, pattern := r.mux.Handler(req)
	return r.routes[pattern]
}

// bound sets the request's time limits. They replace those of the server, of
// which the one for reading would also end a request that only takes long.
func bound(w http.ResponseWriter, req *http.Request, limit time.Duration) (context.Context, context.CancelFunc) {
	conn := http.NewResponseController(w)
	// They fail only where there is no connection.
	_ = conn.SetReadDeadline(time.Now().Add(limit + writeTime))
	_ = conn.SetWriteDeadline(time.Now().Add(limit + writeTime))
	ctx := req.Context()
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		// A change that has begun is not left half done because its client went away.
		ctx = context.WithoutCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// recovered answers a request whose handler panicked. The panic's value stays
// out of the log, since nobody knows what it quotes.
func (r *REST) recovered(w http.ResponseWriter, at *route) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	r.log.Error("a request panicked", "route", at.pattern(), "stack", string(debug.Stack()))
	write(w, failed())
}

// callOf is the call that serve put into the context of every request.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// answer is the shape in which huma wants an answer's body.
type answer[O any] struct {
	ETag string `header:"ETag" doc:"for If-Match, of one thing"`
	Body O
}

// add registers a handler. Its error becomes a problem.
func add[I, O any](r *REST, doc huma.API, at route, do func(context.Context, *call, *I) (O, error)) {
	r.routes[at.pattern()] = &at
	huma.Register(doc, at.operation(doc), func(ctx context.Context, in *I) (*answer[O], error) {
		c := callOf(ctx)
		if c.unsealed != nil && c.unsealed.ending.Err() != nil {
			// The body came so late that Close has given up on this request.
			return nil, r.problem(c, at.pattern(), context.Canceled)
		}
		out, err := do(ctx, c, in)
		if err != nil {
			return nil, r.problem(c, at.pattern(), err)
		}
		crash.Point("rest.answer")
		return &answer[O]{etag(c.revision), out}, nil
	})
}
