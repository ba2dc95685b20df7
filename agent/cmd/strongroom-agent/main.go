// Command strongroom-agent is the agent's daemon and what is run on its host: enrolling, asking the agent how it is, and
// reading credentials for a job. It holds no rule about who may have what.
package main

import (
	"os"

	"github.com/strongroom/strongroom/shared/cli"
)

func main() {
	a := newApp()
	os.Exit(cli.Report(a.Stderr, a.Name, a.run(os.Args[1:])))
}

func newApp() *app {
	return &app{cli.Program{Name: "strongroom-agent", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}}
}
