package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

func read(uid string) Usage {
	return Usage{Credential: "c1", Job: grant.Job{UID: uid}, Allowed: true, Reason: "allowed by grant g", times: 1}
}

func refusal(uid string) Usage {
	return Usage{Credential: "c1", Job: grant.Job{UID: uid}, Reason: "no", times: 1}
}

// by is the same usage by another program.
func by(use Usage, exe int) Usage {
	use.Job.Exe = fmt.Sprintf("/opt/%d", exe)
	return use
}

func waiting() *Uplink {
	return &Uplink{log: slog.New(slog.DiscardHandler), reports: reports{wake: make(chan struct{}, 1)}}
}

// all takes everything that waits, as the server's log will have it.
func (u *Uplink) all() (lines []string) {
	for batch := u.reports.take(); len(batch) > 0; batch = u.reports.take() {
		for _, use := range request(batch).GetUsage() {
			lines = append(lines, fmt.Sprintf("%s %s: %t, %s", use.GetJob().GetUid(), use.GetJob().GetExe(), use.GetAllowed(), use.GetReason()))
		}
		u.reports.sent(nil)
	}
	return lines
}

// What a job repeats takes no more room, and is told with its last time and process.
func TestRepeatedReadsShareAnEntry(t *testing.T) {
	t.Parallel()
	u := waiting()
	began := time.Now()
	for i := range 5000 {
		use := read("1")
		use.At, use.Job.PID = began.Add(time.Duration(i)), int32(i)
		u.Report(use)
	}
	u.Report(refusal("1"))
	batch := u.reports.take()
	if len(batch) != 2 || !batch[0].At.Equal(began.Add(4999)) || batch[0].Job.PID != 4999 {
		t.Errorf("%d entries wait, the first is %+v; want two, and the newest time and process", len(batch), batch[0])
	}
	u.Report(read("1")) // one that is on its way is no longer changed
	u.Report(read("1"))
	u.reports.sent(nil)
	if got := request(batch).GetUsage(); got[0].GetReason() != "allowed by grant g, 5000 times" || got[1].GetReason() != "no" {
		t.Errorf("the server gets %v", got)
	}
	if got := u.all(); len(got) != 1 || got[0] != "1 : true, allowed by grant g, 2 times" {
		t.Errorf("afterwards %q wait", got)
	}
}

// Nothing that the log shows of a usage is lost by it but its time and process.
func TestOthersShareNoEntry(t *testing.T) {
	t.Parallel()
	for what, differ := range map[string]func(*Usage){
		"credential": func(use *Usage) { use.Credential = "c2" },
		"version":    func(use *Usage) { use.Version = 2 },
		"outcome":    func(use *Usage) { use.Allowed = false },
		"reason":     func(use *Usage) { use.Reason = "allowed by grant h" },
		"user":       func(use *Usage) { use.Job.User = "etl" },
		"uid":        func(use *Usage) { use.Job.UID = "2" },
		"unit":       func(use *Usage) { use.Job.Unit = "a.service" },
		"container":  func(use *Usage) { use.Job.Container = "0123456789ab" },
		"exe":        func(use *Usage) { use.Job.Exe = "/bin/sh" },
		"hash":       func(use *Usage) { use.Job.ExeSHA256 = grant.NoHash },
		"subject":    func(use *Usage) { use.Job.Claims = []string{"https://ci:sub=main"} },
	} {
		u := waiting()
		one, other := read("1"), read("1")
		differ(&other)
		for _, use := range []Usage{one, other, one} {
			u.Report(use)
		}
		if got := u.reports.take(); len(got) != 2 || got[0].times != 2 || got[1].times != 1 {
			t.Errorf("another %s: %+v wait, want two of the one and one of the other", what, got)
		}
	}
	u := waiting()
	one, other := read("1"), read("1")
	one.Job.Claims, other.Job.Claims = []string{"https://ci:run=1"}, []string{"https://ci:run=2"} // which the log does not show
	u.Report(one)
	u.Report(other)
	if got := u.reports.take(); len(got) != 1 || got[0].times != 2 {
		t.Errorf("another claim that is not logged: %+v wait", got)
	}
}

