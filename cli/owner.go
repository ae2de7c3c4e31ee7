package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/owner"
)

func newOwner(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "owner", Short: "Who owns what"}
	var repo, commit string
	explain := &cobra.Command{
		Use:   "explain PATH[:LINE[-LINE]] --repo DIR",
		Short: "Who owns a line, with evidence and what it overruled",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, lines, err := owner.ParseSubject(args[0])
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
		},
	}
	explain.Flags().StringVar(&repo, "repo", ".", "folder of the repository")
	explain.Flags().StringVar(&commit, "at", "HEAD", "commit to look at")
	parent.AddCommand(explain)
	return parent
}
