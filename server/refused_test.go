package server

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/rest"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/shared/secret"
)

// sealedWith is a new vault under this seal, and its server, which nothing has opened yet.
func sealedWith(t *testing.T, c Init) (*Server, Initialised) {
	t.Helper()
	a := newTestArena(t, 1<<16)
	c.Data, c.Admin, c.TrustDomain = t.TempDir(), "admin", "strongroom.local"
	c.KeyFile = filepath.Join(t.TempDir(), "unseal.key")
	c.Password = must(a.From([]byte("Anvil-cobalt-drift-77")))(t)
	made := must(Create(t.Context(), c))(t)
	s := must(open(sealedConfig(c.Data, c.KeyFile)))(t)
	t.Cleanup(func() { stop(t, s) })
	return s, made
}

// TestWhatDoesNotOpen tells a server's admins what is wrong with what they gave, changes nothing and logs each attempt;
// the right thing opens the vault afterwards. How few attempts there are is for TestAttemptsAreFew, TestWhatUnseals and
// TestUnsealWithShares; each form that a share may not have is in TestReadShareRefuses.
func TestWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	a := newTestArena(t, 1<<16)
	text := func(s string) *secret.Buffer { return must(a.From([]byte(s)))(t) }
	phrase := text("anvil cobalt drifting ember fjord glacier hollow ink")
	other := text("anvil cobalt drifting ember fjord glacier hollow oak")
	byKey, keyed := sealedWith(t, Init{Seal: SealKeyFile})
	byShares, shared := sealedWith(t, Init{Seal: SealShamir, Shares: 3, Threshold: 2})
	byPhrase, _ := sealedWith(t, Init{Seal: SealPassphrase, Passphrase: phrase})
	_, foreign := sealedWith(t, Init{Seal: SealShamir, Shares: 3, Threshold: 2})
	_, foreignKey := sealedWith(t, Init{Seal: SealKeyFile})
	another := must(seal.CreateWithShares(a, filepath.Join(t.TempDir(), "seal.json"), byShares.header.Load().Vault(), must(a.Random(32))(t), 3, 2))(t)
	line := func(path string) *secret.Buffer { return must(a.ReadFile(path, 1<<10))(t) }
	digits := strings.Split(shared.UnsealShares[1], ":")[5]

	for _, tc := range []struct {
		what string
		s    *Server
		with rest.Unsealing
		want error
		says string
	}{
		{"another vault's key file", byKey, rest.Unsealing{KeyFile: line(foreignKey.KeyFile)}, seal.ErrWrongKey, "does not open this vault"},
		{"no key file", byKey, rest.Unsealing{KeyFile: text("strongroom-key-v1:00")}, seal.ErrKeyFile, "not one line as `strongroom-server init` writes it"},
		{"a passphrase where there is a key file", byKey, rest.Unsealing{Passphrase: phrase}, seal.ErrNoSlot, "it opens with a key file"},
		{"a share where there is a key file", byKey, rest.Unsealing{Share: text(shared.UnsealShares[0])}, seal.ErrNoSlot, "it opens with a key file"},
		{"another passphrase", byPhrase, rest.Unsealing{Passphrase: other}, seal.ErrWrongKey, "does not open this vault"},
		{"a key file where there is a passphrase", byPhrase, rest.Unsealing{KeyFile: line(keyed.KeyFile)}, seal.ErrNoSlot, "it opens with a passphrase"},
		{"one share", byShares, rest.Unsealing{Share: text(shared.UnsealShares[0])}, nil, ""},
		{"the same again", byShares, rest.Unsealing{Share: text(shared.UnsealShares[0])}, seal.ErrShare, "share 1 is in already, 1 of 2 are; give another one"},
		{"another vault's share", byShares, rest.Unsealing{Share: text(foreign.UnsealShares[1])}, seal.ErrShare, "another vault"},
		{"another set's share", byShares, rest.Unsealing{Share: another[1]}, seal.ErrShare, "another set"},
		{"a mistyped share", byShares, rest.Unsealing{Share: text(strings.Replace(shared.UnsealShares[1], digits, strings.Repeat("0", 64), 1))}, seal.ErrShareText, "checksum"},
		{"a key file where there are shares", byShares, rest.Unsealing{KeyFile: line(keyed.KeyFile)}, seal.ErrNoSlot, "2 of its 3 shares"},
	} {
		got, err := tc.s.unsealByRequest(t.Context(), tc.with)
		if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) || err == nil && !got.Sealed {
			t.Errorf("%s: %v, want %v and %q", tc.what, err, tc.want, tc.says)
		}
		if err != nil && strings.Contains(err.Error(), digits) {
			t.Errorf("%s: the share is in the error", tc.what)
		}
	}
	for _, tc := range []struct {
		s       *Server
		with    rest.Unsealing
		refused string // as the log has it; what is no key file at all was not tried
	}{
		{byKey, rest.Unsealing{KeyFile: line(keyed.KeyFile)}, "share refused, wrong key file, wrong passphrase"},
		{byPhrase, rest.Unsealing{Passphrase: phrase}, "wrong key file, wrong passphrase"},
		{byShares, rest.Unsealing{Share: text(shared.UnsealShares[2])}, "share refused, share refused (3 more in the last minute), wrong key file"},
	} {
		if got, err := tc.s.unsealByRequest(t.Context(), tc.with); err != nil || got.Sealed {
			t.Errorf("what opens it: %+v, %v", got, err)
			continue
		}
		if got := refusals(t, tc.s); got != tc.refused {
			t.Errorf("%s: the log has %s, want %s", tc.s.header.Load().OpensWith(), got, tc.refused)
		}
	}
}

// refusals are the reasons of the refused attempts, also of those that were only counted.
func refusals(t *testing.T, s *Server) string {
	t.Helper()
	s.log.FlushRefusals()
	page := must(s.log.Read(t.Context(), s.rooms.keys, audit.Query{Action: "vault.unseal"}))(t)
	var reasons []string
	for _, e := range page.Items {
		if e.Outcome == audit.Refused {
			reasons = append(reasons, e.Reason)
		}
	}
	slices.Sort(reasons)
	return strings.Join(reasons, ", ")
}

// TestWrongAtStart names the flag that mends it.
func TestWrongAtStart(t *testing.T) {
	t.Parallel()
	v, other := newSmall(t), newSmall(t)
	v.keyFile = other.keyFile
	if _, err := v.start(t); !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), "is the key file of another vault; name the right one with --key-file") {
		t.Error(err)
	}
}
