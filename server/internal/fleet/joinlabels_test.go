package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
)

// The log says what a join token gives, in as many bytes as an entry has.
func TestJoinTokenIsLoggedWithItsTerms(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	long := map[string]string{}
	for i := range 64 {
		long[fmt.Sprintf("key%02d", i)] = strings.Repeat("é", 128)
	}
	for _, row := range []struct {
		labels map[string]string
		uses   int
		want   string
	}{
		{nil, 1, "labels none; 1 uses; until 2030-01-01T13:00:00Z"},
		{map[string]string{"role": "ci", "env": "prod"}, 5000, "labels env=prod, role=ci; 5000 uses; until 2030-01-01T13:00:00Z"},
		{long, 2, "…, and 63 more; 2 uses; until 2030-01-01T13:00:00Z"},
	} {
		clock.At = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
		if _, _, err := f.NewJoinToken(t.Context(), admin, row.labels, time.Hour, row.uses); err != nil {
			t.Fatal(err)
		}
		e := r.Newest(t, 1)[0]
		if e.Action != "host.join-token" || e.Outcome != audit.Allowed || !strings.HasSuffix(e.Reason, row.want) || len(row.labels) < 64 && e.Reason != row.want {
			t.Errorf("the log has %+v, want %s", e, row.want)
		}
	}
}
