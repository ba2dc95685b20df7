package grant

import (
	"errors"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
)

func TestPermissions(t *testing.T) {
	t.Parallel()
	for p := range Permission(permissions) {
		if permissionNames[p] == "" {
			t.Errorf("permission %d has no name", p)
		}
		if s, err := ParsePermissions([]string{p.String()}); err != nil || s != PermissionsOf(p) {
			t.Errorf("%s is read as %s, %v", p, s, err)
		}
	}
	for _, c := range []struct {
		names []string
		want  []string
	}{
		{nil, []string{}},
		{[]string{"host.*"}, []string{"host.view", "host.join", "host.label", "host.revoke"}},
		{[]string{"audit.view", "grant.view", "audit.view"}, []string{"grant.view", "audit.view"}},
	} {
		s, err := ParsePermissions(c.names)
		if err != nil || !slices.Equal(s.Names(), c.want) {
			t.Errorf("%q: %q, %v, want %q", c.names, s.Names(), err, c.want)
		}
	}
	for _, name := range []string{"", "*", ".*", "host", "host.", "host.*.*", "HOST.VIEW", "credential.view,grant.view"} {
		if s, err := ParsePermissions([]string{"audit.view", name}); !errors.Is(err, credential.ErrInvalid) || s != 0 {
			t.Errorf("%q is read as %s, %v", name, s, err)
		}
	}
	if got := AllPermissions.Beyond(PermissionsOf(HostView)); got.Has(HostView) || !got.Has(MetricsView) || len(got.Names()) != 21 {
		t.Errorf("all but host.view: %s", got)
	}
	if (Person{}).Can(CredentialView) || !(Person{Permissions: AllPermissions}).Can(VaultBackup) {
		t.Error("the set is not what a person can do")
	}
}
