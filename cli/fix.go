package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

func newFix(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "fix", Short: "Fix paths: compare, prove, open"}
	var request agent.FixRequest
	plan := &cobra.Command{
		Use:   "plan ISSUE",
		Short: "The ways to fix an issue, compared",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			it, err := desk.Issue(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(it.FixPaths)
			}
			s.printPaths(it.FixPaths)
			s.printBlocked(it)
			return nil
		}),
	}
	var statement string
	prove := &cobra.Command{
		Use:   "verify ISSUE",
		Short: "Prove a fix path: seen before, still seen after a no-op, gone after the change, nothing new",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			request.Issue = args[0]
			proof, err := desk.VerifyFix(cmd.Context(), request)
			if err != nil {
				return err
			}
			if statement != "" {
				if err := os.WriteFile(statement, proof.Envelope, 0o644); err != nil {
					return err
				}
			}
			if s.output == "json" {
				if err := s.json(proof.Path); err != nil {
					return err
				}
			} else {
				s.printPaths([]fix.Path{proof.Path})
			}
			if proof.Path.Verification.Status != fact.VerificationProven {
				return gate("the fix is not proven: %s", proof.Path.Verification.Status)
			}
			return nil
		}),
	}
	prove.Flags().StringVar(&statement, "statement", "", "write the signed statement (DSSE envelope) to this file")

	override := false
	open := &cobra.Command{
		Use:   "open ISSUE",
		Short: "Prove a fix path and push it as a branch, with its pull-request text",
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			request.Issue = args[0]
			opened, err := desk.OpenFix(cmd.Context(), request)
			if err != nil {
				return err
			}
			if opened.Receipt.Ref == "" {
				s.printPaths([]fix.Path{opened.Path})
				return gate("nothing was pushed: the fix is not proven")
			}
			if s.output == "json" {
				return s.json(opened)
			}
			fmt.Fprintf(s.out, "%s %s at %s\n\n%s\n\n%s", opened.Receipt.Outcome, plain(opened.Receipt.Ref), opened.Commit, plain(opened.PullRequest.Title), opened.PullRequest.Body)
			return nil
		}, func(c *app.Config) { c.OverrideLimits = override }),
	}
	open.Flags().StringVar(&request.Remote, "remote", "", "where the change goes: URL or path; a forge that is a source serves its own (default: the repository's origin)")
	open.Flags().StringVar(&request.Target, "target", "", "branch that the change is meant for (default: the remote's)")
	open.Flags().BoolVar(&request.Unproven, "unproven", false, "offer, as a draft, a change of which nothing of ours can judge the effect")
	open.Flags().BoolVar(&request.Again, "again", false, "offer a change again that people closed without merging it")
	open.Flags().BoolVar(&request.TakeOver, "take-over", false, "write over commits that others put on the change's branch")
	open.Flags().BoolVar(&override, "override-limits", false, "pass limits and quiet hours of deliveries, which is recorded; the kill switch cannot be passed")
	for _, command := range []*cobra.Command{prove, open} {
		command.Flags().StringVar(&request.Repo, "repo", "", "folder of the repository (default: where triage saw it)")
		command.Flags().StringVar(&request.Path, "path", "", "id of the fix path (default: the recommended one)")
	}
	parent.AddCommand(plan, newFixCompare(s), prove, open, newFixSet(s), newFixHandoff(s))
	return parent
}

func (s *streams) printPaths(paths []fix.Path) {
	if len(paths) == 0 {
		fmt.Fprintln(s.out, "  no fix path known")
	}
	for _, path := range paths {
		mark := " "
		if path.Recommended {
			mark = "*"
		}
		fmt.Fprintf(s.out, "%s %s  %s\n", mark, path.ID, plain(path.Summary))
		fmt.Fprintf(s.out, "    %s; effort %s, risk %s, closes %s of %s\n", plain(path.Reason), path.Effort, path.Risk, several(path.Findings, "finding"), several(len(path.Closes), "issue"))
		for _, step := range path.Steps {
			fmt.Fprintf(s.out, "    - %s", plain(step.Text))
			if step.Location != nil {
				fmt.Fprintf(s.out, " (%s)", plain(place(*step.Location)))
			}
			if step.Command != "" {
				fmt.Fprintf(s.out, ": %s", plain(step.Command))
			}
			fmt.Fprintln(s.out)
		}
		if path.Verification != nil {
			fmt.Fprintf(s.out, "    proof: %s\n", path.Verification.Status)
			for _, check := range path.Verification.Checks {
				fmt.Fprintf(s.out, "      %-4s %s: %s\n", check.Status, plain(check.Name), plain(check.Detail))
			}
		}
		if path.Diff != "" {
			fmt.Fprintln(s.out)
			for line := range strings.Lines(path.Diff) {
				fmt.Fprintln(s.out, plainCode(strings.TrimSuffix(line, "\n")))
			}
		}
	}
}
