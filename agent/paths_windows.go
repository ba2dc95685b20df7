package agent

import (
	"os"
	"path/filepath"
)

// DefaultState is where an agent keeps its identity.
func DefaultState() string { return filepath.Join(os.Getenv("ProgramData"), "Strongroom") }

// DefaultSocket is where jobs find the agent. Windows has Unix sockets too; a
// named pipe takes its place once the callers of one can be told.
func DefaultSocket() string { return filepath.Join(DefaultState(), "agent.sock") }
