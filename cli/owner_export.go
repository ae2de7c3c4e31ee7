package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/app"
)

func newOwnerExport(s *streams) *cobra.Command {
	var repo, commit string
	command := &cobra.Command{
		Use:   "export codeowners|backstage --repo DIR",
		Short: "A change of CODEOWNERS or catalog-info.yaml that brings it up to date, as a diff",
		Long: "codeowners: owners who left or do not exist give way to who answers instead, and paths without\n" +
			"any get whom history names; no other path changes its owners. backstage: the owner of entities\n" +
			"without one, and where their source is. The diff is for git apply; what was found goes to\n" +
			"standard error.",
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"codeowners", "backstage"},
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			x, err := desk.ExportOwners(cmd.Context(), args[0], repo, commit)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(x)
			}
			for _, note := range x.Notes {
				fmt.Fprintln(s.err, "backstitch:", plain(note))
			}
			if x.Diff == "" {
				fmt.Fprintf(s.err, "backstitch: nothing to change in %s\n", plain(x.Path))
			}
			_, err = fmt.Fprint(s.out, x.Diff)
			return err
		}),
	}
	command.Flags().StringVar(&repo, "repo", ".", "folder of the repository")
	command.Flags().StringVar(&commit, "at", "HEAD", "commit to look at")
	return command
}
