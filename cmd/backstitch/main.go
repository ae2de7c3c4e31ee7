// Command backstitch leads scanners' findings back to the line that caused
// them, names who owns it, and proves the change that closes them.
package main

import (
	"os"

	"github.com/backstitch/backstitch/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
