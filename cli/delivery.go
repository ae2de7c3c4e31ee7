package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/action"
)

func newDelivery(s *streams) *cobra.Command {
	parent := &cobra.Command{
		Use:   "delivery",
		Short: "Outside effects: what was sent, what waits and why, approvals, limits, the kill switch",
		Long: "Every outside effect is written down before it is sent and happens once. What is held, awaits\n" +
			"approval or may or may not have happened is listed with the reason; reconcile takes it up.",
	}
	parent.AddCommand(newDeliveryList(s), newDeliveryShow(s), newDeliveryApprove(s), newDeliveryRefuse(s), newDeliveryReconcile(s), newDeliveryReplay(s),
		newDeliveryUndo(s), newDeliveryExport(s), newDeliveryHalt(s), newDeliveryResume(s), newDeliveryLimits(s))
	return parent
}

// onDeliveries runs fn over the log of the state.
func (s *streams) onDeliveries(ctx context.Context, fn func(*action.Log) error) error {
	desk, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	return fn(desk.Deliveries())
}

// moment writes a time of a delivery, "" for none.
func moment(micros int64) string {
	if micros == 0 {
		return ""
	}
	return time.UnixMicro(micros).UTC().Format(time.RFC3339)
}

// next says when a delivery that waits may go on.
func next(d action.Delivery) string {
	switch d.State {
	case action.Held:
		return moment(d.NotBefore)
	case action.Sending, action.Doubt:
		return moment(d.SettleAt)
	}
	return ""
}

func newDeliveryList(s *streams) *cobra.Command {
	var only []string
	command := &cobra.Command{
		Use:     "list",
		Short:   "The deliveries in the order in which they were asked for",
		Example: "  backstitch delivery list --only held,awaiting_approval,doubt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			states := []action.State{action.AwaitingApproval, action.Approved, action.Held, action.Sending, action.Doubt, action.Sent, action.Failed, action.Refused, action.Undone}
			for _, one := range only {
				if !slices.Contains(states, action.State(one)) {
					return fmt.Errorf("--only %s: expected one of %v", one, states)
				}
			}
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error {
				list, err := log.List(cmd.Context())
				if err != nil {
					return err
				}
				if len(only) > 0 {
					list = slices.DeleteFunc(list, func(d action.Delivery) bool { return !slices.Contains(only, string(d.State)) })
				}
				if s.output == "json" {
					return s.json(append([]action.Delivery{}, list...))
				}
				return s.printDeliveries(list)
			})
		},
	}
	command.Flags().StringSliceVar(&only, "only", nil, "only deliveries in these states")
	return command
}

func (s *streams) printDeliveries(list []action.Delivery) error {
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DELIVERY\tSTATE\tKIND\tTARGET\tATTEMPTS\tNOT BEFORE\tWHY")
	for _, d := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", plain(d.Key), d.State, plain(d.Kind), plain(d.Target), d.Attempts, next(d), cut(plain(d.Why), 100))
	}
	return table.Flush()
}

func newDeliveryShow(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "show DELIVERY",
		Short: "A delivery with its approvals and everything that happened to it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error { return s.showDelivery(cmd.Context(), log, args[0]) })
		},
	}
}

