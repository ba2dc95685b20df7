// Command strongroom-server is the daemon that holds the vault, and what needs
// its machine: making a vault. People's command line is strongroom.
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
	return &app{cli.Program{Name: "strongroom-server", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}}
}
