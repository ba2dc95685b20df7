package audit

import (
	"bytes"
	"fmt"
	"testing"
)

// TestNothingReadableOnDisk looks for what entries say in the log's files.
func TestNothingReadableOnDisk(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	const canary = "CanaryQx7Zp-payroll"
	e := Entry{Actor: canary, Action: canary, Target: canary, Host: canary, Job: canary, Outcome: Failed, Reason: canary}
	for range 20 {
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if found := fragments(files(t, l.dir), canary); len(found) > 0 {
		t.Errorf("found %q", found)
	}
	hashes := map[string]bool{}
	for _, frame := range parts(files(t, l.dir)[file1])[1:] {
		hashes[string(frame[38:70])] = true
	}
	if len(hashes) != 20 {
		t.Errorf("20 equal entries have %d hashes: who guesses an entry can tell that it is there", len(hashes))
	}
	leak, err := l.Read(t.Context(), l.keys, Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	control := files(t, l.dir)
	control["leak"] = fmt.Appendf(nil, "%+v", leak)
	if found := fragments(control, canary); len(found) != len(canary)-7 {
		t.Errorf("of what was leaked on purpose only %q was found", found)
	}
}

// fragments are the 8-byte windows of the canary that are in the files.
func fragments(files map[string][]byte, canary string) (found []string) {
	for i := range len(canary) - 7 {
		for _, data := range files {
			if bytes.Contains(data, []byte(canary[i:i+8])) {
				found = append(found, canary[i:i+8])
				break
			}
		}
	}
	return found
}
