package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
)

func newFixSet(s *streams) *cobra.Command {
	var which chosenIssues
	command := &cobra.Command{
		Use:   "set",
		Short: "The smallest set of changes that closes the most risk of the open issues",
		Long: "Chooses among the known fix paths of all open issues those that close as much risk as\n" +
			"all of them together, for the least effort, the one that pays the most first. Of the\n" +
			"ways to move one package of one module only one is taken. To follow such a set until all is\n" +
			"closed, make a campaign of the same choice.",
		Example: "  backstitch fix set\n  backstitch fix set --severity high --repository github.com/acme/shop -o json",
		Args:    cobra.NoArgs,
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, _ []string) error {
			wanted, _, err := which.choose(desk.Now())
			if err != nil {
				return err
			}
			set, err := desk.Smallest(cmd.Context(), wanted)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(set)
			}
			return s.printSet(set)
		}),
	}
	which.flags(command)
	return command
}

func (s *streams) printSet(c agent.Set) error {
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "#\tREPOSITORY\tCHANGE\tCLOSES\tRISK CLOSED SO FAR")
	for i, change := range c.Changes {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%.0f %%\n", i+1, plain(change.Repository), plain(change.Path.Summary), several(len(change.Closes), "issue"), 100*change.Share)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	quality := "no set closes as much for less effort"
	if !c.Exact {
		quality = "the best set that was found"
	}
	_, err := fmt.Fprintf(s.out, "\n%s close %d of %s; %s.\n", several(len(c.Changes), "change"), c.Issues-len(c.Open), several(c.Issues, "open issue"), quality)
	if err == nil && len(c.Open) > 0 {
		_, err = fmt.Fprintf(s.out, "No known fix path closes the other %d.\n", len(c.Open))
	}
	return err
}
