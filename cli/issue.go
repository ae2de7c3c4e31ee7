package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/issue"
)

func newIssue(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "issue", Short: "Issues of the state folder"}
	var all bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List issues, worst first",
		Args:  cobra.NoArgs,
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, _ []string) error {
			issues, err := desk.Issues(cmd.Context(), all)
			if err != nil {
				return err
			}
			looked, err := desk.Looked(cmd.Context())
			if err != nil {
				return err
			}
			looked = looked || len(issues) > 0
			if s.output == "json" {
				err = jsonList(s, issues)
			} else {
				err = printIssues(s.out, issues, looked)
			}
			if err == nil && !looked {
				err = incomplete("nothing was looked at yet: backstitch triage --repo DIR")
			}
			return err
		}),
	}
	list.Flags().BoolVar(&all, "all", false, "resolved and rejected ones too")

	show := &cobra.Command{
		Use:   "show ISSUE",
		Short: "Show one issue with its three answers and their evidence",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			it, err := desk.Issue(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(it)
			}
			s.printIssue(it)
			return nil
		}),
	}

	var reason, note string
	reject := &cobra.Command{
		Use:   "reject ISSUE --reason REASON --note TEXT",
		Short: "Decide that an issue is not to be fixed",
		Long: "Reasons: false_positive, not_affected, wont_fix, exception. A risk that is accepted\n" +
			"(wont_fix, exception) is never exported as not_affected.",
		Args: cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			return desk.Reject(cmd.Context(), args[0], reason, note)
		}),
	}
	reject.Flags().StringVar(&reason, "reason", "", "false_positive, not_affected, wont_fix or exception")
	reject.Flags().StringVar(&note, "note", "", "why, for whoever reads it later")
	for _, name := range []string{"reason", "note"} {
		if err := reject.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined two lines above
		}
	}
	parent.AddCommand(list, show, reject, newIssueAssign(s), newIssueInvestigate(s))
	return parent
}

// printIssue prints the three answers of an issue with their evidence.
func (s *streams) printIssue(it issue.Issue) {
	say := func(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
	say("%s  %s  %s", it.ID, it.Severity, plain(it.Title))
	say("state      %s %s", it.State, it.Reason)
	say("advisories %s", plain(strings.Join(it.Advisories, ", ")))
	if it.Package != nil {
		say("package    %s", plain(it.Package.PURL))
	}
	terms := make([]string, len(it.RiskTerms))
	for i, term := range it.RiskTerms {
		terms[i] = fmt.Sprintf("%+.1f %s (%s)", term.Effect, term.Name, plain(term.Detail))
	}
	say("risk       %.1f = %s", it.Risk, strings.Join(terms, " "))
	say("findings   %d, seen by %s", it.Findings, plain(strings.Join(it.Tools, ", ")))
	for _, asset := range it.Assets {
		say("asset      %s %s", asset.Kind, plain(asset.Name))
	}
	if it.Analysis != "" {
		say("analysis   %s", plain(it.Analysis))
	}
	say("")
	s.printCause(it.Cause)
	say("")
	say("WHO")
	s.printOwners(it.Owners)
	say("")
	say("HOW")
	s.printPaths(it.FixPaths)
	s.printBlocked(it)
}

func (s *streams) printBlocked(it issue.Issue) {
	for _, text := range it.Blocked {
		fmt.Fprintf(s.out, "  in the way: %s\n", plain(text))
	}
}

func (s *streams) printCause(cause fact.Cause) {
	fmt.Fprintf(s.out, "WHERE %s", cause.Status)
	if weakest := cause.Weakest(); weakest != "" && cause.Status != fact.CauseUnknown {
		fmt.Fprintf(s.out, ", as strong as the weakest step: %s", weakest)
	}
	fmt.Fprintln(s.out)
	for _, location := range cause.Locations {
		fmt.Fprintf(s.out, "  %s\n", plain(place(location)))
	}
	for _, link := range cause.Chain {
		fmt.Fprintf(s.out, "  - %s %s", link.Kind, plain(link.Key))
		if link.Location.Path != "" {
			fmt.Fprintf(s.out, " at %s", plain(place(link.Location)))
		}
		fmt.Fprintf(s.out, " (%s, %s, from %s)\n", plain(link.Evidence.Method), link.Evidence.Strength, plain(link.Evidence.Source))
	}
	for _, missing := range cause.Missing {
		fmt.Fprintf(s.out, "  missing: %s\n", plain(missing))
	}
}

func place(location fact.Location) string {
	text := location.Path
	if location.Line > 0 {
		text += fmt.Sprintf(":%d", location.Line)
		if location.EndLine > location.Line {
			text += fmt.Sprintf("-%d", location.EndLine)
		}
	}
	if location.Repository != "" {
		text = location.Repository + " " + text
	}
	return text
}

func (s *streams) printOwners(owners []fact.Owner) {
	if len(owners) == 0 {
		fmt.Fprintln(s.out, "  unknown: no ownership claim reaches this line")
	}
	for _, owner := range owners {
		fmt.Fprintf(s.out, "  %.2f  %s %s (%s)\n", owner.Confidence, owner.Kind, plain(owner.Name), plain(owner.Role))
		for _, e := range owner.Evidence {
			fmt.Fprintf(s.out, "        %s: %s (%s)\n", plain(e.Kind), plain(e.Detail), plain(e.Source))
		}
	}
}

func newCause(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "cause", Short: "Root causes"}
	parent.AddCommand(&cobra.Command{
		Use:   "explain ISSUE",
		Short: "The chain of evidence from the finding to the line",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			it, err := desk.Issue(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(it.Cause)
			}
			s.printCause(it.Cause)
			return nil
		}),
	}, newCauseTerraform(s), newCauseKubernetes(s))
	return parent
}
