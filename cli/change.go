package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/remediation"
)

func newChange(s *streams) *cobra.Command {
	parent := &cobra.Command{
		Use:   "change",
		Short: "Changes that were offered, until an independent look shows that they worked",
		Long: "A change goes from proposed over open, merged, built and deployed to verified; or it ends as\n" +
			"rejected, superseded, failed, abandoned, rolled back or regressed, each with its reason.",
	}
	parent.AddCommand(newChangeList(s), newChangeShow(s), newChangeFollow(s), newChangeListen(s))
	return parent
}

func newChangeList(s *streams) *cobra.Command {
	var state string
	command := &cobra.Command{
		Use:   "list",
		Short: "All changes, the one that moved last first",
		Args:  cobra.NoArgs,
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, _ []string) error {
			states := remediation.States()
			if state != "" && !slices.Contains(states, remediation.State(state)) {
				return fmt.Errorf("--only %s: expected one of %v", state, states)
			}
			all, err := desk.Changes(cmd.Context())
			if err != nil {
				return err
			}
			list := []remediation.Remediation{}
			for _, r := range all {
				if state == "" || string(r.State) == state {
					list = append(list, r)
				}
			}
			if s.output == "json" {
				return s.json(list)
			}
			if len(list) == 0 && len(all) > 0 {
				fmt.Fprintf(s.out, "none of %s is %s\n", several(len(all), "change"), state)
				return nil
			}
			if len(list) == 0 {
				fmt.Fprintln(s.out, "no change yet: backstitch fix open ISSUE --remote URL offers one")
				return nil
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "CHANGE\tSTATE\tREPOSITORY\tWHAT\tISSUES\tWHERE")
			for _, r := range list {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", r.ID, r.State, plain(r.Repository), cut(plain(r.Path.Summary), 60), len(r.Issues), plain(whereOf(r)))
			}
			return table.Flush()
		}),
	}
	command.Flags().StringVar(&state, "only", "", "only those in this state, for example change_open")
	return command
}

func whereOf(r remediation.Remediation) string {
	if r.URL != "" {
		return r.URL
	}
	return r.Branch
}

func newChangeShow(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "show CHANGE",
		Short: "A change and its life so far",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			r, events, err := desk.Change(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(struct {
					remediation.Remediation
					Events []remediation.Event `json:"events"`
				}{r, events})
			}
			s.printChange(r)
			for _, e := range events {
				fmt.Fprintf(s.out, "  %s  %-17s %s", time.UnixMicro(e.At).UTC().Format(time.DateTime), e.To, plain(e.Actor))
				if e.Reason != "" {
					fmt.Fprintf(s.out, ": %s", plain(e.Reason))
				}
				fmt.Fprintln(s.out)
				for _, evidence := range e.Evidence {
					fmt.Fprintf(s.out, "      %s (%s): %s %s\n", plain(evidence.Method), evidence.Strength, plain(evidence.Source), plain(evidence.Detail))
				}
			}
			return nil
		}),
	}
}

func (s *streams) printChange(r remediation.Remediation) {
	fmt.Fprintf(s.out, "%s  %s", r.ID, r.State)
	if r.Reason != "" {
		fmt.Fprintf(s.out, ": %s", plain(r.Reason))
	}
	fmt.Fprintf(s.out, "\n  %s\n  repository %s, branch %s", plain(r.Path.Summary), plain(r.Repository), plain(r.Branch))
	if r.URL != "" {
		fmt.Fprintf(s.out, ", %s", plain(r.URL))
	}
	fmt.Fprintf(s.out, "\n  closes %s\n", strings.Join(r.Issues, ", "))
	if len(r.HandsOff) > 0 {
		fmt.Fprintf(s.out, "  hands off: %s work on its branch\n", plain(strings.Join(r.HandsOff, ", ")))
	}
	if len(r.Images) > 0 {
		fmt.Fprintf(s.out, "  in images %s\n", plain(strings.Join(r.Images, ", ")))
	}
	if len(r.Workloads) > 0 {
		fmt.Fprintf(s.out, "  runs in %s\n", plain(strings.Join(r.Workloads, ", ")))
	}
}

func newChangeFollow(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "follow [CHANGE...]",
		Short: "Look how changes stand, and act on it",
		Long: "Asks each change's forge and looks at what was seen since. What is open is brought up to date when\n" +
			"its target or the recommendation moved, and closed with a reason when it is overtaken; what is merged\n" +
			"is followed into images and to what runs, until a look shows the finding gone or still there. A\n" +
			"commit of somebody else on the branch makes the change theirs. Run it as often as you like.\n" +
			"It exits with 3 when a change could not be looked at.",
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			followed, err := desk.Follow(cmd.Context(), args...)
			if err != nil {
				return err
			}
			problems := 0
			for _, one := range followed {
				if one.Problem != "" {
					problems++
				}
			}
			if s.output == "json" {
				if err := s.json(followed); err != nil {
					return err
				}
			} else {
				s.printFollowed(followed)
				if len(followed) == 0 {
					fmt.Fprintln(s.out, "no change is on its way")
				}
			}
			if problems > 0 {
				return incomplete("%s could not be looked at", several(problems, "change"))
			}
			return nil
		}),
	}
}

// printFollowed tells what a look at changes brought.
func (s *streams) printFollowed(followed []agent.Followed) {
	for _, one := range followed {
		r := one.Remediation
		way := string(r.State)
		if one.Before != r.State {
			way = string(one.Before) + " -> " + way
		}
		fmt.Fprintf(s.out, "%s  %s", r.ID, way)
		if r.Reason != "" {
			fmt.Fprintf(s.out, ": %s", plain(r.Reason))
		}
		fmt.Fprintln(s.out)
		if one.Problem != "" {
			fmt.Fprintf(s.err, "%s: %s\n", r.ID, plain(one.Problem))
		}
	}
}
