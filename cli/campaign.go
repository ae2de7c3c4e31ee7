package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/campaign"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

// chosenIssues are the flags that choose among the open issues.
type chosenIssues struct {
	severity, repository, kind, owner string
	exploited, fixable                bool
	olderThan                         int
}

func (c *chosenIssues) flags(command *cobra.Command) {
	command.Flags().StringVar(&c.severity, "severity", "", "only issues at least this severe")
	command.Flags().StringVar(&c.repository, "repository", "", "only issues whose cause is in this repository")
	command.Flags().StringVar(&c.kind, "kind", "", fmt.Sprintf("only issues of this kind, one of %v", fact.Kinds()))
	command.Flags().StringVar(&c.owner, "owner", "", "only issues whose first owner this is, by name or id")
	command.Flags().BoolVar(&c.exploited, "exploited", false, "only flaws known to be exploited (CISA KEV)")
	command.Flags().BoolVar(&c.fixable, "fixable", false, "only issues that a known change closes")
	command.Flags().IntVar(&c.olderThan, "older-than", 0, "only issues first seen at least this many days ago")
}

// choose gives the choice as a function, and in words.
func (c *chosenIssues) choose(now time.Time) (wanted func(*issue.Issue) bool, words string, err error) {
	threshold := fact.SeverityUnknown
	if c.severity != "" {
		if err := threshold.UnmarshalText([]byte(c.severity)); err != nil {
			return nil, "", fmt.Errorf("--severity: %w", err)
		}
	}
	if c.kind != "" && !slices.Contains(fact.Kinds(), fact.Kind(c.kind)) {
		return nil, "", fmt.Errorf("--kind %q: expected one of %v", c.kind, fact.Kinds())
	}
	if c.olderThan < 0 {
		return nil, "", fmt.Errorf("--older-than %d: expected a number of days", c.olderThan)
	}
	var all []func(*issue.Issue) bool
	var said []string
	add := func(given bool, text string, test func(*issue.Issue) bool) {
		if given {
			all, said = append(all, test), append(said, text)
		}
	}
	add(c.severity != "", "at least "+c.severity, func(it *issue.Issue) bool { return it.Severity >= threshold })
	add(c.repository != "", "in "+c.repository, func(it *issue.Issue) bool {
		return len(it.Cause.Locations) > 0 && it.Cause.Locations[0].Repository == c.repository
	})
	add(c.kind != "", "of kind "+c.kind, func(it *issue.Issue) bool { return string(it.Kind) == c.kind })
	add(c.owner != "", "of "+c.owner, func(it *issue.Issue) bool {
		return len(it.Owners) > 0 && (it.Owners[0].Name == c.owner || it.Owners[0].ID == c.owner)
	})
	add(c.exploited, "known to be exploited", func(it *issue.Issue) bool { return it.Exploit })
	add(c.fixable, "with a known change", func(it *issue.Issue) bool {
		return slices.ContainsFunc(it.FixPaths, func(p fix.Path) bool { return !p.Manual })
	})
	oldest := now.AddDate(0, 0, -c.olderThan).UnixMicro()
	add(c.olderThan > 0, fmt.Sprintf("first seen at least %s before", several(c.olderThan, "day")), func(it *issue.Issue) bool {
		return it.FirstSeen != 0 && it.FirstSeen <= oldest
	})
	return func(it *issue.Issue) bool {
		return !slices.ContainsFunc(all, func(test func(*issue.Issue) bool) bool { return !test(it) })
	}, cmp.Or(strings.Join(said, ", "), "all open issues"), nil
}

func newCampaign(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "campaign", Short: "Issues that are to be closed together, by a day and with somebody who leads"}
	var which chosenIssues
	var c campaign.Campaign
	var due string
	create := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a campaign of the open issues that the flags choose",
		Long:    "The issues are settled when the campaign is made. What closes them is chosen anew each time:\nthe smallest set of changes for what is left.",
		Example: "  backstitch campaign create exploited-2026 --exploited --due 2026-12-24 --manager ana@acme.example",
		Args:    cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			c.Name, c.By = args[0], actor()
			if due != "" {
				date, err := time.Parse(time.DateOnly, due)
				if err != nil {
					return fmt.Errorf("--due %q: expected a day such as 2026-12-24", due)
				}
				c.Due = date.AddDate(0, 0, 1).UnixMicro() - 1
			}
			wanted, about, err := which.choose(desk.Now())
			if err != nil {
				return err
			}
			c.About = about
			made, err := desk.StartCampaign(cmd.Context(), c, wanted)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(made)
			}
			_, err = fmt.Fprintf(s.out, "%s: %s\n", made.Name, several(len(made.Issues), "issue"))
			return err
		}),
	}
	which.flags(create)
	create.Flags().StringVar(&due, "due", "", "day by which all should be closed, for example 2026-12-24")
	create.Flags().StringVar(&c.Manager, "manager", "", "who leads it")
	list := &cobra.Command{
		Use:   "list",
		Short: "The campaigns and how far they are",
		Args:  cobra.NoArgs,
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, _ []string) error {
			all, err := desk.Campaigns(cmd.Context())
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(all)
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "CAMPAIGN\tISSUES\tCLOSED\tRISK CLOSED\tDUE\tMANAGER")
			for _, one := range all {
				fmt.Fprintf(table, "%s\t%d\t%d\t%.0f %%\t%s\t%s\n", one.Name, len(one.Issues), one.States[issue.Resolved], one.Share(), dueOf(one), plain(one.Manager))
			}
			return table.Flush()
		}),
	}
	show := &cobra.Command{
		Use:   "show NAME",
		Short: "Each issue of a campaign, what became of it, and the changes that close what is left",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			status, err := desk.Campaign(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(status)
			}
			return s.printCampaign(status)
		}),
	}
	parent.AddCommand(create, list, show, newCampaignOpen(s), newCampaignEnd(s))
	return parent
}

