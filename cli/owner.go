package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/owner"
)

func newOwner(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "owner", Short: "Who owns what"}
	parent.AddCommand(newOwnerExplain(s),
		newOwnerAnswer(s, owner.Assign, "Say who owns an asset, in the place of whoever was assigned before"),
		newOwnerAccept(s),
		newOwnerAnswer(s, owner.Reject, "Say that somebody does not own an asset, with the reason"),
		newOwnerAnswer(s, owner.Pin, "Say who owns an asset, and hold it against everything later"),
		newOwnerAnswer(s, owner.Unpin, "Let a pinned owner be changed again"),
		newOwnerHistory(s), newOwnerRules(s), newOwnerCoverage(s), newOwnerCode(s), newOwnerExport(s))
	return parent
}

func newOwnerExplain(s *streams) *cobra.Command {
	var repo, commit string
	command := &cobra.Command{
		Use:   "explain ASSET | ISSUE | PATH[:LINE[-LINE]] [--repo DIR]",
		Short: "Who owns an asset, an issue or a line, with evidence and what it overruled",
		Long:  assetHelp + "\nA path of the repository is meant with --repo or --at, or when the file is there.",
		Example: "  backstitch owner explain workload:prod/shop/Deployment.apps/web\n  backstitch owner explain BS-7K2M4QXW3A\n" +
			"  backstitch owner explain go.mod:12 --repo ~/src/my-service",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("repo") || cmd.Flags().Changed("at") || isPath(args[0]) {
				return s.explainLines(cmd, repo, commit, args[0])
			}
			desk, err := s.open(cmd.Context())
			if err != nil {
				return err
			}
			defer desk.Close()
			var x *owner.AssetExplanation
			if app.IsIssue(args[0]) {
				x, err = desk.ExplainIssueOwner(cmd.Context(), args[0])
			} else {
				var which fact.Asset
				which, err = asset(cmd.Context(), desk.Graph(), args[0])
				if errors.Is(err, graph.ErrNotFound) {
					return fmt.Errorf("%w; a path of a repository is meant with --repo", err)
				}
				if err == nil {
					x, err = desk.ExplainOwner(cmd.Context(), which)
				}
			}
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(x)
			}
			s.printExplanation(x)
			return nil
		},
	}
	command.Flags().StringVar(&repo, "repo", ".", "folder of the repository")
	command.Flags().StringVar(&commit, "at", "HEAD", "commit to look at")
	return command
}

// isPath says whether a text names a file of the folder, and no asset by its kind.
func isPath(text string) bool {
	kind, _, _ := strings.Cut(text, ":")
	if app.IsIssue(text) || slices.Contains(graph.Kinds(), kind) {
		return false
	}
	path, _, err := owner.ParseSubject(text)
	if err != nil || !fs.ValidPath(filepath.ToSlash(path)) {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

func (s *streams) explainLines(cmd *cobra.Command, repo, commit, text string) error {
	path, lines, err := owner.ParseSubject(text)
	if err != nil {
		return err
	}
	explanation, err := owner.Explain(cmd.Context(), repo, commit, path, lines, filepath.Join(s.state, "cache"), s.now())
	if err != nil {
		return err
	}
	if s.output == "json" {
		return s.json(explanation)
	}
	return explanation.WriteText(s.out)
}

// printExplanation prints who owns an asset or issue, and why.
func (s *streams) printExplanation(x *owner.AssetExplanation) {
	say := func(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
	say("%s %s", x.Subject.Kind, plain(cmp.Or(x.Subject.Key, x.Subject.Name)))
	if x.Clear {
		say("owner: %s %s", x.Owners[0].Kind, plain(x.Owners[0].Name))
	} else {
		say("%s", plain(x.Why))
	}
	if len(x.Owners) > 0 {
		say("")
		s.printOwners(x.Owners)
	}
	list := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		say("\n%s", title)
		for _, line := range lines {
			say("  %s", plain(line))
		}
	}
	var overruled, lessons []string
	for _, e := range x.Overruled {
		overruled = append(overruled, fmt.Sprintf("%s (%s, %s)", strings.TrimPrefix(e.Detail, "overruled: "), e.Kind, e.Source))
	}
	for _, l := range x.Lessons {
		lessons = append(lessons, fmt.Sprintf("%s on %s counts %.2f: right %d, wrong %d by people's answers, %d and %d of them there", l.Kind, l.Scope, l.Factor, l.Right, l.Wrong, l.RightHere, l.WrongHere))
	}
	list("OVERRULED", overruled)
	list("CONFLICTS", x.Conflicts)
	list("STALE", x.Stale)
	list("UNKNOWN", x.Unknown)
	list("LEARNED", lessons)
	list("WHAT WOULD SETTLE IT", x.Settle)
}
