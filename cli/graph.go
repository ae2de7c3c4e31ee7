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

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

func newGraph(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "graph", Short: "The security graph: assets, relations, and the evidence for them"}
	var asOf string
	parent.PersistentFlags().StringVar(&asOf, "as-of", "", "look at the graph as it was at a time (RFC 3339, or a day, which is meant to its end)")
	moment := func() (time.Time, error) {
		if asOf == "" {
			return time.Time{}, nil
		}
		if t, err := time.Parse(time.DateOnly, asOf); err == nil {
			return t.AddDate(0, 0, 1).Add(-time.Microsecond), nil
		}
		if t, err := time.Parse(time.RFC3339, asOf); err == nil {
			return t, nil
		}
		return time.Time{}, fmt.Errorf("--as-of %s: expected a time such as 2026-05-04T03:02:01Z or 2026-05-04", asOf)
	}
	parent.AddCommand(newGraphShow(s, moment), newGraphPath(s, moment), newGraphQuery(s, moment))
	return parent
}

const assetHelp = "An asset is KIND:KEY, or a key, a name or a part of one that fits one asset only."

// onGraph runs fn over the graph of the state, at the time that was asked for.
func (s *streams) onGraph(ctx context.Context, moment func() (time.Time, error), fn func(desk *app.App, at time.Time) error) error {
	at, err := moment()
	if err != nil {
		return err
	}
	desk, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	return fn(desk, at)
}

// asset finds the one asset that a text means.
func asset(ctx context.Context, g *graph.Graph, text string) (fact.Asset, error) {
	found, err := g.Find(ctx, "", text)
	if err != nil {
		return fact.Asset{}, err
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var names []string
	for _, a := range found[:min(len(found), 8)] {
		names = append(names, a.Kind+":"+a.Key)
	}
	return fact.Asset{}, fmt.Errorf("%q fits %d assets, name one of them as KIND:KEY: %s", text, len(found), strings.Join(names, ", "))
}

func newGraphShow(s *streams, moment func() (time.Time, error)) *cobra.Command {
	var inherited bool
	command := &cobra.Command{
		Use:     "show ASSET",
		Short:   "Show an asset: what each source says, its relations and who claims it",
		Long:    assetHelp + " Findings of the asset are with backstitch issue list.",
		Example: "  backstitch graph show workload:prod/shop/Deployment.apps/web\n  backstitch graph show web --as-of 2026-05-04 -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.onGraph(cmd.Context(), moment, func(desk *app.App, at time.Time) error {
				which, err := asset(cmd.Context(), desk.Graph(), args[0])
				if err != nil {
					return err
				}
				view, err := desk.Graph().Asset(cmd.Context(), which.Kind, which.Key, at)
				if err != nil {
					return err
				}
				if inherited {
					if view.Claims, err = desk.Graph().Claims(cmd.Context(), which, graph.ClaimOptions{AsOf: at}); err != nil {
						return err
					}
				}
				if s.output == "json" {
					return s.json(view)
				}
				s.printView(view)
				return nil
			})
		},
	}
	command.Flags().BoolVar(&inherited, "inherited", true, "also the claims that it inherits, from its service, image, repository")
	return command
}

