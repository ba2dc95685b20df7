package agent

import (
	"os"
	"path/filepath"
)

// DefaultState is where an agent keeps its identity.
func DefaultState() string { return filepath.Join(os.Getenv("ProgramData"), "Strongroom") }
