package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// maxLooked bounds the assets that a run names as looked at. Of those beyond it
// nothing is confirmed, which is the safe side.
const maxLooked = 200_000

// maxHeld bounds the text of all findings of a run: one long text may belong to many
// findings, so that they may be much more than the report.
const maxHeld = 4 << 30

// Emitter collects what a report says and gives it to the sink at the end: the run
// first, with the assets that were looked at, then the findings in their order.
type Emitter struct {
	// Run describes the run; a reader completes it while it reads.
	Run    fact.Run
	held   Spool
	looked map[[2]string]bool
	given  int
	weight int64
}

// Give gives a finding whose Position is set. Its asset counts as looked at.
func (e *Emitter) Give(f fact.Finding) error {
	f.Line = max(0, f.Line)
	f.EndLine = max(f.Line, f.EndLine)
	f.Title = cmp.Or(strings.TrimSpace(f.Title), f.Rule, "finding without a title")
	f.Rule = cmp.Or(f.Rule, f.Title)
	if f.Asset.Kind == "" {
		f.Asset = fact.Asset{Kind: fact.AssetUnknown, Key: f.Path, Name: f.Path}
	}
	e.Looked(f.Asset)
	e.given++
	if e.weight += weight(&f); e.weight > maxHeld {
		return &Error{Offset: f.Position.Offset, Item: f.Position.Item, Expected: fmt.Sprintf("findings with at most %d bytes of text in all", maxHeld)}
	}
	return e.held.Add(f)
}

// weight is about how many bytes a finding takes.
func weight(f *fact.Finding) int64 {
	n := 200 + len(f.Title) + len(f.Description) + len(f.Mitigation) + len(f.Anchor) + len(f.Path) + len(f.Rule) + len(f.Position.Item) + 2*len(f.Asset.Key)
	for _, list := range [][]string{f.References, f.Aliases, f.FixedVersions} {
		for _, text := range list {
			n += 16 + len(text)
		}
	}
	for name, value := range f.Attributes {
		n += 32 + len(name) + len(value)
	}
	return int64(n)
}

// Looked says that the run looked at an asset, whether or not it found something.
func (e *Emitter) Looked(asset fact.Asset) {
	key := [2]string{asset.Kind, asset.Key}
	if asset.Kind == fact.AssetUnknown || asset.Key == "" || e.looked[key] || len(e.looked) >= maxLooked {
		return
	}
	if e.looked == nil {
		e.looked = map[[2]string]bool{}
	}
	e.looked[key] = true
	e.Run.Assets = append(e.Run.Assets, asset)
}

// finish gives everything to the sink and returns the fault that ended the reading,
// or the sink's. What was read before a fault stays read, and the run is then
// incomplete.
func (e *Emitter) finish(sink Sink, fault error) error {
	if err := e.tell(sink, fault == nil); err != nil {
		return err
	}
	return fault
}

func (e *Emitter) tell(sink Sink, whole bool) error {
	defer e.held.Close()
	e.Run.Complete = e.Run.Complete && whole
	if err := sink.Run(e.Run); err != nil {
		return err
	}
	return e.held.Replay(sink.Finding)
}

// maxRuns bounds the runs of one report; those beyond it are one that is incomplete.
const maxRuns = 1000

// runs are the runs of one report. What the first one says of itself holds for all.
type runs struct {
	first *Emitter
	list  []*Emitter
	by    map[[2]string]*Emitter
	rest  *Emitter // of the runs beyond maxRuns
}

func newRuns(run fact.Run) *runs {
	first := &Emitter{Run: run}
	return &runs{first: first, list: []*Emitter{first}, by: map[[2]string]*Emitter{{run.Tool, run.Target}: first}}
}