func (s *streams) printView(v graph.View) {
	say := func(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
	say("%s %s", v.Asset.Kind, plain(v.Asset.Key))
	if v.Asset.Name != "" && v.Asset.Name != v.Asset.Key {
		say("name  %s", plain(v.Asset.Name))
	}
	for _, said := range v.Said {
		passing := ""
		if said.Passing {
			passing = ", in passing"
		}
		say("seen  by %s in %s%s, %s to %s", plain(said.By), plain(said.Scope), passing, day(said.First), day(said.Last))
	}
	for _, name := range slices.Sorted(maps.Keys(v.Properties)) {
		say("  %s = %s", plain(name), plain(v.Properties[name]))
	}
	for _, c := range v.Contradictions {
		word := "contradiction"
		if c.Disputed {
			word = "disputed"
		}
		say("  %s: %s", word, plain(c.String()))
	}
	relations := func(title string, list []graph.Neighbour, backward bool) {
		if len(list) == 0 {
			return
		}
		say("%s", title)
		for _, n := range list {
			say("  %s %s %s", arrow(n.Kind, backward), n.Asset.Kind, plain(n.Asset.Key))
			for _, w := range n.Evidence {
				say("      %s", witness(w))
			}
		}
	}
	relations("RELATIONS", v.Out, false)
	relations("REFERRED TO BY", v.In, true)
	if v.More {
		say("  ... and more; backstitch graph query finds them")
	}
	if len(v.Claims) > 0 {
		say("CLAIMS")
	}
	for _, c := range v.Claims {
		name := c.Owner.Name
		if name == "" {
			name = c.Owner.ID
		}
		say("  %s %s as %s, %.2f (%s, %s, by %s from %s)", c.Owner.Kind, plain(name), plain(c.Role), c.Confidence, plain(c.Evidence.Method), c.Strength, plain(c.Source()), plain(c.Evidence.Source))
		for _, via := range c.Via {
			say("      by %s %s %s (%s)", arrow(via.Kind, via.Backward), via.Asset.Kind, plain(via.Asset.Key), via.Strength)
		}
	}
}

// witness writes the evidence of one source for a relation.
func witness(w graph.Witness) string {
	text := fmt.Sprintf("%s, %s, from %s", plain(w.Method), w.Strength, plain(w.Evidence.Source))
	if w.Detail != "" {
		text += ": " + plain(w.Detail)
	}
	if w.Location != nil {
		text += fmt.Sprintf(", at %s", plain(place(*w.Location)))
	}
	return fmt.Sprintf("%s (%s in %s, %s to %s)", text, plain(w.By), plain(w.Scope), day(w.First), day(w.Last))
}

func arrow(kind fact.RelationKind, backward bool) string {
	if backward {
		return "<-" + string(kind) + "-"
	}
	return "-" + string(kind) + "->"
}

func newGraphPath(s *streams, moment func() (time.Time, error)) *cobra.Command {
	var kinds []string
	var forward bool
	var depth, limit int
	command := &cobra.Command{
		Use:     "path FROM TO",
		Short:   "The shortest ways between two assets, with the evidence of each step",
		Long:    assetHelp + " All ways that are equally short are given, the strongest first; a way is as\nstrong as its weakest step.",
		Example: "  backstitch graph path internet workload:prod/shop/Deployment.apps/web --forward\n  backstitch graph path web team:payments --follow part_of,owned_by",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			way := graph.Both
			if forward {
				way = graph.Forward
			}
			opts := graph.PathOptions{Depth: depth, Limit: limit, Follow: []graph.Follow{{Way: way}}}
			if len(kinds) > 0 {
				opts.Follow = nil
			}
			for _, kind := range kinds {
				if !slices.Contains(graph.Relations(), fact.RelationKind(kind)) {
					return fmt.Errorf("--follow %s: expected some of %s", kind, join(graph.Relations()))
				}
				opts.Follow = append(opts.Follow, graph.Follow{Kind: fact.RelationKind(kind), Way: way})
			}
			return s.onGraph(cmd.Context(), moment, func(desk *app.App, at time.Time) error {
				opts.AsOf = at
				var ends [2]fact.Asset
				for i, text := range args {
					var err error
					if ends[i], err = asset(cmd.Context(), desk.Graph(), text); err != nil {
						return err
					}
				}
				ways, err := desk.Graph().Paths(cmd.Context(), ends[0], ends[1], opts)
				if err != nil {
					return err
				}
				if s.output == "json" {
					return s.json(ways)
				}
				s.printWays(ways)
				return nil
			})
		},
	}
	command.Flags().StringSliceVar(&kinds, "follow", nil, "kinds of relations to follow (default all)")
	command.Flags().BoolVar(&forward, "forward", false, "follow relations only the way they lead")
	command.Flags().IntVar(&depth, "depth", 12, "steps at most")
	command.Flags().IntVar(&limit, "limit", 16, "ways at most")
	return command
}

func join[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, one := range list {
		words[i] = string(one)
	}
	return strings.Join(words, ", ")
}

func (s *streams) printWays(ways graph.Ways) {
	if len(ways.Paths) == 0 {
		fmt.Fprintln(s.out, "no way leads from one to the other")
	}
	for _, p := range ways.Paths {
		fmt.Fprintf(s.out, "%s %s\n", p.Assets[0].Kind, plain(p.Assets[0].Key))
		for i, one := range p.Steps {
			fmt.Fprintf(s.out, "  %s %s %s\n", arrow(one.Kind, one.Backward), p.Assets[i+1].Kind, plain(p.Assets[i+1].Key))
			for _, w := range one.Evidence {
				fmt.Fprintf(s.out, "      %s\n", witness(w))
			}
		}
		if p.Strength != "" {
			fmt.Fprintf(s.out, "as strong as its weakest step: %s\n", p.Strength)
		}
	}
	if ways.More {
		fmt.Fprintln(s.err, "backstitch: there are more ways as short; --limit gives more")
	}
}

func newGraphQuery(s *streams, moment func() (time.Time, error)) *cobra.Command {
	var limit int
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "query PATTERN",
		Short: "Chains of assets that fit a pattern",
		Long: "A pattern is kinds of assets with relations between them:\n\n" +
			"  workload -instance_of-> image -packaged_from-> repository\n" +
			"  cloud_resource[tag:env=prod] <-exposes- internet\n" +
			"  workload -*1..4-> team|person\n\n" +
			"Brackets filter by key, name or a property: = equal, != not, ~ like and !~ not like, where * is\n" +
			"any text and ? one character. A number behind * is the length of a chain of relations.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pattern, err := graph.ParsePattern(args[0])
			if err != nil {
				return err
			}
			return s.onGraph(cmd.Context(), moment, func(desk *app.App, at time.Time) error {
				answer, err := desk.Graph().Query(cmd.Context(), pattern, graph.QueryOptions{AsOf: at, Limit: limit, Timeout: timeout})
				if err != nil {
					return err
				}
				if err := s.printAnswer(answer); err != nil {
					return err
				}
				if len(answer.Rows) > 0 || !at.IsZero() {
					return nil
				}
				if index, err := desk.Graph().Index(cmd.Context()); err != nil {
					return err
				} else if assets, _ := index.Len(); assets == 0 {
					return incomplete("the graph is empty: backstitch source add, then backstitch source sync")
				}
				return nil
			})
		},
	}
	command.Flags().IntVar(&limit, "limit", 200, "how many chains to give at most, up to 10000")
	command.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to look at most")
	return command
}

func (s *streams) printAnswer(answer graph.Answer) error {
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
	if answer.More {
		fmt.Fprintf(s.err, "backstitch: there are more than %d; --limit gives up to 10000\n", len(answer.Rows))
	}
	return table.Flush()
}
