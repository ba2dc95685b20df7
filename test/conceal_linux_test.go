package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// Both daemons conceal their memory (TestConceal says what that is worth) before
// they serve.
func TestDaemonsAreConcealed(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	host := server.Enroll(t)
	for name, pid := range map[string]int{"server": server.Pid(), "agent": host.Pid()} {
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(limits), "Max core file size        0                    0 ") {
			t.Errorf("%s may leave core files:\n%s", name, limits)
		}
	}
}
