//go:build unix

package agent

// DefaultState is where an agent keeps its identity.
func DefaultState() string { return "/var/lib/strongroom-agent" }
