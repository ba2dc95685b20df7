package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRunFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(config, []byte("state: "+dir+"/from-file\nsocket: "+dir+"/s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "", "", "run", "--config", config).fails(t, 1, dir+"/from-file", "strongroom-agent enroll")
	program(t, "", "", "run", "--config", config, "--state", dir+"/from-flag").fails(t, 1, dir+"/from-flag")
	program(t, "", "", "run", "--config", dir+"/none").fails(t, 2, dir+"/none")
	if err := os.WriteFile(config, []byte("state: x\nlisten: y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "", "", "run", "--config", config).fails(t, 2, config, "line 2, column 1", "listen")
}
