package deliver

import (
	"os"
	"os/signal"
)

// signals keeps Ctrl-C from ending this process before the command, which shares the console, has answered it.
type signals chan os.Signal

func catchSignals() signals {
	s := make(signals, 1)
	signal.Notify(s, os.Interrupt)
	return s
}

func (s signals) stop() { signal.Stop(s) }

func (s signals) passOn(_ *os.Process, ended <-chan struct{}) { <-ended }

func exitCode(state *os.ProcessState) int { return state.ExitCode() }
