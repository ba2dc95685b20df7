package lease

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// fixture is a cache whose server is away, with a clock that is moved by hand.
type fixture struct {
	*Cache
	t     *testing.T
	arena *secret.Arena
	at    time.Time
}

func open(t *testing.T) *fixture {
	t.Helper()
	arena, err := secret.NewArena(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	f := &fixture{t: t, arena: arena, at: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}
	up := uplink.New(&uplink.Identity{}, uplink.Route{}, arena, slog.New(slog.DiscardHandler), "test")
	f.Cache = New(up, func() time.Time { return f.at })
	return f
}

func (f *fixture) leased(id, name, value string, grants ...grant.Grant) *uplink.Leased {
	f.t.Helper()
	b, err := f.arena.From([]byte(value))
	if err != nil {
		f.t.Fatal(err)
	}
	return &uplink.Leased{
		Credential: id, Name: name, Version: 1, Grants: grants, Fields: []uplink.Field{{Name: "token", Secret: true, Value: b}},
	}
}

// hold puts a lease into the cache as if it had just come.
func (f *fixture) hold(id, name, value string, grants ...grant.Grant) {
	f.t.Helper()
	if err := f.keep(f.leased(id, name, value, grants...), name, f.at, f.epoch); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) read(ref string, job grant.Job) (value string, c Copy, err error) {
	err = f.Read(f.t.Context(), ref, job, func(got Copy) error {
		value, c = string(got.Fields[0].Value.Reveal()), got
		return nil
	})
	return value, c, err
}

func allowing(name string, ttl, offline time.Duration, users ...string) grant.Grant {
	return grant.Grant{Name: name, Conditions: grant.Conditions{Access: grant.Read, TTL: ttl, Offline: offline, Jobs: grant.Jobs{JobUsers: users}}}
}

var (
	etl = grant.Job{User: "etl", UID: "1001"}
	bob = grant.Job{User: "bob", UID: "1002"}
)

// Without its server a lease is served to its end, as stale, and not a second
// longer; each job is judged by the conditions that came with it.
func TestServedToItsEnd(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.hold("c1", "crm", "tok", allowing("g", time.Minute, 0, "etl"))
	f.at = f.at.Add(59 * time.Second)
	got, c, err := f.read("crm", etl)
	if err != nil || got != "tok" || c.Remaining != time.Second || !c.Stale {
		t.Errorf("%q, %+v, %v; want it for a second more, stale", got, c, err)
	}
	if got, _, err := f.read("crm", bob); !errors.Is(err, uplink.ErrRefused) || got != "" {
		t.Errorf("another user: %q, %v; want ErrRefused", got, err)
	}
	if got, _, err := f.read("other", etl); !errors.Is(err, uplink.ErrNotReachable) || got != "" {
		t.Errorf("what is not held: %q, %v; want ErrNotReachable", got, err)
	}
	f.at = f.at.Add(time.Second)
	if got, _, err := f.read("crm", etl); !errors.Is(err, uplink.ErrNotReachable) || got != "" {
		t.Errorf("at its end: %q, %v; want ErrNotReachable", got, err)
	}
	f.wipeEnded()
	if n, bytes := f.Size(); n != 0 || bytes != 0 || f.arena.InUse() != 0 {
		t.Errorf("%d leases, %d bytes, %d in the arena are left", n, bytes, f.arena.InUse())
	}
}

// A lease that has ended leaves memory by itself, within half a second.
func TestEndedLeaseIsWiped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		f.now, f.at = time.Now, time.Now()
		const ttl = time.Minute + 300*time.Millisecond
		f.hold("c1", "crm", "tok", allowing("g", ttl, 0))
		go f.Run(t.Context())
		time.Sleep(ttl - 1)
		synctest.Wait()
		if n, _ := f.Size(); n != 1 || f.arena.InUse() == 0 {
			t.Errorf("before its end %d leases, %d bytes in the arena", n, f.arena.InUse())
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if n, _ := f.Size(); n != 0 || f.arena.InUse() != 0 {
			t.Errorf("half a second after its end %d leases, %d bytes in the arena", n, f.arena.InUse())
		}
		time.Sleep(2 * time.Second) // the sweep that it asked for does not outlive this clock
	})
}

// Each grant's time ends for the jobs that it alone allows.
func TestEachGrantHasItsTime(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.hold("c1", "crm", "tok", allowing("short", time.Minute, 0, "etl"), allowing("long", time.Hour, 0, "bob"))
	f.at = f.at.Add(2 * time.Minute)
	if got, _, err := f.read("crm", etl); !errors.Is(err, uplink.ErrNotReachable) || got != "" {
		t.Errorf("etl after its grant's time: %q, %v; the server is to be asked", got, err)
	}
	if got, c, err := f.read("crm", bob); err != nil || got != "tok" || c.Remaining != 58*time.Minute {
		t.Errorf("bob: %q, %+v, %v", got, c, err)
	}
}

