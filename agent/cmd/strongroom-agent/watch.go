package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/internal/deliver"
)

const (
	// together is how long after a first change others are waited for: who rotates several credentials at once is not
	// answered with as many restarts.
	together = time.Second
	// barred is how long after a refusal the agent is asked again.
	barred = 10 * time.Second
	// keptTokens is how many of the job's tokens are masked: the newest, and others that have hardly ended.
	keptTokens = 4
)

// holdings are the credentials that a command was given, by reference.
type holdings struct {
	client *client.Client
	hint   func(format string, args ...any)
	held   map[string]*client.Credential
	known  *deliver.Redactor // of what is held, and of what was

	inherited []byte        // the job's token that is the command's as well
	renewed   chan struct{} // there is a token that no redactor has yet

	mu      sync.Mutex
	tokens  [][]byte        // of the job, the one that is shown last
	refused map[string]bool // people were told
}

func (a *app) holdings(o client.Options) *holdings {
	hint := func(format string, args ...any) { a.Hint(a.Name+": "+format, args...) }
	h := &holdings{hint: hint, held: map[string]*client.Credential{}, known: deliver.NewRedactor(nil), renewed: make(chan struct{}, 1), refused: map[string]bool{}}
	h.inherited = []byte(strings.TrimSpace(os.Getenv("STRONGROOM_JOB_TOKEN")))
	h.learn(o.JobToken)
	if from := o.JobTokenFrom; from != nil {
		o.JobTokenFrom = func(ctx context.Context) (string, error) {
			token, err := from(ctx)
			h.learn(token)
			return token, err
		}
	}
	h.client = client.New(o)
	return h
}

// learn has a token of the job's masked as well, if it is another than the one before.
func (h *holdings) learn(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.tokens); token == "" || n > 0 && string(h.tokens[n-1]) == token {
		return
	}
	h.tokens = append(h.tokens, []byte(token))
	h.tokens = h.tokens[max(0, len(h.tokens)-keptTokens):]
	select {
	case h.renewed <- struct{}{}:
	default:
	}
}

// get answers the credential as it is held, or asks for it.
func (h *holdings) get(ctx context.Context, ref string) (*client.Credential, error) {
	if c, ok := h.held[ref]; ok {
		return c, nil
	}
	c, err := h.client.Get(ctx, ref)
	if err != nil {
		return nil, refusal(err)
	}
	if c.Lease.Stale {
		h.hint("the agent could not renew %s: the last value that it knew is used", ref)
	}
	h.held[ref] = c
	return c, nil
}

// redactor knows the values of now, those that they took the place of, and the job's tokens, of which none takes the place
// of a value.
func (h *holdings) redactor() *deliver.Redactor {
	h.mu.Lock()
	tokens := append([][]byte{h.inherited}, h.tokens...)
	select {
	case <-h.renewed:
	default:
	}
	h.mu.Unlock()
	var values [][]byte
	for _, c := range h.held {
		for _, name := range c.SecretFields {
			values = append(values, c.Fields[name])
		}
	}
	h.known = h.known.With(values)
	return h.known.And(tokens)
}

// follow tells a command of each change until ctx ends. prepare makes what it is told, out of what is held by then;
// without a change for the command that is nil. Where it fails, or the agent refuses, the command goes on with what it
// has, and people are told.
func (h *holdings) follow(ctx context.Context, to chan<- deliver.Change, prepare func(context.Context) (*deliver.Change, error)) {
	for h.changed(ctx, to) {
		change, err := prepare(ctx)
		if err != nil {
			h.hint("%v; the command goes on with what it has", err)
			continue
		}
		if change == nil {
			continue
		}
		tell(ctx, to, *change)
	}
}

func tell(ctx context.Context, to chan<- deliver.Change, change deliver.Change) {
	select {
	case to <- change:
	case <-ctx.Done():
	}
}

// changed waits until something that is held has another value, and holds that. It answers false once ctx ended.
func (h *holdings) changed(ctx context.Context, to chan<- deliver.Change) bool {
	for {
		differs := false
		for _, ref := range h.await(ctx, to) {
			now, err := h.client.Get(ctx, ref)
			if err != nil {
				h.bar(ref, err)
				continue // it is awaited again, and this was a second ago
			}
			differs = differs || !now.Same(h.held[ref])
			h.held[ref] = now
		}
		if ctx.Err() != nil {
			return false
		}
		if differs {
			return true
		}
	}
}

// await answers what has another version than the one held, some time after the first has. Meanwhile a token of the job's
// that is new is kept out of the command's output.
func (h *holdings) await(ctx context.Context, to chan<- deliver.Change) (refs []string) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	changed := make(chan string, len(h.held))
	for ref, c := range h.held {
		have := client.Version{Credential: c.Name, Version: c.Version}
		all.Go(func() {
			if h.awaitOne(ctx, ref, have) {
				changed <- ref
			}
		})
	}
	var over <-chan time.Time
	for {
		select {
		case ref := <-changed:
			refs = append(refs, ref)
			if over == nil {
				over = time.After(together)
			}
		case <-h.renewed:
			tell(ctx, to, deliver.Change{Quiet: true, Redactor: h.redactor()})
		case <-over:
			return refs
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *holdings) awaitOne(ctx context.Context, ref string, have client.Version) bool {
	for {
		err := h.client.Changed(ctx, ref, have)
		if err == nil {
			h.mu.Lock()
			delete(h.refused, ref)
			h.mu.Unlock()
			return true
		}
		h.bar(ref, err)
		select {
		case <-time.After(barred/2 + rand.N(barred/2)):
		case <-ctx.Done():
			return false
		}
	}
}

// bar tells people once that a credential is not given anymore.
func (h *holdings) bar(ref string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if (errors.Is(err, client.ErrRefused) || errors.Is(err, client.ErrUsage)) && !h.refused[ref] {
		h.refused[ref] = true
		h.hint("%s: %v; the command goes on with the value that it has", ref, err)
	}
}
