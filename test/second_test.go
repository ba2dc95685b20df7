package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// A second server on the same data stops before it touches anything, and a
// missing store is not made anew.
func TestOneServerAFolder(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	addLogin(t, server.Admin, "crm", "a secret")
	run := func() kit.Result {
		return kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-server")}.Run(t, "run", "--data", server.Data,
			"--key-file", server.KeyFile, "--agents", "127.0.0.1:0", "--console", "127.0.0.1:0")
	}
	if second := run().Want(t, 1); !strings.Contains(second.Stderr, "stop the server on this folder first") {
		t.Errorf("the second server says %q", second.Stderr)
	}
	server.Admin.Do(t, "audit", "verify")
	server.Admin.Do(t, "credential", "show", "crm")

	server.Stop()
	db := filepath.Join(server.Data, "vault", "vault.db")
	if err := os.Rename(db, db+".away"); err != nil {
		t.Fatal(err)
	}
	if missing := run().Want(t, 1); !strings.Contains(missing.Stderr, "vault.db") || !strings.Contains(missing.Stderr, "backup") {
		t.Errorf("without its store the server says %q", missing.Stderr)
	}
	if _, err := os.Stat(db); !os.IsNotExist(err) {
		t.Errorf("the store was made anew: %v", err)
	}
}
