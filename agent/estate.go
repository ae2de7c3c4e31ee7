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

	"github.com/backstitch/backstitch/cause"
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
	known := map[[2]string]bool{}
	for _, a := range s.assets {
		known[[2]string{a.Kind, a.Key}] = true
	}
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
			if key := [2]string{row[0].Kind, row[0].Key}; !known[key] {
				known[key] = true
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
// those that may, the first that the configuration sets. It may be one of a resource of
// its own beside the one that is open.
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
		if by, field := deciding(roots[root], address, f.Attributes); field != "" || by.String() != address.String() {
			f.Attributes = maps.Clone(f.Attributes) // the stored ones are shared
			f.Attributes["field"] = field
			if by.String() != address.String() {
				f.Attributes["address"], f.Attributes["root"], f.Attributes["of"] = by.String(), root, declared[at].by.Key
			}
		}
	}
	return nil
}

// maxRules bounds the rules of a security group that are compared with a port.
const maxRules = 60

// origin gives the value of an attribute where the configuration tells it.
func origin(c *terraform.Configuration, address terraform.Address, field string) (cty.Value, terraform.Trace, bool) {
	path, ok := terraform.FieldPath(field)
	if !ok {
		return cty.NilVal, terraform.Trace{}, false
	}
	trace := c.Origin(address, path)
	value, ok := trace.Known()
	return value, trace, ok && trace.Status == terraform.TraceFound && !value.IsNull()
}

// companions are resources that say of another one what an attribute of it may say
// too; names is what names the other.
var companions = map[string]struct{ kind, names string }{
	"acl":                {"aws_s3_bucket_acl", "bucket"},
	"policy":             {"aws_s3_bucket_policy", "bucket"},
	"authorization_type": {"aws_lambda_function_url", "function_name"},
}

// deciding gives the attribute that opens a resource, and whose it is; no attribute
// when none is known.
func deciding(c *terraform.Configuration, address terraform.Address, told map[string]string) (by terraform.Address, field string) {
	for field := range strings.SplitSeq(told["decides"], ",") {
		if field != "ingress" {
			if _, _, ok := origin(c, address, field); ok {
				return address, field
			}
			for _, other := range c.Instances() {
				if beside := companions[field]; other.Type != beside.kind || !refers(c, other, beside.names, address) {
					continue
				}
				if _, _, ok := origin(c, other, field); ok {
					return other, field
				}
				return other, ""
			}
			continue
		}
		for i := range maxRules {
			if field := opens(c, address, fmt.Sprintf("ingress[%d].", i), told["ports"]); field != "" {
				return address, field
			}
		}
		for _, rule := range c.Instances() {
			if rule.Type != "aws_security_group_rule" && rule.Type != "aws_vpc_security_group_ingress_rule" || !refers(c, rule, "security_group_id", address) {
				continue
			}
			if kind, _, ok := origin(c, rule, "type"); ok && kind.Type() == cty.String && kind.AsString() != "ingress" {
				continue
			}
			if field := opens(c, rule, "", told["ports"]); field != "" {
				return rule, field
			}
		}
	}
	return address, ""
}

// opens gives the attribute with the ranges of a rule that lets the world reach ports,
// "" when it does not.
func opens(c *terraform.Configuration, address terraform.Address, rule, ports string) string {
	from, _, ok := origin(c, address, rule+"from_port")
	to, _, too := origin(c, address, rule+"to_port")
	if !ok || !too {
		protocol, _, known := origin(c, address, rule+"ip_protocol")
		if !known || protocol.Type() != cty.String || protocol.AsString() != "-1" {
			return ""
		}
		from, to = cty.NumberIntVal(0), cty.NumberIntVal(0) // every protocol has no ports
	}
	if !reaches(from, to, ports) {
		return ""
	}
	for _, ranges := range []string{"cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6"} {
		if value, _, ok := origin(c, address, rule+ranges); ok && worldwide(value) {
			return rule + ranges
		}
	}
	return ""
}

// refers says whether an attribute of a resource names another one of its module.
func refers(c *terraform.Configuration, from terraform.Address, field string, to terraform.Address) bool {
	if fmt.Sprint(from.Modules) != fmt.Sprint(to.Modules) {
		return false
	}
	_, trace, _ := origin(c, from, field)
	names := slices.Clone(trace.Missing)
	for _, step := range trace.Steps {
		names = append(names, step.Name)
	}
	alone := terraform.Address{Type: to.Type, Name: to.Name}.String()
	return slices.ContainsFunc(names, func(name string) bool {
		rest, ok := strings.CutPrefix(name, alone)
		return ok && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "["))
	})
}

// trace finds the cause of a finding. Of an exposure that a resource of its own opens,
// such as a rule of a security group, the cause is there.
func (s *scene) trace(ctx context.Context, tracer *cause.Tracer, f *fact.Finding) (fact.Cause, error) {
	address := f.Attributes["address"]
	if f.Kind != fact.Exposure || address == "" {
		return tracer.Trace(ctx, f)
	}
	open := *f // leads to what is open, as the graph tells it
	open.Attributes = nil
	led, err := tracer.Trace(ctx, &open)
	if err != nil {
		return led, err
	}
	answer, err := cause.Terraform(ctx, cause.TerraformRequest{Repository: s.identity, Commit: s.commit, Tree: s.tree, Address: strings.TrimSuffix(address+"."+f.Attributes["field"], "."), Root: f.Attributes["root"]})
	if err != nil {
		return fact.Cause{}, err
	}
	beside := fact.Link{Kind: fact.AssetTerraform, Key: address, Evidence: fact.Evidence{Method: "names the resource", Source: f.Attributes["of"], Strength: fact.Declared}}
	answer.Cause.Chain = append(append(led.Chain, beside), answer.Cause.Chain...)
	return answer.Cause, nil
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

// worldwide says whether a range, or one of a list, holds more or less every address.
func worldwide(list cty.Value) bool {
	if list.IsKnown() && list.Type() == cty.String {
		list = cty.TupleVal([]cty.Value{list})
	}
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
