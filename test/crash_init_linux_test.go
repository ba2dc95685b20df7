package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// init is killed at each of its points, each time that it passes them: there is no vault then and the next init makes
// one, or there is a whole one.
func TestInitCrashes(t *testing.T) {
	t.Parallel()
	bin, random := kit.CrashBin(t), crashSeed(t)
	for _, disk := range []struct {
		name string
		new  func(testing.TB) (dir string, cut func())
	}{
		{"killed", func(t testing.TB) (string, func()) { return kit.Dir(t), func() {} }},
		{"power cut", func(t testing.TB) (string, func()) { return forgetful(t, random) }},
	} {
		t.Run(disk.name, func(t *testing.T) {
			dir, _ := disk.new(t)
			calm := kit.NewVictim(t, bin)
			initVault(t, calm, "", dir).Want(t, 0)
			for point, hits := range calm.Hits(t) {
				// The files of durable are the key, the console's certificate, the seal and the fingerprint; the rest happens in
				// the log and the store, which TestServerCrashes crashes, and once is enough here.
				if !strings.HasPrefix(point, "durable.") {
					hits = 1
				}
				for n := range hits {
					dir, cut := disk.new(t)
					crashInit(t, bin, dir, cut, fmt.Sprintf("%s:%d", point, n+1))
				}
				t.Logf("%s: %d crashes", point, hits)
			}
			for _, point := range []string{"vault.built", "vault.placed", "durable.sync", "durable.move", "durable.syncdir", "store.commit", "audit.sync"} {
				if calm.Hits(t)[point] == 0 {
					t.Errorf("init never passes %s", point)
				}
			}
		})
	}
}

func initVault(t *testing.T, v *kit.Victim, at, dir string) kit.Result {
	t.Helper()
	return v.Run(t, at, "strongroom-server", "init", "--data", filepath.Join(dir, "data"), "--json")
}

func crashInit(t *testing.T, bin, dir string, cut func(), at string) {
	t.Helper()
	v := kit.NewVictim(t, bin)
	if r := initVault(t, v, at, dir); r.Code != -1 {
		t.Fatalf("init was not killed at %s: %d, %s", at, r.Code, r.Stderr)
	}
	cut()
	again := initVault(t, v, "", dir)
	// From its last step on the vault may be there, and be said to be.
	if there := strings.Contains(again.Stderr, "there is a vault already"); again.Code != 0 && !(there && strings.HasPrefix(at, "vault.placed")) {
		t.Fatalf("init after one that was killed at %s: %d, %s", at, again.Code, again.Stderr)
	}
	cut()
	server := v.Start(t, "", "strongroom-server", "run", "--data", filepath.Join(dir, "data"), "--agents", kit.Address(t), "--console", kit.Address(t))
	if !server.Serves() || !strings.Contains(server.Output(), "sealed=false") {
		t.Fatalf("after %s: %s", at, server.Output())
	}
	server.Stop()
	v.Run(t, "", "strongroom-server", "verify", "--data", filepath.Join(dir, "data")).Want(t, 0)
}
