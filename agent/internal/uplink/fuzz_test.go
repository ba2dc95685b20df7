package uplink

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// says is a server that gives one answer, and pushes one event.
type says struct {
	wire.AgentsClient
	wire.Agents_WatchClient
	answer []byte
	acked  []uint64
	over   bool
}

func (s *says) Lease(context.Context, *wire.LeaseRequest, ...grpc.CallOption) (*wire.LeaseResponse, error) {
	return parse(s.answer, new(wire.LeaseResponse))
}

func (s *says) Verify(context.Context, *wire.VerifyRequest, ...grpc.CallOption) (*wire.VerifyResponse, error) {
	return parse(s.answer, new(wire.VerifyResponse))
}

func (s *says) Recv() (*wire.WatchEvent, error) {
	if s.over {
		return nil, io.EOF
	}
	s.over = true
	return parse(s.answer, new(wire.WatchEvent))
}

func (s *says) Send(r *wire.WatchRequest) error {
	s.acked = append(s.acked, r.GetAck().GetSequence())
	return nil
}

func (s *says) CloseSend() error { return nil }

func parse[M proto.Message](b []byte, into M) (M, error) { return into, proto.Unmarshal(b, into) }

// FuzzServer: whatever a server answers or pushes, the agent holds no value that was not sealed to it, believes no log but
// that of the key, and drops what it is told to and nothing else.
func FuzzServer(f *testing.F) {
	arena, err := secret.NewArena(1 << 16)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = arena.Close() })
	recipient, err := envelope.NewRecipient()
	if err != nil {
		f.Fatal(err)
	}
	exporter := make([]byte, 32)
	sealer, encapsulation, err := envelope.NewSealer(arena, recipient.PublicKey(), envelope.ToAgent, exporter)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(sealer.Wipe)
	opener, err := recipient.Opener(arena, encapsulation, envelope.ToAgent, exporter)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(opener.Wipe)
	_, logKey, err := note.GenerateKey(rand.Reader, "strongroom-audit/x")
	if err != nil {
		f.Fatal(err)
	}
	id := &Identity{state: f.TempDir(), stored: stored{LogKey: logKey}}
	seed := func(m proto.Message) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	sealed, err := sealer.Seal([]byte("canary"), envelope.Context{Request: "another", Credential: "c1", Version: 1, Field: "password"})
	if err != nil {
		f.Fatal(err)
	}
	seed(&wire.LeaseResponse{Credential: "c1", Version: 1, Fields: []*wire.Field{{Name: "password", Secret: true, Sealed: sealed}}})
	seed(&wire.WatchEvent{Event: &wire.WatchEvent_Welcome{Welcome: &wire.Welcome{Encapsulation: encapsulation, LogKey: logKey, Checkpoint: &wire.Checkpoint{}}}})
	f.Fuzz(func(t *testing.T, b []byte) {
		leased, err := (&session{agents: &says{answer: b}, opener: opener}).lease(t.Context(), arena, "crm", grant.Job{})
		if err == nil && len(leased.Fields) != 0 {
			t.Errorf("%d values that were sealed to nobody", len(leased.Fields))
			leased.Wipe()
		}
		verified, err := (&session{agents: &says{answer: b}}).verify(t.Context(), "x", grant.Job{})
		if err == nil && verified.Left < 0 {
			t.Errorf("%s are left", verified.Left)
		}
		fuzzEvent(t, New(id, Route{}, arena, slog.New(slog.DiscardHandler), "v"), b)
	})
}

func fuzzEvent(t *testing.T, u *Uplink, b []byte) {
	t.Helper()
	var dropped []string
	keptNone := 0
	u.Subscribe(Subscriber{
		Drop: func(credential string) { dropped = append(dropped, credential) },
		Kept: func(credentials []string) { keptNone += 1 - min(len(credentials), 1) },
	})
	event, err := parse(b, new(wire.WatchEvent))
	if err != nil {
		return
	}
	server := &says{answer: b}
	err = u.follow(&connection{id: u.id, watch: server})
	var wantDropped []string
	if drop := event.GetDrop(); drop != nil {
		wantDropped = []string{drop.GetCredential()}
	}
	wiped, forged := event.GetWipe() != nil, event.GetCheckpoint() != nil
	if !slices.Equal(dropped, wantDropped) || keptNone > 0 != wiped || turnedAway(err) != wiped || errors.Is(err, ErrLog) != forged ||
		len(err.Error()) > 500 {
		t.Errorf("%v: dropped %q, wiped %d times, %v", event, dropped, keptNone, err)
	}
	if !forged && !slices.Equal(server.acked, []uint64{event.GetSequence()}) || forged && len(server.acked) > 0 {
		t.Errorf("%v: acknowledged %v", event, server.acked)
	}
	if welcome := event.GetWelcome(); welcome != nil {
		if err := u.witnessed(&connection{id: u.id}, welcome); !errors.Is(err, ErrLog) || len(err.Error()) > 500 {
			t.Errorf("%v: %v", welcome, err)
		}
	}
	if u.witness.text != nil {
		t.Errorf("it remembers %q", u.witness.text)
	}
}