// Where there is no room the oldest goes: refusals before reads, and of the user who has most. What went is counted.
func TestDroppedUsagesAreCounted(t *testing.T) {
	t.Parallel()
	const (
		reads    = " : true, reads that were only counted, since too many others waited to be reported: "
		refusals = " : false, refusals that were only counted, since too many others waited to be reported: "
	)
	for _, tt := range []struct {
		what        string
		report      func(report func(Usage))
		first, last string
		begin       []string // of those that are left
		entries     int
	}{
		{"as many as there is room for", func(report func(Usage)) {
			for i := range 1000 {
				report(by(read("1"), i))
			}
		}, "1 /opt/0: true, allowed by grant g", "1 /opt/999: true, allowed by grant g", nil, 1000},
		{"reads", func(report func(Usage)) {
			for range 7 {
				report(by(read("1"), 0))
			}
			for i := range 1002 {
				report(by(read("1"), i))
			}
		}, reads + "9", "1 /opt/1001: true, allowed by grant g", []string{"1 /opt/2: true, allowed by grant g"}, 1001},
		{"a read beside refusals", func(report func(Usage)) {
			report(read("1"))
			for i := range 2500 {
				report(by(refusal("1"), i))
			}
		}, refusals + "1501", "1 /opt/2499: false, no", []string{"1 : true, allowed by grant g", "1 /opt/1501: false, no"}, 1001},
		{"a user who floods the queue with refusals", func(report func(Usage)) {
			report(by(refusal("2"), 1))
			report(by(read("2"), 1))
			for i := range 1500 {
				report(by(refusal("1"), i))
			}
		}, refusals + "502", "1 /opt/1499: false, no", []string{"2 /opt/1: false, no", "2 /opt/1: true, allowed by grant g", "1 /opt/502: false, no"}, 1001},
		{"a user who floods the queue with reads", func(report func(Usage)) {
			report(by(read("2"), 1))
			for i := range 1500 {
				report(by(read("1"), i))
			}
		}, reads + "501", "1 /opt/1499: true, allowed by grant g", []string{"2 /opt/1: true, allowed by grant g", "1 /opt/501: true, allowed by grant g"}, 1001},
		{"a refusal among reads alone", func(report func(Usage)) {
			for i := range 1001 {
				report(by(read("1"), i))
			}
			report(refusal("1"))
			report(refusal("2"))
		}, reads + "1", "1 /opt/1000: true, allowed by grant g", []string{refusals + "2", "1 /opt/1: true, allowed by grant g"}, 1002},
	} {
		u := waiting()
		tt.report(u.Report)
		got := u.all()
		if len(got) != tt.entries || got[0] != tt.first || got[len(got)-1] != tt.last || !slices.Equal(got[1:1+len(tt.begin)], tt.begin) {
			t.Errorf("%s: %d entries, %q to %q; want %d, %q, %q to %q", tt.what, len(got), got[:1+len(tt.begin)], got[len(got)-1],
				tt.entries, tt.first, tt.begin, tt.last)
		}
		if !u.reports.empty() || u.reports.inFlight != 0 {
			t.Errorf("%s: something is left", tt.what)
		}
	}
}

// However long a fact of a job is, what waits of it is bounded.
func TestWaitingUsagesAreSmall(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	u := waiting()
	u.Report(Usage{Credential: "c1", Job: grant.Job{
		User: long, UID: long, Unit: long, Container: long, Exe: long, ExeSHA256: long, Claims: []string{"https://ci:a=" + long, "https://ci:sub=" + long},
	}})
	job := u.reports.take()[0].Job
	for _, fact := range []string{job.User, job.UID, job.Unit, job.Container, job.Exe, job.ExeSHA256, job.Claims[0]} {
		if len(fact) != 512 {
			t.Errorf("%d bytes of a fact wait, want 512", len(fact))
		}
	}
	if len(job.Claims) != 1 {
		t.Errorf("%d claims wait, want the subject", len(job.Claims))
	}
}

// What could not be sent comes back in its place and as what it was; what came meanwhile is counted with it.
func TestUnsentReportsComeBack(t *testing.T) {
	t.Parallel()
	u := waiting()
	for i := range 1001 {
		u.Report(by(read("1"), i))
	}
	batch := u.reports.take() // the number of one, and programs 1 to 99
	if len(batch) != 100 || batch[1].Job.Exe != "/opt/1" || batch[99].Job.Exe != "/opt/99" {
		t.Fatalf("a batch of %d, from %v to %v", len(batch), batch[1].Job, batch[99].Job)
	}
	again := by(read("1"), 2)
	again.Job.PID = 77
	u.Report(again)
	u.Report(again)
	u.Report(by(read("1"), 2000))
	u.reports.sent(batch)
	got := u.all()
	if len(got) != 1001 || !strings.HasSuffix(got[0], "reported: 2") || got[1] != "1 /opt/2: true, allowed by grant g, 3 times" ||
		got[2] != "1 /opt/3: true, allowed by grant g" || got[1000] != "1 /opt/2000: true, allowed by grant g" {
		t.Errorf("%d entries: %q, %q, %q to %q", len(got), got[0], got[1], got[2], got[len(got)-1])
	}
}

// tally is a server that fails now and then, and otherwise counts what it is told.
type tally struct {
	wire.AgentsClient
	calls   int
	fail    func(call int) codes.Code
	counted map[string]int // by reason
	at      []time.Time    // of the calls
}

var counts = regexp.MustCompile(`^(.*?)(?:, ([0-9]+) times|: ([0-9]+))?$`)

