// Command strongroom-agent is the agent's daemon and what is run on its host: enrolling, asking the agent how it is, and
// reading credentials for a job. It holds no rule about who may have what.
package main

import (
	"os"

	"github.com/strongroom/strongroom/shared/cli"
)

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(cli.Report(os.Stderr, "strongroom-agent", a.run(os.Args[1:])))
}
