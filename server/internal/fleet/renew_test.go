package fleet_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/shared/credential"
)

// machine is one that has, or copied, a host's key and certificate.
type machine struct {
	key   *ecdsa.PrivateKey
	chain [][]byte
}

func shown(t *testing.T, chain [][]byte, clock *roomtest.Clock) fleet.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := fleet.ReadCertificate(leaf, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func enrolled(t *testing.T, f *fleet.Fleet) (machine, string) {
	t.Helper()
	m := machine{key: newKey(t)}
	joined, err := join(t, f, newToken(t, f, 1), m.key)
	if err != nil {
		t.Fatal(err)
	}
	m.chain = joined.Certificates
	return m, joined.Host
}

// renew asks for the certificate of a new key and does not use it.
func (m machine) renew(t *testing.T, f *fleet.Fleet, clock *roomtest.Clock) machine {
	t.Helper()
	key := newKey(t)
	chain, err := f.Renew(t.Context(), shown(t, m.chain, clock), request(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return machine{key, chain}
}

// call is one on a new connection.
func (m machine) call(t *testing.T, f *fleet.Fleet, clock *roomtest.Clock) error {
	t.Helper()
	_, err := f.Admit(t.Context(), shown(t, m.chain, clock))
	return err
}

// proof is a recovery as an honest host makes it.
func (m machine) proof(t *testing.T, clock *roomtest.Clock) fleet.RecoverRequest {
	t.Helper()
	digest := [32]byte{1, 2, 3}
	signature, err := ecdsa.SignASN1(rand.Reader, m.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return fleet.RecoverRequest{
		Certificate: m.chain[0], Request: request(t, newKey(t)), Signed: digest, Signature: signature, Shown: clock.Now(),
	}
}

func logged(t *testing.T, r *roomtest.Rooms, host, action string, outcome audit.Outcome, reason string) {
	t.Helper()
	for _, e := range r.Newest(t, 4) {
		if e.Action == action && e.Host == host && e.Outcome == outcome && e.Reason == reason {
			return
		}
	}
	t.Errorf("not logged: %s of %s, %s, %q; newest: %+v", action, host, outcome, reason, r.Newest(t, 4))
}

func TestRenewalKeepsTheOldCertificateUntilTheNewIsUsed(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	var told []string
	f.OnChange(func(host string) { told = append(told, host) })
	first, host := enrolled(t, f)
	clock.Add(12 * time.Hour)
	f.Seen(host, true)
	second := first.renew(t, f, clock)
	if h, err := f.Get(host); err != nil || !h.Connected || h.LastSeen.IsZero() {
		t.Errorf("%+v, %v: the renewal forgot that it is connected", h, err)
	}
	logged(t, r, host, "host.renew", audit.Allowed, "generation 2")
	leaf, err := x509.ParseCertificate(second.chain[0])
	if err != nil || !leaf.NotAfter.Equal(clock.At.Add(24*time.Hour)) || !second.key.PublicKey.Equal(leaf.PublicKey) ||
		leaf.URIs[0].String() != "spiffe://example.org/host/"+host || leaf.Subject.CommonName != "host "+host {
		t.Errorf("until %s, %s, %v", leaf.NotAfter, leaf.Subject, err)
	}
	f = reopen(t, r, clock)
	f.OnChange(func(host string) { told = append(told, host) })
	if err := first.call(t, f, clock); err != nil {
		t.Errorf("the old one before the new is used: %v", err)
	}
	if len(told) != 0 {
		t.Errorf("told of %v before anything ended", told)
	}
	before := shown(t, first.chain, clock)
	clock.Add(time.Second)
	for range 2 {
		if err := second.call(t, f, clock); err != nil {
			t.Errorf("the new one: %v", err)
		}
	}
	if !slices.Equal(told, []string{host}) {
		t.Errorf("told of %v, want the host once", told)
	}
	logged(t, r, host, "host.switch", audit.Allowed, "generation 2 is in use, the ones before have ended")
	for _, f := range []*fleet.Fleet{f, reopen(t, r, clock)} {
		// A call under way on a connection from before is refused, and no clone's.
		if _, err := f.Admit(t.Context(), before); !errors.Is(err, fleet.ErrSuperseded) {
			t.Errorf("the old one on its old connection: %v, want ErrSuperseded", err)
		}
		h, err := f.Get(host)
		if err != nil || h.Generation != 2 || !h.Frozen.IsZero() {
			t.Errorf("%+v, %v", h, err)
		}
		if err := second.call(t, f, clock); err != nil {
			t.Errorf("the new one afterwards: %v", err)
		}
	}
}

// A lost answer: the same new key asks again, and the certificate that never
// arrived does no harm.
func TestRenewalMayBeRepeated(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	first, _ := enrolled(t, f)
	key := newKey(t)
	for range 3 {
		f = reopen(t, r, clock)
		chain, err := f.Renew(t.Context(), shown(t, first.chain, clock), request(t, key))
		if err != nil {
			t.Fatal(err)
		}
		if c := shown(t, chain, clock); c.Generation != 2 {
			t.Errorf("generation %d, want 2", c.Generation)
		}
		clock.Add(time.Hour)
	}
	// The key was lost before it was used: another takes its place.
	second := first.renew(t, f, clock)
	for _, m := range []machine{first, second} {
		if err := m.call(t, f, clock); err != nil {
			t.Error(err)
		}
	}
	for what, der := range map[string][]byte{"no request": nil, "the old key": request(t, second.key)} {
		if _, err := f.Renew(t.Context(), shown(t, second.chain, clock), der); !errors.Is(err, credential.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
}

func TestCloneFreezesItsHost(t *testing.T) {
	t.Parallel()
	const used = "a replaced certificate of generation %d was used while generation %d is in use: two machines have this host's identity; it is frozen"
	for name, clone := range map[string]func(t *testing.T, f *fleet.Fleet, r *roomtest.Rooms, clock *roomtest.Clock, first machine) (reason string, seen func() error, genuine machine){
		"an older generation": func(t *testing.T, f *fleet.Fleet, r *roomtest.Rooms, clock *roomtest.Clock, first machine) (string, func() error, machine) {
			second := first.renew(t, f, clock)
			must(t, second.call(t, f, clock))
			clock.Add(time.Second)
			return fmt.Sprintf(used, 1, 2), func() error { return first.call(t, f, clock) }, second
		},
		"an older generation that renews": func(t *testing.T, f *fleet.Fleet, r *roomtest.Rooms, clock *roomtest.Clock, first machine) (string, func() error, machine) {
			second := first.renew(t, f, clock)
			must(t, second.call(t, f, clock))
			clock.Add(time.Second)
			return fmt.Sprintf(used, 1, 2), func() error {
				_, err := f.Renew(t.Context(), shown(t, first.chain, clock), request(t, newKey(t)))
				return err
			}, second
		},
		"both renewed, the second to ask was used": func(t *testing.T, f *fleet.Fleet, r *roomtest.Rooms, clock *roomtest.Clock, first machine) (string, func() error, machine) {
			mine, other := first.renew(t, f, clock), first.renew(t, f, clock)
			must(t, other.call(t, f, clock))
			clock.Add(time.Second)
			return fmt.Sprintf(used, 2, 2), func() error { return mine.call(t, f, clock) }, other
		},
		"both renewed, the first to ask is used": func(t *testing.T, f *fleet.Fleet, r *roomtest.Rooms, clock *roomtest.Clock, first machine) (string, func() error, machine) {
			mine, other := first.renew(t, f, clock), first.renew(t, f, clock)
			return fmt.Sprintf(used, 2, 1), func() error { return mine.call(t, f, clock) }, other
		},
		"an older generation that recovers": func(t *testing.T, f *fleet.Fleet, r *roomtest.Rooms, clock *roomtest.Clock, first machine) (string, func() error, machine) {
			second := first.renew(t, f, clock)
			must(t, second.call(t, f, clock))
			clock.Add(48 * time.Hour)
			return fmt.Sprintf(used, 1, 2), func() error {
				_, err := f.Recover(t.Context(), first.proof(t, clock))
				logged(t, r, shown(t, first.chain, clock).Host, "host.recover", audit.Refused, "this host is frozen: a replaced certificate of it was used again")
				if errors.Is(err, fleet.ErrRecover) {
					return fleet.ErrFrozen
				}
				return err
			}, second
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, clock := open(t)
			first, host := enrolled(t, f)
			reason, seen, genuine := clone(t, f, r, clock, first)
			var told []string
			f.OnChange(func(host string) { told = append(told, host) })
			if err := seen(); !errors.Is(err, fleet.ErrFrozen) {
				t.Errorf("%v, want ErrFrozen", err)
			}
			logged(t, r, host, "host.clone", audit.Refused, reason)
			if !slices.Equal(told, []string{host}) {
				t.Errorf("told of %v, want the host once", told)
			}
			for _, f := range []*fleet.Fleet{f, reopen(t, r, clock)} {
				if h, err := f.Get(host); err != nil || !h.Frozen.Equal(clock.At) {
					t.Errorf("frozen %s, %v", h.Frozen, err)
				}
				for _, m := range []machine{first, genuine} {
					if err := m.call(t, f, clock); !errors.Is(err, fleet.ErrFrozen) {
						t.Errorf("%v, want ErrFrozen for both", err)
					}
				}
			}
			// The way out: revoke, which says so from then on.
			must(t, f.Revoke(t.Context(), admin, host))
			if err := genuine.call(t, f, clock); !errors.Is(err, fleet.ErrRevoked) {
				t.Errorf("%v, want ErrRevoked", err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A vault that was restored from a backup does not know its hosts' latest
// renewals, and takes them for what they are.
func TestRestoredVaultLearnsOfLaterGenerations(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	first, host := enrolled(t, f)
	for _, later := range []uint64{2, 5, 8} {
		if later == 8 {
			// The backup has a renewal under way that was used and followed since.
			if _, err := f.Renew(t.Context(), fleet.Certificate{Host: host, Key: [32]byte{5}}, request(t, newKey(t))); err != nil {
				t.Fatal(err)
			}
		}
		c := shown(t, first.chain, clock)
		c.Generation, c.Key = later, [32]byte{byte(later)}
		if _, err := f.Admit(t.Context(), c); err != nil {
			t.Errorf("generation %d: %v", later, err)
		}
		if h, err := f.Get(host); err != nil || h.Generation != later {
			t.Errorf("generation %d, %v; want %d", h.Generation, err, later)
		}
		logged(t, r, host, "host.switch", audit.Allowed, fmt.Sprintf("generation %d is in use, the ones before have ended", later))
	}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	first, host := enrolled(t, f)
	clock.Add(31 * 24 * time.Hour) // to the second: 24 hours and 30 days
	for range 2 {
		// The answer may be lost.
		p := first.proof(t, clock)
		chain, err := f.Recover(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if c := shown(t, chain, clock); c.Host != host || c.Generation != 2 || !c.Ends.Equal(clock.At.Add(24*time.Hour)) {
			t.Errorf("recovered %+v", c)
		}
		logged(t, r, host, "host.recover", audit.Allowed, "generation 2")
	}
	// Renewed, not used, and off for days: it recovers with the pending one.
	second := first.renew(t, f, clock)
	clock.Add(72 * time.Hour)
	chain, err := f.Recover(t.Context(), second.proof(t, clock))
	if err != nil {
		t.Fatal(err)
	}
	if c := shown(t, chain, clock); c.Generation != 3 {
		t.Errorf("generation %d, want 3", c.Generation)
	}
}

func TestRecoveriesThatAreRefused(t *testing.T) {
	t.Parallel()
	for reason, spoil := range map[string]func(f *fleet.Fleet, clock *roomtest.Clock, host string, p *fleet.RecoverRequest){
		"the certificate ended more than 30 days ago": func(_ *fleet.Fleet, clock *roomtest.Clock, _ string, _ *fleet.RecoverRequest) {
			clock.Add(31*24*time.Hour + time.Second)
		},
		"this host is revoked": func(f *fleet.Fleet, _ *roomtest.Clock, host string, _ *fleet.RecoverRequest) {
			must(t, f.Revoke(t.Context(), admin, host))
		},
		"the proof is not by the certificate's key for this connection": func(_ *fleet.Fleet, _ *roomtest.Clock, _ string, p *fleet.RecoverRequest) {
			p.Signed[0]++ // as of another connection
		},
		"not a certificate of a host of this vault": func(_ *fleet.Fleet, _ *roomtest.Clock, _ string, p *fleet.RecoverRequest) {
			p.Certificate = append([]byte(nil), p.Certificate...)
			p.Certificate[len(p.Certificate)-1] ^= 1
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			f, r, clock := open(t)
			m, host := enrolled(t, f)
			p := m.proof(t, clock)
			spoil(f, clock, host, &p)
			refusedRecovery(t, f, r, p, reason)
		})
	}
}

func refusedRecovery(t *testing.T, f *fleet.Fleet, r *roomtest.Rooms, p fleet.RecoverRequest, reason string) {
	t.Helper()
	_, err := f.Recover(t.Context(), p)
	if !errors.Is(err, fleet.ErrRecover) || err.Error() != fleet.ErrRecover.Error() {
		t.Errorf("%v, want the one answer of ErrRecover", err)
	}
	if e := r.Newest(t, 1)[0]; e.Action != "host.recover" || e.Outcome != "refused" || e.Reason != reason {
		t.Errorf("logged %+v, want the reason %q", e, reason)
	}
}

// Certificates that this vault did not make for a host prove nothing.
func TestRecoveryWithForeignCertificates(t *testing.T) {
	t.Parallel()
	const foreign = "not a certificate of a host of this vault"
	f, r, clock := open(t)
	m, _ := enrolled(t, f)
	elsewhere, _, _ := open(t)
	other, _ := enrolled(t, elsewhere)
	refusedRecovery(t, f, r, other.proof(t, clock), foreign)
	server, err := f.ServerCertificate("server", nil)
	must(t, err)
	refusedRecovery(t, f, r, machine{server.PrivateKey.(*ecdsa.PrivateKey), server.Certificate}.proof(t, clock), foreign)
	for what, der := range map[string][]byte{"empty": nil, "garbage": []byte("garbage"), "large": make([]byte, 9<<10)} {
		p := m.proof(t, clock)
		p.Certificate = der
		t.Run(what, func(t *testing.T) { refusedRecovery(t, f, r, p, foreign) })
	}
	p := m.proof(t, clock)
	p.Request = []byte("garbage")
	if _, err := f.Recover(t.Context(), p); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("%v, want ErrInvalid", err)
	}
	if _, err := f.Recover(t.Context(), m.proof(t, clock)); err != nil {
		t.Errorf("the genuine one: %v", err)
	}
}

// A join token's holder cannot go back behind a renewal with the key that joined.
func TestJoinIsNotRepeatedBehindARenewal(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	token, key := newToken(t, f, 1), newKey(t)
	joined, err := join(t, f, token, key)
	must(t, err)
	second := machine{key, joined.Certificates}.renew(t, f, clock)
	if _, err := join(t, f, token, key); err != nil {
		t.Errorf("before the renewal is used: %v", err)
	}
	must(t, second.call(t, f, clock))
	refused(t, f, r, token, key, "the host that this key became has a newer key")
	clock.Add(time.Minute)
	if err := (machine{key, joined.Certificates}).call(t, f, clock); !errors.Is(err, fleet.ErrFrozen) {
		t.Errorf("%v, want ErrFrozen", err)
	}
	refused(t, f, r, token, key, "the host that this key became is frozen")
}

// Calls that find the new certificate first used switch once, and do not undo a
// revocation beside them.
func TestFirstUsesAtOnce(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	for _, revoke := range []bool{false, true} {
		first, host := enrolled(t, f)
		second := shown(t, first.renew(t, f, clock).chain, clock)
		start := make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				<-start
				if _, err := f.Admit(t.Context(), second); err != nil && !(revoke && errors.Is(err, fleet.ErrRevoked)) {
					t.Error(err)
				}
			})
		}
		if revoke {
			all.Go(func() {
				<-start
				if err := f.Revoke(t.Context(), admin, host); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		switches := 0
		for _, e := range r.Newest(t, 20) {
			if e.Action == "host.switch" && e.Host == host {
				switches++
			}
		}
		if !revoke && switches != 1 || switches > 1 {
			t.Errorf("revoked beside it %t: %d switches, want one", revoke, switches)
		}
		for _, f := range []*fleet.Fleet{f, reopen(t, r, clock)} {
			if _, err := f.Admit(t.Context(), second); errors.Is(err, fleet.ErrRevoked) != revoke {
				t.Errorf("%v, want it revoked: %t", err, revoke)
			}
		}
	}
}
