package uplink

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/grant"
)

// A lease keeps the variables that came with it; what no catalogue has of them is not taken.
func TestLeaseKeepsToolVariables(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	u := f.uplink(f.enrolled(time.Now()), time.Now)
	f.run(u)
	f.within("connected", func() bool { return u.State().Connected })
	lease := func(environment map[string]string) (*Leased, error) {
		f.mu.Lock()
		f.environment = environment
		f.mu.Unlock()
		return u.Lease(t.Context(), "crm", grant.Job{User: "etl"})
	}
	sent := map[string]string{"PGPASSWORD": "{password}", "PGHOST": "{host}"}
	if l, err := lease(sent); err != nil || !maps.Equal(l.Environment, sent) {
		t.Errorf("%+v, %v", l, err)
	}
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprintf("A%d", i)] = "{k}"
	}
	if l, err := lease(many); err == nil || l != nil || !strings.Contains(err.Error(), "65 variables") {
		t.Errorf("%+v, %v", l, err)
	}
}
