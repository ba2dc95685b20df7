package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
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
	barred = time.Minute
)

// holdings are the credentials that a command was given, by reference.
type holdings struct {
	client *client.Client
	hint   func(format string, args ...any)
	held   map[string]*client.Credential
	tokens [][]byte          // of the job: the one that is shown, and the one that the command inherits
	known  *deliver.Redactor // of what is held, and of what was

	mu      sync.Mutex
	refused map[string]bool // people were told
}

func (a *app) holdings(o client.Options) *holdings {
	hint := func(format string, args ...any) { a.Hint(a.Name+": "+format, args...) }
	tokens := [][]byte{[]byte(o.JobToken), []byte(strings.TrimSpace(os.Getenv("STRONGROOM_JOB_TOKEN")))}
	return &holdings{client: client.New(o), hint: hint, held: map[string]*client.Credential{}, tokens: tokens, known: deliver.NewRedactor(nil), refused: map[string]bool{}}
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

// redactor knows the values of now, those that they took the place of, and the job's token.
func (h *holdings) redactor() *deliver.Redactor {
	secrets := slices.Clone(h.tokens)
	for _, c := range h.held {
		for _, name := range c.SecretFields {
			secrets = append(secrets, c.Fields[name])
		}
	}
	h.known = h.known.With(secrets)
	return h.known
}

// follow tells a command of each change until ctx ends. prepare makes what it is told, out of what is held by then;
// without a change for the command that is nil. Where it fails, or the agent refuses, the command goes on with what it
// has, and people are told.
func (h *holdings) follow(ctx context.Context, to chan<- deliver.Change, prepare func(context.Context) (*deliver.Change, error)) {
	for h.changed(ctx) {
		change, err := prepare(ctx)
		if err != nil {
			h.hint("%v; the command goes on with what it has", err)
			continue
		}
		if change == nil {
			continue
		}
		select {
		case to <- *change:
		case <-ctx.Done():
		}
	}
}

// changed waits until something that is held has another value, and holds that. It answers false once ctx ended.
func (h *holdings) changed(ctx context.Context) bool {
	for {
		differs := false
		for _, ref := range h.await(ctx) {
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

// await answers what has another version than the one held, some time after the first has.
func (h *holdings) await(ctx context.Context) (refs []string) {
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
