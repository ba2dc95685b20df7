// Command strongroom is people's command line: a client of the server's REST
// API and of nothing else. It holds no rule about who may do what.
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
	return &app{Program: cli.Program{Name: "strongroom", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}}
}
