//go:build unix

package client

// DefaultSocket is where the agent serves jobs, and jobs look for it.
func DefaultSocket() string { return "/run/strongroom/agent.sock" }
