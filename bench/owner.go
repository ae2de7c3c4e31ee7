package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/owner"
	"github.com/backstitch/backstitch/store/sqlite"
)

// measureOwner is a suggestion of owners for twenty lines of a file, once the
// history is indexed, each as of another commit so that nothing is kept from
// the one before. The baseline is what others start from: one git blame of the
// same file, without any ranking. The index itself is timed beside one blame of
// every file.
var measureOwner = Measurement{ID: "owner", Run: suggestOwners}

const (
	ownerCommits   = 4000
	ownerFiles     = 300
	ownerPeople    = 25
	ownerLines     = 400
	ownerQuestions = 60
	ownerLimit     = 50 * time.Millisecond
)

func suggestOwners(ctx context.Context) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bare := filepath.Join(dir, "shop.git")
	if _, err := cpu(ctx, "", "git", "init", "-q", "--bare", "-b", "main", bare); err != nil {
		return nil, err
	}
	load := exec.CommandContext(ctx, "git", "--git-dir", bare, "fast-import", "--quiet")
	load.Stdin = bytes.NewReader(ownerHistory())
	if out, err := load.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("git fast-import: %w: %s", err, out)
	}
	repo, err := git.Open(ctx, bare)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	head, err := repo.Resolve(ctx, "main")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	history, err := repo.History(ctx, head, "")
	if err != nil {
		return nil, err
	}
	index, err := owner.NewIndex(ctx, repo, history)
	if err != nil {
		return nil, err
	}
	// The first question makes the index learn from the last commits.
	if _, err := index.At(ctx, head, time.Unix(history.Entry(int32(history.Len()-1)).Committed, 0)); err != nil {
		return nil, err
	}
	indexed := time.Since(began)

	var slowest, total, blame time.Duration
	for i := range ownerQuestions {
		entry := history.Entry(int32(history.Len() - 1 - i))
		name := ownerFile(i * 5)
		began := time.Now()
		resolver, err := index.At(ctx, entry.ID, time.Unix(entry.Committed, 0))
		if err != nil {
			return nil, err
		}
		owners, err := resolver.Suggest(ctx, owner.Subject{Path: name, Lines: [][2]int{{100, 119}}})
		if err != nil {
			return nil, err
		}
		if len(owners) == 0 {
			return nil, fmt.Errorf("%s at %s: nobody suggested", name, entry.ID)
		}
		took := time.Since(began)
		total += took
		slowest = max(slowest, took)

		began = time.Now()
		if _, err := cpu(ctx, "", "git", "--git-dir", bare, "blame", "--porcelain", entry.ID, "--", name); err != nil {
			return nil, err
		}
		blame += time.Since(began)
	}
	mean, meanBlame := total/ownerQuestions, blame/ownerQuestions
	estate, err := ownerEstate(ctx, dir)
	if err != nil {
		return nil, err
	}
	pushed, err := ownerPush(ctx, dir, repo, index, head)
	if err != nil {
		return nil, err
	}
	return append([]Row{
		{
			What: "owner suggestion, mean", Value: milliseconds(mean), Unit: "ms", Baseline: milliseconds(meanBlame), Against: "git blame of the file",
			Target: "under 50 ms and under the blame", OK: mean < ownerLimit && mean < meanBlame,
		},
		{What: "owner suggestion, slowest", Value: milliseconds(slowest), Unit: "ms", Target: "under 50 ms", OK: slowest < ownerLimit},
		{
			What: fmt.Sprintf("history index, %d commits", history.Len()), Value: indexed.Seconds(), Unit: "s",
			Baseline: (meanBlame * ownerFiles).Seconds(), Against: "git blame of each file", Target: "under the blames", OK: indexed < meanBlame*ownerFiles,
		},
		pushed,
	}, estate...), nil
}

