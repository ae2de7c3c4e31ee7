package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/owner"
)

func newSource(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "source", Short: "Where facts come from: clouds, states, clusters, repositories, catalogs"}
	parent.AddCommand(newSourceAdd(s), newSourceList(s), newSourceSync(s), newSourceRemove(s), newSourceTypes(s))
	return parent
}

func newSourceAdd(s *streams) *cobra.Command {
	var set []string
	command := &cobra.Command{
		Use:   "add TYPE NAME [--set KEY=VALUE]...",
		Short: "Define a source, or define it anew",
		Long: "Writes the definition to " + app.SourcesFile + " in the state folder, a file to be reviewed. Secrets\n" +
			"are given by reference, env:NAME or file:PATH, and read when the source is synced.",
		Example: "  backstitch source add aws prod --set regions=eu-west-1,us-east-1\n" +
			"  backstitch source add terraformstate infra --set url=s3://acme-states/prod --set repository=github.com/acme/infra",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings := map[string]string{}
			for _, pair := range set {
				name, value, found := strings.Cut(pair, "=")
				if !found || name == "" {
					return fmt.Errorf("--set: expected KEY=VALUE") // not quoted: it may be a secret
				}
				settings[name] = value
			}
			desk, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			defer desk.Close()
			definition, err := desk.AddSource(app.Source{Type: args[0], Name: args[1], Settings: settings})
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(definition)
			}
			fmt.Fprintf(s.out, "source %s of type %s is defined\n", definition.Name, definition.Type)
			return nil
		},
	}
	command.Flags().StringArrayVar(&set, "set", nil, "a setting as KEY=VALUE; backstitch source types lists them")
	return command
}

func newSourceList(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "The sources that are defined",
		Args:  cobra.NoArgs,
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, _ []string) error {
			sources, err := desk.Sources()
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(append([]app.Source{}, sources...))
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tTYPE\tSETTINGS")
			for _, source := range sources {
				var settings []string
				for _, name := range slices.Sorted(maps.Keys(source.Settings)) {
					settings = append(settings, name+"="+source.Settings[name])
				}
				fmt.Fprintf(table, "%s\t%s\t%s\n", plain(source.Name), plain(source.Type), plain(strings.Join(settings, " ")))
			}
			return table.Flush()
		}),
	}
}

func newSourceSync(s *streams) *cobra.Command {
	acceptShrink, try := false, false
	command := &cobra.Command{
		Use:   "sync [NAME...] [--dry-run]",
		Short: "Read the sources into the graph",
		Long: "Reads the sources that are named, or all. What cannot be read is listed and the rest is\n" +
			"kept; nothing in a part that was not seen is taken as gone. An interrupted sync goes on\n" +
			"where it was. A part that lost half of its assets or more since the last sync is kept as it\n" +
			"was, and named, until --accept-shrink says that the loss is true. The services of the estate\n" +
			"are found anew. The exit code is 3 when the look was incomplete.\n\n" +
			"With --dry-run a copy of the graph is synced and thrown away: what would be new, changed and\n" +
			"gone is counted, and it is shown whose owners would change.",
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			sources, err := desk.Sources()
			if err != nil {
				return err
			}
			for _, name := range args {
				if !slices.ContainsFunc(sources, func(source app.Source) bool { return source.Name == name }) {
					return fmt.Errorf("%q: %w", name, app.ErrNoSource)
				}
			}
			into := desk
			if try {
				if into, err = desk.Trial(cmd.Context()); err != nil {
					return err
				}
				defer into.Close()
			}
			all := []sourceSynced{}
			for _, source := range sources {
				if len(args) > 0 && !slices.Contains(args, source.Name) {
					continue
				}
				brought, err := into.SyncSource(cmd.Context(), source, func(options *intake.SyncOptions) {
					if acceptShrink {
						options.Shrink = 1
					}
				})
				if cmd.Context().Err() != nil {
					if try {
						return cmd.Context().Err()
					}
					return incomplete("interrupted in %s: the next sync goes on from there", source.Name)
				}
				synced := sourceSynced{Synced: brought}
				if err != nil {
					synced.Error = err.Error()
				}
				all = append(all, synced)
			}
			if len(all) > 0 {
				if _, _, err := into.Services().Sync(cmd.Context()); err != nil {
					return err
				}
			}
			var change *owner.OwnersChange
			if try {
				tried, err := desk.OwnersAfter(cmd.Context(), into)
				if err != nil {
					return err
				}
				change = &tried
			}
			return s.synced(all, change)
		}),
	}
	command.Flags().BoolVar(&try, "dry-run", false, "show what would change, and change nothing")
	command.Flags().BoolVar(&acceptShrink, "accept-shrink", false, "take what is missing as gone, however much it is")
	return command
}

