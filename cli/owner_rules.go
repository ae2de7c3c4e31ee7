package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/owner"
)

func newOwnerRules(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "rules", Short: "Rules that read owners off tags and labels"}
	test := &cobra.Command{
		Use:   "test FILE",
		Short: "What rules would claim over the whole graph, without saving them",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			tried, err := desk.TryRules(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(tried)
			}
			return s.printTried(tried)
		}),
	}
	var try bool
	apply := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make a file's rules those of the state, and show whose owners change",
		Long:  "The rules are kept as " + app.TagRulesFile + " in the state folder, a file to be reviewed. What people said\nholds, whatever tags say.",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			change, err := desk.ApplyRules(cmd.Context(), args[0], try)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(change)
			}
			s.printOwnersChange(change)
			return nil
		}),
	}
	apply.Flags().BoolVar(&try, "dry-run", false, "show the changes and save nothing")
	parent.AddCommand(test, apply)
	return parent
}

func (s *streams) printOwnersChange(change owner.OwnersChange) {
	for _, one := range change.Sample {
		fmt.Fprintf(s.out, "  %s:%s\n", one.Asset.Kind, plain(one.Asset.Key))
		if one.Before != "" {
			fmt.Fprintf(s.out, "-     %s\n", plain(one.Before))
		}
		if one.After != "" {
			fmt.Fprintf(s.out, "+     %s\n", plain(one.After))
		}
	}
	if more := change.Gained + change.Lost + change.Moved - len(change.Sample); more > 0 {
		fmt.Fprintf(s.out, "  ... and %d more\n", more)
	}
	fmt.Fprintf(s.out, "of %d assets %d gain a clear owner, %d lose theirs, %d get another; of %d more a person's word holds, %d of them pinned\n",
		change.Assets, change.Gained, change.Lost, change.Moved, change.Said, change.Pinned)
}

func (s *streams) printTried(tried owner.DryRun) error {
	fmt.Fprintf(s.out, "of %d assets %d are claimed, %d of them for several owners\n\n", tried.Assets, tried.Claimed, tried.Several)
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tASSETS\tOWNERS\tFOR EXAMPLE")
	for _, r := range tried.Rules {
		example := ""
		if len(r.Samples) > 0 {
			example = r.Samples[0]
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", plain(r.Name), r.Assets, r.Owners, plain(example))
		for _, more := range r.Samples[min(1, len(r.Samples)):] {
			fmt.Fprintf(table, "\t\t\t%s\n", plain(more))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(tried.Unmatched) > 0 {
		var list []string
		for _, key := range slices.SortedFunc(maps.Keys(tried.Unmatched), func(a, b string) int {
			return cmp.Or(cmp.Compare(tried.Unmatched[b], tried.Unmatched[a]), cmp.Compare(a, b))
		}) {
			list = append(list, fmt.Sprintf("%s (%d)", key, tried.Unmatched[key]))
		}
		fmt.Fprintf(s.out, "\ntags like an owner's that no rule took: %s\n", plain(strings.Join(list[:min(len(list), 20)], ", ")))
	}
	return nil
}

func newOwnerCode(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "code [DIR...]",
		Short: "Read who owns repositories, by CODEOWNERS and history, into the graph",
		Long:  "Reads the repositories in the folders, or without any those that were looked at before and those of\nsources of kind gitlocal. What is built or declared from them inherits their owners.",
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			list, problems, err := desk.ClaimCode(cmd.Context(), args)
			if err != nil {
				return err
			}
			s.warn(problems)
			if s.output == "json" {
				err = s.json(append([]app.ClaimedCode{}, list...))
			} else {
				table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "REPOSITORY\tCOMMIT\tCLAIMS")
				for _, c := range list {
					fmt.Fprintf(table, "%s\t%.12s\t%s\n", plain(c.Repository), c.Commit, counted(c.Claims))
				}
				err = table.Flush()
			}
			switch {
			case err != nil:
				return err
			case len(list) == 0 && len(problems) == 0:
				return incomplete("no repository is known: name a folder, or run backstitch triage in one")
			case len(problems) > 0:
				return incomplete("the look was incomplete: %d repositories were not read", len(problems))
			}
			return nil
		}),
	}
}

func newOwnerCoverage(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "coverage",
		Short: "What share of assets and issues has an owner, and what would close the gaps",
		Args:  cobra.NoArgs,
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, _ []string) error {
			c, err := desk.OwnerCoverage(cmd.Context())
			if err != nil {
				return err
			}
			if s.output == "json" {
				err = s.json(c)
			} else {
				err = s.printCoverage(c)
			}
			if err == nil && c.Assets.All == 0 && c.Issues.All == 0 {
				return incomplete("the graph is empty and there are no issues: backstitch source add, then backstitch source sync")
			}
			return err
		}),
	}
}

func (s *streams) printCoverage(c app.OwnerCoverage) error {
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	row := func(what string, share owner.Share) {
		percent := 0.0
		if share.All > 0 {
			percent = 100 * float64(share.Clear) / float64(share.All)
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%.0f %%\t%d\n", plain(what), share.All, share.Clear, percent, share.Suggested)
	}
	rows := func(title string, all owner.Share, by map[string]owner.Share) {
		row(title, all)
		for _, name := range slices.Sorted(maps.Keys(by)) {
			row("  "+name, by[name])
		}
	}
	fmt.Fprintln(table, "WHAT\tALL\tCLEAR OWNER\tSHARE\tSUGGESTED")
	rows("assets", c.Assets, c.Kinds)
	rows("issues", c.Issues, c.ByKind)
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		row("assets claimed by "+name, c.Sources[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.BySource)) {
		row("issues claimed by "+name, c.BySource[name])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i, a := range c.Agreements {
		if i == 0 {
			fmt.Fprintln(s.out, "\nHOW OFTEN PEOPLE NAMED THE FIRST SUGGESTION, by its confidence")
		}
		fmt.Fprintf(s.out, "  %.1f to %.1f: %d of %d\n", a.From, a.From+.1, a.Agreed, a.Answers)
	}
	if len(c.Gaps) > 0 {
		fmt.Fprintln(s.out, "\nWHAT WOULD CLOSE THE GAPS, each after those before it")
	}
	for _, g := range c.Gaps {
		fmt.Fprintf(s.out, "  %d assets: %s\n", g.Closes, plain(g.Text))
		fmt.Fprintf(s.out, "      %s\n", plain(g.Propose))
		fmt.Fprintf(s.out, "      for example %s\n", plain(strings.Join(g.Samples, ", ")))
	}
	return nil
}
