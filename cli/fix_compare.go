package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

func newFixCompare(s *streams) *cobra.Command {
	var request agent.FixRequest
	var calls bool
	command := &cobra.Command{
		Use:   "compare ISSUE",
		Short: "The ways to fix an issue side by side, with the evidence for and against each",
		Long: "Shows every fix path of an issue in one column each: what it closes and what would come,\n" +
			"how far the versions are apart, whether it breaks what is used here, whether the flaw is\n" +
			"reached, who has to agree, how long it takes, what became of such changes before, and why\n" +
			"it is recommended or not. What nobody could look at says so.\n\n" +
			"--calls follows the calls of a Go program to the flawed symbols first, and keeps what it\n" +
			"finds: the program is type-checked in a sandbox without a network, none of it is run.",
		Example: "  backstitch fix compare BS-ABCDEFGHIJ\n  backstitch fix compare BS-ABCDEFGHIJ --calls -o json",
		Args:    cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			it, err := desk.Issue(cmd.Context(), args[0])
			if err == nil && calls {
				request.Issue = args[0]
				it, err = desk.FollowCalls(cmd.Context(), request)
			}
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(it.FixPaths)
			}
			if err := s.printCompared(it.FixPaths); err != nil {
				return err
			}
			s.printBlocked(it)
			return nil
		}),
	}
	command.Flags().BoolVar(&calls, "calls", false, "follow the calls of a Go program to the flawed symbols")
	command.Flags().StringVar(&request.Repo, "repo", "", "folder of the repository (default: where triage saw it)")
	return command
}

// comparedWidth is how wide a cell is before it goes on in the next line.
const comparedWidth = 44