func (s *streams) showDelivery(ctx context.Context, log *action.Log, key string) error {
	record, err := log.Show(ctx, key)
	if err != nil {
		return err
	}
	if s.output == "json" {
		return s.json(record)
	}
	say := func(name, value string) {
		if value != "" {
			fmt.Fprintf(s.out, "%-11s %s\n", name, plain(value))
		}
	}
	say("delivery", record.Key)
	say("state", string(record.State))
	say("why", record.Why)
	say("not before", next(record.Delivery))
	say("kind", record.Kind)
	say("target", record.Target)
	say("plan", record.Plan)
	say("base", record.Base)
	say("payload", record.Payload)
	say("binding", record.Binding)
	say("asked by", record.Requester)
	say("undoes", record.UndoOf)
	say("at", strings.TrimSpace(record.Ref+" "+record.URL))
	say("reply", record.Reply)
	say("limits", map[bool]string{true: "passed by " + record.OverrideBy}[record.OverrideBy != ""])
	if len(record.Approvals) > 0 {
		fmt.Fprintln(s.out, "APPROVALS")
	}
	for _, a := range record.Approvals {
		text := fmt.Sprintf("%s by %s", a.Verdict, a.Approver)
		if a.Reason != "" {
			text += ": " + a.Reason
		}
		switch {
		case a.VoidedAt != 0:
			text += fmt.Sprintf(" (void since %s: %s)", moment(a.VoidedAt), a.VoidWhy)
		case a.Expires != 0:
			text += " (until " + moment(a.Expires) + ")"
		}
		fmt.Fprintf(s.out, "  %s %s\n", moment(a.At), plain(text))
	}
	fmt.Fprintln(s.out, "EVENTS")
	for _, e := range record.Events {
		fmt.Fprintf(s.out, "  %s %-17s %s (%s)\n", moment(e.At), e.To, plain(e.Why), plain(e.Actor))
	}
	return nil
}

// word adds the flags of what a person says of a delivery.
func word(command *cobra.Command, w *action.Word, override bool) {
	command.Flags().StringVar(&w.Reason, "reason", "", "why, for whoever reads it later")
	if override {
		command.Flags().BoolVar(&w.Override, "override-limits", false, "pass limits and quiet hours, which is recorded; the kill switch cannot be passed")
	}
}

// outcome shows what became of a delivery after a person's word.
func (s *streams) outcome(ctx context.Context, log *action.Log, key string, err error) error {
	var waiting *action.Waiting
	var over *action.Ended
	if err != nil && !errors.As(err, &waiting) && !errors.As(err, &over) {
		return err
	}
	return errors.Join(s.showDelivery(ctx, log, key), err)
}

func newDeliveryApprove(s *streams) *cobra.Command {
	var w action.Word
	command := &cobra.Command{
		Use:   "approve DELIVERY",
		Short: "Approve a delivery, and send it when nothing else holds it",
		Long: "The approval is bound to kind, target, plan, base and payload: any change voids it. Who asked for\n" +
			"a delivery cannot approve it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error {
				w.Actor = actor()
				d, err := log.Approve(cmd.Context(), args[0], w)
				if err != nil {
					return err
				}
				if log.Knows(d.Kind) || d.UndoOf != "" {
					_, err = log.Settle(cmd.Context(), d.Key)
				}
				return s.outcome(cmd.Context(), log, d.Key, err)
			})
		},
	}
	word(command, &w, true)
	command.Flags().DurationVar(&w.Valid, "for", 0, "how long the approval holds (default: approval_valid of the policy, 72h)")
	command.Flags().StringVar(&w.Binding, "binding", "", "the binding that you saw; an approval of anything else is refused")
	return command
}

func newDeliveryRefuse(s *streams) *cobra.Command {
	var w action.Word
	command := &cobra.Command{
		Use:   "refuse DELIVERY --reason TEXT",
		Short: "Say no to a delivery that was not sent yet",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error {
				w.Actor = actor()
				d, err := log.Refuse(cmd.Context(), args[0], w)
				if err != nil {
					return err
				}
				return s.showDelivery(cmd.Context(), log, d.Key)
			})
		},
	}
	word(command, &w, false)
	required(command, "reason")
	return command
}

// required marks a flag that the command defines.
func required(command *cobra.Command, flag string) {
	if err := command.MarkFlagRequired(flag); err != nil {
		panic(err)
	}
}

func newDeliveryReconcile(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "reconcile",
		Short: "Settle what is in doubt and send what may go by now",
		Long:  "Exit code 3 says that something could not be taken up, 1 that something still waits.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error {
				result, err := log.Reconcile(cmd.Context())
				if err != nil {
					return err
				}
				s.warn(result.Problems)
				if s.output == "json" {
					err = s.json(result)
				} else {
					err = s.printDeliveries(slices.Concat(result.Settled, result.Waiting))
				}
				switch {
				case err != nil:
					return err
				case len(result.Problems) > 0:
					return incomplete("%s could not be taken up", several(len(result.Problems), "delivery that was due"))
				case len(result.Waiting) > 0:
					return gate("waiting: %d", len(result.Waiting))
				}
				return nil
			})
		},
	}
}