// ownerPush times what a push of one commit costs until the answers about what is
// built from the repository follow it: reading the commit, asking again about the
// file that it touched and writing what changed. The baseline is reading all files of
// the graph anew.
func ownerPush(ctx context.Context, dir string, repo *git.Repository, index *owner.Index, head string) (row Row, err error) {
	db, err := sqlite.Open(ctx, filepath.Join(dir, "push.db"))
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	g := graph.Open(db)
	identity, err := repo.Identity(ctx)
	if err != nil {
		return row, err
	}
	now := time.Unix(1_700_000_000, 0)
	run, err := g.Begin(ctx, "files", now, false)
	if err != nil {
		return row, err
	}
	file := func(i int) fact.Asset {
		return fact.Asset{Kind: fact.AssetFile, Key: identity + "//" + ownerFile(i)}
	}
	for i := range ownerFiles {
		if err := run.Node("files", fact.Node{Asset: file(i)}); err != nil {
			return row, err
		}
	}
	if err := run.Covered("files"); err != nil {
		return row, err
	}
	if _, err := run.Finish(ctx); err != nil {
		return row, err
	}
	began := time.Now()
	if _, err := index.Claim(ctx, db, g, head, nil, now); err != nil {
		return row, err
	}
	whole := time.Since(began)
	const pushes = 20
	var times []time.Duration
	estate := owner.NewEstate(db, owner.DefaultPrecedence(), owner.DefaultTagRules(), func() time.Time { return now })
	for i := range pushes {
		now = now.Add(time.Hour)
		head, err = repo.Commit(ctx, head, map[string][]byte{ownerFile(i): fmt.Appendf(nil, "push %d\n", i)}, fmt.Sprintf("Push %d", i), git.Signature{Name: "Newcomer Jones", Email: "jones@example.org", When: now})
		if err != nil {
			return row, err
		}
		began := time.Now()
		if err := index.Extend(ctx, head); err != nil {
			return row, err
		}
		if _, err := index.Claim(ctx, db, g, head, []string{ownerFile(i)}, now); err != nil {
			return row, err
		}
		x, err := estate.Explain(ctx, file(i))
		times = append(times, time.Since(began))
		if err != nil {
			return row, err
		}
		if len(x.Owners) == 0 || x.Owners[0].ID != "jones@example.org" {
			return row, fmt.Errorf("%s: the owners %v do not follow the push", file(i).Key, x.Owners)
		}
	}
	slices.Sort(times)
	median := times[len(times)/2]
	return Row{
		What: fmt.Sprintf("owners after a push, median of %d", pushes), Value: milliseconds(median), Unit: "ms", Baseline: milliseconds(whole), Against: "the whole repository",
		Target: "under 200 ms", OK: median < 200*time.Millisecond,
	}, nil
}

// The estate of ownerEstate: cloud resources of accounts, each with tags and claims of
// its own beside what it inherits.
const (
	estateAssets   = 1_000_000
	estateClaims   = 5
	estateAccounts = 2000
	estateTeams    = 500
	estateScope    = 50_000
)

