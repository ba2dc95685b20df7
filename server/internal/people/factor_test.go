package people_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/shared/credential"
)

// codeFor is an authenticator app.
func codeFor(key []byte, at time.Time) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(at.Unix()/30))
	mac := hmac.New(sha1.New, key)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	from := sum[19] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[from:])&0x7fffffff)%1_000_000)
}

// RFC 6238, appendix B, cut to six digits.
func TestAuthenticatorApp(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64]string{59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"} {
		if got := codeFor([]byte("12345678901234567890"), time.Unix(seconds, 0)); got != want {
			t.Errorf("at %d: %s, want %s", seconds, got, want)
		}
	}
}

// beginFactor begins alice's second one, and returns its key. One in thirty thousand gives the same code twice within
// the minutes of a test, or the one that stands for a guess: then it begins another.
func (s *site) beginFactor() (key []byte) {
	s.t.Helper()
	for {
		buffer := must(s.BeginFactor(s.t.Context(), s.alice, s.buffer(password), s.rooms.Arena))(s.t)
		key = append([]byte{}, buffer.Reveal()...)
		buffer.Wipe()
		codes := map[string]bool{guess: true}
		for step := time.Duration(-4); step <= 16; step++ {
			codes[codeFor(key, s.clock.At.Add(step*30*time.Second))] = true
		}
		if len(codes) == 1+21 {
			return key
		}
	}
}

// guess is a code that is not right while a test guesses it.
const guess = "000000"

// factor gives alice a second one, and returns its key and recovery codes.
func (s *site) factor() (key []byte, recovery []string) {
	s.t.Helper()
	key = s.beginFactor()
	recovery = must(s.ConfirmFactor(s.t.Context(), s.alice, codeFor(key, s.clock.At)))(s.t)
	s.clock.Add(30 * time.Second)
	return key, recovery
}

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	s := open(t)
	key := s.beginFactor()
	s.login("alice", password) // not asked for yet
	if _, err := s.ConfirmFactor(t.Context(), s.alice, codeFor(key, s.clock.At.Add(2*time.Minute))); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("confirmed by a code of another time: %v", err)
	}
	recovery := must(s.ConfirmFactor(t.Context(), s.alice, codeFor(key, s.clock.At)))(t)
	if len(recovery) != 10 || len(recovery[0]) != 20 || recovery[0] == recovery[1] {
		t.Errorf("recovery codes: %d", len(recovery))
	}
	if !must(s.User("alice"))(t).Factor {
		t.Error("the user has none")
	}
	try := func(code string) error { _, err := s.try("alice", password, code, "192.0.2.1"); return err }
	if err := try(""); !errors.Is(err, people.ErrCode) {
		t.Errorf("without a code: %v, want ErrCode", err)
	}
	e := s.rooms.Newest(t, 1)[0]
	if e.Actor != "alice" || e.Outcome != "refused" || e.Reason != "password accepted, code missing" || e.From != "192.0.2.1" {
		t.Errorf("without a code: logged %+v", e)
	}
	if _, err := s.try("alice", "wrong horse battery", codeFor(key, s.clock.At), "192.0.2.1"); !errors.Is(err, people.ErrLogin) {
		t.Errorf("a wrong password: %v", err)
	}
	if err := try(codeFor(key, s.clock.At)); !errors.Is(err, people.ErrLogin) {
		t.Errorf("the code that confirmed it, once more: %v", err)
	}
	s.clock.Add(30 * time.Second)
	for name, at := range map[string]time.Duration{"two steps early": time.Minute, "two steps late": -time.Minute} {
		if err := try(codeFor(key, s.clock.At.Add(at))); !errors.Is(err, people.ErrLogin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, try(codeFor(key, s.clock.At)))
	if err := try(codeFor(key, s.clock.At)); !errors.Is(err, people.ErrLogin) {
		t.Errorf("the same code again: %v", err)
	}
	s.clock.Add(time.Minute)
	check(t, try(codeFor(key, s.clock.At.Add(30*time.Second)))) // an app whose clock is ahead
	if err := try(codeFor(key, s.clock.At)); !errors.Is(err, people.ErrLogin) {
		t.Errorf("a code older than the last that was used: %v", err)
	}
	check(t, try(recovery[3]))
	if err := try(recovery[3]); !errors.Is(err, people.ErrLogin) {
		t.Errorf("a recovery code again: %v", err)
	}
	for _, e := range s.rooms.Newest(t, 100) {
		for _, code := range append(recovery, codeFor(key, s.clock.At)) {
			if e.Reason == code || e.Target == code {
				t.Errorf("a code is in the log: %+v", e)
			}
		}
	}
}

