package cause

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
)

// object leads a finding of a Kubernetes object to the line of the manifest, overlay
// or chart that decides it; a flaw of a package in one of its images leads through
// the image.
func (t *Tracer) object(ctx context.Context, f *fact.Finding) (fact.Cause, error) {
	chain := []fact.Link{t.observed(f, "reported", fact.Declared)}
	namespace, kind, name, ok := kubernetes.ObjectKey(f.Asset.Key)
	if !ok {
		return unknown(chain, fmt.Sprintf("%q does not name an object as namespace/Kind/name", f.Asset.Key)), nil
	}
	request := kubernetes.Request{Kind: kind, Name: name, Namespace: namespace, Field: fieldOf(kind, f), Repository: t.Repository, Commit: t.Commit}
	if f.Kind == fact.Vulnerability && f.Package.Name != "" {
		if name := cmp.Or(f.Attributes["image"], clean(f.Path)); name != "" {
			inside := *f
			inside.Asset = fact.Asset{Kind: fact.AssetImage, Key: name, Name: name}
			cause, err := t.image(ctx, &inside)
			if err != nil || cause.Status != fact.CauseUnknown {
				return cause, err
			}
			chain = cause.Chain
		}
	}
	rendered, err := t.mentions(ctx, name)
	for _, c := range kubernetes.Controllers(kind, name) {
		if err == nil && !rendered {
			rendered, err = t.mentions(ctx, c.Name)
		}
	}
	if err != nil {
		return fact.Cause{}, err
	}
	estate, err := t.estate(ctx, rendered)
	if err != nil {
		return fact.Cause{}, err
	}
	field := request.Field
	answer, err := estate.Trace(ctx, request)
	if err != nil && ctx.Err() == nil && request.Field != "" {
		request.Field = "" // a path that is none leads to the object at least
		answer, err = estate.Trace(ctx, request)
	}
	if err != nil {
		return fact.Cause{}, err
	}
	if answer.Cause.Status == fact.CauseUnknown {
		controlled, err := t.controlled(ctx, estate, kubernetes.Request{Kind: kind, Name: name, Namespace: namespace, Field: field, Repository: t.Repository, Commit: t.Commit})
		if err != nil {
			return fact.Cause{}, err
		}
		if controlled.Status != "" {
			answer.Cause = controlled
		}
	}
	answer.Cause.Chain = append(chain, answer.Cause.Chain...)
	return answer.Cause, nil
}

var (
	ofContainer = regexp.MustCompile(`(?i)\bcontainer ['"]([\w.-]+)['"] of .*['"]((?:securityContext|resources|image|livenessProbe|readinessProbe)(?:\.\w+)*)['"]`)
	ofObject    = regexp.MustCompile(`should (?:not )?set ['"](spec(?:\.\w+)+)['"]`)
)

