package test

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
	"github.com/strongroom/strongroom/test/lossy"
)

// forgetful mounts a disk that loses at a power cut what was not synced. Three of four cuts take all of that, and one
// leaves some of it, at random; without random none does.
func forgetful(t testing.TB, random *rand.Rand) (dir string, cut func()) {
	t.Helper()
	kit.NeedRoot(t)
	m, err := lossy.MountAt(kit.Dir(t), lossy.NewDisk("home"))
	if err != nil {
		t.Fatal(err)
	}
	cuts, whole := 0, 0
	t.Cleanup(func() {
		t.Logf("%d of %d power cuts took all that was not synced", whole, cuts)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(m.Dir, "home"), func() {
		t.Helper()
		surviving := random
		if random != nil && random.IntN(4) > 0 {
			surviving = nil
		}
		if cuts++; surviving == nil {
			whole++
		}
		if err := m.Cut(surviving); err != nil {
			t.Fatal(err)
		}
	}
}

// The same as TestServerCrashes where each crash is a power cut: of three in four whatever was not synced is gone, and of
// the fourth torn.
func TestServerPowerCuts(t *testing.T) {
	t.Parallel()
	random := crashSeed(t)
	dir, cut := forgetful(t, random)
	s := newSiege(t, random, kit.CrashBin(t), filepath.Join(dir, "data"), cut)
	s.storm(200)
	wantHits([]*siege{s}, serverPoints)
}

// The control: programs that forget one fsync, the server of its log and the agent of its files, are found out.
func TestPowerCutsFindWhatIsNotSynced(t *testing.T) {
	t.Parallel()
	random := crashSeed(t)
	forgetting := kit.Mutant(t, map[string][2]string{
		"server/internal/audit/writer.go": {
			"crash.Point(\"audit.sync\")\n\tif err := l.file.Sync(); err != nil {", "crash.Point(\"audit.sync\")\n\tif err := error(nil); err != nil {",
		},
		"shared/durable/durable.go": {"if err := errors.Join(err, f.Sync(), f.Close()); err != nil {", "if err := errors.Join(err, f.Close()); err != nil {"},
	})
	server := expectFailure(t, func(t testing.TB) {
		dir, cut := forgetful(t, random)
		s := newSiege(t, random, kit.CrashBin(t), filepath.Join(dir, "data"), cut)
		s.victim.Bin = forgetting // from the next start on: what init wrote is durable
		s.storm(30)
	})
	t.Logf("the server's log: %.300s", strings.Join(server, "\n"))
	s := newSiege(t, random, kit.CrashBin(t), emptyDir(t), nil)
	agent := expectFailure(t, func(t testing.TB) {
		dir, cut := forgetful(t, nil) // one file and one cut: at random it would survive now and then
		h := newMortal(t, s, dir, cut)
		h.victim.Bin = forgetting
		h.enroll("").Want(t, 0)
		cut()
		h.lives("connected")
	})
	t.Logf("the agent's identity: %.300s", strings.Join(agent, "\n"))
}
