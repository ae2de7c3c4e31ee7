package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
	"github.com/backstitch/backstitch/store"
)

// Investigation is the record of what is known of an issue, and what to do about it here.
// Every sentence points at evidence by number. The same state of the store gives the same
// bytes: nothing in it comes from a clock, a network or a model.
type Investigation struct {
	Issue      string          `json:"issue"`
	Title      string          `json:"title"`
	Severity   fact.Severity   `json:"severity"`
	Risk       float64         `json:"risk"`
	State      string          `json:"state"`
	Repository string          `json:"repository,omitempty"`
	Commit     string          `json:"commit,omitempty"` // that was looked at last
	Advisories string          `json:"advisories,omitempty"`
	Summary    []Statement     `json:"summary"`
	Assets     []AssetRecord   `json:"assets"`
	Where      []Statement     `json:"where"`
	Who        []Statement     `json:"who"`
	History    []Statement     `json:"history"`
	Hypotheses []Hypothesis    `json:"hypotheses"`
	Paths      []PathRecord    `json:"paths"`
	Plan       []PlanStep      `json:"plan"`
	Missing    []string        `json:"missing"`
	Evidence   []EvidenceEntry `json:"evidence"`
}

// Statement is a sentence with the numbers of its evidence.
type Statement struct {
	Text     string `json:"text"`
	Evidence []int  `json:"evidence"`
}

// EvidenceEntry is one piece of evidence. Statements name it by its number.
type EvidenceEntry struct {
	Number   int            `json:"number"`
	Location *fact.Location `json:"location,omitempty"`
	fact.Evidence
}

// AssetRecord is what is known of one affected asset.
type AssetRecord struct {
	Asset         fact.Asset  `json:"asset"`
	Configuration []Property  `json:"configuration"`
	Exposure      []Statement `json:"exposure"`
	Identity      []Statement `json:"identity"`
	Ownership     []Statement `json:"ownership"`
	Runs          []Statement `json:"runs"` // what it is part of, what runs it
}

// Property is one thing that sources say of an asset.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	By    int    `json:"evidence"`
}

// Verdicts of a hypothesis.
const (
	Supported = "supported"
	Refuted   = "refuted"
	Unknown   = "unknown"
)

// Hypothesis is what one domain's investigator asked, and what came out.
type Hypothesis struct {
	Domain   string `json:"domain"` // image, dependency, cloud, identity, kubernetes, secret
	Text     string `json:"text"`
	Verdict  string `json:"verdict"`
	Why      string `json:"why"`
	Evidence []int  `json:"evidence"`
}

// PathRecord is a fix path as it compares.
type PathRecord struct {
	ID          string `json:"id"`
	Summary     string `json:"summary"`
	Recommended bool   `json:"recommended"`
	Reason      string `json:"reason"`
	Effort      string `json:"effort"`
	Risk        string `json:"risk"`
	Proof       string `json:"proof"` // of a verification, or "not tried"
	Evidence    []int  `json:"evidence"`
}

// PlanStep is one thing to do, in order.
type PlanStep struct {
	Text     string `json:"text"`
	Command  string `json:"command,omitempty"` // for a shell, every value quoted
	Expected string `json:"expected"`
	Evidence []int  `json:"evidence"`
}

// Bounds of a record.
const (
	maxAssetRecords = 20
	maxProperties   = 40
	maxNeighbours   = 20
	maxExposures    = 3
)

// inquiry is a record while it is made.
type inquiry struct {
	*Desk
	it      issue.Issue
	record  Investigation
	numbers map[string]int
	views   []graph.View // of the affected assets that the graph knows
	outside [][]int      // evidence of the ways from the internet, by asset
	privy   []int        // evidence of powers that what runs has
}

