package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

func newGraph(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "graph", Short: "The security graph: assets, relations, and the evidence for them"}
	var asOf string
	parent.PersistentFlags().StringVar(&asOf, "as-of", "", "look at the graph as it was at a time (RFC 3339, or a day)")
	moment := func() (time.Time, error) {
		if asOf == "" {
			return time.Time{}, nil
		}
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, asOf); err == nil {
				return t, nil
			}
		}
		return time.Time{}, fmt.Errorf("--as-of %s: expected a time such as 2026-05-04T03:02:01Z or 2026-05-04", asOf)
	}
	parent.AddCommand(newGraphShow(s, moment), newGraphPath(s, moment), newGraphQuery(s, moment))
	return parent
}

// asset finds the one asset that a text means.
func asset(ctx context.Context, g *graph.Graph, text string) (fact.Asset, error) {
	found, err := g.Find(ctx, text)
	if err != nil {
		return fact.Asset{}, err
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return fact.Asset{}, fmt.Errorf("%s: %w; backstitch graph query '*[name=*%s*]' looks for a part of a name", text, graph.ErrNotFound, text)
	}
	var names []string
	for _, a := range found[:min(len(found), 8)] {
		names = append(names, a.Kind+":"+a.Key)
	}
	return fact.Asset{}, fmt.Errorf("%s fits %d assets, name one of them as KIND:KEY: %s", text, len(found), strings.Join(names, ", "))
}

func newGraphShow(s *streams, moment func() (time.Time, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "show ASSET",
		Short: "Show an asset: what each source says, its relations and who claims it",
		Long:  "ASSET is KIND:KEY, or a key or name that only one asset has.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := moment()
			if err != nil {
				return err
			}
			desk, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			defer desk.Close()
			which, err := asset(cmd.Context(), desk.Graph(), args[0])
			if err != nil {
				return err
			}
			view, err := desk.Graph().Show(cmd.Context(), which, at)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(view)
			}
			s.printView(view)
			return nil
		},
	}
}

func (s *streams) printView(v graph.View) {
	say := func(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
	say("%s %s", v.Asset.Kind, plain(v.Asset.Key))
	if v.Asset.Name != "" && v.Asset.Name != v.Asset.Key {
		say("name  %s", plain(v.Asset.Name))
	}
	for _, said := range v.Said {
		say("seen  by %s in %s, %s to %s", plain(said.By), plain(said.Scope), stamp(said.First), stamp(said.Last))
	}
	for _, name := range slices.Sorted(maps.Keys(v.Properties)) {
		say("  %s = %s", plain(name), plain(v.Properties[name]))
	}
	for _, text := range v.Contradictions {
		say("  contradiction: %s", plain(text))
	}
	edges := func(title string, list []graph.Edge, arrow func(kind fact.RelationKind) string) {
		if len(list) == 0 {
			return
		}
		say("%s", title)
		for _, e := range list {
			say("  %s %s %s (%s, %s, from %s; %s to %s)", arrow(e.Kind), e.Other.Kind, plain(e.Other.Key), plain(e.Evidence.Method), e.Evidence.Strength, plain(e.Evidence.Source), stamp(e.First), stamp(e.Last))
		}
	}
	edges("RELATIONS", v.Out, func(kind fact.RelationKind) string { return "-" + string(kind) + "->" })
	edges("REFERRED TO BY", v.In, func(kind fact.RelationKind) string { return "<-" + string(kind) + "-" })
	if len(v.Claims) > 0 {
		say("CLAIMS")
	}
	for _, c := range v.Claims {
		say("  %s %s as %s, %.2f (%s, %s, from %s)", c.Owner.Kind, plain(c.Owner.Name), plain(c.Role), c.Confidence, plain(c.Evidence.Method), c.Evidence.Strength, plain(c.Evidence.Source))
	}
}

func stamp(micros int64) string {
	if micros == 0 {
		return "unknown"
	}
	return time.UnixMicro(micros).UTC().Format(time.DateOnly)
}

func newGraphPath(s *streams, moment func() (time.Time, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "path FROM TO",
		Short: "The shortest ways between two assets, with the evidence of each step",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := moment()
			if err != nil {
				return err
			}
			desk, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			defer desk.Close()
			var ends [2]fact.Asset
			for i, text := range args {
				if ends[i], err = asset(cmd.Context(), desk.Graph(), text); err != nil {
					return err
				}
			}
			paths, err := desk.Graph().Paths(cmd.Context(), ends[0], ends[1], at)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(paths)
			}
			if len(paths) == 0 {
				fmt.Fprintln(s.out, "no way leads from one to the other")
			}
			for _, p := range paths {
				fmt.Fprintf(s.out, "%s %s\n", p.Assets[0].Kind, plain(p.Assets[0].Key))
				for i, step := range p.Steps {
					arrow := "-" + string(step.Kind) + "->"
					if step.Backward {
						arrow = "<-" + string(step.Kind) + "-"
					}
					fmt.Fprintf(s.out, "  %s %s %s", arrow, p.Assets[i+1].Kind, plain(p.Assets[i+1].Key))
					if len(step.Evidence) > 0 {
						fmt.Fprintf(s.out, " (%s, %s, from %s)", plain(step.Evidence[0].Method), step.Evidence[0].Strength, plain(step.Evidence[0].Source))
					}
					fmt.Fprintln(s.out)
				}
				fmt.Fprintf(s.out, "as strong as its weakest step: %s\n", p.Weakest)
			}
			return nil
		},
	}
}

func newGraphQuery(s *streams, moment func() (time.Time, error)) *cobra.Command {
	var limit int
	command := &cobra.Command{
		Use:   "query PATTERN",
		Short: "Chains of assets that fit a pattern",
		Long: "A pattern is kinds of assets with relations between them:\n\n" +
			"  workload -instance_of-> image -packaged_from-> repository\n" +
			"  cloud_resource[tag:env=prod] <-exposes- internet\n" +
			"  workload -*1..4-> team|person\n\n" +
			"Brackets filter by key, name or a property: = equal, != not, * and ? are wildcards.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := moment()
			if err != nil {
				return err
			}
			pattern, err := graph.ParsePattern(args[0])
			if err != nil {
				return err
			}
			desk, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			defer desk.Close()
			answer, err := desk.Graph().Query(cmd.Context(), pattern, limit, at)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(answer)
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			for _, row := range answer.Rows {
				var cells []string
				for _, a := range row {
					cells = append(cells, a.Kind+" "+plain(a.Key))
				}
				fmt.Fprintln(table, strings.Join(cells, "\t"))
			}
			if err := table.Flush(); err != nil {
				return err
			}
			if answer.More {
				fmt.Fprintf(s.err, "backstitch: there are more than %d; --limit gives up to 1000\n", len(answer.Rows))
			}
			return nil
		},
	}
	command.Flags().IntVar(&limit, "limit", 200, "how many chains to give at most")
	return command
}