// comparison lists what is shown of each path.
func comparison() []struct {
	name string
	cell func(p *fix.Path) string
} {
	return []struct {
		name string
		cell func(p *fix.Path) string
	}{
		{"path", func(p *fix.Path) string { return p.ID }},
		{"does", func(p *fix.Path) string { return p.Summary }},
		{"recommended", func(p *fix.Path) string {
			if p.Recommended {
				return "yes: " + p.Reason
			}
			return "no: " + p.Reason
		}},
		{"closes", func(p *fix.Path) string {
			return several(p.Findings, "finding") + " of " + several(len(p.Closes), "issue")
		}},
		{"leaves", func(p *fix.Path) string { return orDash(strings.Join(p.Residual, ", ")) }},
		{"brings", func(p *fix.Path) string { return orDash(strings.Join(p.Brings, ", ")) }},
		{"distance", func(p *fix.Path) string {
			return fmt.Sprintf("%s, %s effort, %s moved", orDash(p.Risk), orDash(p.Effort), several(len(p.Changes), "package"))
		}},
		{"breaks", func(p *fix.Path) string { return comparedBreaking(p.Breaking) }},
		{"flaw is", func(p *fix.Path) string { return comparedReachability(p.Reachability) }},
		{"decides about", func(p *fix.Path) string { return orDash(p.Reach) }},
		{"agrees", func(p *fix.Path) string {
			var names []string
			for _, o := range p.Reviewers {
				name := o.Name
				if len(o.Evidence) > 0 {
					name += " (" + o.Evidence[0].Kind + ")"
				}
				names = append(names, name)
			}
			return orDash(strings.Join(names, ", "))
		}},
		{"runs after", func(p *fix.Path) string { return comparedLive(p.Live) }},
		{"before", func(p *fix.Path) string {
			switch {
			case p.History == nil:
				return "nothing known"
			case p.History.RevertedLately:
				return p.History.Text + "; the newest was taken back lately"
			}
			return p.History.Text
		}},
		{"proof", func(p *fix.Path) string {
			switch {
			case p.Verification != nil:
				return p.Verification.Status
			case p.Manual:
				return "none: people carry it out"
			}
			return "not tried"
		}},
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func comparedBreaking(b *fix.Breaking) string {
	if b == nil {
		return "nothing known"
	}
	var text string
	switch b.Verdict {
	case fix.BreaksNothing:
		text = "nothing that is exported"
	case fix.BreaksUnused:
		text = fmt.Sprintf("nothing used here (%s elsewhere)", several(b.Changed, "change"))
	case fix.BreaksUsed:
		var uses []string
		for _, use := range b.Uses[:min(len(b.Uses), 3)] {
			uses = append(uses, fmt.Sprintf("%s %s (%s)", use.Symbol, use.Change, lineOf(use.Location)))
		}
		if more := len(b.Uses) - len(uses); more > 0 {
			uses = append(uses, fmt.Sprintf("%d more", more))
		}
		text = strings.Join(uses, "; ")
	default:
		text = "unknown"
		if b.Changed > 0 {
			text += fmt.Sprintf(" (%s)", several(b.Changed, "change"))
		}
		if len(b.Evidence) > 0 {
			text += ": " + strings.TrimPrefix(b.Evidence[0].Detail, "not known: ")
		}
	}
	return text
}

// lineOf is a place without its repository, which is that of the issue.
func lineOf(at fact.Location) string { return fmt.Sprintf("%s:%d", at.Path, at.Line) }

func comparedReachability(r *fix.Reachability) string {
	if r == nil {
		return "nothing known"
	}
	text := r.Verdict
	if len(r.Uses) > 0 {
		text += fmt.Sprintf(": %s (%s)", r.Uses[0].Symbol, lineOf(r.Uses[0].Location))
	} else if len(r.Evidence) > 0 {
		text += ": " + strings.TrimPrefix(r.Evidence[0].Detail, "not known: ")
	}
	return text
}

func comparedLive(l *fix.Live) string {
	if l == nil {
		return "-"
	}
	var known, unknown []string
	for _, stage := range l.Stages {
		if stage.Known {
			known = append(known, fmt.Sprintf("%s %s", stage.Name, fix.Days(stage.Takes)))
		} else {
			unknown = append(unknown, stage.Name)
		}
	}
	text := strings.Join(known, ", ")
	if len(unknown) > 0 {
		if text != "" {
			text += "; "
		}
		text += "not known: " + strings.Join(unknown, ", ")
	}
	return text
}

// printCompared puts paths side by side, two at a time where there are more, so that
// lines stay readable.
func (s *streams) printCompared(paths []fix.Path) error {
	if len(paths) == 0 {
		fmt.Fprintln(s.out, "  no fix path known")
		return nil
	}
	for start := 0; start < len(paths); start += 2 {
		if start > 0 {
			fmt.Fprintln(s.out)
		}
		side := paths[start:min(start+2, len(paths))]
		table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, row := range comparison() {
			cells := make([][]string, len(side))
			height := 0
			for i := range side {
				cells[i] = wrap(plain(row.cell(&side[i])), comparedWidth)
				height = max(height, len(cells[i]))
			}
			for line := range height {
				name := ""
				if line == 0 {
					name = row.name
				}
				fmt.Fprint(table, name)
				for i := range side {
					text := ""
					if line < len(cells[i]) {
						text = cells[i][line]
					}
					fmt.Fprintf(table, "\t%s", text)
				}
				fmt.Fprintln(table)
			}
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// wrap breaks text into lines of at most width characters, at spaces where it can.
func wrap(text string, width int) []string {
	var lines []string
	line := []rune{}
	for _, word := range strings.Fields(text) {
		runes := []rune(word)
		if len(line) > 0 && len(line)+1+len(runes) > width {
			lines = append(lines, string(line))
			line = line[:0]
		}
		if len(line) > 0 {
			line = append(line, ' ')
		}
		for len(runes) > width {
			lines = append(lines, string(append(line, runes[:width-len(line)]...)))
			runes, line = runes[width-len(line):], line[:0]
		}
		line = append(line, runes...)
	}
	if len(line) > 0 || len(lines) == 0 {
		lines = append(lines, string(line))
	}
	return lines
}
