package cli

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/report"
)

func newImport(s *streams) *cobra.Command {
	var repo string
	command := &cobra.Command{
		Use:   "import REPORT... --repo DIR",
		Short: "Read scanners' reports into the state",
		Args:  cobra.MinimumNArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			results, problems, err := desk.Import(cmd.Context(), repo, args)
			if err != nil {
				return err
			}
			s.warn(problems)
			if s.output == "json" {
				if err := s.json(results); err != nil {
					return err
				}
			} else {
				table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "REPORT\tTOOL\tFINDINGS\tNEW\tCHANGED\tREOPENED\tUNCONFIRMED\tCOMPLETE")
				for _, r := range results {
					fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%t\n", plain(r.Name), plain(r.Tool), r.Seen, r.New, r.Changed, r.Reopened, r.Unconfirmed, r.Complete)
				}
				if err := table.Flush(); err != nil {
					return err
				}
			}
			if len(problems) > 0 {
				return incomplete("not every report was read to its end")
			}
			return nil
		}),
	}
	command.Flags().StringVar(&repo, "repo", ".", "folder of the repository that the reports are about")
	return command
}

func newReport(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "report", Short: "Scanners' reports"}
	parent.AddCommand(&cobra.Command{
		Use:   "show FILE",
		Short: "Show what would be imported from a report",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			shown, err := agent.ShowReport(cmd.Context(), builtin.Readers(), args[0], file)
			if s.output == "json" {
				if jsonErr := s.json(shown); jsonErr != nil {
					return jsonErr
				}
			} else {
				table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "SEVERITY\tRULE\tPACKAGE\tVERSION\tFIXED IN\tWHERE\tTITLE")
				for _, f := range shown.Findings {
					fixed := ""
					if len(f.FixedVersions) > 0 {
						fixed = f.FixedVersions[0]
					}
					place := f.Path
					if f.Line > 0 {
						place += fmt.Sprintf(":%d", f.Line)
					}
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Severity, plain(f.Rule), plain(f.Package.Name), plain(f.Package.Version), plain(fixed), plain(place), plain(cut(f.Title, 60)))
				}
				if flushErr := table.Flush(); flushErr != nil {
					return flushErr
				}
				fmt.Fprintf(s.out, "%s, %s, %s\n", several(len(shown.Findings), "finding"), several(shown.Components, "component"), several(shown.Statements, "statement"))
				for _, run := range shown.Runs {
					if !run.Complete {
						fmt.Fprintf(s.out, "the run of %s is not known to be complete: what is not in it may still be there\n", plain(run.Tool))
					}
				}
			}
			if err != nil {
				return incomplete("%w", err)
			}
			return nil
		},
	}, &cobra.Command{
		Use:   "formats",
		Short: "List the report formats that are read",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			formats := []report.Description{}
			for _, reader := range builtin.Readers() {
				formats = append(formats, reader.Describe())
			}
			if s.output == "json" {
				return s.json(formats)
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "READER\tTOOL\tREADS")
			for _, f := range formats {
				fmt.Fprintf(table, "%s\t%s\t%s\n", f.ID, f.Name, f.Formats)
			}
			return table.Flush()
		},
	})
	return parent
}