// of gives the run of a detector over a target.
func (r *runs) of(tool, target string) *Emitter {
	key := [2]string{tool, target}
	if e := r.by[key]; e != nil {
		return e
	}
	e := r.rest
	if e == nil {
		e = &Emitter{Run: fact.Run{Tool: tool, Target: target, Format: r.first.Run.Format, Complete: true}, held: Spool{limit: 50}}
		r.list = append(r.list, e)
	}
	if len(r.list) > maxRuns {
		if r.rest == nil {
			r.rest = e
			e.Run.Tool, e.Run.Target, e.Run.Complete = r.first.Run.Tool, "", false
		}
		return e
	}
	r.by[key] = e
	return e
}

// tell gives all runs to the sink and returns the fault that ended the reading, or the
// sink's.
func (r *runs) tell(sink Sink, fault error) error {
	defer func() {
		for _, e := range r.list {
			e.held.Close() // of those that were not told
		}
	}()
	first := r.first.Run
	list := r.list
	if len(list) > 1 && r.first.given == 0 && len(first.Assets) == 0 {
		list = list[1:]
	}
	slices.SortFunc(list, func(a, b *Emitter) int {
		return cmp.Or(cmp.Compare(a.Run.Tool, b.Run.Tool), cmp.Compare(a.Run.Target, b.Run.Target))
	})
	for _, e := range list {
		e.Run.Complete = e.Run.Complete && first.Complete
		e.Run.ToolVersion, e.Run.Rules, e.Run.Started = cmp.Or(e.Run.ToolVersion, first.ToolVersion), cmp.Or(e.Run.Rules, first.Rules), cmp.Or(e.Run.Started, first.Started)
		if err := e.tell(sink, fault == nil); err != nil {
			return err
		}
	}
	return fault
}

// Document is a JSON document that is read into runs and their findings.
type Document struct {
	*Scanner
	*Emitter // of the present run
	runs     *runs
	early    *Spool // takes what is given while Early reads, else nil
}

// Findings is the frame of a reader of one JSON document: read pulls what it wants
// and gives each finding through Document.Item. The run is told even when nothing
// was found.
func Findings(ctx context.Context, in io.Reader, sink Sink, run fact.Run, read func(d *Document)) error {
	d := &Document{runs: newRuns(run)}
	d.Emitter = d.runs.first
	return d.runs.tell(sink, JSON(ctx, in, func(s *Scanner) {
		d.Scanner = s
		read(d)
	}))
}

// As makes what follows part of the run of a detector over a target (an account, a
// namespace, a file), for reports that hold several: what one run no longer sees says
// nothing of what the others look at.
func (d *Document) As(tool, target string) { d.Emitter = d.runs.of(tool, target) }

// All is the run that the frame was given. What it says of itself, such as that it is
// incomplete, holds for every run of the report.
func (d *Document) All() *fact.Run { return &d.runs.first.Run }

// Item reads the next value as a finding: read fills it, and leaves its Kind empty
// when it is none. Position, lines and what a finding needs are completed.
func (d *Document) Item(read func(f *fact.Finding)) {
	place := d.Place()
	var f fact.Finding
	read(&f)
	if f.Kind == "" {
		return
	}
	f.Position = place()
	d.Give(f)
}

// Place remembers where the next value begins; what it returns gives the position
// of that value once it was read.
func (d *Document) Place() func() fact.Position {
	if d.Kind() == KindEnd {
		return func() fact.Position { return fact.Position{} }
	}
	from, item := d.Offset(), d.Scanner.Item()
	return func() fact.Position { return fact.Position{Offset: from, Length: d.Offset() - from, Item: item} }
}

// Give gives a finding whose Position is set, unless there was a fault in it.
func (d *Document) Give(f fact.Finding) {
	if d.Err() == nil {
		d.Fail(d.give(f))
	}
}

func (d *Document) give(f fact.Finding) error {
	if d.early != nil {
		return d.early.Add(f)
	}
	return d.Emitter.Give(f)
}

