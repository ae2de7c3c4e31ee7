package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/issue"
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

// running is an asset that runs, with the Terraform resource or file that declares it.
type running struct{ asset, by fact.Asset }

// declared lists what runs that this repository declares, as far as its findings are
// not loaded: cloud resources through the state of its Terraform, Kubernetes objects
// through its manifests.
func (d *Desk) declared(ctx context.Context, s *scene, result *Triage) (fresh []running, err error) {
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
			if !slices.ContainsFunc(s.assets, same) && !slices.ContainsFunc(fresh, func(r running) bool { return same(r.asset) }) {
				fresh = append(fresh, running{row[0], row[1]})
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
	assets := make([]fact.Asset, len(fresh))
	for i, r := range fresh {
		assets[i] = r.asset
	}
	found, err := intake.Load(ctx, d.DB, assets)
	if err != nil {
		return err
	}
	if err := s.decide(ctx, fresh, found); err != nil {
		return err
	}
	s.assets, s.findings = append(s.assets, assets...), append(s.findings, found...)
	return nil
}

// decide names for each exposure of a cloud resource the attribute that opens it: of
// those that may, the first that the configuration sets.
func (s *scene) decide(ctx context.Context, declared []running, findings []issue.StoredFinding) error {
	roots := map[string]*terraform.Configuration{}
	for i := range findings {
		f := &findings[i]
		if f.Kind != fact.Exposure || f.Attributes["decides"] == "" {
			continue
		}
		at := slices.IndexFunc(declared, func(r running) bool { return r.asset.Kind == f.Asset.Kind && r.asset.Key == f.Asset.Key })
		_, rest, _ := strings.Cut(declared[at].by.Key, "//")
		root, text, ok := strings.Cut(rest, ":")
		address, _, err := terraform.ParseAddress(text)
		if !ok || err != nil {
			continue // declared otherwise than by Terraform
		}
		if root == "." {
			root = ""
		}
		if _, loaded := roots[root]; !loaded {
			c, err := terraform.Load(ctx, s.tree, root, terraform.Options{})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			roots[root] = c
		}
		if roots[root] == nil {
			continue
		}
		if field := deciding(roots[root], address, f.Attributes); field != "" {
			f.Attributes = maps.Clone(f.Attributes) // the stored ones are shared
			f.Attributes["field"] = field
		}
	}
	return nil
}

// maxRules bounds the rules of a security group that are compared with a port.
const maxRules = 60

// deciding gives the attribute of a resource that opens it, "" when none is known.
func deciding(c *terraform.Configuration, address terraform.Address, told map[string]string) string {
	known := func(field string) (cty.Value, bool) {
		path, ok := terraform.FieldPath(field)
		if !ok {
			return cty.NilVal, false
		}
		trace := c.Origin(address, path)
		value, ok := trace.Known()
		return value, ok && trace.Status == terraform.TraceFound && !value.IsNull()
	}
	for field := range strings.SplitSeq(told["decides"], ",") {
		if field != "ingress" {
			if _, ok := known(field); ok {
				return field
			}
			continue
		}
		for i := range maxRules {
			rule := fmt.Sprintf("ingress[%d].", i)
			from, ok := known(rule + "from_port")
			to, too := known(rule + "to_port")
			if !ok || !too || !reaches(from, to, told["ports"]) {
				continue
			}
			for _, ranges := range []string{"cidr_blocks", "ipv6_cidr_blocks"} {
				if value, ok := known(rule + ranges); ok && worldwide(value) {
					return rule + ranges
				}
			}
		}
	}
	return ""
}

// reaches says whether a rule's ports hold the first of those that were told, such as
// "tcp/22" or "tcp/0-65535". All ports are from 0 to 0, or everything.
func reaches(from, to cty.Value, told string) bool {
	var low, high int
	if gocty.FromCtyValue(from, &low) != nil || gocty.FromCtyValue(to, &high) != nil {
		return false
	}
	first, _, _ := strings.Cut(told, ",")
	_, ports, numbered := strings.Cut(first, "/")
	if !numbered {
		return low <= 0 && (high <= 0 || high >= 65535)
	}
	begin, end, ranged := strings.Cut(ports, "-")
	if !ranged {
		end = begin
	}
	a, err := strconv.Atoi(begin)
	b, other := strconv.Atoi(end)
	return err == nil && other == nil && low <= a && b <= high
}

// worldwide says whether a list of ranges holds more or less every address.
func worldwide(list cty.Value) bool {
	if !list.IsWhollyKnown() || !list.CanIterateElements() {
		return false
	}
	for it := list.ElementIterator(); it.Next(); {
		_, one := it.Element()
		if one.Type() != cty.String || one.IsNull() {
			continue
		}
		if prefix, err := netip.ParsePrefix(one.AsString()); err == nil && prefix.Bits() <= 1 {
			return true
		}
	}
	return false
}
