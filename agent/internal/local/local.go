// Package local serves jobs on the agent's socket: HTTP/1.1, the caller's
// identity fixed from the kernel before anything is dispatched. Values are
// copied once, from their lease into an answer in locked memory, and written to
// the socket from there; nothing here keeps or logs one.
package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/internal/claims"
	"github.com/strongroom/strongroom/agent/internal/lease"
	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/agent/internal/workload"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Local is the API of one agent.
type Local struct {
	leases *lease.Cache
	tokens *claims.Cache
	up     *uplink.Uplink
	id     *uplink.Identity
	arena  *secret.Arena
	log    *slog.Logger
	server *http.Server

	patience time.Duration   // with those who wait for changes
	waiting  places          // of those
	ending   context.Context // ends when Shutdown begins
}

// New makes the API; Serve starts it.
func New(leases *lease.Cache, tokens *claims.Cache, up *uplink.Uplink, id *uplink.Identity, arena *secret.Arena, log *slog.Logger) *Local {
	l := &Local{leases: leases, tokens: tokens, up: up, id: id, arena: arena, log: log, patience: patience}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/credentials", l.list)
	mux.HandleFunc("GET /v1/credentials/value", l.value)
	mux.HandleFunc("GET /v1/credentials/changes", l.changes)
	mux.HandleFunc("GET /v1/explain", l.explain)
	mux.HandleFunc("GET /v1/status", l.status)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "usage", "there is no such path in the agent's API")
	})
	l.server = &http.Server{
		Handler:           l.admit(mux),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeaders,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ending, end := context.WithCancel(context.Background())
	l.ending = ending
	l.server.RegisterOnShutdown(end)
	return l
}

// Serve answers on a listener from Listen until Shutdown.
func (l *Local) Serve(listener net.Listener) error {
	err := l.server.Serve(&bounded{Listener: listener})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown lets answers that are under way finish until ctx ends.
func (l *Local) Shutdown(ctx context.Context) error { return l.server.Shutdown(ctx) }

// admit lets only callers through that mean to speak this API and whom the
// kernel knows. The header keeps a browser's requests out, which cannot set it.
func (l *Local) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Strongroom") != "1" || r.Header.Get("Origin") != "" {
			problem(w, http.StatusBadRequest, "usage", "send the header X-Strongroom: 1 and no Origin")
			return
		}
		c := connOf(r.Context())
		caller, err := workload.FromConn(c.UnixConn)
		if err != nil {
			l.log.Warn("a caller could not be identified", "error", err)
			problem(w, http.StatusForbidden, "refused", "the agent could not tell who is calling")
			return
		}
		defer caller.Close()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}

type callerKey struct{}

func callerOf(r *http.Request) *workload.Caller {
	return r.Context().Value(callerKey{}).(*workload.Caller)
}

// judged lets do judge the caller, with the claims of the token that came with
// the request, and again with the hash of its executable where that alone is
// missing.
func (l *Local) judged(ctx context.Context, r *http.Request, do func(grant.Job) error) (err error) {
	c := callerOf(r)
	job := jobOf(c)
	if job.Claims, err = l.tokens.Of(ctx, r.Header.Get(tokenHeader), job); err != nil {
		return err
	}
	err = do(job)
	if errors.Is(err, grant.ErrHashWanted) {
		job.ExeSHA256 = cmp.Or(c.ExeSHA256(ctx), grant.NoHash)
		err = do(job)
	}
	return err
}

func jobOf(c *workload.Caller) grant.Job {
	return grant.Job{User: c.User, UID: strconv.FormatUint(uint64(c.UID), 10), PID: c.PID, Unit: c.Unit, Container: c.Container, Exe: c.Exe}
}

func (l *Local) value(w http.ResponseWriter, r *http.Request) {
	reference, field := r.URL.Query().Get("ref"), r.URL.Query().Get("field")
	if _, err := credential.ParseReference(reference); err != nil {
		problem(w, http.StatusBadRequest, "usage", "ref: "+err.Error())
		return
	}
	caller := callerOf(r)
	arena := l.arena.For(strconv.FormatUint(uint64(caller.UID), 10))
	var body *secret.Buffer
	err := l.judged(r.Context(), r, func(job grant.Job) error {
		return l.leases.Read(r.Context(), reference, job, func(c lease.Copy) (err error) {
			if field == "" {
				body, err = document(arena, c)
			} else {
				body, err = raw(arena, c, field)
			}
			return err
		})
	})
	defer body.Wipe()
	if err == nil {
		// The facts that decided are read again: a process may have become another
		// meanwhile.
		err = caller.Recheck()
	}
	if err != nil {
		l.fail(w, err)
		return
	}
	contentType := "application/json"
	if field != "" {
		contentType = "application/octet-stream"
	}
	send(w, contentType, body)
}

func (l *Local) list(w http.ResponseWriter, r *http.Request) {
	var items []uplink.Listed
	var stale bool
	err := l.judged(r.Context(), r, func(job grant.Job) (err error) {
		items, stale, err = l.leases.List(r.Context(), job)
		return err
	})
	if err != nil {
		l.fail(w, err)
		return
	}
	out := client.List{Items: []client.Item{}, Stale: stale}
	for _, i := range items {
		out.Items = append(out.Items, client.Item{
			Name: i.Name, Kind: i.Kind, Application: i.Application, AuthType: i.AuthType, Version: i.Version,
		})
	}
	answer(w, out)
}

