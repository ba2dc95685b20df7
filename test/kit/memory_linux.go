package kit

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A Residue is a place in a process's memory that holds a canary or 8 bytes in a row of it.
type Residue struct {
	Form    string
	Address uint64
	Mapping string // the line of /proc/PID/maps
}

// Memory searches the readable memory of a process, for 8-byte pieces of a canary as they are, and for the whole of it
// as hex and base64. The second result lists the mappings that cannot be read, such as the secret memory of an arena.
func Memory(t testing.TB, pid int, canary string) (found []Residue, unread []string) {
	t.Helper()
	NeedRoot(t)
	needles := forms(canary)
	delete(needles, "plain")
	for i := range len(canary) - 7 {
		needles[fmt.Sprintf("bytes %d to %d", i, i+8)] = []byte(canary[i : i+8])
	}
	longest := 8
	for _, n := range needles {
		longest = max(longest, len(n))
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	chunk := make([]byte, 1<<20)
	empty := make([]byte, len(chunk))
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var low, high uint64
		var rights string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &low, &high, &rights); n != 3 || !strings.HasPrefix(rights, "r") {
			continue
		}
		for at := low; at < high; at += uint64(len(chunk) - longest) {
			n, err := memory.ReadAt(chunk[:min(uint64(len(chunk)), high-at)], int64(at))
			if err != nil && n == 0 {
				unread = append(unread, lines.Text())
				break
			}
			if bytes.Equal(chunk[:n], empty[:n]) {
				continue
			}
			for form, needle := range needles {
				for i := 0; ; {
					hit := bytes.Index(chunk[i:n], needle)
					if hit < 0 {
						break
					}
					found = append(found, Residue{form, at + uint64(i+hit), lines.Text()})
					i += hit + 1
				}
			}
		}
	}
	return found, unread
}
