package client

import (
	"os"
	"path/filepath"
)

func defaultSocket() string {
	return filepath.Join(os.Getenv("ProgramData"), "Strongroom", "agent.sock")
}
