package audit

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// TestNoRoomForAReserve: a disk too small for it is served all the same, and once it has room, the reserve comes.
func TestNoRoomForAReserve(t *testing.T) {
	t.Parallel()
	s := newFullServer(t, 4<<20)
	if err := s.Reserved(); err == nil || errors.Is(err, ErrNoSpace) {
		t.Errorf("Reserved: %v", err)
	}
	if list, err := filepath.Glob(s.ballast + "*"); err != nil || len(list) != 0 {
		t.Errorf("there is %q: %v", list, err)
	}
	if err := errors.Join(s.append("credential.read"), s.store("credential.create", "n1", 100)); err != nil {
		t.Error(err)
	}
	if err := syscall.Mount("", s.disk, "", syscall.MS_REMOUNT, "size=33554432"); err != nil {
		t.Fatal(err)
	}
	s.whole()
}

// A copy of the file may have its size and take up nothing, and what a crash left of a new one is in the way.
func TestReserveThatTakesUpNothing(t *testing.T) {
	t.Parallel()
	s := newFullServer(t, 16<<20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Truncate(s.ballast, 0), os.Truncate(s.ballast, reserveSize)); err != nil {
		t.Fatal(err)
	}
	s.demandReserve(0)
	s.reopen()
	s.demandReserve(reserveSize)
	if err := errors.Join(s.Close(), os.Rename(s.ballast, s.ballast+".new")); err != nil {
		t.Fatal(err)
	}
	s.reopen() // 16 MiB have no room for two
	s.demandReserve(reserveSize)
	if err := s.Reserved(); err != nil {
		t.Error(err)
	}
}

const givenUpDir = "AUDIT_TEST_GIVEN_UP_DIR"

// TestKilledAfterGivingUp: a process is killed between giving up the reserve and writing what needed it. The next one
// knows what the room is for.
func TestKilledAfterGivingUp(t *testing.T) {
	t.Parallel()
	if disk := os.Getenv(givenUpDir); disk != "" {
		l, err := OpenReserved(filepath.Join(disk, "audit"), newArena(t), filepath.Join(disk, "reserve"))
		demand(err)
		e := Entry{Action: "grant.revoke", Outcome: Allowed}
		demand(l.reserve.retry(&e, func() error {
			if l.Reserved() == nil {
				return ErrNoSpace
			}
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}))
	}
	s := newFullServer(t, 32<<20)
	filler := s.exhaust()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledAfterGivingUp$", "-test.count=1")
	child.Env = append(os.Environ(), givenUpDir+"="+s.disk)
	out, err := child.CombinedOutput()
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("%v: %s", err, out)
	}
	s.demandReserve(0)
	// Somebody else takes some of what was freed, or the reserve would just be whole again.
	if err := os.WriteFile(filepath.Join(s.disk, "another"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if err := s.append("credential.read"); !errors.Is(err, ErrNoSpace) || !errors.Is(s.Reserved(), ErrNoSpace) {
		t.Errorf("an ordinary entry: %v; Reserved: %v", err, s.Reserved())
	}
	if err := errors.Join(s.append("vault.unseal"), s.store("grant.revoke", "n1", 20_000)); err != nil {
		t.Errorf("essential ones: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.whole()
	if err := s.append("credential.read"); err != nil {
		t.Error(err)
	}
}

// TestTornOnAFullDisk: a log whose last entry a crash tore on a disk that is still full is opened with the reserve.
func TestTornOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := newFullServer(t, 32<<20)
	s.add(3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(s.dir, segmentName(1)), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(make([]byte, 50)); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	kit.Fill(t, s.disk, 0)
	s.reopen()
	s.demandReserve(0)
	if got := targets(t, s.Log, s.keys); len(got) != 4 || got[3] != "cut 50 bytes of an unfinished write after entry 3" {
		t.Errorf("read %v", got)
	}
}

// TestReserveThatIsBusy: an attempt to make it whole does not take the room from the step that it was given up for.
func TestReserveThatIsBusy(t *testing.T) {
	t.Parallel()
	s := newFullServer(t, 32<<20)
	e := Entry{Action: "grant.revoke", Outcome: Allowed}
	err := s.reserve.retry(&e, func() error {
		if s.Reserved() == nil {
			return ErrNoSpace
		}
		s.reserve.mu.Lock()
		s.reserve.timer.Stop()
		s.reserve.mu.Unlock()
		s.reserve.tick()
		s.demandReserve(0)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	s.whole()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Append(ctx, e); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v", err)
	}
	s.demandReserve(reserveSize) // other errors do not give it up
}
