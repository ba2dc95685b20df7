package delivery

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

// FuzzReport: whatever a host reports makes entries that the log takes, in that host's name, and marked as its word.
func FuzzReport(f *testing.F) {
	seed := func(r *wire.ReportRequest) {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(&wire.ReportRequest{Usage: []*wire.Usage{{
		Credential: "c1", Name: "crm", Version: 7, Job: &wire.Job{User: "etl", Uid: "1001", Pid: 42, Exe: "/bin/sh"}, Allowed: true, AgoMs: 90_000,
	}}})
	seed(&wire.ReportRequest{Usage: []*wire.Usage{{Reason: "\u00e9\x00", AgoMs: -1 << 63}, nil}})
	log := roomtest.Open(f).Log
	f.Fuzz(func(t *testing.T, b []byte) {
		var r wire.ReportRequest
		if proto.Unmarshal(b, &r) != nil || len(r.GetUsage()) > maxReport {
			return
		}
		target := func(id string) string {
			if id == "c1" {
				return "crm"
			}
			return "unknown"
		}
		for i, u := range r.GetUsage() {
			e := usageEntry(grant.Host{ID: "h1"}, u, target)
			if e.Actor != "host:h1" || e.Host != "h1" || e.Target != "crm" && e.Target != "unknown" {
				t.Errorf("an entry of %q about %q, of host %q", e.Actor, e.Target, e.Host)
			}
			for _, text := range []string{e.Job, e.Reason} {
				if len(text) > audit.MaxText {
					t.Errorf("%d bytes of text", len(text))
				}
			}
			if i > 0 {
				continue // one is enough for the disk
			}
			if _, err := log.Append(t.Context(), e); err != nil {
				t.Errorf("the log does not take %+v: %v", e, err)
			}
		}
	})
}
