package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/demo"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

func newDemo(s *streams) *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "demo",
		Short: "The whole product on a demonstration estate",
		Long: "Makes three small git repositories, advisories, reports and exports of where they run\n" +
			"in a temporary folder (or in --dir, which is kept), triages them with proofs, and\n" +
			"pushes the proven changes to local bare remotes. One of them is merged there, looked at again and\n" +
			"followed until it is verified; one issue is investigated.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				temporary, err := os.MkdirTemp("", "backstitch-demo-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(temporary)
				dir = temporary
			}
			return s.runDemo(cmd, dir)
		},
	}
	command.Flags().StringVar(&dir, "dir", "", "empty folder to write the estate into; it is kept")
	return command
}

func (s *streams) runDemo(cmd *cobra.Command, dir string) error {
	ctx := cmd.Context()
	estate, err := demo.Build(ctx, dir)
	if err != nil {
		return err
	}
	now := estate.Now
	desk, err := app.Open(ctx, app.Config{
		State:    filepath.Join(dir, "state"),
		Now:      func() time.Time { return now },
		Progress: s.progress(),
		Version:  version,
		Consent:  true, // the estate's code is our own
	})
	if err != nil {
		return err
	}
	defer desk.Close()
	if _, err := desk.ImportAdvisories(ctx, []string{estate.Advisories}); err != nil {
		return err
	}
	fmt.Fprint(s.out, "# what runs: the state of Terraform, the objects of the cluster, the projects\n\n")
	for _, source := range estate.Sources {
		synced, err := desk.SyncSource(ctx, app.Source{Name: source.Name, Type: source.Type, Settings: source.Settings})
		if err != nil {
			return err
		}
		for _, gap := range synced.Graph.Gaps {
			s.warn([]string{fmt.Sprintf("%s: %v", source.Name, gap)})
		}
		fmt.Fprintf(s.out, "%-10s %d assets, %d relations\n", source.Name, synced.Graph.Nodes.New, synced.Graph.Edges.New)
	}
	proven, failed := 0, 0
	var offered []offer
	worst := ""
	for _, repository := range estate.Repositories {
		fmt.Fprintf(s.out, "\n# %s: triage --verify of %d reports\n\n", repository.Name, len(repository.Reports))
		result, err := desk.Triage(ctx, agent.Request{Repo: repository.Dir, Commit: "HEAD", Reports: repository.Reports, Verify: true})
		if err != nil {
			return err
		}
		s.warn(result.Problems)
		if err := printIssues(s.out, result.Issues, result.Complete); err != nil {
			return err
		}
		if len(result.Issues) > 0 {
			worst = result.Issues[0].ID
		}
		pushed := map[string]bool{}
		for _, it := range result.Issues {
			for _, path := range it.FixPaths {
				if !path.Recommended || pushed[path.ID] || path.Verification == nil {
					continue
				}
				pushed[path.ID] = true
				if path.Verification.Status != fact.VerificationProven {
					failed++
					fmt.Fprintf(s.out, "\nnot proven: %s: %s\n", plain(path.Summary), plain(fault(*path.Verification)))
					continue
				}
				opened, err := desk.OpenFix(ctx, agent.FixRequest{Issue: it.ID, Path: path.ID, Repo: repository.Dir, Remote: repository.Remote})
				if err != nil {
					return err
				}
				proven++
				offered = append(offered, offer{repository, opened})
				fmt.Fprintf(s.out, "\npushed %s to the bare remote of %s: %s\n", plain(opened.Receipt.Ref), repository.Name, plain(opened.PullRequest.Title))
			}
		}
	}
	fmt.Fprint(s.out, "\n# the smallest set of changes\n\n")
	set, err := desk.Smallest(ctx, nil)
	if err != nil {
		return err
	}
	if err := s.printSet(set); err != nil {
		return err
	}
	fmt.Fprint(s.out, "\n# how the internet reaches the code of the platform\n\n")
	outside := fact.Asset{Kind: fact.AssetInternet, Key: fact.AssetInternet}
	ways, err := desk.Graph().Nearest(ctx, outside, []string{fact.AssetRepository}, graph.PathOptions{Follow: []graph.Follow{
		{Kind: fact.Exposes, Way: graph.Forward}, {Kind: fact.Controls, Way: graph.Both}, {Kind: fact.InstanceOf, Way: graph.Forward}, {Kind: fact.PackagedFrom, Way: graph.Forward}}})
	if err != nil {
		return err
	}
	s.printWays(ways)
	if at := slices.IndexFunc(offered, func(o offer) bool { return len(o.repository.Later) > 0 }); at >= 0 {
		if err := s.demoLife(ctx, desk, offered[at], &now); err != nil {
			return err
		}
	}
	if worst != "" {
		record, err := desk.Investigate(ctx, worst)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "\n# issue investigate %s: its summary\n\n", worst)
		for _, one := range record.Summary {
			fmt.Fprintf(s.out, "- %s\n", plain(one.Text))
		}
	}
	fmt.Fprintf(s.out, "\n%d proven changes pushed, %d not proven\n", proven, failed)
	if proven == 0 {
		return incomplete("no change could be proven here")
	}
	return nil
}

// offer is a change that was pushed.
type offer struct {
	repository demo.Repository
	opened     agent.Opened
}

// fault names what kept a change from being proven: the first check that failed, or else
// the first that could not be made.
func fault(v fact.Verification) string {
	for _, status := range []string{fact.CheckFail, fact.CheckSkip} {
		for _, check := range v.Checks {
			if check.Status == status {
				return check.Name + ": " + check.Detail
			}
		}
	}
	return v.Status
}

// demoLife merges a change, lets the scanners look again on the next day, and follows it.
func (s *streams) demoLife(ctx context.Context, desk *app.App, o offer, now *time.Time) error {
	r := o.opened.Remediation
	fmt.Fprintf(s.out, "\n# %s: %s is merged, and looked at again on the next day\n\n", o.repository.Name, plain(r.Branch))
	if err := demo.Merge(ctx, o.repository, r.Branch); err != nil {
		return err
	}
	for look := range 2 {
		if look == 1 {
			*now = now.Add(24 * time.Hour)
			if _, err := desk.Triage(ctx, agent.Request{Repo: o.repository.Dir, Commit: "HEAD", Reports: o.repository.Later}); err != nil {
				return err
			}
		}
		followed, err := desk.Follow(ctx, r.ID)
		if err != nil {
			return err
		}
		s.printFollowed(followed)
	}
	return nil
}
