package server

import (
	"errors"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/grant"
)

// A definition that a newer program no longer takes does not keep the vault closed: status says that
// there is one, and what is built in is used. A sealed server knows of none.
func TestStatusCountsBrokenDefinitions(t *testing.T) {
	t.Parallel()
	s, _ := sealedWith(t, Init{Seal: SealKeyFile})
	unseal := func() {
		t.Helper()
		if _, err := s.unsealAtStart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	warned := func() bool {
		all := strings.Join(s.status().Warnings, "\n")
		if strings.Contains(all, "acme") || strings.Contains(all, "github") {
			t.Errorf("anybody may read what is imported: %s", all)
		}
		return strings.Contains(all, "1 imported definitions ")
	}
	unseal()
	who := grant.Person{Name: "admin", Permissions: grant.AllPermissions}
	for _, name := range []string{"acme", "github"} {
		text := "name: " + name + "\ntitle: Ours\ncategory: c\nauth_types: [{type: basic}]\n"
		must(s.credentials.Load().SetApplication(t.Context(), who, name, text, 0, false))(t)
	}
	if warned() {
		t.Errorf("all is well: %v", s.status().Warnings)
	}
	entry := audit.Entry{Actor: "system", Action: "application.set", Outcome: audit.Allowed}
	err := s.log.Change(t.Context(), s.rooms.barrier, entry, func(tx *barrier.Tx) error {
		id, err := tx.Lookup("application", "github")
		return errors.Join(err, tx.PutJSON("application", id, map[string]any{"id": id, "name": "github", "text": "later: true", "revision": 9}))
	})
	if err != nil {
		t.Fatal(err)
	}
	s.drop()
	if warned() || s.credentials.Load() != nil {
		t.Errorf("a sealed server knows of applications: %v", s.status().Warnings)
	}
	unseal()
	if !warned() {
		t.Errorf("warnings: %v", s.status().Warnings)
	}
	for name, title := range map[string]string{"acme": "Ours", "github": "GitHub"} {
		if app, err := s.credentials.Load().Application(name); err != nil || app.Title != title {
			t.Errorf("%s is %s, %v", name, app.Title, err)
		}
	}
}
