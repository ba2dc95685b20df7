package wire_test

import (
	"math"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

// FuzzWire: what either end reads of any message is bounded, and is read the same by whom it is sent on to.
func FuzzWire(f *testing.F) {
	seed := func(m proto.Message) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(wire.FromJob(grant.Job{User: "etl", UID: "7", PID: 12, Unit: "backup.service", Exe: "/usr/bin/etl", Claims: []string{"https://h:sub=a"}}))
	seed(&wire.LeaseResponse{Environment: map[string]string{"PGPASSWORD": "{password}"}, Terms: []*wire.Terms{
		{Grant: "g", Access: "read", TtlMs: 60_000, OfflineMs: 1, JobUsers: []string{"etl"}},
		{Grant: "h", NarrowedAccess: "use", TtlMs: math.MaxInt64, OfflineMs: math.MinInt64, JobUnits: []string{"backup.service"}},
	}})
	f.Fuzz(func(t *testing.T, b []byte) {
		if sent := new(wire.Job); proto.Unmarshal(b, sent) == nil {
			fuzzJob(t, wire.ToJob(sent))
		}
		if sent := new(wire.LeaseResponse); proto.Unmarshal(b, sent) == nil {
			fuzzGrants(t, wire.ToGrants(sent.GetTerms()), len(sent.GetTerms()))
			fuzzEnvironment(t, sent.GetEnvironment())
		}
	})
}

func fuzzJob(t *testing.T, job grant.Job) {
	t.Helper()
	for _, text := range append(job.Claims, job.User, job.UID, job.Unit, job.Container, job.Exe, job.ExeSHA256) {
		// A letter that the cut goes through is replaced by one of three bytes.
		if len(text) > 514 || !utf8.ValidString(text) {
			t.Errorf("%q has %d bytes, or is no text", text, len(text))
		}
	}
	if len(job.Claims) > grant.MaxClaims {
		t.Errorf("%d claims", len(job.Claims))
	}
	if again := wire.ToJob(across(t, wire.FromJob(job), &wire.Job{})); !reflect.DeepEqual(again, job) {
		t.Errorf("%+v arrives as %+v", job, again)
	}
}

func fuzzGrants(t *testing.T, grants []grant.Grant, want int) {
	t.Helper()
	if len(grants) != want {
		t.Fatalf("%d grants of %d terms", len(grants), want)
	}
	for i, sent := range wire.FromGrants(grants, time.Now()) {
		g := grants[i]
		if g.TTL < 0 || g.Offline < 0 {
			t.Errorf("a lease of %s, and %s without contact", g.TTL, g.Offline)
		}
		if again := wire.ToGrants([]*wire.Terms{across(t, sent, &wire.Terms{})})[0]; !reflect.DeepEqual(again, g) {
			t.Errorf("%+v arrives as %+v", g, again)
		}
	}
	_ = grant.ForJob(grants, grant.Job{})
}

func fuzzEnvironment(t *testing.T, sent map[string]string) {
	t.Helper()
	got, err := wire.ToEnvironment(sent)
	if err != nil && (got != nil || len(err.Error()) > 200) || err == nil && (len(got) != len(sent) || len(got) > credential.MaxVariables) {
		t.Errorf("%d variables of %d, and %v", len(got), len(sent), err)
	}
	for variable, template := range got {
		if len(variable) > 63 || len(template) > 1024 || template != sent[variable] {
			t.Errorf("%q is %q, of %q", variable, template, sent[variable])
		}
	}
}

// A time that no Duration holds is the longest that one does, and one below nothing is none: neither becomes another.
func TestTimesDoNotOverflow(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]time.Duration{
		0: 0, 1: time.Millisecond, 60_000: time.Minute, -1: 0, math.MinInt64: 0,
		9_223_372_036_854: 9_223_372_036_854 * time.Millisecond, 9_223_372_036_855: 9_223_372_036_854 * time.Millisecond,
		math.MaxInt64: 9_223_372_036_854 * time.Millisecond,
	} {
		if got := wire.ToDuration(ms); got != want {
			t.Errorf("%d ms are %s, want %s", ms, got, want)
		}
		if got := wire.ToGrants([]*wire.Terms{{TtlMs: ms, OfflineMs: ms}})[0]; got.TTL != want || got.Offline != want {
			t.Errorf("%d ms are a lease of %s, and %s without contact, want %s", ms, got.TTL, got.Offline, want)
		}
	}
}
