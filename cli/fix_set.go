package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/issue"
)

func newFixSet(s *streams) *cobra.Command {
	var severity, repository string
	command := &cobra.Command{
		Use:   "set",
		Short: "The smallest set of changes that closes the most risk of the open issues",
		Long: "Chooses among the known fix paths of all open issues those that close as much risk as\n" +
			"all of them together, for the least effort, the one that pays the most first. Of the\n" +
			"ways to move one package of one module only one is taken.",
		Example: "  backstitch fix set\n  backstitch fix set --severity high --repository github.com/acme/shop -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			threshold := fact.SeverityUnknown
			if severity != "" {
				if err := threshold.UnmarshalText([]byte(severity)); err != nil {
					return fmt.Errorf("--severity: %w", err)
				}
			}
			desk, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			defer desk.Close()
			campaign, err := desk.Smallest(cmd.Context(), func(it *issue.Issue) bool {
				here := repository == "" || len(it.Cause.Locations) > 0 && it.Cause.Locations[0].Repository == repository
				return here && it.Severity >= threshold
			})
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(campaign)
			}
			return s.printCampaign(campaign)
		},
	}
	command.Flags().StringVar(&severity, "severity", "", "only issues at least this severe")
	command.Flags().StringVar(&repository, "repository", "", "only issues whose cause is in this repository")
	return command
}

func (s *streams) printCampaign(c agent.Campaign) error {
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
