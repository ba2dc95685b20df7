package fleet

import (
	"cmp"
	"fmt"

	"github.com/strongroom/strongroom/server/internal/audit"
)

// LeasesBy sets who is asked what a host was given and may still hold, for the log: a host that is revoked need not wipe
// it. LeasesBy is called before serving starts.
func (f *Fleet) LeasesBy(leases func(host string) []string) { f.leasesBy = leases }

func revokeText(h Host, leases []string) string {
	return fmt.Sprintf("%s; labels %s; leases of %s", cmp.Or(h.Name, "no name"), cmp.Or(audit.Labels(nil, h.Labels), "none"), cmp.Or(audit.List(leases), "nothing"))
}

func labelText(before, after map[string]string) string {
	return cmp.Or(audit.Labels(before, after), "no label changed")
}

func joinText(h Host, t joinToken) string {
	return fmt.Sprintf("join token %s; %s; labels %s", t.ID, cmp.Or(h.Name, "no name"), cmp.Or(audit.Labels(nil, t.Labels), "none"))
}
