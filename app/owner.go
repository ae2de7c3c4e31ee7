package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/owner"
)

// Files of the state folder that say how owners are found. They are made to be
// reviewed and kept in git; without them the defaults hold.
const (
	PrecedenceFile = "owners.yaml"
	TagRulesFile   = "owner-rules.yaml"
)

// maxOwnerFile bounds the files of owners.
const maxOwnerFile = 4 << 20

// Ownership prepares the answers to who owns what, by the state's files.
func (a *App) Ownership() (*owner.Estate, error) {
	precedence, rules, err := a.ownerFiles()
	if err != nil {
		return nil, err
	}
	return owner.NewEstate(a.db, precedence, rules, a.config.Now), nil
}

func (a *App) ownerFiles() (owner.Precedence, owner.TagRules, error) {
	precedence, rules := owner.DefaultPrecedence(), owner.DefaultTagRules()
	name := filepath.Join(a.config.State, PrecedenceFile)
	if data, err := readBounded(name); err == nil {
		if precedence, err = owner.ParsePrecedence(name, data); err != nil {
			return precedence, rules, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return precedence, rules, err
	}
	saved, err := ReadTagRules(filepath.Join(a.config.State, TagRulesFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return precedence, rules, err
	default:
		rules = saved
	}
	return precedence, rules, nil
}

// ReadTagRules reads a file of tag rules.
func ReadTagRules(name string) (owner.TagRules, error) {
	data, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	return owner.ParseTagRules(name, data)
}

func readBounded(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxOwnerFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxOwnerFile {
		return nil, fmt.Errorf("%s: larger than %d KiB", name, maxOwnerFile>>10)
	}
	return data, nil
}

// IsIssue says whether a text is the id of an issue.
func IsIssue(text string) bool { return strings.HasPrefix(strings.ToUpper(text), "BS-") }

// ExplainOwner answers who owns an asset of the graph.
func (a *App) ExplainOwner(ctx context.Context, subject fact.Asset) (*owner.AssetExplanation, error) {
	estate, err := a.Ownership()
	if err != nil {
		return nil, err
	}
	return estate.Explain(ctx, subject)
}

// ExplainIssueOwner answers who owns an issue: by the lines of its cause, and by the
// assets that it is about.
func (a *App) ExplainIssueOwner(ctx context.Context, id string) (*owner.AssetExplanation, error) {
	it, err := a.Desk.Issue(ctx, id)
	if err != nil {
		return nil, err
	}
	estate, err := a.Ownership()
	if err != nil {
		return nil, err
	}
	return estate.ExplainWith(ctx, subjectOf(&it), claimsOf(&it), concernsOf(&it))
}

func subjectOf(it *issue.Issue) fact.Asset {
	return fact.Asset{Kind: owner.SubjectIssue, Key: it.ID, Name: it.Title}
}

// concernsOf are the assets of an issue and the repositories of its cause.
func concernsOf(it *issue.Issue) []fact.Asset {
	list := append([]fact.Asset{}, it.Assets...)
	for _, l := range it.Cause.Locations {
		if l.Repository != "" {
			list = append(list, fact.Asset{Kind: fact.AssetRepository, Key: l.Repository})
		}
	}
	return list
}

// claimsOf are what the lines of an issue's cause say, as claims on the issue.
func claimsOf(it *issue.Issue) []owner.Claimed {
	var list []owner.Claimed
	for _, o := range it.Owners {
		evidence := fact.Evidence{Method: "code", Source: "cause", Strength: fact.Derived}
		if len(o.Evidence) > 0 {
			first := o.Evidence[0]
			evidence = fact.Evidence{Method: first.Kind, Source: first.Source, Strength: fact.Derived, Detail: evidenceOf(&first)}
			if first.Kind == "codeowners" {
				evidence.Strength = fact.Declared
			}
		}
		list = append(list, owner.Claimed{Claim: fact.Claim{
			Subject: subjectOf(it), Owner: fact.Party{Kind: o.Kind, ID: o.ID, Name: o.Name}, Role: o.Role, Source: owner.SourceCode, Evidence: evidence, Confidence: o.Confidence,
		}})
	}
	return list
}

// evidenceOf says in words what a signal of history or CODEOWNERS says.
func evidenceOf(e *fact.OwnerEvidence) string { return e.Kind + ", " + e.Detail }

// SayOwner keeps what a person says of the owner of an asset, or of an issue when
// the subject's kind is owner.SubjectIssue. It says whether anything changed.
func (a *App) SayOwner(ctx context.Context, answer owner.Answer) (bool, error) {
	estate, err := a.Ownership()
	if err != nil {
		return false, err
	}
	if answer.Subject.Kind != owner.SubjectIssue {
		return estate.Say(ctx, answer)
	}
	it, err := a.Desk.Issue(ctx, answer.Subject.Key)
	if err != nil {
		return false, err
	}
	answer.Subject = fact.Asset{Kind: owner.SubjectIssue, Key: it.ID}
	return estate.SayWith(ctx, answer, claimsOf(&it), concernsOf(&it))
}

// OwnerHistory lists what people said of a subject.
func (a *App) OwnerHistory(ctx context.Context, subject fact.Asset) ([]owner.Answer, error) {
	return owner.History(ctx, a.db, subject)
}

// Triage is that of the desk, with the owners that all sources and people name.
func (a *App) Triage(ctx context.Context, request agent.Request) (agent.Triage, error) {
	result, err := a.Desk.Triage(ctx, request)
	if err != nil {
		return result, err
	}
	return result, a.owned(ctx, result.Issues)
}

// Issues is that of the desk, with the owners that all sources and people name.
func (a *App) Issues(ctx context.Context, all bool) ([]issue.Issue, error) {
	issues, err := a.Desk.Issues(ctx, all)
	if err != nil {
		return issues, err
	}
	return issues, a.owned(ctx, issues)
}

// Issue is that of the desk, with the owners that all sources and people name.
func (a *App) Issue(ctx context.Context, id string) (issue.Issue, error) {
	it, err := a.Desk.Issue(ctx, id)
	if err != nil {
		return it, err
	}
	one := []issue.Issue{it}
	err = a.owned(ctx, one)
	return one[0], err
}

// owned gives issues the owners that ExplainIssueOwner gives them. An issue whose cause
// leads to no line has some only when it is clear who: a weak hint is not shown as
// who should act.
func (a *App) owned(ctx context.Context, issues []issue.Issue) error {
	estate, err := a.Ownership()
	if err != nil {
		return err
	}
	// Many issues are about the same assets and lines, and are answered once.
	answers := map[string]*owner.AssetExplanation{}
	for i := range issues {
		it := &issues[i]
		claims, concerns := claimsOf(it), concernsOf(it)
		said, err := owner.History(ctx, a.db, subjectOf(it))
		if err != nil {
			return err
		}
		key := ""
		if len(said) == 0 {
			text, err := json.Marshal([]any{it.Owners, concerns})
			if err != nil {
				return err
			}
			key = string(text)
		}
		x := answers[key]
		if x == nil || key == "" {
			if x, err = estate.ExplainWith(ctx, subjectOf(it), claims, concerns); err != nil {
				return err
			}
			answers[key] = x
		}
		if len(it.Owners) == 0 && !x.Clear {
			continue
		}
		it.Owners = detailed(x.Owners, it.Owners)
	}
	return nil
}

// detailed adds to owners the evidence of lines beyond the first, which is in their
// claims.
func detailed(owners, lines []fact.Owner) []fact.Owner {
	list := slices.Clone(owners)
	for i := range list {
		o := &list[i]
		o.Evidence = slices.Clone(o.Evidence)
		for _, from := range lines {
			if len(from.Evidence) > 1 && slices.ContainsFunc(o.Evidence, func(e fact.OwnerEvidence) bool {
				return e.Kind == owner.SourceCode && e.Source == from.Evidence[0].Source && strings.Contains(e.Detail, evidenceOf(&from.Evidence[0]))
			}) {
				o.Evidence = append(o.Evidence, from.Evidence[1:]...)
			}
		}
	}
	return list
}

// ClaimedCode is what reading one repository's owners into the graph brought.
type ClaimedCode struct {
	Repository string       `json:"repository"`
	Commit     string       `json:"commit"`
	Claims     graph.Counts `json:"claims"`
}

// ClaimCode reads who owns repositories and their files, by CODEOWNERS and history,
// into the graph: those in folders, or without any those that were looked at before
// and those of sources of local repositories. What cannot be read becomes a problem.
func (a *App) ClaimCode(ctx context.Context, dirs []string) (list []ClaimedCode, problems []string, err error) {
	if len(dirs) == 0 {
		known, err := owner.Checkouts(ctx, a.db)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range known {
			dirs = append(dirs, c.Dir)
		}
		sources, err := a.Sources()
		if err != nil {
			return nil, nil, err
		}
		for _, source := range sources {
			if source.Type == "gitlocal" {
				dirs = append(dirs, repositoriesBelow(source.Settings["path"])...)
			}
		}
		slices.Sort(dirs)
		dirs = slices.Compact(dirs)
	}
	for i, dir := range dirs {
		a.config.Progress("reading history of "+filepath.Base(dir), i, len(dirs))
		claimed, err := a.claimCode(ctx, dir)
		if ctx.Err() != nil {
			return list, problems, ctx.Err()
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", dir, err))
			continue
		}
		list = append(list, claimed)
	}
	a.config.Progress("", 0, 0)
	return list, problems, nil
}

// reposDepth is how far below a source's folder repositories are looked for.
const reposDepth = 3

// repositoriesBelow lists the folders that are repositories, without those inside of
// them. A folder that cannot be read holds none.
func repositoriesBelow(root string) []string {
	var list []string
	var look func(dir string, depth int)
	look = func(dir string, depth int) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return
		}
		holds := func(name string) bool {
			return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
		}
		if holds(".git") || holds("HEAD") && holds("objects") && holds("refs") {
			list = append(list, dir)
			return
		}
		for _, e := range entries {
			if e.IsDir() && depth > 0 {
				look(filepath.Join(dir, e.Name()), depth-1)
			}
		}
	}
	if root != "" {
		look(root, reposDepth)
	}
	return list
}

