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

func passesOn(os.Signal) bool  { return false }
func asksToEnd(os.Signal) bool { return true }

func terminate(p *os.Process) { _ = p.Kill() } // fails only where the command has ended
func reload(*os.Process)      {}

func exitCode(state *os.ProcessState) int { return state.ExitCode() }
