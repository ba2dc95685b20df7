package test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// Nothing that is given to the vault is readable in any file of server or agent: after storing, delivering, editing and
// deleting, while they run and after they have ended.
func TestNoCanaryInFiles(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	host := server.Enroll(t, "canarylabelkey=canarylabelvalue")
	secrets := []string{"1-canary-secret-Zq>?~", "2-canary-secret-Zq>?~", "3-canary-masked-Vw+/"}
	canaries := append([]string{
		"canaryname", "canarydescription", "canaryuser", "canarytagkey", "canarytagvalue", "canary.example.com",
		"canarycustom", "canaryvariable", "canarydescribe", "canarygrant", "canarylabelkey", "canarylabelvalue",
	}, secrets...)
	folders := []string{server.Data, filepath.Dir(host.Socket)}
	clean := func(when string) {
		t.Helper()
		for _, hit := range kit.Find(t, canaries, folders...) {
			t.Errorf("%s: %q is in %s as %s", when, hit.Canary, hit.File, hit.Form)
		}
	}

	admin.With(secrets[0]).Do(t, "credential", "add", "canaryname", "--application", "generic-rest", "--auth-type", "basic",
		"--field", "url=https://canary.example.com", "--field", "username=canaryuser", "--secret", "password=-",
		"--tag", "canarytagkey=canarytagvalue", "--description", "canarydescription")
	admin.With(secrets[2]).Do(t, "credential", "add", "admin/canarycustom", "--variable", "PLAIN=canaryvariable", "--masked", "HIDDEN=-",
		"--describe", "PLAIN=canarydescribe")
	clean("after storing")

	admin.Do(t, "grant", "add", "canarygrant", "--credential", "canaryname", "--credential", "admin/canarycustom", "--host-label", "canarylabelkey=canarylabelvalue")
	password(t, host.Run(t, "get", "canaryname", "--field", "password"), secrets[0])
	password(t, host.Run(t, "get", "admin/canarycustom", "--field", "HIDDEN"), secrets[2])
	host.Run(t, "exec", "--credential", "canaryname", "--", "sh", "-c", `test "$CANARYNAME_PASSWORD" = '`+secrets[0]+`'`).Want(t, 0)
	clean("after delivering")

	admin.With(secrets[1]).Do(t, "credential", "edit", "canaryname", "--secret", "password=-")
	kit.Eventually(t, kit.Patience, "the new version is delivered", func() bool {
		return host.Run(t, "get", "canaryname", "--field", "password").Want(t, 0).Stdout == secrets[1]
	})
	clean("after editing")

	admin.Do(t, "credential", "delete", "canaryname", "admin/canarycustom", "--yes")
	clean("after deleting")

	server.Stop()
	host.Stop()
	clean("after the end")
	for _, log := range []string{server.Output(), host.Output()} {
		for _, s := range secrets {
			if strings.Contains(log, s) {
				t.Errorf("a log has %q:\n%s", s, log)
			}
		}
	}

	// The control: what is leaked on purpose into each folder is found.
	for _, folder := range folders {
		leak := filepath.Join(folder, "leak")
		if err := os.WriteFile(leak, []byte("x"+base64.StdEncoding.EncodeToString([]byte("ab"+secrets[1]))), 0o600); err != nil {
			t.Fatal(err)
		}
		if hits := kit.Find(t, canaries, folder); len(hits) != 1 || hits[0].File != leak || hits[0].Canary != secrets[1] {
			t.Errorf("the leak in %s was not found: %q", folder, hits)
		}
	}
}
