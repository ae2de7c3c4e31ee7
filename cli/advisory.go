package cli

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/app"
)

func newAdvisory(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "advisory", Short: "The local advisory index"}
	parent.AddCommand(&cobra.Command{
		Use:   "import PATH...",
		Short: "Build the index from OSV, CISA KEV, EPSS and endoflife.date files",
		Long: "Reads OSV JSON, JSON lines (also zstd) and zip dumps, the CISA KEV catalogue, EPSS\n" +
			"scores and the products of endoflife.date (JSON lines, or answers of its API), and\n" +
			"writes one immutable index that replaces the former. What is in a file decides how it\n" +
			"is read, not its name; only an answer of the first API is named after its product\n" +
			"(python.json), since nothing in it says which.",
		Args: cobra.MinimumNArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			summary, err := desk.ImportAdvisories(cmd.Context(), args)
			if err != nil {
				return err
			}
			for _, problem := range summary.Problems {
				s.warn([]string{problem.String()})
			}
			if summary.Omitted > 0 {
				s.warn([]string{fmt.Sprintf("and %d problems more", summary.Omitted)})
			}
			if s.output == "json" {
				if err := s.json(summary); err != nil {
					return err
				}
			} else {
				support := ""
				if summary.Products > 0 {
					support = fmt.Sprintf("support of %s; ", several(summary.Products, "product"))
				}
				fmt.Fprintf(s.out, "%d advisories about %d packages, %d exploited, %d withdrawn; %s%d bytes, %s\n",
					summary.Advisories, summary.Packages, summary.Exploited, summary.Withdrawn, support, summary.Bytes, summary.Digest)
			}
			if len(summary.Problems) > 0 {
				return incomplete("not everything was imported as it stands: %d records skipped, %d problems", summary.Bad, len(summary.Problems)+summary.Omitted)
			}
			return nil
		}, func(c *app.Config) { c.Reindex = true }),
	}, &cobra.Command{
		Use:   "status",
		Short: "Sources and age of the index",
		Args:  cobra.NoArgs,
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, _ []string) error {
			status, ok := desk.AdvisoryStatus()
			if !ok {
				return incomplete("there is no advisory index yet: backstitch advisory import PATH...")
			}
			if s.output == "json" {
				return s.json(status)
			}
			fmt.Fprintf(s.out, "%d advisories about %d packages, %d exploited; support of %d products; imported %s, newest advisory %s old\n%s\n",
				status.Advisories, status.Packages, status.Exploited, status.Products, day(status.ImportedAt), days(status.Age(s.now())), status.Digest)
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "SOURCE\tKIND\tRECORDS\tNEWEST")
			for _, source := range status.Sources {
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", plain(source.Name), source.Kind, source.Count, day(source.Newest))
			}
			return table.Flush()
		}),
	})
	return parent
}

// day writes a time in microseconds as a date.
func day(micros int64) string {
	if micros == 0 {
		return "unknown"
	}
	return time.UnixMicro(micros).UTC().Format(time.DateOnly)
}

func days(age time.Duration) string {
	if n := int(age.Hours() / 24); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}
