package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/owner"
)

func newPerson(s *streams) *cobra.Command {
	parent := &cobra.Command{
		Use:   "person",
		Short: "Who is who: people over directories, on-call systems, forges and commits",
		Long: "Accounts are one person's by exact address or by a login that a forge or directory vouches for.\n" +
			"Two entries of one directory stay two people; who only has the same name is listed as a namesake.",
	}
	var repo string
	parent.PersistentFlags().StringVar(&repo, "repo", "", "also those who committed to the repository in this folder")
	parent.AddCommand(newPersonList(s, &repo), newPersonShow(s, &repo))
	return parent
}

// humans joins the people of the graph, and those of a repository.
func (s *streams) humans(ctx context.Context, repo string) (*owner.Humans, error) {
	desk, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer desk.Close()
	accounts, err := owner.GraphAccounts(ctx, desk.Graph())
	if err != nil {
		return nil, err
	}
	if repo != "" {
		more, err := owner.RepositoryAccounts(ctx, repo, "HEAD", filepath.Join(s.state, "cache"))
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, more...)
	}
	return owner.JoinAccounts(accounts, s.now()), nil
}

// standing says in a word what is special about a person.
func standing(h *owner.Human) string {
	switch {
	case h.Bot:
		return "bot: " + h.Why
	case h.Gone && h.Left != "":
		return "left " + h.Left
	case h.Gone:
		return "left"
	}
	return ""
}

func newPersonList(s *streams, repo *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "People with their accounts, namesakes and conflicts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			humans, err := s.humans(cmd.Context(), *repo)
			if err != nil {
				return err
			}
			s.warn(humans.Conflicts)
			if s.output == "json" {
				return s.json(humans)
			}
			if len(humans.List) == 0 {
				return incomplete("nobody is known: sources such as scim and people tell of people, --repo of those who committed")
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "PERSON\tNAME\tACCOUNTS\tADDRESSES\tSTANDING")
			for i := range humans.List {
				h := &humans.List[i]
				fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", plain(h.ID), plain(h.Name), len(h.Accounts), len(h.Emails), plain(standing(h)))
			}
			if err := table.Flush(); err != nil {
				return err
			}
			for _, n := range humans.Namesakes {
				word := "the same name, perhaps the same person"
				if n.Different {
					word = "the same name, different people"
				}
				fmt.Fprintf(s.out, "%s: %s: %s\n", plain(n.Name), word, plain(strings.Join(n.Humans, ", ")))
			}
			return nil
		},
	}
}

func newPersonShow(s *streams, repo *string) *cobra.Command {
	return &cobra.Command{
		Use:     "show PERSON",
		Short:   "A person with all accounts, and what joins them",
		Long:    "A person is named by an address, a login with its forge, or the id that a source gives.",
		Example: "  backstitch person show ada@acme.test\n  backstitch person show github.com/ada --repo .",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			humans, err := s.humans(cmd.Context(), *repo)
			if err != nil {
				return err
			}
			h, known := humans.Find(args[0])
			if !known {
				return fmt.Errorf("%q: nobody is known by this address, login or id, or several are", args[0])
			}
			if s.output == "json" {
				return s.json(h)
			}
			say := func(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
			say("person %s", plain(h.ID))
			say("name  %s", plain(h.Name))
			if text := standing(h); text != "" {
				say("%s", plain(text))
			}
			if h.Manager != "" {
				say("manager  %s", plain(h.Manager))
			}
			say("addresses  %s", plain(strings.Join(h.Emails, ", ")))
			if len(h.Logins) > 0 {
				say("logins  %s", plain(strings.Join(h.Logins, ", ")))
			}
			say("ACCOUNTS")
			for _, a := range h.Accounts {
				say("  %s: %s (%s)", plain(a.Source), plain(a.Key), plain(a.Name))
			}
			if len(h.Links) > 0 {
				say("joined by %s", plain(strings.Join(h.Links, ", ")))
			}
			return nil
		},
	}
}