func newCampaignOpen(s *streams) *cobra.Command {
	var request agent.FixRequest
	most := 0
	command := &cobra.Command{
		Use:   "open NAME",
		Short: "Prove and offer the changes that a campaign has left, those that pay most first",
		Long:  "Changes that are under way are left alone, and so is what people closed without merging. Limits,\napprovals and quiet hours hold as for every change.",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			if most < 1 {
				return fmt.Errorf("--most %d: expected at least 1", most)
			}
			request.By = actor()
			list, err := desk.OpenCampaign(cmd.Context(), args[0], most, request)
			if err != nil {
				return err
			}
			held := slices.ContainsFunc(list, func(one agent.CampaignOpened) bool { return one.Problem != "" })
			if s.output == "json" {
				if err := s.json(list); err != nil {
					return err
				}
			} else {
				for _, one := range list {
					fmt.Fprintf(s.out, "%s  %s\n    %s\n", one.Issue, plain(one.Change.Path.Summary), plain(cmp.Or(one.Problem, one.Opened.Receipt.Outcome+" "+cmp.Or(one.Opened.Receipt.URL, one.Opened.Receipt.Ref))))
				}
				if len(list) == 0 {
					fmt.Fprintln(s.out, "nothing is left to offer")
				}
			}
			if held {
				return gate("not all changes were offered")
			}
			return nil
		}),
	}
	command.Flags().IntVar(&most, "most", 10, "until so many changes are under way that were not")
	command.Flags().StringVar(&request.Remote, "remote", "", "where the changes go (default: the origin of each repository)")
	command.Flags().StringVar(&request.Target, "target", "", "branch that they are meant for (default: the remote's)")
	return command
}

func newCampaignEnd(s *streams) *cobra.Command {
	note := ""
	command := &cobra.Command{
		Use:   "end NAME",
		Short: "End a campaign; it stays for the record",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			_, err := campaign.End(cmd.Context(), desk.DB, args[0], note, desk.Now())
			return err
		}),
	}
	command.Flags().StringVar(&note, "note", "", "why, for whoever reads it later")
	return command
}

// dueOf tells a campaign's day, and whether it is past.
func dueOf(c agent.CampaignStatus) string {
	switch {
	case c.Ended != 0:
		return "ended " + day(c.Ended)
	case c.Due == 0:
		return "-"
	case c.Late:
		return day(c.Due) + ", late"
	}
	return day(c.Due)
}

func (s *streams) printCampaign(c agent.CampaignStatus) error {
	fmt.Fprintf(s.out, "%s: %s (%s)\n", c.Name, several(len(c.Issues), "issue"), plain(c.About))
	fmt.Fprintf(s.out, "due %s, led by %s\n", dueOf(c), plain(cmp.Or(c.Manager, "nobody")))
	fmt.Fprintf(s.out, "closed: %d of %s, %.0f %% of the risk\n\n", c.States[issue.Resolved], several(len(c.Issues), "issue"), c.Share())
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ISSUE\tRISK\tSTATE\tWHO\tWHAT\tCHANGE")
	for _, one := range c.Issues {
		change := "-"
		if one.Change != "" {
			change = cmp.Or(one.URL, one.Change) + " " + string(one.Stands)
		}
		fmt.Fprintf(table, "%s\t%.1f\t%s\t%s\t%s\t%s\n", one.ID, one.Risk, cmp.Or(string(one.State), "not known any more"), plain(cmp.Or(one.Owner, "-")), cut(plain(one.Title), 60), plain(change))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if c.Left.Issues == 0 {
		return nil
	}
	fmt.Fprint(s.out, "\nwhat is left\n\n")
	return s.printSet(c.Left)
}
