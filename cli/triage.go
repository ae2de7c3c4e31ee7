package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

func newTriage(s *streams) *cobra.Command {
	var request agent.Request
	var failOn string
	command := &cobra.Command{
		Use:   "triage [REPORT...] --repo DIR",
		Short: "Findings to issues with where, who and how; the main job",
		Long: "Reads the reports (or, without any, scans the repository's dependencies against the\n" +
			"local advisory index) and prints one row per issue, worst first.",
		Example: "  backstitch triage --repo ~/src/my-service trivy.json grype.json results.sarif\n" +
			"  backstitch triage --repo . --verify --fail-on high -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			threshold := fact.SeverityUnknown
			if failOn != "" {
				if err := threshold.UnmarshalText([]byte(failOn)); err != nil {
					return fmt.Errorf("--fail-on: %w", err)
				}
			}
			desk, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			defer desk.Close()
			request.Reports = args
			result, err := desk.Triage(cmd.Context(), request)
			if err != nil {
				return err
			}
			s.warn(result.Problems)
			if s.output == "json" {
				err = jsonList(s, result.Issues)
			} else {
				err = printIssues(s.out, result.Issues, result.Complete)
			}
			if err != nil {
				return err
			}
			if failOn != "" {
				count := 0
				for _, it := range result.Issues {
					if (it.State == issue.Open || it.State == issue.InProgress) && it.Severity >= threshold {
						count++
					}
				}
				if count > 0 {
					return gate("%s at or above %s", several(count, "issue"), threshold)
				}
			}
			if !result.Complete {
				return incomplete("the look was incomplete: %s", result.Why)
			}
			return nil
		},
	}
	command.Flags().StringVar(&request.Repo, "repo", ".", "folder of the repository")
	command.Flags().StringVar(&request.Commit, "at", "HEAD", "commit to look at")
	command.Flags().StringArrayVar(&request.Images, "image", nil, "reference or file of an image to look into, so that its layers lead to lines; may be given again")
	command.Flags().BoolVar(&request.Verify, "verify", false, "prove each recommended fix")
	command.Flags().BoolVar(&request.Registries, "registries", false, "ask the ecosystems' registries, through their own tools, which versions exist")
	command.Flags().StringVar(&failOn, "fail-on", "", "exit with 1 when an open issue is at least this severe")
	return command
}

// jsonList prints a list as json does, one element after the other: all of them
// together may be larger than what they are made from.
func jsonList[T any](s *streams, list []T) error {
	if len(list) == 0 {
		return s.json([]T{})
	}
	out := bufio.NewWriter(s.out)
	var one bytes.Buffer
	encoder := json.NewEncoder(&one)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("  ", "  ")
	between := "[\n  "
	for i := range list {
		one.Reset()
		if err := encoder.Encode(&list[i]); err != nil {
			return err
		}
		if _, err := out.WriteString(between); err != nil {
			return err
		}
		if _, err := out.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n"))); err != nil {
			return err
		}
		between = ",\n  "
	}
	if _, err := out.WriteString("\n]\n"); err != nil {
		return err
	}
	return out.Flush()
}

// warn prints problems on standard error, one a line.
func (s *streams) warn(problems []string) {
	for _, problem := range problems {
		fmt.Fprintln(s.err, "backstitch: warning:", plain(problem))
	}
}

// printIssues prints one row per issue. complete says that all was looked at, so
// that no row means no issue.
func printIssues(w io.Writer, issues []issue.Issue, complete bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ISSUE\tSEVERITY\tWHAT\tWHERE\tWHO\tHOW")
	for _, it := range issues {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", it.ID, it.Severity, plain(cut(what(it), 60)), plain(where(it.Cause)), plain(who(it.Owners)), plain(how(it)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(issues) > 0 {
		return nil
	}
	text := "no open issues"
	if !complete {
		text = "no issues in what was read; not everything was"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func what(it issue.Issue) string {
	text := it.Title
	if it.State != issue.Open {
		text = "[" + string(it.State) + "] " + text
	}
	return text
}

func where(cause fact.Cause) string {
	if len(cause.Locations) == 0 {
		if len(cause.Missing) > 0 {
			return "unknown: " + cut(cause.Missing[0], 60)
		}
		return "unknown"
	}
	first := cause.Locations[0]
	text := first.Path
	if first.Line > 0 {
		text += fmt.Sprintf(":%d", first.Line)
	}
	if more := len(cause.Locations) - 1; more > 0 {
		if cause.Status == fact.CauseAmbiguous {
			if more == 1 {
				return text + " or 1 other"
			}
			return fmt.Sprintf("%s or %d others", text, more)
		}
		return fmt.Sprintf("%s and %d more", text, more)
	}
	return text
}

func who(owners []fact.Owner) string {
	if len(owners) == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%s (%.2f)", owners[0].Name, owners[0].Confidence)
}

// several writes "1 issue", "2 issues".
func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func how(it issue.Issue) string {
	for _, path := range it.FixPaths {
		if !path.Recommended {
			continue
		}
		text := fmt.Sprintf("%s, closes %s", path.Summary, several(path.Findings, "finding"))
		if path.Verification != nil {
			text += " [" + path.Verification.Status + "]"
		}
		return text
	}
	if len(it.FixPaths) > 0 && (len(it.Blocked) == 0 || it.FixPaths[0].Kind != fix.Accept) {
		return "no path recommended: " + cut(it.FixPaths[0].Reason, 60)
	}
	if len(it.Blocked) > 0 {
		return "none: " + cut(it.Blocked[0], 90)
	}
	return "no fix path known"
}
