package people

import (
	"errors"
	"fmt"
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/roomtest"
)

// More tokens than a transaction takes, with names and without.
func TestVoidTokens(t *testing.T) {
	t.Parallel()
	r := roomtest.Open(t)
	entry := audit.Entry{Actor: "system", Action: "vault.restore", Outcome: audit.Allowed}
	for i := range 100 {
		token := Token{ID: fmt.Sprintf("t%d", i), User: "u"}
		if i < 45 {
			token.Name = fmt.Sprintf("n%d", i)
		}
		err := r.Log.Change(t.Context(), r.Barrier, entry, func(tx *barrier.Tx) error {
			if !token.session() {
				if err := tx.Claim(kindToken, "u/"+token.Name, token.ID); err != nil {
					return err
				}
			}
			return tx.PutJSON(kindToken, token.ID, token)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range [][2]int{{55, 45}, {0, 0}} {
		if sessions, tokens, err := VoidTokens(t.Context(), r.Barrier, r.Log, entry); err != nil || sessions != want[0] || tokens != want[1] {
			t.Errorf("%d sessions, %d tokens, %v; want %v", sessions, tokens, err, want)
		}
	}
	if err := r.Barrier.View(func(tx *barrier.Tx) error {
		_, err := tx.Lookup(kindToken, "u/n3")
		return err
	}); !errors.Is(err, barrier.ErrNotFound) {
		t.Errorf("a name: %v", err)
	}
}
