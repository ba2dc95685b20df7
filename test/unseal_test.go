package test

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

const phrase = "anvil cobalt drifting ember fjord glacier hollow ink jungle kelp"

// otherSeal is a vault that opens without a key file.
type otherSeal struct {
	*kit.Process
	data   string
	shares []string
	admin  kit.Admin

	password string // of the admin
}

func initOther(t *testing.T, flags ...string) *otherSeal {
	t.Helper()
	s := &otherSeal{data: filepath.Join(kit.Dir(t), "data")}
	var made struct {
		CAFingerprint string   `json:"ca_fingerprint"`
		AdminPassword string   `json:"admin_password"`
		KeyFile       string   `json:"key_file"`
		UnsealShares  []string `json:"unseal_shares"`
	}
	program := kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-server")}
	program.Run(t, append([]string{"init", "--data", s.data, "--json"}, flags...)...).Want(t, 0).JSON(t, &made)
	if made.KeyFile != "" {
		t.Errorf("init says that there is a key file, %s", made.KeyFile)
	}
	s.shares, s.password = made.UnsealShares, made.AdminPassword
	s.admin = kit.Admin{Command: kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom"),
		Env: []string{"STRONGROOM_CA_FINGERPRINT=" + made.CAFingerprint}}}
	return s
}

// run starts the server, and says whether it is sealed.
func (s *otherSeal) run(t *testing.T, flags ...string) (sealed string) {
	t.Helper()
	s.Process = kit.Start(t, "strongroom-server", append([]string{"run", "--data", s.data,
		"--agents", "127.0.0.1:0", "--console", "127.0.0.1:0"}, flags...)...)
	ready := s.Ready()
	s.admin.Env = append(s.admin.Env[:1:1], "STRONGROOM_SERVER="+ready["console"])
	return ready["sealed"]
}

type sealStatus struct {
	Sealed bool
	Shares *struct{ In, Need int }
}

func (s *otherSeal) is(t *testing.T, sealed bool, in int) {
	t.Helper()
	var got sealStatus
	s.admin.Do(t, "status", "--json").JSON(t, &got)
	if got.Sealed != sealed || (got.Shares == nil) != (in < 0) || got.Shares != nil && (got.Shares.In != in || got.Shares.Need != 3) {
		t.Errorf("status says %+v, %+v; want sealed: %t and %d shares", got, got.Shares, sealed, in)
	}
}

// refuses gives a share that must not count.
func (s *otherSeal) refuses(t *testing.T, code int, share, says string) {
	t.Helper()
	r := s.admin.With(share).Run(t, "unseal", "--share", "-").Want(t, code)
	if !strings.Contains(r.Stderr, says) {
		t.Errorf("it says %q, want %q", r.Stderr, says)
	}
	if parts := strings.Split(share, ":"); len(parts) > 5 && strings.Contains(r.Stderr, parts[5]) {
		t.Errorf("the share is in %q", r.Stderr)
	}
}

func TestUnsealWithPassphrase(t *testing.T) {
	t.Parallel()
	right, wrong := "@"+kit.File(t, phrase+"\n"), "@"+kit.File(t, phrase+"s")
	s := initOther(t, "--seal", "passphrase", "--passphrase", right)
	if sealed := s.run(t, "--passphrase", right); sealed != "false" {
		t.Fatalf("ready says sealed=%s", sealed)
	}
	s.is(t, false, -1)
	s.Stop()

	if sealed := s.run(t); sealed != "true" {
		t.Fatalf("without the passphrase ready says sealed=%s", sealed)
	}
	s.admin.Run(t, "unseal", "--passphrase", wrong).Want(t, 3)
	s.refuses(t, 2, strings.Repeat("x", 40), "this is not a whole share")
	s.refuses(t, 3, "strongroom-share-v1:00112233445566778899aabbccddeeff:0123456789abcdef:2:99:"+strings.Repeat("2", 64)+":d7751df2", "it opens with a passphrase")
	s.is(t, true, -1)
	s.admin.Do(t, "unseal", "--passphrase", right)
	s.is(t, false, -1)
	s.Stop()

	kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-server")}.
		Run(t, "run", "--data", s.data, "--agents", "127.0.0.1:0", "--console", "127.0.0.1:0", "--passphrase", wrong).Want(t, 1)
}

func TestUnsealWithShares(t *testing.T) {
	t.Parallel()
	s, foreign := initOther(t, "--seal", "shamir"), initOther(t, "--seal", "shamir")
	if len(s.shares) != 5 || s.run(t) != "true" {
		t.Fatalf("%d shares, %s", len(s.shares), s.Output())
	}
	s.is(t, true, 0)
	s.admin.With(s.shares[0]+"\n").Do(t, "unseal", "--share", "-")
	s.is(t, true, 1)
	s.refuses(t, 3, s.shares[0], "share 1 is in already, 1 of 3 are")
	s.refuses(t, 3, foreign.shares[1], "another vault")
	s.refuses(t, 2, strings.Replace(s.shares[1], ":2:3:", ":4:3:", 1), "checksum")
	s.is(t, true, 1)

	// Two slips are no more than two of five attempts a minute: what was mistyped, and what waits for the others, are none.
	var got sealStatus
	s.admin.With(s.shares[4]).Do(t, "unseal", "--share", "-", "--json").JSON(t, &got)
	if !got.Sealed || got.Shares == nil || got.Shares.In != 2 || got.Shares.Need != 3 {
		t.Errorf("unseal says %+v, %+v", got, got.Shares)
	}
	for range 3 {
		s.refuses(t, 3, foreign.shares[1], "another vault")
	}
	s.refuses(t, 3, s.shares[2], "too many attempts to unseal: try again in ")
	s.is(t, true, 2)
	s.Stop()

	// A restart forgets what was in, and the attempts.
	s.run(t)
	s.is(t, true, 0)
	s.admin.With(s.shares[3]).Do(t, "unseal", "--share", "-")
	s.admin.Do(t, "unseal", "--reset")
	s.is(t, true, 0)
	for in, share := range []int{4, 1, 2} {
		s.is(t, true, in)
		s.admin.With(s.shares[share]).Do(t, "unseal", "--share", "-")
	}
	s.is(t, false, -1)

	token := filepath.Join(kit.Dir(t), "token")
	s.admin.With(s.password).Do(t, "login", "--user", "admin", "--password", "-", "--token-out", token)
	s.admin.Env = append(s.admin.Env, "STRONGROOM_TOKEN_FILE="+token)
	refused := map[string]bool{} // how many there were follows in brackets
	for _, e := range s.admin.Audit(t, "--action", "vault.unseal") {
		if reason, _, _ := strings.Cut(e.Reason, " ("); e.Outcome == "refused" {
			refused[reason] = true
		}
	}
	want := map[string]bool{"share refused": true, "not a share": true, "too many attempts": true}
	if !maps.Equal(refused, want) {
		t.Errorf("logged as refused are %v, want %v", refused, want)
	}
}
