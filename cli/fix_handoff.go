package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
)

func newFixHandoff(s *streams) *cobra.Command {
	var request agent.HandOffRequest
	var show bool
	command := &cobra.Command{
		Use:   "handoff ISSUE --remote URL",
		Short: "Hand an issue to a coding agent, or to people, as a ticket that says exactly what to do",
		Long: "Makes a ticket with what is wrong, where, what to do, what not to touch, when it is done, how it will\n" +
			"be verified and who owns it; then asks the agent. Ways: assign (GitHub Copilot and others that can be\n" +
			"assignees), label, mention, rest (the forge's own service). Without a way only the ticket is made.\n" +
			"The pull request that refers to the ticket is adopted by backstitch change follow, and judged by the\n" +
			"same proof as changes of our own, never by its word.",
		Args: cobra.ExactArgs(1),
		RunE: s.onDesk(func(cmd *cobra.Command, desk *app.App, args []string) error {
			request.Issue = args[0]
			if show {
				ticket, _, err := desk.Task(cmd.Context(), request)
				if err != nil {
					return err
				}
				if s.output == "json" {
					return s.json(ticket)
				}
				fmt.Fprintf(s.out, "%s\n\n%s", plain(ticket.Title), ticket.Body)
				return nil
			}
			if request.Remote == "" {
				return errors.New("expected --remote URL: the repository whose forge keeps the ticket (or --show, which only prints it)")
			}
			handed, err := desk.HandOff(cmd.Context(), request)
			if err != nil {
				return err
			}
			s.warn(handed.Receipt.Notes)
			if s.output == "json" {
				return s.json(handed)
			}
			fmt.Fprintf(s.out, "%s %s\n", handed.Receipt.Outcome, plain(handed.Receipt.URL))
			if request.Mode != "" {
				fmt.Fprintf(s.out, "handed to %s by %s %s\n", plain(request.Agent), request.Mode, plain(handed.Delegated.URL))
			}
			fmt.Fprintf(s.out, "backstitch change follow %s judges what comes of it\n", handed.Remediation.ID)
			return nil
		}),
	}
	command.Flags().StringVar(&request.Remote, "remote", "", "repository whose forge keeps the ticket")
	command.Flags().StringVar(&request.Mode, "mode", "", "assign, label, mention or rest; without it only the ticket is made")
	command.Flags().StringVar(&request.Agent, "agent", "", "the agent's login, the label, or the name to mention")
	command.Flags().StringVar(&request.Target, "target", "", "branch that the agent is to start from (default: the remote's)")
	command.Flags().BoolVar(&request.Again, "again", false, "although an earlier change for it was declined")
	command.Flags().BoolVar(&show, "show", false, "print the ticket and do nothing")
	return command
}
