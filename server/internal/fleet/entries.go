package fleet

import (
	"cmp"
	"fmt"

	"github.com/strongroom/strongroom/server/internal/audit"
)

// LeasesBy sets who is asked what a host was given and may still hold, for the log: a host that is revoked need not wipe
// it. LeasesBy is called before serving starts.
func (f *Fleet) LeasesBy(leases func(host string) []string) { f.leasesBy = leases }

// revokeText has what the host was given until then. It says "at least", and never that there is nothing: until the
// revocation is durable the host may get another lease, and what it got before the server started is not known.
func revokeText(h Host, leases []string) string {
	text := hostText(h)
	if len(leases) > 0 {
		text += "; leases of at least " + audit.List(leases)
	}
	return text
}

// hostText quotes the name, which is the host's own word.
func hostText(h Host) string {
	return fmt.Sprintf("name %q; labels %s", h.Name, cmp.Or(audit.Labels(nil, h.Labels), "none"))
}

func labelText(before, after map[string]string) string {
	return cmp.Or(audit.Labels(before, after), "no label changed")
}

func joinText(h Host, t joinToken) string {
	h.Labels = t.Labels
	return "join token " + t.ID + "; " + hostText(h)
}
