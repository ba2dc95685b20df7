package uplink

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

func read(uid string) Usage {
	return Usage{Credential: "c1", Job: grant.Job{UID: uid}, Allowed: true, Reason: "allowed by grant g"}
}

func refusal(uid string) Usage {
	return Usage{Credential: "c1", Job: grant.Job{UID: uid}, Reason: "no"}
}

// What cannot be reported is refused, and refusals cannot push a read out.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	u := &Uplink{reports: reports{wake: make(chan struct{}, 1)}}
	for range 1000 {
		if err := u.Report(read("1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Report(read("1")); !errors.Is(err, ErrNotReachable) {
		t.Errorf("read 1001: %v, want ErrNotReachable", err)
	}
	for i := range 5000 {
		if err := u.Report(refusal(string(rune('a' + i%26)))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(u.reports.refusals); n != 26 {
		t.Errorf("%d kinds of refusals wait, want 26", n)
	}
	first := u.reports.take()
	if len(first) != 99 || !first[98].Allowed {
		t.Errorf("a batch of %d, want 99 reads", len(first))
	}
	if err := u.Report(read("1")); !errors.Is(err, ErrNotReachable) {
		t.Errorf("with a batch in flight: %v, want ErrNotReachable", err)
	}
	u.reports.sent(first)
	reads, refused := 0, 0
	for batch := u.reports.take(); len(batch) > 0; batch = u.reports.take() {
		for _, use := range batch {
			if use.Allowed {
				reads++
			}
			refused += use.times
		}
		u.reports.sent(nil)
	}
	if reads != 1000 || refused != 5000 {
		t.Errorf("%d reads and %d refusals came out, want 1000 and 5000", reads, refused)
	}
	if !u.reports.empty() {
		t.Error("something is left")
	}
}

// picky is a server that never takes a report of one credential.
type picky struct {
	wire.AgentsClient
	got []string
}

func (p *picky) Report(_ context.Context, r *wire.ReportRequest, _ ...grpc.CallOption) (*wire.ReportResponse, error) {
	for _, use := range r.GetUsage() {
		if use.GetCredential() == "poison" {
			return nil, status.Error(codes.Internal, "grpc: error while marshaling")
		}
	}
	for _, use := range r.GetUsage() {
		p.got = append(p.got, use.GetCredential()+" "+use.GetReason())
	}
	return nil, nil
}

func TestOneReportCannotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	u := &Uplink{log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	server := &picky{}
	batch := []Usage{{Credential: "a", Allowed: true}, {Credential: "poison"}, {Credential: "b", times: 3, Reason: "no"}, {Credential: "c"}}
	if left := u.send(t.Context(), server, batch); len(left) != 0 {
		t.Errorf("%d are to be sent again, want none", len(left))
	}
	if got := strings.Join(server.got, ";"); got != "a ;b no, 3 times;c " {
		t.Errorf("the server has %q", got)
	}
}

// What the server cannot log now is sent again later.
func TestReportsWaitForTheServersLog(t *testing.T) {
	t.Parallel()
	u := &Uplink{log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, code := range []codes.Code{codes.Unavailable, codes.Internal, codes.ResourceExhausted, codes.DeadlineExceeded} {
		left := u.send(t.Context(), failing{code: code}, []Usage{read("1"), read("2")})
		if len(left) != 2 {
			t.Errorf("%v: %d are to be sent again, want both", code, len(left))
		}
	}
}

// failing is a server that answers every report with an error.
type failing struct {
	wire.AgentsClient
	code codes.Code
}

func (f failing) Report(context.Context, *wire.ReportRequest, ...grpc.CallOption) (*wire.ReportResponse, error) {
	return nil, status.Error(f.code, "the server could not do it; its log says why")
}

func TestFlushWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	u := &Uplink{reports: reports{wake: make(chan struct{}, 1)}}
	u.Flush(t.Context())
	if err := u.Report(read("1")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	u.Flush(ctx)
	if ctx.Err() == nil {
		t.Error("flushed what nobody took")
	}
}