// Investigate makes the investigation record of an issue from the state as it is.
func (d *Desk) Investigate(ctx context.Context, id string) (Investigation, error) {
	it, err := d.Issue(ctx, id)
	if err != nil {
		return Investigation{}, err
	}
	q := &inquiry{Desk: d, it: it, numbers: map[string]int{}}
	r := &q.record
	r.Issue, r.Title, r.Severity, r.Risk = it.ID, it.Title, it.Severity, it.Risk
	r.State = strings.TrimSpace(string(it.State) + " " + it.Reason)
	r.Assets, r.Where, r.Who, r.History = []AssetRecord{}, []Statement{}, []Statement{}, []Statement{}
	r.Hypotheses, r.Paths, r.Plan, r.Missing, r.Evidence = []Hypothesis{}, []PathRecord{}, []PlanStep{}, []string{}, []EvidenceEntry{}
	if len(it.Cause.Locations) > 0 {
		r.Repository, r.Commit = it.Cause.Locations[0].Repository, it.Cause.Locations[0].Commit
	}
	if d.Advisories != nil {
		r.Advisories = d.Advisories.Digest()
	}
	for _, look := range []func(context.Context) error{q.assets, q.where, q.history} {
		if err := look(ctx); err != nil {
			return Investigation{}, fmt.Errorf("investigate %s: %w", it.ID, err)
		}
	}
	q.who()
	q.hypotheses()
	q.paths()
	q.plan()
	q.summary()
	for _, missing := range slices.Concat(it.Cause.Missing, it.Blocked) {
		if !slices.Contains(r.Missing, missing) {
			r.Missing = append(r.Missing, missing)
		}
	}
	return q.record, nil
}

// number gives the number of a piece of evidence, a new one when it is not listed yet.
func (q *inquiry) number(e fact.Evidence, at *fact.Location) int {
	key := fmt.Sprintf("%q %q %q %q %v", e.Method, e.Source, e.Strength, e.Detail, place(at))
	if n, ok := q.numbers[key]; ok {
		return n
	}
	n := len(q.record.Evidence) + 1
	q.numbers[key] = n
	if at != nil && at.Path == "" {
		at = nil
	}
	q.record.Evidence = append(q.record.Evidence, EvidenceEntry{Number: n, Location: at, Evidence: e})
	return n
}

func place(at *fact.Location) string {
	if at == nil {
		return ""
	}
	return fmt.Sprintf("%s@%s//%s:%d-%d", at.Repository, at.Commit, at.Path, at.Line, at.EndLine)
}