func (l *Local) explain(w http.ResponseWriter, r *http.Request) {
	reference := r.URL.Query().Get("ref")
	if _, err := credential.ParseReference(reference); err != nil {
		problem(w, http.StatusBadRequest, "usage", "ref: "+err.Error())
		return
	}
	caller := callerOf(r)
	var job grant.Job
	var allowed bool
	var reason string
	err := l.judged(r.Context(), r, func(j grant.Job) (err error) {
		job = j
		allowed, reason, err = l.leases.Explain(r.Context(), reference, job)
		return err
	})
	switch {
	case errors.Is(err, uplink.ErrRevoked):
		reason = grant.ReasonHostRevoked
	case err != nil:
		l.fail(w, err)
		return
	}
	answer(w, client.Explanation{
		Allowed: allowed, Reason: reason, Host: l.id.Host, Connected: l.up.State().Connected,
		Job:      client.Job{User: job.User, UID: caller.UID, PID: job.PID, Unit: job.Unit, Container: job.Container, Exe: job.Exe},
		AskAdmin: "strongroom explain --host " + l.id.Host + " --credential " + reference + asFlags(job),
	})
}

// asFlags tells strongroom explain of a job. People paste it into a shell, and a
// path is whatever a user made it: what a shell could read otherwise is left out.
func asFlags(job grant.Job) string {
	const plain = `abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:./-`
	flags := ""
	for _, fact := range [][2]string{
		{"user", cmp.Or(job.User, job.UID)}, {"unit", job.Unit}, {"container", job.Container}, {"exe", job.Exe}, {"sha256", job.ExeSHA256},
	} {
		if fact[1] != "" && strings.Trim(fact[1], plain) == "" {
			flags += "," + fact[0] + "=" + fact[1]
		}
	}
	for _, claim := range job.Claims {
		if strings.Trim(claim, plain+"=") == "" {
			flags += ",claim=" + claim
		}
	}
	if flags == "" {
		return ""
	}
	return " --job " + flags[1:]
}

func (l *Local) status(w http.ResponseWriter, _ *http.Request) {
	leases, bytes := l.leases.Size()
	answer(w, status(l.id.Host, l.up.State(), leases, bytes))
}

func status(host string, link uplink.State, leases, bytes int) client.Status {
	health := "ok"
	switch {
	case link.Revoked:
		health = "revoked"
	case !link.Connected:
		health = "degraded"
	}
	return client.Status{
		Host: host, Connected: link.Connected, Since: wholeSecond(link.Since),
		Leases: leases, LockedBytes: int64(wholeKiB(bytes)),
		CertificateExpires: wholeSecond(link.Expires), Health: health, Why: link.Why, Server: link.Server,
	}
}

func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// wholeKiB rounds up: anybody may ask, and a sum of lengths tells that of a
// value.
func wholeKiB(bytes int) int { return (bytes + 1023) / 1024 * 1024 }

// fail is the one place where errors become answers. "Refused" and "not there"
// are the same words.
func (l *Local) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, uplink.ErrRefused), errors.Is(err, uplink.ErrRevoked), errors.Is(err, errField):
		problem(w, http.StatusForbidden, "refused", "refused: this job may not read it, or there is no such credential")
	case errors.Is(err, uplink.ErrNotReachable):
		problem(w, http.StatusServiceUnavailable, "not_reachable", err.Error()+"; the agent holds no lease of it and keeps trying")
	case errors.Is(err, uplink.ErrToken):
		problem(w, http.StatusForbidden, "refused", "refused: "+err.Error())
	case errors.Is(err, uplink.ErrUnjudged):
		problem(w, http.StatusServiceUnavailable, "not_reachable", err.Error()+"; the server's log says more")
	case errors.Is(err, workload.ErrGone), errors.Is(err, workload.ErrChanged):
		problem(w, http.StatusForbidden, "refused", "the calling process changed while it was asking")
	case errors.Is(err, secret.ErrFull):
		problem(w, http.StatusServiceUnavailable, "failed", fmt.Sprintf(
			"it does not fit into the agent's locked memory (%d bytes, of which one user may have half of what the others leave): "+
				"try again when leases have ended, or run the agent with a larger --locked-memory", l.arena.Size()))
	default:
		l.log.Error("request failed", "error", err)
		problem(w, http.StatusInternalServerError, "failed", "the agent could not do it; its log says why")
	}
}

func problem(w http.ResponseWriter, code int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"title": http.StatusText(code), "status": code, "code": kind, "detail": detail,
	})
}

// answer is for what holds no value.
func answer(w http.ResponseWriter, doc any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(doc)
}

// Listen makes the socket. Any local user may connect: who may have what is
// decided for each request. A stale socket is replaced, a live one is not.
func Listen(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, errors.New(path + " is there and is not a socket: remove it, or choose another --socket")
		}
		if !stale(path) {
			return nil, errors.New("another agent serves " + path + ": stop it, or choose another --socket")
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// stale tells whether nobody listens on a socket. Only a refused connection says
// so: an agent that is too busy to take one fails in other ways.
func stale(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close() // nothing was sent
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
