package roomtest

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// AnyLabels is a fleet.LabelJudge to whom every label is right.
func AnyLabels(_ string, _ map[string]string, store func(widened string) error) error {
	return store("")
}

// Meanwhile does something in a goroutine of its own. It returns once that is done, or waits for the mutex that method
// takes, which is how the goroutine's stack names it: such as vault.(*Vault).AddGrant.
func Meanwhile(t testing.TB, method string, do func()) (done <-chan struct{}) {
	t.Helper()
	id, end := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(end)
		own := make([]byte, 64)
		header, _, _ := strings.Cut(string(own[:runtime.Stack(own, false)]), "[")
		id <- header
		do()
	}()
	waits := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(<-id) + `\[sync\.Mutex\.Lock(?:.*\n)+?sync\.\(\*Mutex\)\.Lock\(.*\n.*\n.*` + regexp.QuoteMeta(method) + `\(`)
	all := make([]byte, 8<<20)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case <-end:
			return end
		case <-time.After(5 * time.Millisecond):
		}
		for one := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
			if waits.MatchString(one) {
				return end
			}
		}
	}
	t.Errorf("what goes on meanwhile is neither done nor waits in %s", method)
	return end
}
