// Command strongroom is people's command line: a client of the server's REST
// API and of nothing else. It holds no rule about who may do what.
package main

import (
	"os"

	"github.com/strongroom/strongroom/shared/cli"
)

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(cli.Report(os.Stderr, "strongroom", a.run(os.Args[1:])))
}