// Of many logins at once with the same code one succeeds.
func TestOneCodeOneLogin(t *testing.T) {
	t.Parallel()
	s := open(t)
	key, _ := s.factor()
	code := codeFor(key, s.clock.At)
	var wg sync.WaitGroup
	results := make(chan error, 8)
	for i := range cap(results) {
		b := s.buffer(password)
		wg.Go(func() {
			err := people.ErrBusy
			for errors.Is(err, people.ErrBusy) { // on a slow machine some wait for too long
				_, err = s.Login(t.Context(), people.Login{User: "alice", Password: b, Code: code, From: fmt.Sprint(i)})
			}
			results <- err
		})
	}
	wg.Wait()
	close(results)
	in := 0
	for err := range results {
		if err == nil {
			in++
		} else if !errors.Is(err, people.ErrLogin) {
			t.Error(err)
		}
	}
	if in != 1 {
		t.Errorf("%d logins with one code", in)
	}
}

// Who has the password cannot try all codes, from however many addresses.
func TestGuessingCodes(t *testing.T) {
	t.Parallel()
	s := open(t)
	key, recovery := s.factor()
	for i := range 20 {
		if _, err := s.try("alice", password, guess, fmt.Sprint("192.0.2.", i)); !errors.Is(err, people.ErrLogin) {
			t.Fatal(err)
		}
	}
	if _, err := s.try("alice", password, codeFor(key, s.clock.At), "192.0.2.200"); !errors.Is(err, people.ErrLogin) {
		t.Errorf("the right code after 20 wrong ones: %v", err)
	}
	if _, err := s.try("alice", password, recovery[0], "192.0.2.201"); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
	s.clock.Add(time.Hour + time.Second)
	if _, err := s.try("alice", password, codeFor(key, s.clock.At), "192.0.2.202"); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

func TestRemoveFactor(t *testing.T) {
	t.Parallel()
	s := open(t)
	bob := s.add("bob", "admin")
	key, _ := s.factor()
	if _, err := s.BeginFactor(t.Context(), s.alice, s.buffer(password), s.rooms.Arena); !errors.Is(err, people.ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := s.BeginFactor(t.Context(), bob, s.buffer("wrong horse battery"), s.rooms.Arena); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("with a wrong password: %v", err)
	}
	for _, code := range []string{"", guess} {
		if err := s.RemoveFactor(t.Context(), s.alice, "alice", code); !errors.Is(err, credential.ErrInvalid) {
			t.Errorf("with code %q: %v", code, err)
		}
		e := s.rooms.Newest(t, 1)[0]
		if e.Action != "factor.remove" || e.Actor != "alice" || e.Outcome != "refused" || e.Reason != "wrong code of the second factor" {
			t.Errorf("with code %q: logged %+v", code, e)
		}
	}
	check(t, s.RemoveFactor(t.Context(), s.alice, "alice", codeFor(key, s.clock.At)))
	s.login("alice", password)
	s.clock.Add(time.Minute)
	s.factor()
	session, err := s.try("alice", password, codeFor(s.key(), s.clock.At), "192.0.2.1")
	check(t, err)
	s.clock.Add(time.Second)
	check(t, s.RemoveFactor(t.Context(), bob, "alice", ""))
	if s.admits(session.Token) {
		t.Error("the session goes on after somebody else took the factor away")
	}
	if got := s.login("alice", password).Person.LockedUntil; !got.Equal(s.clock.At.Add(24 * time.Hour)) {
		t.Errorf("locked until %s, a day after %s", got, s.clock.At)
	}
}

// key is what is stored of alice's second factor.
func (s *site) key() (key []byte) {
	s.t.Helper()
	check(s.t, s.rooms.Barrier.View(func(tx *barrier.Tx) error {
		b, err := tx.GetSecret("totp", s.alice.ID)
		if err == nil {
			key = append([]byte{}, b.Reveal()...)
			b.Wipe()
		}
		return err
	}))
	return key
}

// stored is a user's record.
func (s *site) stored(name string) (text string) {
	s.t.Helper()
	check(s.t, s.rooms.Barrier.View(func(tx *barrier.Tx) error {
		b, err := tx.Get("user", must(s.User(name))(s.t).ID)
		text = string(b)
		return err
	}))
	return text
}