func (l *tally) Report(_ context.Context, r *wire.ReportRequest, _ ...grpc.CallOption) (*wire.ReportResponse, error) {
	l.calls++
	l.at = append(l.at, time.Now())
	if code := l.fail(l.calls); code != codes.OK {
		return nil, status.Error(code, "not now")
	}
	if len(r.GetUsage()) > 100 {
		return nil, status.Error(codes.InvalidArgument, "at most 100 usages a report")
	}
	for _, use := range r.GetUsage() {
		said := counts.FindStringSubmatch(use.GetReason())
		n, err := strconv.Atoi(said[2] + said[3])
		if err != nil {
			n = 1
		}
		l.counted[said[1]] += n
	}
	return nil, nil
}

// Whatever fails, each usage is counted once in what the server takes: of users who repeat themselves, and of one who
// has more programs than there is room for.
func TestEachUsageIsCountedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := waiting()
		fails := []codes.Code{codes.Unavailable, codes.OK, codes.ResourceExhausted, codes.Internal, codes.OK, codes.DeadlineExceeded, codes.OK}
		server := &tally{counted: map[string]int{}, fail: func(call int) codes.Code {
			time.Sleep(70 * time.Millisecond) // more is reported meanwhile
			return fails[call%len(fails)]
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var over sync.WaitGroup
		over.Go(func() { u.report(ctx, server) })
		var readers sync.WaitGroup
		for user := range 8 {
			readers.Go(func() {
				for i := range 4000 {
					use := read(strconv.Itoa(user))
					if user == 7 {
						use = by(refusal("7"), i)
					}
					u.Report(use)
					if i%100 == 0 {
						time.Sleep(50 * time.Millisecond)
					}
				}
			})
		}
		readers.Wait()
		u.Flush(t.Context())
		cancel()
		over.Wait()
		if got := server.counted["allowed by grant g"]; got != 28000 {
			t.Errorf("%d reads are counted, want 28000", got)
		}
		refused, dropped := server.counted["no"], server.counted["refusals that were only counted, since too many others waited to be reported"]
		if refused+dropped != 4000 || dropped == 0 || len(server.counted) != 3 {
			t.Errorf("%d refusals and %d that were dropped are counted, want 4000 together: %v", refused, dropped, server.counted)
		}
	})
}

// How soon the server is asked again depends on what it said.
func TestReportsArePaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := waiting()
		fails := map[int]codes.Code{1: codes.ResourceExhausted, 3: codes.Unavailable}
		server := &tally{counted: map[string]int{}, fail: func(call int) codes.Code { return fails[call] }}
		for i := range 300 {
			u.Report(by(read("1"), i))
		}
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var over sync.WaitGroup
		over.Go(func() { u.report(ctx, server) })
		u.Flush(t.Context())
		cancel()
		over.Wait()
		var after []string
		for _, at := range server.at {
			after = append(after, at.Sub(began).String())
		}
		if got := strings.Join(after, " "); got != "0s 1s 1.2s 6.2s 6.4s" {
			t.Errorf("asked after %s", got)
		}
	})
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
	if r.GetUsage()[0].GetCredential() == "later" {
		return nil, status.Error(codes.Unavailable, "not now")
	}
	for _, use := range r.GetUsage() {
		p.got = append(p.got, use.GetCredential()+" "+use.GetReason())
	}
	return nil, nil
}

func TestOneReportCannotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	u := waiting()
	server := &picky{}
	batch := []*Usage{{Credential: "a", Allowed: true}, {Credential: "poison", times: 2}, {Credential: "b", times: 3, Reason: "no"}, {Credential: "c"}}
	if left, _ := u.send(t.Context(), server, batch); len(left) != 0 {
		t.Errorf("%d are to be sent again, want none", len(left))
	}
	if got := strings.Join(server.got, ";"); got != "a ;b no, 3 times;c " {
		t.Errorf("the server has %q", got)
	}
	if got := u.all(); len(got) != 1 || got[0] != " : false, refusals that were only counted, since too many others waited to be reported: 2" {
		t.Errorf("of the one that it does not take %q waits, want its number", got)
	}
	poison, later := &Usage{Credential: "poison"}, &Usage{Credential: "later"}
	for _, batch := range [][]*Usage{{poison, later}, {later, poison}} {
		if left, wait := u.send(t.Context(), server, batch); len(left) != 1 || left[0] != later || wait != 5*time.Second {
			t.Errorf("%d are to be sent again after %s, want the one that the server can take later after 5 s", len(left), wait)
		}
	}
}

// What the server cannot log now is sent again later.
func TestReportsWaitForTheServersLog(t *testing.T) {
	t.Parallel()
	u := waiting()
	for _, code := range []codes.Code{codes.Unavailable, codes.Internal, codes.ResourceExhausted, codes.DeadlineExceeded} {
		one, two := read("1"), read("2")
		left, _ := u.send(t.Context(), failing{code: code}, []*Usage{&one, &two})
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
	u := waiting()
	u.Flush(t.Context())
	u.Report(read("1"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	u.Flush(ctx)
	if ctx.Err() == nil {
		t.Error("flushed what nobody took")
	}
}
