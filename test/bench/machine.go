//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A machine is where a run took place, and what became of its processors' time meanwhile.
type machine struct {
	CPU    string  `json:"cpu"`
	Cores  int     `json:"cores"`
	Kernel string  `json:"kernel"`
	Disk   string  `json:"disk"` // the file system below the vault
	Go     string  `json:"go"`
	Took   float64 `json:"seconds"`
	// In seconds of one processor:
	Own    float64 `json:"cpu_own"`    // this run, its daemons and its jobs
	Others float64 `json:"cpu_others"` // every other process, and the kernel for itself
	Stolen float64 `json:"cpu_stolen"` // by other machines on the same hardware

	began  time.Time
	before ticks
}

func readMachine(dir string) (*machine, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return nil, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return nil, err
	}
	m := &machine{
		CPU: cpuName(), Cores: runtime.NumCPU(), Kernel: strings.TrimSpace(string(kernel)),
		Disk: diskName(int64(fs.Type)), Go: runtime.Version(), began: time.Now(),
	}
	m.before, err = readTicks()
	return m, err
}

// finish is called when every child has ended.
func (m *machine) finish() error {
	after, err := readTicks()
	if err != nil {
		return err
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			return err
		}
		m.Own += time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
	}
	m.Took = time.Since(m.began).Seconds()
	m.Others = max(0, after.busy-m.before.busy-m.Own) // ticks are coarse
	m.Stolen = after.stolen - m.before.stolen
	return nil
}

// String is one line for people.
func (m *machine) String() string {
	total := m.Took * float64(m.Cores)
	return fmt.Sprintf("%d × %s, Linux %s, %s, %s. In %.0f s: this run used %.0f %% of the CPU, others %.0f %%, %.0f %% was stolen.",
		m.Cores, m.CPU, m.Kernel, m.Disk, m.Go, m.Took, 100*m.Own/total, 100*m.Others/total, 100*m.Stolen/total)
}

func cpuName() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // some machines do not name it
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func diskName(kind int64) string {
	names := map[int64]string{
		0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x2fc12fc1: "zfs", 0x794c7630: "overlay",
		0x01021994: "tmpfs (an fsync costs nothing: see -dir)",
	}
	if name, ok := names[kind]; ok {
		return name
	}
	return fmt.Sprintf("file system %#x", kind)
}

// ticks are seconds of one processor since the machine started.
type ticks struct{ busy, stolen float64 }

// ticksPerSecond is the same for every Linux that Go runs on.
const ticksPerSecond = 100

func readTicks() (ticks, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return parseTicks(line)
}

// parseTicks reads "cpu user nice system idle iowait irq softirq steal …".
func parseTicks(line string) (t ticks, err error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return ticks{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return ticks{}, fmt.Errorf("/proc/stat: %w", err)
		}
		switch i {
		case 3, 4: // idle, waiting for a disk
		case 7:
			t.stolen = n / ticksPerSecond
		default:
			t.busy += n / ticksPerSecond
		}
	}
	return t, nil
}
