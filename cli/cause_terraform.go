package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
)

func newCauseTerraform(s *streams) *cobra.Command {
	var repo, commit, state, root string
	var varFiles []string
	cmd := &cobra.Command{
		Use:   "terraform ADDRESS[.ATTRIBUTE] --repo DIR",
		Short: "The line that decides a Terraform resource or one of its attributes",
		Long: "Prints the block, the chain of modules and expressions, the literal that decides\n" +
			"and the other instances that share it. With --state, a state file, a plan or what\n" +
			"terraform show -json gives, the value is held against the one that stands: proven\n" +
			"when they are equal, drift when not. Sensitive values are never printed.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tree, identity, at, done, err := openTree(cmd.Context(), repo, commit)
			if err != nil {
				return err
			}
			defer done()
			request := cause.TerraformRequest{Repository: identity, Commit: at, Tree: tree, Address: args[0], Root: root}
			for _, name := range varFiles {
				request.VarFiles = append(request.VarFiles, below(repo, name))
			}
			// The flag of all commands has this name too; a folder is that one's.
			if info, err := os.Stat(state); state != "" && (err != nil || !info.IsDir()) {
				if request.State, err = readState(state); err != nil {
					return err
				}
				request.Near = below(repo, state)
			}
			answer, err := cause.Terraform(cmd.Context(), request)
			if err != nil {
				return err
			}
			if s.output == "json" {
				err = s.json(answer)
			} else {
				err = answer.WriteText(s.out, plain)
			}
			if err == nil && answer.Cause.Status == fact.CauseUnknown {
				return incomplete("%s: the line that decides is not known", args[0])
			}
			return err
		},
	}
	cmd.Flags().StringVar(&repo, "repo", ".", "folder of the repository, or any folder")
	cmd.Flags().StringVar(&commit, "at", "", "commit to look at (default: the files as they are)")
	cmd.Flags().StringVar(&state, "state", "", "state file, plan or terraform show -json to hold the value against")
	cmd.Flags().StringVar(&root, "root", "", "folder of the root module below the repository (default: the one that declares the address)")
	cmd.Flags().StringArrayVar(&varFiles, "var-file", nil, "file of variables inside the repository, as terraform apply was given it")
	return cmd
}

func readState(name string) (*terraform.State, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	state, err := terraform.ReadState(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return state, nil
}

// openTree opens the files of a folder, or of a commit when one is named.
func openTree(ctx context.Context, dir, commit string) (tree code.Tree, identity, at string, done func(), err error) {
	repository, err := git.Open(ctx, dir)
	if err != nil && (commit != "" || !errors.Is(err, git.ErrNotRepository)) {
		return nil, "", "", nil, err
	}
	if err == nil {
		if identity, err = repository.Identity(ctx); err != nil && !errors.Is(err, git.ErrNoCommits) {
			return nil, "", "", nil, errors.Join(err, repository.Close())
		}
		if commit != "" {
			if at, err = repository.Resolve(ctx, commit); err != nil {
				return nil, "", "", nil, errors.Join(err, repository.Close())
			}
			return repository.Tree(at), identity, at, func() { _ = repository.Close() }, nil
		}
		if !repository.Bare() {
			dir = repository.Root()
		}
		if err := repository.Close(); err != nil {
			return nil, "", "", nil, err
		}
	}
	folder, err := code.OpenDir(dir)
	if err != nil {
		return nil, "", "", nil, err
	}
	return folder, identity, "", func() { _ = folder.Close() }, nil
}

// below gives a path relative to the repository when it lies inside, as it is
// otherwise.
func below(repo, name string) string {
	root, err := filepath.Abs(repo)
	full, also := filepath.Abs(name)
	if err != nil || also != nil {
		return filepath.ToSlash(name)
	}
	inside, err := filepath.Rel(root, full)
	if err != nil || inside == ".." || strings.HasPrefix(inside, ".."+string(filepath.Separator)) {
		return filepath.ToSlash(name)
	}
	return filepath.ToSlash(inside)
}