func (q *inquiry) say(evidence []int, format string, args ...any) Statement {
	return Statement{Text: oneLine(fmt.Sprintf(format, args...)), Evidence: once(evidence)}
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// once gives numbers without those that stand there already.
func once(numbers []int) []int {
	list := []int{}
	for _, n := range numbers {
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// told is evidence of what detectors and people said of the issue itself.
func (q *inquiry) told() int {
	return q.number(fact.Evidence{Method: "findings", Source: strings.Join(q.it.Tools, ", "), Strength: fact.Attested, Detail: count(q.it.Findings, "finding")}, nil)
}

func (q *inquiry) witnesses(list []graph.Witness) (numbers []int) {
	for _, w := range list {
		numbers = append(numbers, q.number(w.Evidence, w.Location))
	}
	return numbers
}

// assets records what the graph knows of the affected assets.
func (q *inquiry) assets(ctx context.Context) error {
	for i, asset := range q.it.Assets {
		if i == maxAssetRecords {
			q.record.Missing = append(q.record.Missing, fmt.Sprintf("%d more affected assets are not described", len(q.it.Assets)-i))
			break
		}
		record := AssetRecord{Asset: asset, Configuration: []Property{}, Exposure: []Statement{}, Identity: []Statement{}, Ownership: []Statement{}, Runs: []Statement{}}
		view, err := q.Graph.Asset(ctx, asset.Kind, asset.Key, time.Time{})
		if errors.Is(err, graph.ErrNotFound) {
			q.record.Missing = append(q.record.Missing, fmt.Sprintf("no source tells of %s %s: its configuration, exposure and identity are unknown", asset.Kind, cmp.Or(asset.Name, asset.Key)))
			q.record.Assets = append(q.record.Assets, record)
			q.outside = append(q.outside, nil)
			continue
		}
		if err != nil {
			return err
		}
		q.views = append(q.views, view)
		q.configuration(&record, view)
		if err := q.exposure(ctx, &record); err != nil {
			return err
		}
		q.neighbours(&record, view)
		q.record.Assets = append(q.record.Assets, record)
	}
	return nil
}

// hidden are properties that are long and say nothing to people.
func hidden(name string) bool {
	return strings.HasPrefix(name, "history:") || name == "empty_layers" || name == "buildkit_steps"
}

func (q *inquiry) configuration(record *AssetRecord, view graph.View) {
	for _, name := range slices.Sorted(maps.Keys(view.Properties)) {
		if hidden(name) {
			continue
		}
		if len(record.Configuration) == maxProperties {
			break
		}
		by := fact.Evidence{Method: "told", Source: "graph", Strength: fact.Declared}
		for _, said := range view.Said {
			if said.Properties[name] == view.Properties[name] {
				by.Source = said.By
				break
			}
		}
		record.Configuration = append(record.Configuration, Property{Name: name, Value: cut(oneLine(view.Properties[name]), 200), By: q.number(by, nil)})
	}
}

// exposure looks for ways from the internet to the asset or what runs it.
func (q *inquiry) exposure(ctx context.Context, record *AssetRecord) error {
	ways, err := q.Graph.Paths(ctx, fact.Asset{Kind: fact.AssetInternet, Key: "internet"}, record.Asset, graph.PathOptions{Limit: maxExposures, Follow: []graph.Follow{
		{Kind: fact.Exposes, Way: graph.Forward}, {Kind: fact.Controls, Way: graph.Both}, {Kind: fact.InstanceOf, Way: graph.Forward}, {Kind: fact.PackagedFrom, Way: graph.Forward}, {Kind: fact.HasLayer, Way: graph.Forward},
	}})
	if errors.Is(err, graph.ErrNotFound) {
		q.outside = append(q.outside, nil)
		return nil // nothing is known to face the internet
	}
	if err != nil {
		return err
	}
	var all []int
	for _, way := range ways.Paths {
		var names []string
		for _, a := range way.Assets {
			names = append(names, cmp.Or(a.Name, a.Key))
		}
		var numbers []int
		for _, step := range way.Steps {
			numbers = append(numbers, q.witnesses(step.Evidence[:min(1, len(step.Evidence))])...)
		}
		all = append(all, numbers...)
		record.Exposure = append(record.Exposure, q.say(numbers, "reached from the internet: %s (%s)", strings.Join(names, " > "), way.Strength))
	}
	q.outside = append(q.outside, all)
	return nil
}

func (q *inquiry) neighbours(record *AssetRecord, view graph.View) {
	for _, one := range view.Out {
		name := cmp.Or(one.Asset.Name, one.Asset.Key)
		numbers := q.witnesses(one.Evidence[:min(1, len(one.Evidence))])
		switch one.Kind {
		case fact.RunsAs, fact.CanAssume, fact.MayAct:
			text := map[fact.RelationKind]string{fact.RunsAs: "runs as", fact.CanAssume: "can assume", fact.MayAct: "may act on"}[one.Kind]
			if len(record.Identity) < maxNeighbours {
				record.Identity = append(record.Identity, q.say(numbers, "%s %s %s", text, one.Asset.Kind, name))
			}
			q.privy = append(q.privy, numbers...)
		case fact.OwnedBy:
			record.Ownership = append(record.Ownership, q.say(numbers, "owned by %s", name))
		case fact.PartOf, fact.RunsIn, fact.InstanceOf, fact.BuiltFrom, fact.DeclaredBy, fact.DeclaredAt, fact.PackagedFrom:
			if len(record.Runs) < maxNeighbours {
				record.Runs = append(record.Runs, q.say(numbers, "%s %s %s", strings.ReplaceAll(string(one.Kind), "_", " "), one.Asset.Kind, name))
			}
		}
	}
	for _, one := range view.In {
		if (one.Kind == fact.InstanceOf || one.Kind == fact.Controls) && len(record.Runs) < maxNeighbours {
			record.Runs = append(record.Runs, q.say(q.witnesses(one.Evidence[:min(1, len(one.Evidence))]), "%s %s is its %s", one.Asset.Kind, cmp.Or(one.Asset.Name, one.Asset.Key), map[fact.RelationKind]string{fact.InstanceOf: "instance", fact.Controls: "controller"}[one.Kind]))
		}
	}
	for _, claim := range view.Claims {
		if len(record.Ownership) == maxNeighbours {
			break
		}
		record.Ownership = append(record.Ownership, q.say([]int{q.number(claim.Evidence, nil)}, "%s %s is %s, says %s", claim.Owner.Kind, cmp.Or(claim.Owner.Name, claim.Owner.ID), claim.Role, claim.Source()))
	}
}

// where retells the chain from what was observed to the line.
func (q *inquiry) where(context.Context) error {
	cause := q.it.Cause
	for _, link := range cause.Chain {
		at := link.Location
		q.record.Where = append(q.record.Where, q.say([]int{q.number(link.Evidence, &at)}, "%s %s%s (%s)", link.Kind, link.Key, plainPlace(link.Location), link.Evidence.Strength))
	}
	var places []string
	for _, at := range cause.Locations {
		places = append(places, strings.TrimPrefix(plainPlace(at), " at "))
	}
	switch cause.Status {
	case fact.CauseFound:
		q.record.Where = append(q.record.Where, q.say(q.chain(), "The line to change is %s; the chain is as strong as its weakest step, which is %s.", strings.Join(places, " and "), cmp.Or(cause.Weakest(), "not told")))
	case fact.CauseAmbiguous:
		q.record.Where = append(q.record.Where, q.say(q.chain(), "Equal candidates: %s. Nothing decides between them.", strings.Join(places, ", ")))
	default:
		q.record.Where = append(q.record.Where, q.say([]int{q.told()}, "The cause is unknown."))
	}
	return nil
}

// chain numbers the evidence of the cause.
func (q *inquiry) chain() (numbers []int) {
	for _, link := range q.it.Cause.Chain {
		at := link.Location
		numbers = append(numbers, q.number(link.Evidence, &at))
	}
	if numbers == nil {
		numbers = []int{q.told()}
	}
	return numbers
}

func plainPlace(at fact.Location) string {
	if at.Path == "" {
		return ""
	}
	text := " at " + at.Path
	if at.Line > 0 {
		text += fmt.Sprintf(":%d", at.Line)
	}
	return text
}

func (q *inquiry) who() {
	for _, owner := range q.it.Owners {
		var numbers []int
		for _, e := range owner.Evidence {
			numbers = append(numbers, q.number(fact.Evidence{Method: e.Kind, Source: e.Source, Strength: fact.Derived, Detail: e.Detail}, nil))
		}
		q.record.Who = append(q.record.Who, q.say(numbers, "%s %s as %s, confidence %.2f", owner.Kind, cmp.Or(owner.Name, owner.ID), owner.Role, owner.Confidence))
	}
	if len(q.it.Owners) == 0 {
		q.record.Missing = append(q.record.Missing, "no ownership claim reaches the issue: a rule, a catalog or CODEOWNERS would settle it")
	}
}

// history retells the moves of the issue and of changes for it.
func (q *inquiry) history(ctx context.Context) error {
	events, err := issue.Events(ctx, q.DB, q.it.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for _, e := range events {
		var numbers []int
		for _, evidence := range e.Evidence {
			numbers = append(numbers, q.number(evidence, nil))
		}
		if numbers == nil {
			numbers = []int{q.number(fact.Evidence{Method: "issue event", Source: e.Key, Strength: fact.Attested}, nil)}
		}
		q.record.History = append(q.record.History, q.say(numbers, "%s: %s by %s", moment(e.At), strings.TrimSpace(string(e.To)+" "+e.Reason), e.Actor))
	}
	changes, err := remediation.List(ctx, q.DB)
	if err != nil {
		return err
	}
	slices.SortFunc(changes, func(a, b remediation.Remediation) int { return strings.Compare(a.ID, b.ID) })
	for _, r := range changes {
		if !slices.Contains(r.Issues, q.it.ID) {
			continue
		}
		n := q.number(fact.Evidence{Method: "remediation", Source: r.ID, Strength: fact.Attested, Detail: cmp.Or(r.URL, r.Branch)}, nil)
		q.record.History = append(q.record.History, q.say([]int{n}, "change %s is %s: %s", r.ID, r.State, cmp.Or(r.Reason, r.Path.Summary)))
	}
	return nil
}

func moment(at int64) string { return time.UnixMicro(at).UTC().Format(time.RFC3339) }

func (q *inquiry) paths() {
	for _, p := range q.it.FixPaths {
		record := PathRecord{ID: p.ID, Summary: p.Summary, Recommended: p.Recommended, Reason: p.Reason, Effort: p.Effort, Risk: p.Risk, Proof: "not tried", Evidence: []int{}}
		switch {
		case p.Manual:
			record.Proof = "carried out by people"
		case p.Verification != nil:
			record.Proof = p.Verification.Status
			record.Evidence = append(record.Evidence, q.number(fact.Evidence{Method: "proof", Source: cmp.Or(p.Verification.Digest, p.Fixer), Strength: fact.Proven, Detail: p.Verification.Status}, nil))
		}
		if p.Breaking != nil {
			for _, e := range p.Breaking.Evidence {
				record.Evidence = append(record.Evidence, q.number(e, nil))
			}
		}
		if p.History != nil {
			for _, e := range p.History.Evidence {
				record.Evidence = append(record.Evidence, q.number(e, nil))
			}
		}
		if len(record.Evidence) == 0 {
			record.Evidence = q.chain()
		}
		record.Evidence = once(record.Evidence)
		q.record.Paths = append(q.record.Paths, record)
	}
}

// recommended gives the path that is recommended, nil when there is none.
func (q *inquiry) recommended() *fix.Path {
	for i := range q.it.FixPaths {
		if q.it.FixPaths[i].Recommended {
			return &q.it.FixPaths[i]
		}
	}
	return nil
}

func (q *inquiry) summary() {
	r := &q.record
	add := func(evidence []int, format string, args ...any) {
		r.Summary = append(r.Summary, q.say(evidence, format, args...))
	}
	add([]int{q.told()}, "%s: %s, risk %.1f, %s in %s, seen by %s.", q.it.ID, q.it.Severity, q.it.Risk, count(q.it.Findings, "finding"), count(len(q.it.Assets), "asset"), strings.Join(q.it.Tools, ", "))
	for i, numbers := range q.outside {
		if len(numbers) > 0 {
			add(numbers, "%s can be reached from the internet.", cmp.Or(q.it.Assets[i].Name, q.it.Assets[i].Key))
		}
	}
	r.Summary = append(r.Summary, r.Where[len(r.Where)-1])
	if len(r.Who) > 0 {
		add(r.Who[0].Evidence, "First to ask: %s.", r.Who[0].Text)
	}
	if p := q.recommended(); p != nil {
		at := slices.IndexFunc(r.Paths, func(one PathRecord) bool { return one.ID == p.ID })
		numbers := r.Paths[at].Evidence
		if len(numbers) == 0 {
			numbers = q.chain()
		}
		add(numbers, "Recommended: %s, because %s.", strings.TrimSuffix(p.Summary, "."), strings.TrimSuffix(p.Reason, "."))
	} else {
		add(q.chain(), "No fix path is known.")
	}
}