// fieldOf gives the field of an object that a finding is about: the one that it names,
// else the one that its text quotes in the words of Trivy's checks.
func fieldOf(kind string, f *fact.Finding) string {
	if field := f.Attributes["field"]; field != "" || f.Kind != fact.Misconfiguration {
		return field
	}
	text := cmp.Or(f.Attributes["message"], f.Description)
	if m := ofContainer.FindStringSubmatch(text); m != nil {
		return podSpec(kind) + ".containers[name=" + m[1] + "]." + m[2]
	}
	if m := ofObject.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// podSpec is where the specification of its pods stands in a workload.
func podSpec(kind string) string {
	switch kind {
	case "Pod":
		return "spec"
	case "CronJob":
		return "spec.jobTemplate.spec.template.spec"
	}
	return "spec.template.spec"
}

// controlled leads a pod, ReplicaSet or job that no manifest declares to the one
// object that its name says may control it; an empty cause when there is none or
// there are several.
func (t *Tracer) controlled(ctx context.Context, estate *kubernetes.Estate, r kubernetes.Request) (fact.Cause, error) {
	var found fact.Cause
	field, controlled := r.Field, r.Kind+"/"+r.Name
	for _, c := range kubernetes.Controllers(r.Kind, r.Name) {
		r.Kind, r.Name, r.Field = c.Kind, c.Name, field
		if c.Template != "" && field != "" {
			r.Field = c.Template + "." + field
		}
		answer, err := estate.Trace(ctx, r)
		if err != nil && ctx.Err() == nil && r.Field != "" {
			r.Field = ""
			answer, err = estate.Trace(ctx, r)
		}
		if err != nil {
			return fact.Cause{}, err
		}
		if answer.Cause.Status == fact.CauseUnknown {
			continue
		}
		if found.Status != "" {
			return fact.Cause{}, nil
		}
		found = answer.Cause
		found.Chain = slices.Insert(found.Chain, 0, fact.Link{Kind: fact.AssetKubernetes, Key: c.Kind + "/" + c.Name,
			Evidence: fact.Evidence{Method: "controls what is named after it", Source: controlled, Strength: fact.Derived}})
	}
	return found, nil
}

// cloud leads a finding of a cloud resource to the Terraform configuration that
// declares it: through the state, then by its name in the configuration.
func (t *Tracer) cloud(ctx context.Context, f *fact.Finding) (fact.Cause, error) {
	if f.Path != "" {
		if cause, err := t.decided(ctx, f); err != nil || cause.Status != fact.CauseUnknown {
			return cause, err
		}
	}
	chain := []fact.Link{t.observed(f, "reported", fact.Declared)}
	view, err := t.view(ctx, f.Asset)
	if err != nil {
		return fact.Cause{}, err
	}
	var elsewhere []string
	for _, edge := range view.Out {
		if edge.Kind != fact.DeclaredBy || edge.Asset.Kind != fact.AssetTerraform {
			continue
		}
		root, address, ok := t.terraformKey(edge.Asset.Key)
		if !ok {
			elsewhere = append(elsewhere, edge.Asset.Key)
			continue
		}
		answer, err := Terraform(ctx, TerraformRequest{Repository: t.Repository, Commit: t.Commit, Tree: t.Tree, Address: withField(address, f.Attributes["field"]), Root: root})
		moved := errors.Is(err, fs.ErrNotExist)
		if err == nil && len(answer.Declaration) == 0 {
			roots, err := t.terraformRoots(ctx)
			if err != nil {
				return fact.Cause{}, err
			}
			// A folder that declares resources is the state's own, which has changed since.
			moved = !slices.ContainsFunc(roots, func(c *terraform.Configuration) bool { return c.Dir == root && len(c.Instances()) > 0 })
		}
		if moved { // the state lies elsewhere than the configuration
			answer, err = Terraform(ctx, TerraformRequest{Repository: t.Repository, Commit: t.Commit, Tree: t.Tree, Address: withField(address, f.Attributes["field"])})
		}
		if err != nil {
			return fact.Cause{}, err
		}
		if answer.Cause.Status == fact.CauseUnknown && f.Attributes["field"] != "" && len(answer.Declaration) > 0 {
			// What decides the attribute is not known; it is set in the block at least.
			place := answer.Declaration[0].Place
			t.locate(&answer.Cause, t.at(place.Path, place.Line, place.EndLine))
			answer.Cause.Status = fact.CauseFound
		}
		if strings.HasPrefix(edge.Asset.Key, "//") {
			if other, err := t.calledElse(ctx, root, address, f.Asset.Key); err != nil {
				return fact.Cause{}, err
			} else if other != "" {
				elsewhere = append(elsewhere, edge.Asset.Key)
				continue
			}
		}
		evidence := fact.Evidence{Method: "declared by", Source: edge.Asset.Key, Strength: edge.Strength}
		if len(edge.Evidence) > 0 {
			evidence = edge.Evidence[0].Evidence
		}
		answer.Cause.Chain = append(append(chain, fact.Link{Kind: fact.AssetTerraform, Key: address, Evidence: evidence}), answer.Cause.Chain...)
		return answer.Cause, nil
	}
	cause, err := t.byName(ctx, f, chain)
	if err != nil || cause.Status != fact.CauseUnknown {
		return cause, err
	}
	if len(elsewhere) > 0 {
		slices.Sort(elsewhere)
		cause.Missing = append(cause.Missing, fmt.Sprintf("%s declares it: look at that repository", listed(slices.Compact(elsewhere))))
	}
	return cause, nil
}

// calledElse gives the name that the configuration gives a resource when the key of
// the asset has another: then the state, which does not say of which repository it
// is, is of another one that uses the same address. "" when nothing tells.
func (t *Tracer) calledElse(ctx context.Context, root, text, key string) (string, error) {
	address, _, err := terraform.ParseAddress(text)
	if err != nil {
		return "", nil // told where the address is followed
	}
	roots, err := t.terraformRoots(ctx)
	if err != nil {
		return "", err
	}
	name, kinds := nameOf(key)
	for _, c := range roots {
		for _, k := range kinds {
			if c.Dir != root || name == "" || !k.is(address.Type) {
				continue
			}
			trace := c.Origin(address, []cty.Value{cty.StringVal(k.attribute)})
			if value, known := trace.Known(); known && !value.IsNull() && value.Type() == cty.String && value.AsString() != name {
				return value.AsString(), nil
			}
		}
	}
	return "", nil
}

// withField writes an attribute's path behind an address.
func withField(address, field string) string {
	if field == "" {
		return address
	}
	return address + "." + field
}

// terraformKey takes the key of a Terraform resource apart, false when it is of
// another repository. A state that names none belongs to the one that is looked at.
func (t *Tracer) terraformKey(key string) (root, address string, ok bool) {
	repository, rest, ok := strings.Cut(key, "//")
	if !ok || repository != "" && repository != t.Repository {
		return "", "", false
	}
	root, address, ok = strings.Cut(rest, ":")
	if root == "." {
		root = ""
	}
	return root, address, ok && address != ""
}

// named is a kind of Terraform resource and the attribute that gives its name in the
// cloud. A kind that ends in "*" stands for all of a provider whose name ends with
// what is before.
type named struct{ kind, attribute string }

func (n named) is(kind string) bool {
	suffix, any := strings.CutSuffix(n.kind, "*")
	provider, word, _ := strings.Cut(suffix, "*")
	return !any && kind == n.kind || any && strings.HasPrefix(kind, provider) && strings.HasSuffix(kind, word)
}

// naming tells for kinds of resources, by the service and the first word of the
// resource in an ARN, which Terraform resource and attribute give the name.
var naming = map[string][]named{
	"s3":                   {{"aws_s3_bucket", "bucket"}},
	"lambda/function":      {{"aws_lambda_function", "function_name"}},
	"dynamodb/table":       {{"aws_dynamodb_table", "name"}},
	"rds/db":               {{"aws_db_instance", "identifier"}, {"aws_rds_cluster_instance", "identifier"}},
	"rds/cluster":          {{"aws_rds_cluster", "cluster_identifier"}},
	"rds/subgrp":           {{"aws_db_subnet_group", "name"}},
	"iam/role":             {{"aws_iam_role", "name"}},
	"iam/user":             {{"aws_iam_user", "name"}},
	"iam/group":            {{"aws_iam_group", "name"}},
	"iam/policy":           {{"aws_iam_policy", "name"}},
	"iam/instance-profile": {{"aws_iam_instance_profile", "name"}},
	"sns":                  {{"aws_sns_topic", "name"}},
	"sqs":                  {{"aws_sqs_queue", "name"}},
	"eks/cluster":          {{"aws_eks_cluster", "name"}},
	"ecs/cluster":          {{"aws_ecs_cluster", "name"}},
	"ecs/service":          {{"aws_ecs_service", "name"}},
	"ecr/repository":       {{"aws_ecr_repository", "name"}},
	"elasticloadbalancing/loadbalancer": {
		{"aws_lb", "name"}, {"aws_alb", "name"}, {"aws_elb", "name"}},
	"logs/log-group":               {{"aws_cloudwatch_log_group", "name"}},
	"secretsmanager/secret":        {{"aws_secretsmanager_secret", "name"}},
	"kms/alias":                    {{"aws_kms_alias", "name"}},
	"cloudtrail/trail":             {{"aws_cloudtrail", "name"}},
	"es/domain":                    {{"aws_elasticsearch_domain", "domain_name"}, {"aws_opensearch_domain", "domain_name"}},
	"redshift/cluster":             {{"aws_redshift_cluster", "cluster_identifier"}},
	"elasticache/cluster":          {{"aws_elasticache_cluster", "cluster_id"}},
	"kinesis/stream":               {{"aws_kinesis_stream", "name"}},
	"codebuild/project":            {{"aws_codebuild_project", "name"}},
	"elasticfilesystem/fs":         {{"aws_efs_file_system", "creation_token"}},
	"autoscaling/group":            {{"aws_autoscaling_group", "name"}},
	"states/stateMachine":          {{"aws_sfn_state_machine", "name"}},
	"wafv2/regional":               {{"aws_wafv2_web_acl", "name"}},
	"acm/certificate":              {{"aws_acm_certificate", "domain_name"}},
	"glue/job":                     {{"aws_glue_job", "name"}},
	"elasticbeanstalk/environment": {{"aws_elastic_beanstalk_environment", "name"}},
}

// nameOf takes the key of a cloud resource apart: what names the resource, and the
// resources of Terraform that may have it.
func nameOf(key string) (name string, kinds []named) {
	if bucket, ok := strings.CutPrefix(key, "//storage.googleapis.com/"); ok {
		return bucket[strings.LastIndexByte(bucket, '/')+1:], []named{{"google_storage_bucket", "name"}}
	}
	if words := strings.Split(key, "/"); len(words) > 2 && !strings.HasPrefix(key, "arn:") {
		// Azure: .../Microsoft.Storage/storageAccounts/NAME; Google: .../zones/z/instances/NAME.
		provider := "google_*_"
		if strings.HasPrefix(strings.ToLower(key), "/subscriptions/") {
			provider = "azurerm_*"
		}
		return words[len(words)-1], []named{{provider + singular(words[len(words)-2]) + "*", "name"}}
	}
	parts := strings.SplitN(key, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return "", nil
	}
	service, rest := parts[2], parts[5]
	if kinds = naming[service]; kinds != nil {
		name, _, _ = strings.Cut(rest, "/") // an object of the bucket counts as the bucket
		return name, kinds
	}
	at := strings.IndexAny(rest, "/:")
	if at < 0 {
		return "", nil
	}
	kinds, name = naming[service+"/"+rest[:at]], rest[at+1:]
	switch service + "/" + rest[:at] {
	case "elasticloadbalancing/loadbalancer": // app/NAME/ID, or NAME alone
		if words := strings.Split(name, "/"); len(words) == 3 {
			name = words[1]
		}
	case "ecs/service", "iam/role", "iam/user", "iam/policy", "iam/instance-profile": // behind the cluster, or a path
		name = name[strings.LastIndexByte(name, '/')+1:]
	case "lambda/function", "logs/log-group": // a qualifier may follow
		name, _, _ = strings.Cut(name, ":")
	case "secretsmanager/secret": // six random letters follow
		if len(name) > 7 && name[len(name)-7] == '-' {
			name = name[:len(name)-7]
		}
	case "kms/alias":
		name = "alias/" + name
	}
	return name, kinds
}

// singular writes the name of a collection as Terraform writes the thing:
// storageAccounts, storage_account.
func singular(collection string) string {
	var b strings.Builder
	for i, r := range collection {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	word := b.String()
	if stem, ok := strings.CutSuffix(word, "ies"); ok {
		return stem + "y"
	}
	for _, ending := range []string{"sses", "ches", "xes"} {
		if strings.HasSuffix(word, ending) {
			return strings.TrimSuffix(word, "es")
		}
	}
	return strings.TrimSuffix(word, "s")
}

// byName finds the resource whose configuration gives it the name that its ARN has.
func (t *Tracer) byName(ctx context.Context, f *fact.Finding, chain []fact.Link) (fact.Cause, error) {
	name, kinds := nameOf(f.Asset.Key)
	if name == "" || len(kinds) == 0 {
		return unknown(chain, "no state is known that holds the resource: add its Terraform state as a source"), nil
	}
	roots, err := t.terraformRoots(ctx)
	if err != nil {
		return fact.Cause{}, err
	}
	cause := fact.Cause{Status: fact.CauseUnknown, Locations: []fact.Location{}, Chain: chain, Missing: []string{}}
	blocks := map[string]bool{}
	for _, c := range roots {
		for _, address := range c.Instances() {
			for _, k := range kinds {
				if !k.is(address.Type) {
					continue
				}
				trace := c.Origin(address, []cty.Value{cty.StringVal(k.attribute)})
				value, known := trace.Known()
				if !known || value.IsNull() || value.Type() != cty.String || value.AsString() != name {
					continue
				}
				declaration, _, ok := c.Locate(address)
				if !ok {
					continue
				}
				location := t.at(declaration.Place.Path, declaration.Place.Line, declaration.Place.EndLine)
				t.locate(&cause, location)
				t.link(&cause, fact.Link{
					Kind: fact.AssetTerraform, Key: address.String(), Location: location,
					Evidence: fact.Evidence{Method: "its " + k.attribute + " is the name in the cloud", Source: declaration.Place.Path, Strength: fact.Derived, Detail: name},
				})
				blocks[c.Dir+":"+address.String()] = true
			}
		}
	}
	switch {
	case len(blocks) == 0:
		cause.Missing = append(cause.Missing, fmt.Sprintf("no resource of the repository's Terraform is called %s, and no state is known that holds it: add its Terraform state as a source", name))
	case len(blocks) == 1:
		cause.Status = fact.CauseFound
	default:
		cause.Status = fact.CauseAmbiguous
		cause.Missing = append(cause.Missing, fmt.Sprintf("%d resources are called %s: the state would tell which", len(blocks), name))
	}
	return cause, nil
}

// terraformRoots loads the root modules of the repository once.
func (t *Tracer) terraformRoots(ctx context.Context) ([]*terraform.Configuration, error) {
	if t.roots != nil {
		return t.roots, nil
	}
	dirs, err := terraform.Roots(ctx, t.Tree)
	if err != nil {
		return nil, err
	}
	t.roots = []*terraform.Configuration{}
	for _, dir := range dirs {
		c, err := terraform.Load(ctx, t.Tree, dir, terraform.Options{})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		t.roots = append(t.roots, c)
	}
	return t.roots, nil
}

// maxSites bounds the instances of a block that are followed.
const maxSites = 50

// decided finds a finding's file and line and, where they are an attribute of a
// Terraform resource, goes on to the literal that decides it, which may stand in a
// caller, in a default or in a file of variables.
func (t *Tracer) decided(ctx context.Context, f *fact.Finding) (fact.Cause, error) {
	cause, err := t.file(ctx, f)
	if err != nil || f.Kind != fact.Misconfiguration || cause.Status != fact.CauseFound || len(cause.Locations) != 1 || cause.Locations[0].Line == 0 {
		return cause, err
	}
	reported := cause.Locations[0]
	if !strings.HasSuffix(reported.Path, ".tf") && !strings.HasSuffix(reported.Path, ".tf.json") {
		return cause, nil
	}
	roots, err := t.terraformRoots(ctx)
	if err != nil {
		return cause, err
	}
	var traces []terraform.Trace
	sites, named := 0, 0 // named is the most attributes that the tool names of one site
	for _, c := range roots {
		for _, site := range narrowed(c.SitesAt(reported.Path, reported.Line, reported.EndLine), f) {
			if sites >= maxSites {
				break
			}
			here := 0
			paths, told := fields(site, f)
			for _, path := range paths {
				if trace := c.Origin(site.Address, path); trace.Status != terraform.TraceAbsent {
					traces = append(traces, trace)
					here++
				}
			}
			if here > 0 {
				sites++
			}
			if told {
				named = max(named, here)
			}
		}
	}
	within := func(l fact.Location) bool {
		return l.Path == reported.Path && reported.Line <= l.Line && l.EndLine <= reported.EndLine
	}
	found := fact.Cause{Status: fact.CauseFound, Locations: []fact.Location{}, Chain: slices.Clone(cause.Chain), Missing: slices.Clone(cause.Missing)}
	inside := false
	for _, trace := range traces {
		if trace.Status != terraform.TraceFound || len(trace.Origins) == 0 {
			// One that is not known leaves the line that was reported.
			for _, missing := range trace.Missing {
				if text := trace.Address + "." + trace.Attribute + ": " + missing; !slices.Contains(cause.Missing, text) {
					cause.Missing = append(cause.Missing, text)
				}
			}
			return cause, nil
		}
		place := trace.Origins[0].Place
		origin := t.at(place.Path, place.Line, place.EndLine)
		for _, text := range elsewhere(&trace) {
			if !slices.Contains(found.Missing, text) {
				found.Missing = append(found.Missing, text)
			}
		}
		if named > 1 && within(origin) {
			inside = true // with others beside it, the block says it best
			continue
		}
		for _, step := range trace.Steps {
			t.link(&found, fact.Link{
				Kind: step.Kind, Key: cmp.Or(step.Name, trace.Attribute), Location: t.at(step.Place.Path, step.Place.Line, step.Place.EndLine),
				Evidence: fact.Evidence{Method: "leads to", Source: step.Place.Path, Strength: fact.Declared, Detail: step.Module},
			})
		}
		t.locate(&found, origin)
	}
	if inside && len(found.Locations) > 0 {
		t.locate(&found, reported)
	}
	switch n := len(found.Locations); {
	case n == 0 || n == 1 && named == 0 && within(found.Locations[0]):
		return cause, nil
	case n > 1 && (sites > 1 || named == 0):
		found.Status = fact.CauseAmbiguous
		found.Missing = append(found.Missing, fmt.Sprintf("%d instances of the block have values of their own: the address of the one that is meant would tell", sites))
	}
	return found, nil
}

// narrowed keeps the instances that the finding names, all when it names none.
func narrowed(sites []terraform.Site, f *fact.Finding) []terraform.Site {
	address, _, err := terraform.ParseAddress(f.Anchor)
	if err != nil {
		return sites
	}
	text := address.String()
	named := slices.DeleteFunc(slices.Clone(sites), func(s terraform.Site) bool { return s.Address.String() != text })
	if len(named) == 0 {
		return sites
	}
	return named
}

// fields are the attributes that a finding is about: those that it names, else the one
// that its lines lie in. told says that it names them.
func fields(site terraform.Site, f *fact.Finding) (paths [][]cty.Value, told bool) {
	for _, text := range []string{f.Attributes["field"], f.Attributes["evaluated_keys"]} {
		for name := range strings.SplitSeq(text, ",") {
			if path, ok := terraform.FieldPath(strings.TrimSpace(name)); ok {
				paths = append(paths, path)
			}
		}
	}
	if len(paths) == 0 && len(site.Attribute) > 0 {
		return [][]cty.Value{site.Attribute}, false
	}
	return paths, len(paths) > 0
}
