package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/client"
)

func TestChanged(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := client.New(agent(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/v1/credentials/changes" || q.Get("ref") != "app:x" || q.Get("credential") != "crm" || q.Get("version") != "7" || r.Header.Get("X-Strongroom") != "1" {
			t.Errorf("asked %s", r.URL)
		}
		switch asked.Add(1) {
		case 1, 2:
			w.WriteHeader(http.StatusNoContent)
		case 3:
			answers(503, `{"code":"not_reachable","detail":"no server"}`)(w, r)
		case 4:
			answers(500, `{"code":"failed","detail":"x"}`)(w, r)
		case 5:
			fmt.Fprint(w, `{"credential":"crm","version":7}`) // nothing new
		default:
			fmt.Fprint(w, `{"credential":"crm","version":8}`)
		}
	}))
	if err := c.Changed(t.Context(), "app:x", client.Version{Credential: "crm", Version: 7}); err != nil || asked.Load() != 6 {
		t.Errorf("%v after %d questions, want nil after 6", err, asked.Load())
	}
}

func TestChangedEnds(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{"refused": client.ErrRefused, "usage": client.ErrUsage} {
		c := client.New(agent(t, answers(403, `{"code":"`+code+`","detail":"no"}`)))
		if err := c.Changed(t.Context(), "crm", client.Version{}); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	gone := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := client.New(agent(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		close(gone)
	}))
	if err := c.Changed(ctx, "crm", client.Version{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the connection is still open")
	}
}

// An agent that is too busy says when to come again; one that is away is asked less and less often.
func TestChangedDoesNotStorm(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"busy": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusNoContent)
		},
		"failing": answers(500, `{"code":"failed","detail":"x"}`),
		"wrong":   answers(200, `hunter22`),
	} {
		var asked atomic.Int32
		c := client.New(agent(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			h(w, r)
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if err := c.Changed(ctx, "crm", client.Version{}); !errors.Is(err, context.DeadlineExceeded) || asked.Load() > 4 {
			t.Errorf("%s: %v after %d questions", name, err, asked.Load())
		}
		cancel()
	}
}

func TestChangedOutlastsTheAgent(t *testing.T) {
	t.Parallel()
	o := agent(t, nil)
	o.Socket += "2"
	go func() {
		time.Sleep(700 * time.Millisecond)
		serve(t, o.Socket, answers(200, `{"credential":"crm","version":8}`))
	}()
	if err := client.New(o).Changed(t.Context(), "crm", client.Version{Credential: "crm", Version: 7}); err != nil {
		t.Error(err)
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	of := func(pairs ...string) *client.Credential {
		c := &client.Credential{Fields: map[string][]byte{}}
		for i := 0; i < len(pairs); i += 2 {
			c.Fields[pairs[i]] = []byte(pairs[i+1])
		}
		return c
	}
	for _, c := range []struct {
		a, b *client.Credential
		want bool
	}{
		{of(), of(), true},
		{of("a", "1", "b", "2"), of("b", "2", "a", "1"), true},
		{of("a", "1"), of("a", "2"), false},
		{of("a", "1"), of("a", "11"), false},
		{of("a", "1"), of("b", "1"), false},
		{of("a", ""), of("b", ""), false},
		{of("a", "1"), of("a", "1", "b", "2"), false},
		{of("a", "1", "b", "2"), of("a", "1"), false},
	} {
		if got := c.a.Same(c.b); got != c.want {
			t.Errorf("%v, %v: %t", c.a.Fields, c.b.Fields, got)
		}
	}
}
