package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
)

// lifecycle looks for what the repository uses that is out of support, when the index
// knows of products at all. looked says that there was something to look at.
func (d *Desk) lifecycle(ctx context.Context, s *scene, partial bool, result *Triage) (looked bool, err error) {
	lives, err := d.Advisories.Lives()
	if err != nil || len(lives) == 0 {
		return false, err
	}
	d.Progress("looking for what is out of support", 0, 0)
	scanned, err := intake.Scan(ctx, d.DB, d.Lifecycle(d.Advisories, d.Now), s.tree, intake.Options{
		Repository: s.identity,
		Target:     s.identity,
		Partial:    partial,
		Complete:   []fact.Asset{{Kind: fact.AssetRepository, Key: s.identity, Name: s.identity}},
		Now:        d.Now(),
	})
	if err != nil {
		return false, err
	}
	if len(scanned.Problems) > 0 {
		result.incomplete("some files that name images, runtimes or packages could not be read")
	}
	for _, problem := range scanned.Problems {
		result.problem(problem)
	}
	paths, err := s.tree.Paths(ctx)
	return scanned.Seen() > 0 || slices.ContainsFunc(paths, dockerfile.Named), err
}

// maxDeclared bounds the assets of the graph that are looked at for one repository.
const maxDeclared = 10_000

// declared lists what runs that this repository declares, as far as its findings are
// not loaded: cloud resources through the state of its Terraform, Kubernetes objects
// through its manifests.
func (d *Desk) declared(ctx context.Context, s *scene, result *Triage) (fresh []fact.Asset, err error) {
	name := strings.ReplaceAll(s.identity, "*", "?")
	for _, way := range []string{"-declared_by-> terraform_resource", "-declared_at-> file"} {
		text := fmt.Sprintf("cloud_resource|cluster|workload|kubernetes_object %s[key~%q]", way, name+"//*")
		pattern, err := graph.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		answer, err := d.Graph.Query(ctx, pattern, graph.QueryOptions{Limit: maxDeclared})
		if err != nil {
			return nil, fmt.Errorf("what %s declares: %w", s.identity, err)
		}
		if answer.More {
			result.problem(fmt.Sprintf("the repository declares more than %d running assets; findings of the others are left out", maxDeclared))
		}
		for _, row := range answer.Rows {
			same := func(a fact.Asset) bool { return a.Kind == row[0].Kind && a.Key == row[0].Key }
			if !slices.ContainsFunc(s.assets, same) && !slices.ContainsFunc(fresh, same) {
				fresh = append(fresh, row[0])
			}
		}
	}
	return fresh, nil
}

// loadDeclared adds what was found in what runs that this repository declares.
func (d *Desk) loadDeclared(ctx context.Context, s *scene, result *Triage) error {
	fresh, err := d.declared(ctx, s, result)
	if err != nil || len(fresh) == 0 {
		return err
	}
	found, err := intake.Load(ctx, d.DB, fresh)
	if err != nil {
		return err
	}
	s.assets, s.findings = append(s.assets, fresh...), append(s.findings, found...)
	return nil
}
