package cli

import (
	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/owner"
)

func newIssueAssign(s *streams) *cobra.Command {
	var a owner.Answer
	var pin bool
	command := &cobra.Command{
		Use:   "assign ISSUE OWNER",
		Short: "Say who owns an issue; kept whatever sources say later",
		Long:  "OWNER is a person or team that a source knows, by name, key or address; team:KEY and\nperson:ADDRESS name one all the same.",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Verb = owner.Assign
			if pin {
				a.Verb = owner.Pin
			}
			return s.answer(cmd.Context(), args[0], args[1], a)
		},
	}
	command.Flags().StringVar(&a.Role, "role", owner.RoleOwner, "what the owner is to it")
	command.Flags().StringVar(&a.Reason, "reason", "", "why, for whoever reads it later")
	command.Flags().BoolVar(&pin, "pin", false, "hold it against later assignments and bulk work")
	return command
}
