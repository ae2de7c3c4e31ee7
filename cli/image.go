package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/image"
	"github.com/backstitch/backstitch/image/attestation"
)

func newImage(s *streams) *cobra.Command {
	parent := &cobra.Command{Use: "image", Short: "Where an image and what is in it come from"}
	var platform, pkg string
	var repos, provenance []string
	var believed trust
	show := &cobra.Command{
		Use:   "show REF|PATH",
		Short: "Layers with their history, packages, base and own part, source",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.image(cmd.Context(), args[0], platform, repos, provenance, &believed, nil)
		},
	}
	trace := &cobra.Command{
		Use:   "trace REF|PATH --repo DIR",
		Short: "Package to layer to Dockerfile line, image to repository and commit",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.image(cmd.Context(), args[0], platform, repos, provenance, &believed, func(p *image.Package) bool {
				return pkg == "" || strings.EqualFold(p.Name, pkg) || strings.EqualFold(p.Source, pkg)
			})
		},
	}
	trace.Flags().StringVar(&pkg, "package", "", "only the package of this name")
	for _, command := range []*cobra.Command{show, trace} {
		command.Flags().StringVar(&platform, "platform", "", "platform of a multi-platform image, for example linux/arm64")
		command.Flags().StringArrayVar(&repos, "repo", nil, "folder of a repository that may be the source; may be given again")
		command.Flags().StringArrayVar(&provenance, "provenance", nil, "file with attestations of the image, beside those that stand with it; may be given again")
		believed.flags(command)
	}
	parent.AddCommand(show, trace, newAttestation(s))
	return parent
}

// image investigates one image and prints it; wanted chooses packages to trace,
// nil none.
func (s *streams) image(ctx context.Context, ref, platform string, repos, provenance []string, believed *trust, wanted func(*image.Package) bool) error {
	policy, err := believed.policy()
	if err != nil {
		return err
	}
	files, err := readAttestations(provenance)
	if err != nil {
		return err
	}
	set, err := image.Open(ctx, ref)
	if err != nil {
		return err
	}
	defer set.Close()
	chosen, err := set.Pick(platform)
	if err != nil {
		return err
	}
	cache, err := image.OpenCache(filepath.Join(s.state, "cache", "layers"), image.CacheLimit)
	if err != nil {
		return err
	}
	known := filepath.Join(s.state, "cache", "bases")
	bases, err := image.LoadBases(known)
	if err != nil {
		return err
	}
	said, err := attestation.Gather(ctx, chosen, files, policy)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return gate("provenance is refused: %w", err)
	}
	set.Problems = append(set.Problems, said.Problems...)
	inputs := image.Inputs{Cache: cache, Bases: bases, Provenance: said.Provenance}
	for _, dir := range repos {
		repository, err := readRepository(ctx, dir)
		if err != nil {
			return err
		}
		inputs.Repositories = append(inputs.Repositories, repository)
	}
	s.progress()("reading layers", 0, 0)
	trace, err := image.Investigate(ctx, chosen, inputs)
	s.progress()("", 0, 0)
	if err != nil {
		return err
	}
	// An image that was seen is one that others may be built on.
	name := ref
	if len(chosen.Tags) > 0 {
		name = chosen.Tags[0]
	}
	bases.Add(image.Seen(chosen, name, trace.Inventory))
	for _, p := range said.Provenance {
		if base, ok := image.Attested(chosen, p); ok {
			bases.Add(base)
		}
	}
	if err := bases.Save(known); err != nil {
		return err
	}
	summary := image.Summarise(set, trace)
	if wanted != nil {
		for i := range trace.Inventory.Packages {
			if p := &trace.Inventory.Packages[i]; wanted(p) {
				summary.Traces = append(summary.Traces, trace.Package(*p))
			}
		}
	}
	if s.output == "json" {
		err = s.json(summary)
	} else {
		err = summary.WriteText(s.out, plain)
	}
	if err != nil {
		return err
	}
	if len(trace.Inventory.Unread) > 0 {
		return incomplete("%d of %d layers could not be read", len(trace.Inventory.Unread), len(chosen.Layers))
	}
	if wanted != nil && len(summary.Traces) == 0 {
		return incomplete("no such package in the image")
	}
	return nil
}

func readRepository(ctx context.Context, dir string) (*image.Repository, error) {
	repo, err := git.Open(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	defer repo.Close()
	head, err := repo.Resolve(ctx, "HEAD")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return image.ReadRepository(ctx, repo, head)
}