func newDeliveryReplay(s *streams) *cobra.Command {
	var w action.Word
	command := &cobra.Command{
		Use:   "replay DELIVERY",
		Short: "Send a delivery that failed, was refused or undone again, under the same key",
		Long:  "The target is asked for it first, so that it is not made twice. Approvals and limits hold as ever.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error {
				w.Actor = actor()
				_, err := log.Replay(cmd.Context(), args[0], w)
				return s.outcome(cmd.Context(), log, args[0], err)
			})
		},
	}
	word(command, &w, true)
	return command
}

func newDeliveryUndo(s *streams) *cobra.Command {
	var w action.Word
	command := &cobra.Command{
		Use:   "undo DELIVERY",
		Short: "Take back what a delivery made, where its target allows that",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error {
				w.Actor = actor()
				_, err := log.Undo(cmd.Context(), args[0], w)
				return s.outcome(cmd.Context(), log, args[0], err)
			})
		},
	}
	word(command, &w, true)
	return command
}

func newDeliveryExport(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Write the whole log as JSON lines: deliveries with approvals and events, uses of the kill switch",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error { return log.Export(cmd.Context(), s.out) })
		},
	}
}

func newDeliveryHalt(s *streams) *cobra.Command {
	return s.newSwitch("halt", "Halt all outside effects at once, until they are resumed", true)
}

func newDeliveryResume(s *streams) *cobra.Command {
	return s.newSwitch("resume", "Release the kill switch; what was held goes with the next reconcile", false)
}

func (s *streams) newSwitch(verb, short string, halt bool) *cobra.Command {
	reason := ""
	command := &cobra.Command{
		Use:   verb + " --reason TEXT",
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error {
				thrown, err := log.Throw(cmd.Context(), halt, actor(), reason)
				if err != nil {
					return err
				}
				if s.output == "json" {
					return s.json(thrown)
				}
				fmt.Fprintf(s.out, "deliveries: %s by %s: %s\n", map[bool]string{true: "halted", false: "resumed"}[halt], plain(thrown.Actor), plain(thrown.Reason))
				return nil
			})
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "why, for whoever reads it later")
	required(command, "reason")
	return command
}

func newDeliveryLimits(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "limits",
		Short: "The limits, and how much of them is used",
		Long:  "The file delivery.yaml in the state folder sets them; docs/changes.md tells what may stand in it.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.onDeliveries(cmd.Context(), func(log *action.Log) error {
				limits, err := log.Limits(cmd.Context())
				if err != nil {
					return err
				}
				if s.output == "json" {
					return s.json(limits)
				}
				if limits.Halt.Halted {
					fmt.Fprintln(s.out, plain(limits.Halt.String()))
				}
				fmt.Fprintf(s.out, "in the last 24 hours %d of %s\n", limits.LastDay, limits.Policy.PerDay)
				for _, quiet := range limits.Policy.Quiet {
					days := "every day"
					if len(quiet.Days) > 0 {
						days = strings.Join(quiet.Days, ", ")
					}
					zone := limits.Policy.Timezone
					if zone == "" {
						zone = "UTC"
					}
					fmt.Fprintf(s.out, "quiet from %s to %s %s, %s\n", quiet.From, quiet.To, zone, days)
				}
				table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "KIND\tTARGET\tLAST HOUR\tOPEN\tHELD\tAPPROVAL")
				for _, u := range limits.Usage {
					approval := "not needed"
					if u.Terms.Approval {
						approval = "needed"
					}
					fmt.Fprintf(table, "%s\t%s\t%d of %s\t%d of %s\t%d\t%s\n", plain(u.Kind), plain(u.Target), u.LastHour, u.Terms.PerHour, u.Open, u.Terms.Open, u.Held, approval)
				}
				return table.Flush()
			})
		},
	}
}
