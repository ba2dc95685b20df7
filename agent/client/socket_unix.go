//go:build unix

package client

func defaultSocket() string { return "/run/strongroom/agent.sock" }
