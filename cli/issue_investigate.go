package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
)

func newIssueInvestigate(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "investigate ISSUE",
		Short: "The investigation record: what is known, what was asked, what to do here",
		Long: "Assets with their configuration, exposure, identities and owners; the chain to the line; hypotheses\n" +
			"of each domain with what supports or refutes them; the fix paths compared; a plan with commands and\n" +
			"what they are expected to show. Every sentence names its evidence by number. The same state gives\n" +
			"the same bytes.",
		Args: cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			record, err := desk.Investigate(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(record)
			}
			s.printInvestigation(record)
			return nil
		}),
	}
}

// refs writes the numbers of evidence.
func refs(numbers []int) string {
	var list []string
	for _, n := range numbers {
		list = append(list, fmt.Sprint(n))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func (s *streams) printInvestigation(r agent.Investigation) {
	say := func(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
	list := func(title string, statements []agent.Statement) {
		if len(statements) == 0 {
			return
		}
		say("\n%s", title)
		for _, one := range statements {
			say("  - %s %s", plain(one.Text), refs(one.Evidence))
		}
	}
	say("%s  %s  %s (%s)", r.Issue, r.Severity, plain(r.Title), plain(r.State))
	if r.Repository != "" {
		say("%s at %.12s", plain(r.Repository), r.Commit)
	}
	list("SUMMARY", r.Summary)
	for _, a := range r.Assets {
		say("\nASSET %s %s", a.Asset.Kind, plain(a.Asset.Key))
		for _, p := range a.Configuration {
			say("  %s = %s [%d]", plain(p.Name), plain(p.Value), p.By)
		}
		for _, group := range [][]agent.Statement{a.Exposure, a.Identity, a.Runs, a.Ownership} {
			for _, one := range group {
				say("  - %s %s", plain(one.Text), refs(one.Evidence))
			}
		}
	}
	list("WHERE", r.Where)
	list("WHO", r.Who)
	list("HISTORY", r.History)
	if len(r.Hypotheses) > 0 {
		say("\nHYPOTHESES")
	}
	for _, h := range r.Hypotheses {
		say("  %-9s %s: %s %s %s", h.Verdict, h.Domain, plain(h.Text), plain(h.Why), refs(h.Evidence))
	}
	if len(r.Paths) > 0 {
		say("\nHOW")
	}
	for _, p := range r.Paths {
		mark := " "
		if p.Recommended {
			mark = "*"
		}
		say("%s %s  %s", mark, plain(p.ID), plain(p.Summary))
		say("    %s; effort %s, risk %s, proof %s %s", plain(p.Reason), p.Effort, p.Risk, p.Proof, refs(p.Evidence))
	}
	if len(r.Plan) > 0 {
		say("\nPLAN")
	}
	for i, step := range r.Plan {
		say("  %d. %s %s", i+1, plain(step.Text), refs(step.Evidence))
		if step.Command != "" {
			say("       %s", plain(step.Command))
		}
		say("     expected: %s", plain(step.Expected))
	}
	if len(r.Missing) > 0 {
		say("\nNOT KNOWN")
	}
	for _, text := range r.Missing {
		say("  - %s", plain(text))
	}
	say("\nEVIDENCE")
	for _, e := range r.Evidence {
		at := ""
		if e.Location != nil {
			at = " at " + place(*e.Location)
		}
		say("  [%d] %s (%s): %s%s %s", e.Number, plain(e.Method), e.Strength, plain(e.Source), plain(at), plain(e.Detail))
	}
}