func (a *App) claimCode(ctx context.Context, dir string) (ClaimedCode, error) {
	claimed := ClaimedCode{}
	repo, err := git.Open(ctx, dir)
	if err != nil {
		return claimed, err
	}
	defer repo.Close()
	if claimed.Repository, err = repo.Identity(ctx); err != nil {
		return claimed, err
	}
	if claimed.Commit, err = repo.Resolve(ctx, "HEAD"); err != nil {
		return claimed, err
	}
	history, err := repo.History(ctx, claimed.Commit, a.Cache)
	if err != nil {
		return claimed, err
	}
	index, err := owner.NewIndex(ctx, repo, history)
	if err != nil {
		return claimed, err
	}
	summary, err := index.Claim(ctx, a.db, a.graph, claimed.Commit, nil, a.config.Now())
	claimed.Claims = summary.Claims
	return claimed, err
}

// TryRules tells what tag rules of a file would claim, without saving them.
func (a *App) TryRules(ctx context.Context, name string) (owner.DryRun, error) {
	rules, err := ReadTagRules(name)
	if err != nil {
		return owner.DryRun{}, err
	}
	estate, err := a.Ownership()
	if err != nil {
		return owner.DryRun{}, err
	}
	return estate.Try(ctx, rules)
}

// ApplyRules makes the tag rules of a file those of the state, and tells whose owners
// change. With try they are not saved.
func (a *App) ApplyRules(ctx context.Context, name string, try bool) (owner.OwnersChange, error) {
	data, err := readBounded(name)
	if err != nil {
		return owner.OwnersChange{}, err
	}
	rules, err := owner.ParseTagRules(name, data)
	if err != nil {
		return owner.OwnersChange{}, err
	}
	estate, err := a.Ownership()
	if err != nil {
		return owner.OwnersChange{}, err
	}
	change, err := estate.Change(ctx, rules)
	if err != nil || try {
		return change, err
	}
	fresh, err := os.CreateTemp(a.config.State, TagRulesFile+".*")
	if err != nil {
		return change, err
	}
	defer os.Remove(fresh.Name()) // fails once it was renamed
	_, err = fresh.Write(data)
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return change, err
	}
	return change, os.Rename(fresh.Name(), filepath.Join(a.config.State, TagRulesFile))
}

