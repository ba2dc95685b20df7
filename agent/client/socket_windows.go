package client

import (
	"os"
	"path/filepath"
)

// DefaultSocket is where the agent serves jobs, and jobs look for it. Windows
// has Unix sockets too; a named pipe takes its place once the callers of one can
// be told.
func DefaultSocket() string {
	return filepath.Join(os.Getenv("ProgramData"), "Strongroom", "agent.sock")
}
