package envelope

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

var (
	exporter = []byte("exporter of the first connection")
	other    = []byte("exporter of another connection!!")
	context  = Context{Request: "r1", Credential: "salesforce-prod", Version: 7, Field: "password"}
)

func testArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func newRecipient(t testing.TB) *Recipient {
	t.Helper()
	r, err := NewRecipient()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pair is both ends after an agreement; the opener's side may differ from the sealer's.
func pair(t testing.TB, a *secret.Arena, d Direction, exporter []byte) (*Sealer, *Opener) {
	t.Helper()
	r := newRecipient(t)
	s, enc, err := NewSealer(a, r.PublicKey(), ToAgent, []byte("exporter of the first connection"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.Opener(a, enc, d, exporter)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

func mustSeal(t testing.TB, s *Sealer, plaintext string, c Context) []byte {
	t.Helper()
	sealed, err := s.Seal([]byte(plaintext), c)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	for _, d := range []Direction{ToAgent, ToServer, ToClient} {
		r := newRecipient(t)
		s, enc, err := NewSealer(a, r.PublicKey(), d, exporter)
		if err != nil {
			t.Fatal(err)
		}
		o, err := r.Opener(a, enc, d, exporter)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.PublicKey()) != 32 || len(enc) != 32 {
			t.Errorf("public key of %d and enc of %d bytes", len(r.PublicKey()), len(enc))
		}
		for i, value := range []string{"first", "", strings.Repeat("long ", 2000)} {
			sealed := mustSeal(t, s, value, context)
			if want := fmt.Sprintf("%016x", i+1); hex.EncodeToString(sealed[:8]) != want || len(sealed) != 8+len(value)+16 {
				t.Errorf("value %d: counter %x, %d bytes for %d", i, sealed[:8], len(sealed), len(value))
			}
			if len(value) > 0 && bytes.Contains(sealed, []byte(value)) {
				t.Errorf("value %d is readable", i)
			}
			got, err := o.Open(sealed, context)
			if err != nil || string(got.Reveal()) != value {
				t.Errorf("%s: value %d opens to %.20q, %v", d, i, got.Reveal(), err)
			}
			got.Wipe()
		}
		s.Wipe()
		o.Wipe()
	}
	if a.InUse() != 0 {
		t.Errorf("%d bytes of the arena left in use", a.InUse())
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	s, o := pair(t, a, ToAgent, exporter)
	first, second := mustSeal(t, s, "first", context), mustSeal(t, s, "second", context)
	for sealed, want := range map[string]string{string(second): "second", string(first): "first"} {
		if got, err := o.Open([]byte(sealed), context); err != nil || string(got.Reveal()) != want {
			t.Errorf("%q, %v; want %q", got.Reveal(), err, want)
		}
	}
}

func TestWrongContextIsRefused(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	s, o := pair(t, a, ToAgent, exporter)
	sealed := mustSeal(t, s, "value", context)
	inUse := a.InUse()
	for name, c := range map[string]Context{
		"request":    {Request: "r2", Credential: "salesforce-prod", Version: 7, Field: "password"},
		"credential": {Request: "r1", Credential: "salesforce-test", Version: 7, Field: "password"},
		"version":    {Request: "r1", Credential: "salesforce-prod", Version: 8, Field: "password"},
		"field":      {Request: "r1", Credential: "salesforce-prod", Version: 7, Field: "username"},
		"none":       {},
		// The same bytes in a row, cut elsewhere.
		"shifted left":  {Request: "r1s", Credential: "alesforce-prod", Version: 7, Field: "password"},
		"shifted right": {Request: "r", Credential: "1salesforce-prod", Version: 7, Field: "password"},
		"swapped":       {Request: "salesforce-prod", Credential: "r1", Version: 7, Field: "password"},
	} {
		if got, err := o.Open(sealed, c); !errors.Is(err, ErrEnvelope) || got != nil {
			t.Errorf("another %s: opened, %v", name, err)
		}
	}
	if a.InUse() != inUse {
		t.Error("refused openings left something in the arena")
	}
	if got, err := o.Open(sealed, context); err != nil || string(got.Reveal()) != "value" {
		t.Errorf("control: %q, %v", got.Reveal(), err)
	}
}

// TestContextEncoding is typed by hand, since both ends of another release must agree on it.
func TestContextEncoding(t *testing.T) {
	t.Parallel()
	want := "0000000000000002" + "7231" + "0000000000000001" + "63" + "0000000000000102" + "0000000000000003" + "707764"
	got := Context{Request: "r1", Credential: "c", Version: 258, Field: "pwd"}.associated()
	if hex.EncodeToString(got) != want {
		t.Errorf("%x, want %s", got, want)
	}
}

func TestWrongDirectionOrConnectionIsRefused(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	for name, c := range map[string]struct {
		d        Direction
		exporter []byte
	}{"to server": {ToServer, exporter}, "to client": {ToClient, exporter}, "another connection": {ToAgent, other}} {
		s, o := pair(t, a, c.d, c.exporter)
		if got, err := o.Open(mustSeal(t, s, "value", context), context); !errors.Is(err, ErrEnvelope) || got != nil {
			t.Errorf("%s: opened, %v", name, err)
		}
	}
}

func TestUndeclaredDirectionsAndShortExportersAreRefused(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	for name, c := range map[string]struct {
		d        Direction
		exporter []byte
	}{
		"no direction": {"", exporter}, "invented direction": {"to nobody", exporter},
		"no exporter": {ToAgent, nil}, "short exporter": {ToAgent, exporter[:31]}, "long exporter": {ToAgent, make([]byte, 33)},
	} {
		if _, _, err := NewSealer(a, newRecipient(t).PublicKey(), c.d, c.exporter); err == nil {
			t.Errorf("NewSealer with %s succeeded", name)
		}
		if _, err := newRecipient(t).Opener(a, make([]byte, 32), c.d, c.exporter); err == nil {
			t.Errorf("Opener with %s succeeded", name)
		}
	}
	if a.InUse() != 0 {
		t.Errorf("%d bytes left in use", a.InUse())
	}
}

func TestRecipientIsGoodForOneUse(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	r := newRecipient(t)
	s, enc, err := NewSealer(a, r.PublicKey(), ToAgent, exporter)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Opener(a, enc, ToAgent, exporter); err != nil {
		t.Fatal(err)
	}
	if o, err := r.Opener(a, enc, ToAgent, exporter); !errors.Is(err, ErrEnvelope) || o != nil {
		t.Errorf("the same enc a second time: %v", err)
	}
	// Replayed to a fresh recipient, an old enc agrees on a key that nobody else has.
	o, err := newRecipient(t).Opener(a, enc, ToAgent, exporter)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(mustSeal(t, s, "value", context), context); !errors.Is(err, ErrEnvelope) {
		t.Errorf("an enc replayed to another recipient: %v", err)
	}
}

func TestForgedEncIsRefused(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	// Points of low order (RFC 7748, section 6.1) and values that are no point's encoding.
	for _, enc := range []string{
		"", "00", strings.Repeat("00", 32), "01" + strings.Repeat("00", 31), strings.Repeat("00", 33),
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		raw, err := hex.DecodeString(enc)
		if err != nil {
			t.Fatal(err)
		}
		r := newRecipient(t)
		if o, err := r.Opener(a, raw, ToAgent, exporter); !errors.Is(err, ErrEnvelope) || o != nil {
			t.Errorf("enc %q: %v", enc, err)
		}
		if _, err := r.Opener(a, raw, ToAgent, exporter); !errors.Is(err, ErrEnvelope) {
			t.Errorf("the key outlived a failure: %v", err)
		}
		if _, _, err := NewSealer(a, raw, ToAgent, exporter); !errors.Is(err, ErrEnvelope) {
			t.Errorf("public key %q: %v", enc, err)
		}
	}
	if a.InUse() != 0 {
		t.Errorf("%d bytes left in use", a.InUse())
	}

	r := newRecipient(t)
	s, enc, err := NewSealer(a, r.PublicKey(), ToAgent, exporter)
	if err != nil {
		t.Fatal(err)
	}
	enc[5] ^= 1
	o, err := r.Opener(a, enc, ToAgent, exporter)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(mustSeal(t, s, "value", context), context); !errors.Is(err, ErrEnvelope) {
		t.Errorf("a changed enc: %v", err)
	}
}

func TestAnyChangedByteIsRefused(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	s, o := pair(t, a, ToAgent, exporter)
	sealed := mustSeal(t, s, "the value", context)
	for i := range sealed {
		sealed[i] ^= 1
		if _, err := o.Open(sealed, context); !errors.Is(err, ErrEnvelope) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		sealed[i] ^= 1
		if _, err := o.Open(sealed[:i], context); !errors.Is(err, ErrEnvelope) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := o.Open(append(bytes.Clone(sealed), 0), context); !errors.Is(err, ErrEnvelope) {
		t.Errorf("lengthened: %v", err)
	}
	if got, err := o.Open(sealed, context); err != nil || string(got.Reveal()) != "the value" {
		t.Errorf("control: %q, %v", got.Reveal(), err)
	}
}

func TestConcurrentSealsHaveDistinctNonces(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	s, o := pair(t, a, ToAgent, exporter)
	const goroutines, each = 8, 100
	var mu sync.Mutex
	counters := map[string]bool{}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				c := Context{Request: fmt.Sprint(g), Version: uint64(i)}
				sealed, err := s.Seal([]byte(c.Request), c)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := o.Open(sealed, c)
				if err != nil || string(got.Reveal()) != c.Request {
					t.Errorf("%q, %v", got.Reveal(), err)
				}
				got.Wipe()
				mu.Lock()
				counters[string(sealed[:8])] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(counters) != goroutines*each {
		t.Errorf("%d different counters for %d seals", len(counters), goroutines*each)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	s, o := pair(t, a, ToAgent, exporter)
	if _, err := s.Seal(make([]byte, MaxPlaintext+1), context); !errors.Is(err, secret.ErrTooLong) {
		t.Errorf("sealing one byte too many: %v", err)
	}
	sealed, err := s.Seal(make([]byte, MaxPlaintext), context)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(sealed, context); !errors.Is(err, secret.ErrFull) || errors.Is(err, ErrEnvelope) {
		t.Errorf("opening 1 MiB in an arena of 64 KiB: %v", err)
	}
	if _, err := o.Open(append(sealed, 0), context); !errors.Is(err, ErrEnvelope) {
		t.Errorf("opening one byte too many: %v", err)
	}
}

func TestNothingSealsOrOpensAfterWipe(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	s, o := pair(t, a, ToAgent, exporter)
	sealed := mustSeal(t, s, "value", context)
	for range 2 {
		s.Wipe()
		o.Wipe()
	}
	if _, err := s.Seal([]byte("value"), context); !errors.Is(err, secret.ErrKey) {
		t.Errorf("Seal: %v", err)
	}
	if _, err := o.Open(sealed, context); !errors.Is(err, secret.ErrKey) {
		t.Errorf("Open: %v", err)
	}
	if a.InUse() != 0 {
		t.Errorf("%d bytes left in use", a.InUse())
	}
}

// TestWipeWaitsForWorkInHand holds the locks by hand, since the moment in which a key could be pulled away from under a
// cipher is too short to be met by chance.
func TestWipeWaitsForWorkInHand(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	s, o := pair(t, a, ToAgent, exporter)
	sealed := mustSeal(t, s, "value", context)
	for _, c := range []struct {
		name         string
		lock, unlock func()
		work         func()
	}{
		{"Seal during Sealer.Wipe", s.mu.Lock, s.mu.Unlock, func() { _, _ = s.Seal(nil, context) }},
		{"Open during Opener.Wipe", o.mu.Lock, o.mu.Unlock, func() { _, _ = o.Open(sealed, context) }},
		{"Sealer.Wipe during Seal", s.mu.RLock, s.mu.RUnlock, s.Wipe},
		{"Opener.Wipe during Open", o.mu.RLock, o.mu.RUnlock, o.Wipe},
	} {
		c.lock()
		done := make(chan struct{})
		go func() {
			c.work()
			close(done)
		}()
		select {
		case <-done:
			t.Errorf("%s did not wait", c.name)
		case <-time.After(20 * time.Millisecond):
		}
		c.unlock()
		<-done
	}
}

func TestFullArenaRefusesAgreement(t *testing.T) {
	t.Parallel()
	a := testArena(t)
	r := newRecipient(t)
	if _, err := a.New(a.Size()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := NewSealer(a, r.PublicKey(), ToAgent, exporter); !errors.Is(err, secret.ErrFull) {
		t.Errorf("NewSealer: %v", err)
	}
	if _, err := r.Opener(a, make([]byte, 32), ToAgent, exporter); !errors.Is(err, secret.ErrFull) {
		t.Errorf("Opener: %v", err)
	}
}
