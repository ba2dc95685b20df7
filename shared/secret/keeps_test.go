//go:build goexperiment.runtimesecret && linux && (amd64 || arm64) && !race

package secret

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
)

// TestWhatGoKeeps counts what Go's own packages leave of a secret outside the arena, at once and after one, two and three
// collections; docs/memory.md has the numbers. What is done within Do and dropped must be gone after three. What a
// package keeps for as long as it is used, and what is copied outside Do, stays: those counts are the control.
func TestWhatGoKeeps(t *testing.T) {
	a := testArena(t, 64<<10)
	for _, c := range []struct {
		name  string
		stays bool
		use   func(t *testing.T, b []byte) (kept any)
	}{
		{"x/crypto/argon2 in Do, one lane", false, func(_ *testing.T, b []byte) any {
			Do(func() { Wipe(argon2.IDKey(b, make([]byte, 16), 1, 8<<10, 1, 32)) })
			return nil
		}},
		{"x/crypto/argon2 in Do, four lanes", false, func(_ *testing.T, b []byte) any {
			Do(func() { Wipe(argon2.IDKey(b, make([]byte, 16), 1, 8<<10, 4, 32)) })
			return nil
		}},
		{"crypto/ecdsa in Do: one signature, key dropped", false, func(t *testing.T, b []byte) any {
			Do(func() {
				digest := sha256.Sum256([]byte("message"))
				if _, err := ecdsa.SignASN1(rand.Reader, ecdsaKey(t, b), digest[:]); err != nil {
					t.Error(err)
				}
			})
			return nil
		}},
		{"crypto/ed25519 in Do: one signature, key wiped", false, func(_ *testing.T, b []byte) any {
			Do(func() {
				key := ed25519.NewKeyFromSeed(b)
				_ = ed25519.Sign(key, []byte("message"))
				Wipe(key)
			})
			return nil
		}},
		{"crypto/tls: a key that served one handshake and is kept", true, func(t *testing.T, b []byte) any {
			key := ecdsaKey(t, b)
			handshake(t, key)
			return key
		}},
		{"crypto/tls: a key that served one handshake, made in Do and dropped", false, func(t *testing.T, b []byte) any {
			Do(func() { handshake(t, ecdsaKey(t, b)) })
			return nil
		}},
		{"a string, as of a token, made outside Do a hundred times and dropped", true, func(_ *testing.T, b []byte) any {
			n := 0
			for range 100 {
				n += len(stringOf(b))
			}
			return n
		}},
		{"encoding/json outside Do: a body with it, a hundred times and dropped", true, func(t *testing.T, b []byte) any {
			for range 100 {
				decode(t, b)
			}
			return nil
		}},
		{"encoding/json in Do: a body with it, a hundred times and dropped", false, func(t *testing.T, b []byte) any {
			Do(func() {
				for range 100 {
					decode(t, b)
				}
			})
			return nil
		}},
	} {
		b, err := a.New(32)
		if err != nil {
			t.Fatal(err)
		}
		Do(func() { // letters, so that it is text as well and below the curve's order
			text := rand.Text() + rand.Text()
			copy(b.Reveal(), text)
		})
		wanted := pieces{}
		wanted.add(c.name, b, 0)
		kept := c.use(t, b.Reveal())
		counts := []int{len(scan(t, a, wanted))}
		for range 3 {
			runtime.GC()
			time.Sleep(10 * time.Millisecond) // for Go's cleanups, which run beside
			counts = append(counts, len(scan(t, a, wanted)))
		}
		left := counts[3]
		for deadline := time.Now().Add(30 * time.Second); left > 0 && !c.stays && time.Now().Before(deadline); left = len(scan(t, a, wanted)) {
			runtime.GC() // the cleanups were late
			time.Sleep(100 * time.Millisecond)
		}
		runtime.KeepAlive(kept)
		t.Logf("%-70s %v", c.name, counts)
		if stays := left > 0; stays != c.stays {
			t.Errorf("%s: %d pieces after three collections; they stay: %t, want %t", c.name, left, stays, c.stays)
		}
		b.Wipe()
	}
}

func ecdsaKey(t *testing.T, b []byte) *ecdsa.PrivateKey {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

//go:noinline
func stringOf(b []byte) string { return string(b) }

func decode(t *testing.T, b []byte) {
	body := bytes.Join([][]byte{[]byte(`{"password":"`), b, []byte(`"}`)}, nil)
	var in struct{ Password string }
	if err := json.Unmarshal(body, &in); err != nil || len(in.Password) != len(b) {
		t.Error(err)
	}
}

func selfSigned(t *testing.T, key *ecdsa.PrivateKey) []byte {
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// handshake has a listener prove the key over a pipe.
func handshake(t *testing.T, key *ecdsa.PrivateKey) {
	certificate := tls.Certificate{Certificate: [][]byte{selfSigned(t, key)}, PrivateKey: key}
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		c := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
		done <- c.Handshake()
	}()
	s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13})
	if err := s.Handshake(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	_, _ = client.Close(), server.Close()
}
