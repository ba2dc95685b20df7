// Command strongroom-server is the daemon that holds the vault, and what needs
// its machine: making a vault. People's command line is strongroom.
package main

import (
	"os"

	"github.com/strongroom/strongroom/shared/cli"
)

func main() {
	os.Exit(cli.Report(os.Stderr, "strongroom-server", run(os.Args[1:])))
}