// OwnersAfter tells whose owners are others in a trial than in the state.
func (a *App) OwnersAfter(ctx context.Context, trial *App) (owner.OwnersChange, error) {
	precedence, rules, err := a.ownerFiles()
	if err != nil {
		return owner.OwnersChange{}, err
	}
	later := owner.NewEstate(trial.db, precedence, rules, a.config.Now)
	return owner.NewEstate(a.db, precedence, rules, a.config.Now).Compare(ctx, later)
}

// AcceptAbove accepts every clear suggestion of at least a confidence on which no
// person has spoken. With try nothing is kept.
func (a *App) AcceptAbove(ctx context.Context, confidence float64, by string, try bool) (owner.Bulk, error) {
	estate, err := a.Ownership()
	if err != nil {
		return owner.Bulk{}, err
	}
	return estate.AcceptAbove(ctx, confidence, by, try)
}

// OwnerCoverage is what share of assets and of issues has a clear owner, and what
// would close the gaps.
type OwnerCoverage struct {
	owner.Coverage
	Issues owner.Share            `json:"issues"`
	ByKind map[string]owner.Share `json:"issues_by_kind"`
	// BySource counts the issues with evidence of a source.
	BySource map[string]owner.Share `json:"issues_by_source"`
}

// OwnerCoverage counts who is owned.
func (a *App) OwnerCoverage(ctx context.Context) (OwnerCoverage, error) {
	c := OwnerCoverage{ByKind: map[string]owner.Share{}, BySource: map[string]owner.Share{}}
	estate, err := a.Ownership()
	if err != nil {
		return c, err
	}
	if c.Coverage, err = estate.Coverage(ctx); err != nil {
		return c, err
	}
	issues, err := a.Desk.Issues(ctx, false)
	if err != nil {
		return c, err
	}
	for i := range issues {
		it := &issues[i]
		x, err := estate.ExplainWith(ctx, subjectOf(it), claimsOf(it), concernsOf(it))
		if err != nil {
			return c, err
		}
		kind := c.ByKind[string(it.Kind)]
		kind.Add(x.Clear, len(x.Owners) > 0)
		c.ByKind[string(it.Kind)] = kind
		c.Issues.Add(x.Clear, len(x.Owners) > 0)
		sources := map[string]bool{}
		for _, o := range x.Owners {
			for _, e := range o.Evidence {
				sources[e.Kind] = true
			}
		}
		for source := range sources {
			share := c.BySource[source]
			share.Add(x.Clear, true)
			c.BySource[source] = share
		}
	}
	return c, nil
}

// ExportOwners gives the change of a repository's CODEOWNERS ("codeowners") or
// catalog-info.yaml ("backstage") that its owners ask for.
func (a *App) ExportOwners(ctx context.Context, format, dir, commit string) (owner.Export, error) {
	estate, err := a.Ownership()
	if err != nil {
		return owner.Export{}, err
	}
	repo, err := git.Open(ctx, dir)
	if err != nil {
		return owner.Export{}, err
	}
	defer repo.Close()
	if commit, err = repo.Resolve(ctx, commit); err != nil {
		return owner.Export{}, err
	}
	switch format {
	case "codeowners":
		return estate.ExportCodeowners(ctx, repo, commit, a.Cache)
	case "backstage":
		return estate.ExportBackstage(ctx, repo, commit, a.Cache)
	}
	return owner.Export{}, fmt.Errorf("export %q: expected codeowners or backstage", format)
}
