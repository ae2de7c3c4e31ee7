package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/owner"
)

// actor is who uses the command line.
func actor() string {
	if who, err := user.Current(); err == nil {
		return who.Username
	}
	return cmp.Or(os.Getenv("USER"), "command line")
}

// subject finds what a text means: an issue by its id, else an asset.
func subject(ctx context.Context, desk *app.App, text string) (fact.Asset, error) {
	if app.IsIssue(text) {
		it, err := desk.Issue(ctx, text)
		return fact.Asset{Kind: owner.SubjectIssue, Key: it.ID}, err
	}
	return asset(ctx, desk.Graph(), text)
}

// answer asks the desk to keep what a person says, and tells what came of it.
func (s *streams) answer(ctx context.Context, about, who string, a owner.Answer) error {
	desk, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	if a.Subject, err = subject(ctx, desk, about); err != nil {
		return err
	}
	estate, err := desk.Ownership()
	if err != nil {
		return err
	}
	if a.Owner, err = estate.Find(ctx, who); err != nil {
		return err
	}
	a.By = actor()
	changed, err := desk.SayOwner(ctx, a)
	if err != nil {
		return err
	}
	if s.output == "json" {
		history, err := desk.OwnerHistory(ctx, a.Subject)
		if err != nil {
			return err
		}
		return s.json(history)
	}
	word := map[owner.Verb]string{owner.Assign: "is assigned", owner.Accept: "is accepted", owner.Reject: "is rejected", owner.Pin: "is pinned", owner.Unpin: "is no longer pinned"}[a.Verb]
	if !changed {
		word += " already"
	}
	fmt.Fprintf(s.out, "%s %s %s as %s of %s %s\n", a.Owner.Kind, plain(cmp.Or(a.Owner.Name, a.Owner.ID)), word, cmp.Or(a.Role, owner.RoleOwner), a.Subject.Kind, plain(a.Subject.Key))
	return nil
}

const ownerHelp = "OWNER is a person or team that a source knows, by name, key or address; team:KEY and\nperson:ADDRESS name one all the same. SUBJECT is an asset or the id of an issue. "

func newOwnerAnswer(s *streams, verb owner.Verb, short string) *cobra.Command {
	var a owner.Answer
	command := &cobra.Command{
		Use:   string(verb) + " SUBJECT OWNER",
		Short: short,
		Long:  ownerHelp + "\n" + assetHelp,
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Verb = verb
			return s.answer(cmd.Context(), args[0], args[1], a)
		},
	}
	command.Flags().StringVar(&a.Reason, "reason", "", "why, for whoever reads it later")
	if verb != owner.Reject && verb != owner.Unpin {
		command.Flags().StringVar(&a.Role, "role", owner.RoleOwner, "what the owner is to it")
	}
	return command
}

// newOwnerAccept is the answer that suggestions are right, one or all above a
// confidence.
func newOwnerAccept(s *streams) *cobra.Command {
	command := newOwnerAnswer(s, owner.Accept, "Say that a suggestion is right, or all above a confidence")
	one := command.RunE
	var above float64
	var try bool
	command.Use = "accept SUBJECT OWNER | --above CONFIDENCE"
	command.Long += "\n\nWith --above every clear suggestion on which nobody has spoken is accepted. Nobody looked at\neach, so that it teaches nothing."
	command.Args = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("above") {
			return cobra.NoArgs(cmd, args)
		}
		return cobra.ExactArgs(2)(cmd, args)
	}
	command.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("above") {
			if try {
				return fmt.Errorf("--dry-run goes with --above")
			}
			return one(cmd, args)
		}
		desk, err := s.open(cmd.Context())
		if err != nil {
			return err
		}
		defer desk.Close()
		done, err := desk.AcceptAbove(cmd.Context(), above, actor(), try)
		if err != nil {
			return err
		}
		if s.output == "json" {
			return s.json(done)
		}
		for _, line := range done.Samples {
			fmt.Fprintf(s.out, "  %s\n", plain(line))
		}
		word := "are accepted"
		if try {
			word = "would be accepted"
		}
		fmt.Fprintf(s.out, "%d suggestions %s; %d are left as a person said, %d are below %.2f or not clear\n", done.Accepted, word, done.Said, done.Below, above)
		return nil
	}
	command.Flags().Float64Var(&above, "above", 0, "accept every clear suggestion of at least this confidence")
	command.Flags().BoolVar(&try, "dry-run", false, "with --above: show what would be accepted and keep nothing")
	return command
}

func newOwnerHistory(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "history SUBJECT",
		Short: "What people said of who owns an asset or an issue",
		Long:  assetHelp,
		Args:  cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			about, err := subject(cmd.Context(), desk, args[0])
			if err != nil {
				return err
			}
			list, err := desk.OwnerHistory(cmd.Context(), about)
			if err != nil {
				return err
			}
			if s.output == "json" {
				return s.json(list)
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "WHEN\tWHO\tSAID\tOWNER\tROLE\tTEACHES\tREASON")
			for _, a := range list {
				var lessons []string
				for _, kind := range a.Right {
					lessons = append(lessons, "+"+kind)
				}
				for _, kind := range a.Wrong {
					lessons = append(lessons, "-"+kind)
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s %s\t%s\t%s\t%s\n", time.UnixMicro(a.At).UTC().Format(time.DateTime), plain(a.By), a.Verb, a.Owner.Kind, plain(cmp.Or(a.Owner.Name, a.Owner.ID)),
					plain(a.Role), plain(strings.Join(lessons, " ")), plain(a.Reason))
			}
			return table.Flush()
		}),
	}
}
