package test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// The points of a server that serves, and of one that starts. One more is passed by a start that finds a change without
// its outcome.
var (
	servingPoints = []string{
		"audit.write", "audit.change.intent", "store.commit", "audit.sync", "store.committed", "audit.change.stored",
		"fleet.joined", "audit.synced", "vault.stored", "delivery.joined", "audit.hash", "rest.answer",
	}
	startPoints  = []string{"audit.segment.rename", "audit.segment.syncdir", "audit.segment.open", "audit.write", "audit.synced"}
	serverPoints = slices.Concat(servingPoints, startPoints, []string{"audit.reconcile"})
)

// A server is killed at each of its points and at random moments, while several change things, hosts join and one
// reads. Each time it starts again by itself, with all that it answered for and nothing by halves.
func TestServerCrashes(t *testing.T) {
	t.Parallel()
	const vaults, crashes = 2, 102
	bin, random := kit.CrashBin(t), crashSeed(t)
	var sieges []*siege
	for range vaults {
		s := newSiege(t, random, bin, emptyDir(t), nil)
		s.storm(crashes)
		sieges = append(sieges, s)
	}
	wantHits(sieges, serverPoints)
}

// What is shipped has nothing of this.
func TestShippedWithoutCrashPoints(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"strongroom-server", "strongroom-agent"} {
		for _, trace := range []string{"STRONGROOM_CRASH", "audit.segment.rename", "enrol.answered", "shared/crash"} {
			plain, crashing := contains(t, kit.Bin(t), program, trace), contains(t, kit.CrashBin(t), program, trace)
			if plain {
				t.Errorf("%s has %q in it", program, trace)
			}
			if own := strings.HasPrefix(trace, "audit") == (program == "strongroom-server"); !crashing && (own || !strings.Contains(trace, ".")) {
				t.Errorf("the control: %q is not found in a %s that has it", trace, program)
			}
		}
	}
}

func contains(t *testing.T, bin, program, text string) bool {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(bin, program))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(body, []byte(text))
}
