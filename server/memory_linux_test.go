//go:build goexperiment.runtimesecret && linux && (amd64 || arm64)

package server

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

const memoryPhrase = "anvil cobalt drifting ember fjord glacier hollow ink jungle kelp"

// A sealed server has none of the vault's keys in its memory, and nothing of what opened it. While it is unsealed they
// are in the arena, which can be read here, and nowhere else: that they are found there is the control.
func TestSealedServerHasNoKeys(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	for name, how := range map[string]struct {
		init   []string
		unseal func(t *testing.T, v *openVault)
		keys   func(v *openVault, k *vaultKeys)
	}{
		"key file": {
			unseal: func(t *testing.T, v *openVault) { v.admin.Do(t, "unseal", "--key-file", v.keyFile) },
			keys:   func(v *openVault, k *vaultKeys) { k.keyFile(v.data, v.keyFile) },
		},
		"passphrase": {
			init:   []string{"--seal", "passphrase", "--passphrase", "@" + kit.File(t, memoryPhrase)},
			unseal: func(t *testing.T, v *openVault) { v.admin.With(memoryPhrase).Do(t, "unseal", "--passphrase", "-") },
			keys:   func(v *openVault, k *vaultKeys) { k.passphrase(v.data, memoryPhrase) },
		},
		"shares": {
			init: []string{"--seal", "shamir", "--shares", "3", "--threshold", "2"},
			unseal: func(t *testing.T, v *openVault) {
				for _, share := range v.shares[1:] {
					v.admin.With(share).Do(t, "unseal", "--share", "-")
				}
			},
			keys: func(v *openVault, k *vaultKeys) { k.shares(v.data, v.shares[1:]) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := initVault(t, how.init...)
			how.unseal(t, v)
			v.use(t)
			k := keysOf(t, v.data)
			how.keys(v, k)
			found := settled(t, "unsealed", v, k, func(s kit.Scan) bool { return len(s.Found) == 0 })
			want := []string{"audit's private key", "keyring's key", "keyring's key 1", "name-index key", "set-hash key"}
			if got := kit.Names(found.Arena); !slices.Equal(got, want) {
				t.Errorf("control: unsealed, the arena holds %q, want %q", got, want)
			}
			v.admin.Do(t, "seal")
			settled(t, "sealed", v, k, func(s kit.Scan) bool { return len(s.Found)+len(s.Arena) == 0 })
			how.unseal(t, v)
			settled(t, "unsealed again", v, k, func(s kit.Scan) bool { return len(s.Found) == 0 })
			v.admin.Do(t, "seal")
			settled(t, "sealed again", v, k, func(s kit.Scan) bool { return len(s.Found)+len(s.Arena) == 0 })
		})
	}
}

// settled scans until the memory is as it should be, for as long as a collection may take to come on a slow machine.
func settled(t *testing.T, when string, v *openVault, k *vaultKeys, good func(kit.Scan) bool) (s kit.Scan) {
	t.Helper()
	var first kit.Scan
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		s = kit.Memory(t, v.Pid(), k.secrets...)
		if first.Bytes == 0 {
			first = s
		}
		if good(s) || time.Since(began) > time.Minute {
			break
		}
	}
	t.Logf("%s, %d secrets: at first %d pieces outside the arena of %q; then %v", when, len(k.secrets), len(first.Found), kit.Names(first.Found), s)
	if !good(s) {
		t.Errorf("%s: pieces stay outside the arena of %q, within it of %q", when, kit.Names(s.Found), kit.Names(s.Arena))
	}
	return s
}

// openVault is a vault whose server starts sealed, with an arena that can be read.
type openVault struct {
	*kit.Process
	data, keyFile string
	shares        []string
	admin         kit.Admin
	password      string
}

func initVault(t *testing.T, flags ...string) *openVault {
	t.Helper()
	dir := kit.Dir(t)
	v := &openVault{data: filepath.Join(dir, "data")}
	var made struct {
		CAFingerprint string   `json:"ca_fingerprint"`
		AdminPassword string   `json:"admin_password"`
		UnsealShares  []string `json:"unseal_shares"`
	}
	if flags == nil {
		v.keyFile = filepath.Join(dir, "unseal.key")
		flags = []string{"--key-file", v.keyFile}
	}
	program := kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-server")}
	program.Run(t, append([]string{"init", "--data", v.data, "--json"}, flags...)...).Want(t, 0).JSON(t, &made)
	v.shares, v.password = made.UnsealShares, made.AdminPassword
	way := kit.Command{Env: []string{"GOGC=10"}, PlainArena: true}
	v.Process = way.Start(t, "strongroom-server", "run", "--data", v.data, "--agents", "127.0.0.1:0", "--console", "127.0.0.1:0")
	ready := v.Ready()
	if ready["sealed"] != "true" {
		t.Fatalf("ready says %v, want sealed", ready)
	}
	v.admin = kit.Admin{Command: kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom"), Env: []string{
		"STRONGROOM_SERVER=" + ready["console"], "STRONGROOM_CA_FINGERPRINT=" + made.CAFingerprint,
		"STRONGROOM_TOKEN_FILE=" + filepath.Join(dir, "token"),
	}}}
	return v
}

// use has the server work with every kind of key: records, names, the log's entries and values.
func (v *openVault) use(t *testing.T) {
	t.Helper()
	v.admin.With(v.password).Do(t, "login", "--user", "admin", "--password", "-", "--token-out", strings.TrimPrefix(v.admin.Env[2], "STRONGROOM_TOKEN_FILE="))
	for _, name := range []string{"a", "b", "c"} {
		v.admin.With("a value").Do(t, "credential", "add", name, "--application", "generic-rest", "--auth-type", "access_token", "--secret", "token=-")
		v.admin.Do(t, "credential", "show", name, "--reveal")
	}
	v.admin.Do(t, "host", "join-token")
	v.admin.Do(t, "audit", "list")
	v.admin.Do(t, "audit", "verify")
}