// sourceSynced is what a sync of one source brought, and why it ended early.
type sourceSynced struct {
	intake.Synced
	Error string `json:"error,omitempty"`
}

// shownNotes bounds the notes of one source that are printed; all stand in the JSON.
const shownNotes = 20

// synced prints what a sync brought, what it found odd and what it could not read; of one
// that was only tried also whose owners it would change.
func (s *streams) synced(all []sourceSynced, tried *owner.OwnersChange) error {
	gaps := 0
	for _, synced := range all {
		if synced.Error != "" {
			gaps++
			s.warn([]string{synced.Source + ": " + synced.Error})
		}
		for _, gap := range synced.Graph.Gaps {
			gaps++
			s.warn([]string{synced.Source + ": not seen: " + gap})
		}
		notes := synced.Graph.Notes
		for _, note := range notes[:min(len(notes), shownNotes)] {
			fmt.Fprintf(s.err, "backstitch: note: %s: %s\n", plain(synced.Source), plain(note))
		}
		if more := len(notes) - shownNotes; more > 0 {
			fmt.Fprintf(s.err, "backstitch: note: %s: %d more, which --output json lists\n", plain(synced.Source), more)
		}
	}
	if s.output == "json" {
		var out any = all
		if tried != nil {
			out = struct {
				Sources []sourceSynced      `json:"sources"`
				Owners  *owner.OwnersChange `json:"owners"`
			}{all, tried}
		}
		if err := s.json(out); err != nil {
			return err
		}
	} else if len(all) > 0 {
		table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "SOURCE\tSCOPES\tASSETS\tRELATIONS\tCLAIMS\tFINDINGS\tNOT SEEN")
		for _, synced := range all {
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%d\t%d\n", plain(synced.Source), synced.Graph.Scopes,
				counted(synced.Graph.Nodes), counted(synced.Graph.Edges), counted(synced.Graph.Claims), synced.Findings, len(synced.Graph.Gaps))
		}
		if err := table.Flush(); err != nil {
			return err
		}
		if tried != nil {
			fmt.Fprintln(s.out, "\nWHOSE OWNERS WOULD CHANGE; nothing was kept")
			s.printOwnersChange(*tried)
		}
	}
	if len(all) == 0 {
		return incomplete("no source is defined: backstitch source add TYPE NAME")
	}
	if gaps > 0 {
		return incomplete("the look was incomplete: %d parts were not seen", gaps)
	}
	return nil
}

// counted writes counts as "12 (+3 ~1 -2)": how many there are, new, changed, gone.
func counted(c graph.Counts) string {
	return fmt.Sprintf("%d (+%d ~%d -%d)", c.New+c.Changed+c.Unchanged, c.New, c.Changed, c.Gone)
}

func newSourceRemove(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Forget the definition of a source; what it told stays",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			if err := desk.RemoveSource(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(s.err, "source %s is no longer defined\n", plain(args[0]))
			return nil
		}),
	}
}

// sourceType is one kind of source, as JSON.
type sourceType struct {
	Type     string              `json:"type"`
	Name     string              `json:"name"`
	Docs     string              `json:"docs"`
	Settings []connector.Setting `json:"settings"`
}

func newSourceTypes(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "types [TYPE]",
		Short: "The kinds of sources, and what each is told",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var types []sourceType
			for _, source := range app.SourceTypes() {
				word, about := app.SourceType(source), source.Describe()
				if len(args) == 0 || args[0] == word {
					types = append(types, sourceType{word, about.Name, about.Docs, source.Settings()})
				}
			}
			if len(types) == 0 {
				return fmt.Errorf("there is no kind of source %q: backstitch source types lists them", args[0])
			}
			if s.output == "json" {
				return s.json(types)
			}
			for i, t := range types {
				if i > 0 {
					fmt.Fprintln(s.out)
				}
				fmt.Fprintf(s.out, "%s: %s\n  %s\n", t.Type, t.Name, t.Docs)
				table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
				for _, setting := range t.Settings {
					fmt.Fprintf(table, "  %s\t%s\t%s\n", setting.Name, settingKind(setting), setting.Help)
				}
				if err := table.Flush(); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func settingKind(setting connector.Setting) string {
	words := []string{string(setting.Kind)}
	if setting.Kind == connector.SettingSecret {
		words = append(words, "env:NAME or file:PATH")
	}
	if setting.Required {
		words = append(words, "required")
	}
	if setting.Default != "" {
		words = append(words, "default "+setting.Default)
	}
	if len(setting.Choices) > 0 {
		words = append(words, "one of "+strings.Join(setting.Choices, "|"))
	}
	return strings.Join(words, ", ")
}