// Early reads a part of the document whose findings come before all is known that
// holds for them, such as the image that they are in: they wait, and complete is called
// with each once read has returned. It is called for those before a fault too.
func (d *Document) Early(read func(), complete func(f *fact.Finding)) {
	var own Spool
	outer := d.early
	d.early = &own
	read()
	d.early = outer
	err := own.Replay(func(f fact.Finding) error {
		complete(&f)
		return d.give(f)
	})
	d.Fail(errors.Join(err, own.Close()))
}

// CloudAsset is the asset of a cloud resource: its ARN, link or id is the key. What
// stands for a whole AWS account or Azure subscription is the account; without id and
// name it is unknown.
func CloudAsset(id, name string) fact.Asset {
	if account := awsAccount(id); account != "" {
		return fact.Asset{Kind: fact.AssetAccount, Key: "aws/" + account, Name: cmp.Or(name, account)}
	}
	if subscription, ok := strings.CutPrefix(strings.ToLower(id), "/subscriptions/"); ok && subscription != "" && !strings.Contains(subscription, "/") {
		return fact.Asset{Kind: fact.AssetAccount, Key: "azure/" + subscription, Name: cmp.Or(name, subscription)}
	}
	if id = cmp.Or(id, name); id == "" {
		return fact.Asset{Kind: fact.AssetUnknown}
	}
	short := strings.TrimRight(id, "/:")
	return fact.Asset{Kind: fact.AssetResource, Key: id, Name: cmp.Or(name, short[strings.LastIndexAny(short, "/:")+1:], id)}
}

// awsAccount reads the ways in which AWS writes an account where a resource is due:
// "AWS::::Account:1", "arn:aws:iam::1:root" and the bare number.
func awsAccount(id string) string {
	account, ok := strings.CutPrefix(id, "AWS::::Account:")
	if parts := strings.Split(id, ":"); !ok && len(parts) == 6 && parts[0] == "arn" && parts[2] == "iam" && parts[5] == "root" {
		account, ok = parts[4], true
	}
	if !ok {
		account = id
	}
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		return ""
	}
	return account
}

// KubernetesAsset is the asset of an object: "cluster/namespace/Kind.group/name",
// without the cluster when it is unknown and with "-" for the namespace of objects
// that have none. group may be an apiVersion, or "" for one that the kind tells.
func KubernetesAsset(cluster, namespace, group, kind, name string) fact.Asset {
	if before, _, ok := strings.Cut(group, "/"); ok {
		group = before
	} else if len(group) > 1 && group[0] == 'v' && '0' <= group[1] && group[1] <= '9' {
		group = "" // the version of the core group
	}
	key := cmp.Or(namespace, "-") + "/" + kind
	if group = cmp.Or(group, kubernetesGroups[kind]); group != "" {
		key += "." + group
	}
	key += "/" + name
	if cluster != "" {
		key = cluster + "/" + key
	}
	return fact.Asset{Kind: fact.AssetKubernetes, Key: key, Name: name}
}

var kubernetesGroups = map[string]string{
	"Deployment": "apps", "ReplicaSet": "apps", "StatefulSet": "apps", "DaemonSet": "apps", "ControllerRevision": "apps", "Job": "batch", "CronJob": "batch",
	"Role": "rbac.authorization.k8s.io", "RoleBinding": "rbac.authorization.k8s.io", "ClusterRole": "rbac.authorization.k8s.io", "ClusterRoleBinding": "rbac.authorization.k8s.io",
	"Ingress": "networking.k8s.io", "NetworkPolicy": "networking.k8s.io", "HorizontalPodAutoscaler": "autoscaling", "PodDisruptionBudget": "policy",
	"CustomResourceDefinition": "apiextensions.k8s.io", "StorageClass": "storage.k8s.io",
}

// WithAttributes copies a finding's attributes and adds more, so that findings made
// of one item do not share them.
func WithAttributes(f *fact.Finding, more map[string]string) {
	all := make(map[string]string, len(f.Attributes)+len(more))
	maps.Copy(all, f.Attributes)
	for name, value := range more {
		if value != "" {
			all[name] = value
		}
	}
	f.Attributes = all
}