// ownerEstate times the answers for every asset of a large estate, one explained, and
// the dry run of a rule. The baseline of all is explaining each one by one.
func ownerEstate(ctx context.Context, dir string) ([]Row, error) {
	db, err := sqlite.Open(ctx, filepath.Join(dir, "estate.db"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	g := graph.Open(db)
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	if err := tellEstate(ctx, g, now); err != nil {
		return nil, err
	}
	estate := owner.NewEstate(db, owner.DefaultPrecedence(), owner.DefaultTagRules(), func() time.Time { return now })
	one := func(i int) fact.Asset { return fact.Asset{Kind: fact.AssetResource, Key: estateKey(i)} }
	if _, err := estate.Explain(ctx, one(0)); err != nil { // reads who is known
		return nil, err
	}
	var total, listed time.Duration
	if _, err := g.Index(ctx); err != nil {
		return nil, err
	}
	const explained = 300
	for i := range explained {
		began := time.Now()
		x, err := estate.Explain(ctx, one(i*(estateAssets/explained)))
		total += time.Since(began)
		if err != nil {
			return nil, err
		}
		began = time.Now()
		if _, err := g.Claims(ctx, x.Subject, graph.ClaimOptions{}); err != nil {
			return nil, err
		}
		listed += time.Since(began)
		if !x.Clear {
			return nil, fmt.Errorf("%s: %s", x.Subject.Key, x.Why)
		}
	}
	rules, err := owner.ParseTagRules("bench.yaml", []byte("rules:\n- keys: [team]\n  value: \"(team-[0-9]+)\"\n  owner: \"$1\"\n  kind: team\n"))
	if err != nil {
		return nil, err
	}
	before := processCPU()
	tried, err := estate.Try(ctx, rules)
	dry := processCPU() - before
	if err != nil {
		return nil, err
	}
	if tried.Claimed != estateAssets {
		return nil, fmt.Errorf("the rule took %d of %d assets", tried.Claimed, estateAssets)
	}
	before = processCPU()
	survey, err := estate.Survey(ctx)
	if err != nil {
		return nil, err
	}
	read := processCPU() - before
	clear := 0
	err = survey.Each(ctx, func(one *owner.Surveyed) error {
		if one.Clear {
			clear++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if clear < estateAssets {
		return nil, fmt.Errorf("%d of %d assets have a clear owner", clear, estateAssets)
	}
	all := processCPU() - before
	mean := total / explained
	return []Row{
		{
			What: fmt.Sprintf("owners of %d assets with %d claims each, %.1f of it reading", estateAssets, estateClaims, read), Value: all, Unit: "CPU s",
			Baseline: (mean * estateAssets).Seconds(), Against: "explaining each", Target: "under 20", OK: all < 20,
		},
		{What: "one asset explained, mean", Value: milliseconds(mean), Unit: "ms", Baseline: milliseconds(listed / explained), Against: "listing the claims", Target: "under 5 ms", OK: mean < 5*time.Millisecond},
		{What: fmt.Sprintf("dry run of a tag rule over %d assets", estateAssets), Value: dry, Unit: "CPU s", Baseline: all, Against: "all suggestions", Target: "under 2", OK: dry < 2},
	}, nil
}

func estateKey(i int) string {
	return fmt.Sprintf("arn:aws:s3:eu-west-1:%012d:bucket/assets-%d", i%estateAccounts, i)
}

// tellEstate writes the estate into a graph.
func tellEstate(ctx context.Context, g *graph.Graph, now time.Time) error {
	run, err := g.Begin(ctx, "bench", now, false)
	if err != nil {
		return err
	}
	evidence := func(source string) fact.Evidence {
		return fact.Evidence{Method: "bench", Source: source, Strength: fact.Declared}
	}
	team := func(i int) fact.Party {
		name := fmt.Sprintf("team-%d", i%estateTeams)
		return fact.Party{Kind: fact.AssetTeam, ID: "backstage:group:default/" + name, Name: name}
	}
	for i := range estateTeams {
		p := team(i)
		if err := run.Node("teams", fact.Node{Asset: fact.Asset{Kind: fact.AssetTeam, Key: p.ID, Name: p.Name}}); err != nil {
			return err
		}
	}
	account := func(i int) fact.Asset {
		return fact.Asset{Kind: fact.AssetAccount, Key: fmt.Sprintf("aws/%012d", i%estateAccounts)}
	}
	for i := range estateAccounts {
		if err := run.Claim("teams", fact.Claim{Subject: account(i), Owner: team(i), Role: owner.RoleOwner, Source: "project", Confidence: .9, Evidence: evidence("projects.yaml")}); err != nil {
			return err
		}
	}
	if err := run.Covered("teams"); err != nil {
		return err
	}
	for from := 0; from < estateAssets; from += estateScope {
		scope := fmt.Sprint(from / estateScope)
		for i := from; i < from+estateScope; i++ {
			a := fact.Asset{Kind: fact.AssetResource, Key: estateKey(i), Name: fmt.Sprintf("assets-%d", i)}
			if err := run.Node(scope, fact.Node{Asset: a, Properties: map[string]string{"region": "eu-west-1", "type": "s3:bucket", "tag:Name": a.Name, "tag:team": team(i).Name, "tag:env": "prod"}}); err != nil {
				return err
			}
			if err := run.Relation(scope, fact.Relation{From: a, Kind: fact.PartOf, To: account(i), Evidence: evidence("arn")}); err != nil {
				return err
			}
			for n := range estateClaims {
				c := fact.Claim{
					Subject: a, Owner: team(i), Role: owner.RoleOwner, Source: []string{"backstage", "project", "servicenow", "code", "auditlog:aws"}[n],
					Confidence: .9 - float64(n)/20, Evidence: evidence(fmt.Sprintf("file-%d:%d", i%1000, n)), Since: now.Add(-time.Duration(i%1000) * time.Hour).UnixMicro(),
				}
				if n == 4 {
					c.Owner, c.Role = fact.Party{Kind: fact.AssetPerson, ID: fmt.Sprintf("p%d@example.org", i%5000)}, "creator"
				}
				if err := run.Claim(scope, c); err != nil {
					return err
				}
			}
		}
		if err := run.Covered(scope); err != nil {
			return err
		}
	}
	_, err = run.Finish(ctx)
	return err
}

func ownerFile(i int) string {
	i %= ownerFiles
	return fmt.Sprintf("service%d/part%d/file%d.go", i%6, i%20, i)
}

// ownerHistory is a history in the form that git fast-import reads: people who
// come and go edit a few lines of some files a commit.
func ownerHistory() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	files := make([][]string, ownerFiles)
	for i := range files {
		for n := range ownerLines {
			files[i] = append(files[i], fmt.Sprintf("line %d of %d", n, i))
		}
	}
	var b bytes.Buffer
	for c := range ownerCommits {
		person := (c*ownerPeople/ownerCommits + random.IntN(8)) % ownerPeople
		who := fmt.Sprintf("Person %d <p%d@example.org> %d +0000", person, person, 1_600_000_000+c*7200)
		message := fmt.Sprintf("Change %d", c)
		fmt.Fprintf(&b, "commit refs/heads/main\nmark :%d\nauthor %s\ncommitter %s\ndata %d\n%s\n", c+1, who, who, len(message), message)
		if c > 0 {
			fmt.Fprintf(&b, "from :%d\n", c)
		}
		touched := map[int]bool{}
		for range 1 + random.IntN(3) {
			touched[random.IntN(ownerFiles)] = true
		}
		for i := range files {
			if c > 0 && !touched[i] {
				continue
			}
			for range 1 + random.IntN(6) {
				files[i][random.IntN(ownerLines)] = fmt.Sprintf("line of change %d, %d", c, random.Uint32())
			}
			text := strings.Join(files[i], "\n") + "\n"
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", ownerFile(i), len(text), text)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}
