package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/service"
)

func newService(s *streams) *cobra.Command {
	parent := &cobra.Command{
		Use:   "service",
		Short: "What teams run: services found from the estate, and what people say of them",
		Long: "Services are found from labels, Helm releases, Compose projects, ECS services, repositories and\n" +
			"names, and joined with the entities of catalogs. What people merge, split and rename stays,\n" +
			"whatever the next sync finds.",
	}
	parent.AddCommand(newServiceList(s), newServiceShow(s), newServiceMerge(s), newServiceSplit(s), newServiceRename(s))
	return parent
}

// onServices runs fn over the services of the state.
func (s *streams) onServices(ctx context.Context, fn func(*service.Keeper) error) error {
	desk, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer desk.Close()
	return fn(desk.Services())
}

func newServiceList(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "The services, and why each exists",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.onServices(cmd.Context(), func(keeper *service.Keeper) error {
				found, err := keeper.Find(cmd.Context())
				if err != nil {
					return err
				}
				s.warn(found.Notes)
				if s.output == "json" {
					return s.json(found)
				}
				if len(found.Services) == 0 {
					return incomplete("no service was found: backstitch source sync reads clusters, clouds and catalogs")
				}
				table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "NAME\tMEMBERS\tKEY\tWHY")
				for _, one := range found.Services {
					fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", plain(one.Name), len(one.Members), plain(one.Key), cut(plain(one.Why()), 100))
				}
				return table.Flush()
			})
		},
	}
}

func newServiceShow(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "show SERVICE",
		Short: "A service: why it exists, its members and what it is elsewhere",
		Long:  "A service is named by its key or its name.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.onServices(cmd.Context(), func(keeper *service.Keeper) error {
				found, err := keeper.Find(cmd.Context())
				if err != nil {
					return err
				}
				one, err := found.Service(args[0])
				if err != nil {
					return err
				}
				if s.output == "json" {
					return s.json(one)
				}
				s.printService(one)
				return nil
			})
		},
	}
}

func (s *streams) printService(one *service.Service) {
	say := func(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }
	say("service %s", plain(one.Key))
	say("name  %s", plain(one.Name))
	if one.Catalog != "" {
		say("in the catalog of %s", plain(one.Catalog))
	}
	if len(one.Also) > 0 {
		say("also  %s", plain(strings.Join(one.Also, ", ")))
	}
	if len(one.Repositories) > 0 {
		say("built from  %s", plain(strings.Join(one.Repositories, ", ")))
	}
	say("WHY")
	for _, reason := range one.Reasons {
		say("  %s (%s, %d members)", plain(reason.Text), reason.Strength, reason.Members)
	}
	for _, same := range one.Same {
		say("  is %s: %s (%s)", plain(same.Asset.Key), plain(same.Reason), same.Strength)
	}
	say("MEMBERS")
	for _, member := range one.Members {
		say("  %s:%s  %s", member.Asset.Kind, plain(member.Asset.Key), plain(member.Reason))
	}
}

// edited runs an edit and brings the graph in line with it.
func (s *streams) edited(ctx context.Context, done string, edit func(*service.Keeper) error) error {
	return s.onServices(ctx, func(keeper *service.Keeper) error {
		if err := edit(keeper); err != nil {
			return err
		}
		found, _, err := keeper.Sync(ctx)
		if err != nil {
			return fmt.Errorf("the edit is kept, and the graph is not in line with it: %w", err)
		}
		if s.output == "json" {
			return s.json(found)
		}
		fmt.Fprintln(s.out, done)
		return nil
	})
}

func newServiceMerge(s *streams) *cobra.Command {
	reason := ""
	command := &cobra.Command{
		Use:     "merge SERVICE INTO",
		Short:   "Make one service a part of another",
		Example: "  backstitch service merge found:helm/shop/web backstage:component:default/shop --reason \"one team runs both\"",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.edited(cmd.Context(), plain(args[0])+" is a part of "+plain(args[1]), func(keeper *service.Keeper) error {
				return keeper.Merge(cmd.Context(), actor(), reason, args[0], args[1])
			})
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "why, for whoever reads it later")
	return command
}

func newServiceSplit(s *streams) *cobra.Command {
	reason := ""
	command := &cobra.Command{
		Use:     "split SERVICE NAME MEMBER...",
		Short:   "Take members out of a service into one of their own",
		Long:    "Members are named by KIND:KEY, key or name.",
		Example: "  backstitch service split shop payments workload:prod/shop/Deployment.apps/payments",
		Args:    cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.edited(cmd.Context(), fmt.Sprintf("%d members of %s are the service %s", len(args)-2, plain(args[0]), plain(args[1])), func(keeper *service.Keeper) error {
				return keeper.Split(cmd.Context(), actor(), reason, args[0], args[1], args[2:])
			})
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "why, for whoever reads it later")
	return command
}

func newServiceRename(s *streams) *cobra.Command {
	reason := ""
	command := &cobra.Command{
		Use:   "rename SERVICE NAME",
		Short: "Give a service a name",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.edited(cmd.Context(), plain(args[0])+" is called "+plain(args[1]), func(keeper *service.Keeper) error {
				return keeper.Rename(cmd.Context(), actor(), reason, args[0], args[1])
			})
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "why, for whoever reads it later")
	return command
}