func TestLeft(t *testing.T) {
	t.Parallel()
	came := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	away := func(since time.Duration) uplink.State { return uplink.State{LastContact: came.Add(since)} }
	online := uplink.State{Connected: true, LastContact: came.Add(time.Minute)}
	quiet := uplink.State{Connected: true, LastContact: came.Add(59 * time.Second)}
	for _, tt := range []struct {
		name         string
		ttl, offline time.Duration
		after        time.Duration
		link         uplink.State
		doubt        bool
		want         time.Duration
	}{
		{"fresh", time.Minute, 0, 0, online, false, time.Minute},
		{"ended", time.Minute, 0, time.Minute, online, false, 0},
		{"offline time does not count while connected", time.Minute, time.Hour, time.Minute, online, false, 0},
		{"offline time counts from the last contact", time.Minute, time.Hour, 2 * time.Minute, away(30 * time.Second), false, 58*time.Minute + 30*time.Second},
		{"offline time shortens nothing", time.Hour, time.Minute, 30 * time.Minute, away(0), false, 30 * time.Minute},
		{"offline time ends", time.Minute, time.Hour, time.Hour + time.Second, away(time.Second), false, 0},
		{"in doubt, not heard of since its end", time.Minute, time.Hour, 2 * time.Minute, quiet, true, 58*time.Minute + 59*time.Second},
		{"in doubt, but heard of at its end", time.Minute, time.Hour, time.Minute, online, true, 0},
		{"in doubt, without offline time", time.Minute, 0, time.Minute, quiet, true, 0},
		{"never any contact", time.Minute, time.Hour, 0, uplink.State{}, false, time.Minute},
	} {
		e := entry{came: came}
		if got := e.left(allowing("g", tt.ttl, tt.offline), came.Add(tt.after), tt.link, tt.doubt); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A drop wipes, and a lease that was on its way meanwhile is not kept.
func TestDropAndKept(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, id := range []string{"c1", "c2", "c3"} {
		f.hold(id, "name-"+id, "tok", allowing("g", time.Hour, 0))
	}
	asked := f.epoch
	f.drop("c1")
	late := f.leased("c1", "name-c1", "tok", allowing("g", time.Hour, 0))
	if err := f.keep(late, "name-c1", f.at, asked); !errors.Is(err, errChanged) || late.Fields[0].Value.Reveal() != nil {
		t.Errorf("a lease that was on its way while one was dropped: %v; want it refused and wiped", err)
	}
	asked = f.epoch
	f.kept([]string{"c2"})
	late = f.leased("c3", "name-c3", "tok", allowing("g", time.Hour, 0))
	if err := f.keep(late, "name-c3", f.at, asked); !errors.Is(err, errChanged) {
		t.Errorf("a lease that was on its way while others were confirmed: %v", err)
	}
	held := f.held()
	if len(held) != 1 || held[0].Credential != "c2" {
		t.Errorf("held: %v, want c2 alone", held)
	}
	if got, _, err := f.read("name-c1", etl); err == nil {
		t.Errorf("dropped and served: %q", got)
	}
	f.kept(nil)
	if f.arena.InUse() != 0 {
		t.Errorf("%d bytes are left in the arena", f.arena.InUse())
	}
}

// A caller that goes away does not wait for the server.
func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	f := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := f.Read(ctx, "crm", etl, func(Copy) error { return nil })
	if err == nil {
		t.Error("read something")
	}
}

func TestListAndExplainOffline(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.hold("c1", "crm", "tok", allowing("g", time.Minute, 0, "etl"))
	items, stale, err := f.List(t.Context(), etl)
	if err != nil || !stale || len(items) != 1 || items[0].Name != "crm" {
		t.Errorf("%+v, %t, %v", items, stale, err)
	}
	if items, _, _ := f.List(t.Context(), bob); len(items) != 0 {
		t.Errorf("bob's list: %+v", items)
	}
	if ok, reason, err := f.Explain(t.Context(), "crm", etl); !ok || reason != "allowed by grant g" || err != nil {
		t.Errorf("%t %q %v", ok, reason, err)
	}
	refused := "no grant lets this job on this host read it, or there is no such credential"
	for _, ref := range []string{"crm", "nothing"} {
		if ok, reason, _ := f.Explain(t.Context(), ref, bob); ok || reason != refused {
			t.Errorf("bob and %s: %t %q", ref, ok, reason)
		}
	}
}
