// Command backstitch leads scanners' findings back to the line that caused
// them, names who owns it, and proves the change that closes them.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/backstitch/backstitch/cli"
	"github.com/backstitch/backstitch/code/gocalls"
	"github.com/backstitch/backstitch/code/kubernetes"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == kubernetes.RenderCommand {
		if err := kubernetes.ServeRenders(os.Stdin, os.Stdout); err != nil {
			os.Exit(2)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == gocalls.Command {
		if err := gocalls.Serve(context.Background(), os.Args[2:], os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
