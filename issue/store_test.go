package issue_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

var start = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func day(n int) time.Time { return start.AddDate(0, 0, n) }

func database(t *testing.T) store.Engine {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "backstitch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func save(t *testing.T, db store.Engine, n int, findings ...issue.StoredFinding) []issue.Issue {
	t.Helper()
	for i := range findings {
		if findings[i].State == issue.FindingOpen {
			findings[i].LastSeen = day(n).UnixMicro()
		}
	}
	issues := group(findings...)
	if err := issue.Save(t.Context(), db, issues, day(n)); err != nil {
		t.Fatal(err)
	}
	return issues
}

var proof = []fact.Evidence{{Method: "verification", Source: "sha256:1", Strength: fact.Proven}}

func move(to issue.State, reason, key string) issue.Move {
	return issue.Move{To: to, Reason: reason, Actor: "person:ada", Evidence: proof, Key: key}
}

func TestQueriesAreInTheCommonSubset(t *testing.T) {
	storetest.CheckQueries(t, sqlite.Open, issue.Queries())
}

func TestAnInvestigationComesBackAsItWasSaved(t *testing.T) {
	t.Parallel()
	db := database(t)
	want := group(finding("trivy", "CVE-2026-1", "a", "1", "p"), finding("trivy", "CVE-2026-2", "b", "1", "p"))
	want[0].Owners = []fact.Owner{{Kind: "team", ID: "web", Evidence: []fact.OwnerEvidence{{Kind: "codeowners"}}}}
	want[0].FixPaths = []fix.Path{{ID: "f", Closes: []string{want[0].ID}, Steps: []fix.Step{{Text: "raise"}}, Verification: &fact.Verification{Status: "proven"}}}
	if err := issue.Save(t.Context(), db, want, day(0)); err != nil {
		t.Fatal(err)
	}
	got, err := issue.List(t.Context(), db, issue.Filter{Repository: repository})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	one, err := issue.Load(t.Context(), db, want[0].ID)
	if diff := cmp.Diff(want[0], one); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := issue.Load(t.Context(), db, "BS-NONE"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
	for filter, n := range map[*issue.Filter]int{{Repository: "other"}: 0, {States: []issue.State{issue.Open}}: 2, {States: []issue.State{issue.Rejected}}: 0} {
		if got, err := issue.List(t.Context(), db, *filter); len(got) != n || err != nil {
			t.Errorf("%+v: %d issues, want %d (%v)", filter, len(got), n, err)
		}
	}
}

func TestDecisionsOutlastFindings(t *testing.T) {
	t.Parallel()
	db := database(t)
	f := finding("trivy", "CVE-2026-1", "a", "1", "p")
	gone, harmless := f, f
	gone.State = issue.FindingUnconfirmed
	harmless.Analysis.State = fact.AnalysisNotAffected
	id := save(t, db, 0, f)[0].ID
	for n, step := range []struct {
		name    string
		finding *issue.StoredFinding
		move    *issue.Move
		state   issue.State
		reason  string
	}{
		{"a statement rejects it", &harmless, nil, issue.Rejected, issue.NotAffected},
		{"the statement is withdrawn", &f, nil, issue.Open, ""},
		{"not seen", &gone, nil, issue.Unconfirmed, ""},
		{"seen", &f, nil, issue.Open, ""},
		{"somebody plans it", nil, &issue.Move{To: issue.InProgress, Reason: issue.Planned, Actor: "a", Key: "1"}, issue.InProgress, issue.Planned},
		{"still seen", &f, nil, issue.InProgress, issue.Planned},
		{"not seen while it is worked on", &gone, nil, issue.InProgress, issue.Planned},
		{"proven", nil, &issue.Move{To: issue.Resolved, Reason: issue.FixedVerified, Actor: "a", Evidence: proof, Key: "2"}, issue.Resolved, issue.FixedVerified},
		{"not seen after it", &gone, nil, issue.Resolved, issue.FixedVerified},
		{"seen after it", &f, nil, issue.Open, ""},
		{"accepted", nil, &issue.Move{To: issue.Rejected, Reason: issue.Exception, Actor: "a", Evidence: proof, Key: "3"}, issue.Rejected, issue.Exception},
		{"a vendor calls it harmless", &harmless, nil, issue.Rejected, issue.Exception},
		{"seen", &f, nil, issue.Rejected, issue.Exception},
	} {
		if step.finding != nil {
			if got := save(t, db, n+1, *step.finding)[0]; got.State != step.state || got.ID != id {
				t.Errorf("%s: saved as %s %s", step.name, got.ID, got.State)
			}
		} else if _, err := issue.SetState(t.Context(), db, id, *step.move, day(n+1)); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		got, err := issue.Load(t.Context(), db, id)
		if err != nil || got.State != step.state || got.Reason != step.reason {
			t.Errorf("%s: %s %s, want %s %s (%v)", step.name, got.State, got.Reason, step.state, step.reason, err)
		}
	}
	events, err := issue.Events(t.Context(), db, id)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range events {
		have = append(have, fmt.Sprintf("%s %s>%s", e.Actor, e.From, e.To))
		if len(e.Evidence) == 0 && e.Actor == "backstitch" {
			t.Errorf("an event without evidence: %+v", e)
		}
	}
	want := []string{
		"backstitch open>rejected", "backstitch rejected>open", "backstitch open>unconfirmed", "backstitch unconfirmed>open",
		"a open>in_progress", "a in_progress>resolved", "backstitch resolved>open", "a open>rejected",
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

func TestAResolvedIssueIsReopenedOnlyByALaterLook(t *testing.T) {
	t.Parallel()
	db := database(t)
	f := finding("trivy", "CVE-2026-1", "a", "1", "p")
	id := save(t, db, 0, f)[0].ID
	if _, err := issue.SetState(t.Context(), db, id, move(issue.Resolved, issue.FixedVerified, "1"), day(1)); err != nil {
		t.Fatal(err)
	}
	old := group(f)
	old[0].LastSeen = day(0).UnixMicro()
	if err := issue.Save(t.Context(), db, old, day(2)); err != nil || old[0].State != issue.Resolved {
		t.Errorf("an old look made it %s (%v)", old[0].State, err)
	}
}

func TestAnIssueThatNoFindingLeadsToIsUnconfirmedOnceItsAssetsWereLookedAt(t *testing.T) {
	t.Parallel()
	db := database(t)
	saved := save(t, db, 0, finding("trivy", "CVE-2026-1", "a", "1", "old/p"), finding("trivy", "CVE-2026-2", "b", "1", "p"), finding("trivy", "CVE-2026-3", "c", "1", "q"))
	at := func(title string) issue.Issue {
		return saved[slices.IndexFunc(saved, func(i issue.Issue) bool { return i.Rule == title })]
	}
	lost, kept, decided := at("CVE-2026-1"), at("CVE-2026-2"), at("CVE-2026-3")
	if _, err := issue.SetState(t.Context(), db, decided.ID, move(issue.Rejected, issue.WontFix, "k"), day(1)); err != nil {
		t.Fatal(err)
	}
	if moved, err := issue.Unsee(t.Context(), db, repository, nil, []issue.Issue{kept}, day(2)); err != nil || len(moved) != 0 {
		t.Errorf("nothing was looked at, but %v moved, %v", moved, err)
	}
	for pass, want := range [][]string{{lost.ID}, {}} {
		moved, err := issue.Unsee(t.Context(), db, repository, lost.Assets, []issue.Issue{kept}, day(3+pass))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, moved); diff != "" {
			t.Errorf("pass %d: %s", pass, diff)
		}
	}
	for id, want := range map[string]issue.State{lost.ID: issue.Unconfirmed, kept.ID: issue.Open, decided.ID: issue.Rejected} {
		if got, err := issue.Load(t.Context(), db, id); err != nil || got.State != want {
			t.Errorf("%s is %s, %v; want %s", id, got.State, err, want)
		}
	}
	events, err := issue.Events(t.Context(), db, lost.ID)
	if err != nil || len(events) != 1 || len(events[0].Evidence) != 1 {
		t.Errorf("events %+v, %v; want one with its evidence", events, err)
	}
	if back := save(t, db, 9, finding("trivy", "CVE-2026-1", "a", "1", "old/p")); back[0].State != issue.Open {
		t.Errorf("seen again it is %s", back[0].State)
	}
}

func TestSavingNeverResolves(t *testing.T) {
	t.Parallel()
	db := database(t)
	issues := group(finding("trivy", "CVE-2026-1", "a", "1", "p"))
	issues[0].State, issues[0].Reason = issue.Resolved, issue.FixedVerified
	if err := issue.Save(t.Context(), db, issues, day(0)); !errors.Is(err, issue.ErrTransition) {
		t.Errorf("error %v, want ErrTransition", err)
	}
	save(t, db, 1, finding("trivy", "CVE-2026-1", "a", "1", "p"))
	if err := issue.Save(t.Context(), db, issues, day(2)); err != nil || issues[0].State != issue.Open {
		t.Errorf("saved as %s (%v)", issues[0].State, err)
	}
}

func TestAnIssueKeepsItsIDWhenItsClassGrows(t *testing.T) {
	t.Parallel()
	db := database(t)
	osv := finding("osv", "GHSA-1", "a", "1", "p")
	pip := finding("pip", "PYSEC-1", "a", "1", "p")
	before := save(t, db, 0, osv, pip)
	if len(before) != 2 {
		t.Fatalf("%d issues, want 2", len(before))
	}
	kept, other := before[0].ID, before[1].ID
	if _, err := issue.SetState(t.Context(), db, kept, move(issue.Rejected, issue.WontFix, "1"), day(1)); err != nil {
		t.Fatal(err)
	}
	osv.Aliases, pip.Aliases = []string{"CVE-2026-1"}, []string{"CVE-2026-1"}
	after := group(osv, pip)
	after[0].FixPaths = []fix.Path{{Closes: []string{after[0].ID, "BS-X"}}}
	if err := issue.Save(t.Context(), db, after, day(2)); err != nil {
		t.Fatal(err)
	}
	if len(after) != 1 || after[0].ID != kept || after[0].State != issue.Rejected || !slices.Equal(after[0].FixPaths[0].Closes, []string{kept, "BS-X"}) {
		t.Errorf("%+v, want id %s, rejected", after, kept)
	}
	list, err := issue.List(t.Context(), db, issue.Filter{})
	if err != nil || len(list) != 1 {
		t.Errorf("%d issues are listed, want 1 (%v)", len(list), err)
	}
	if got, err := issue.Load(t.Context(), db, other); err != nil || got.ID != kept {
		t.Errorf("the merged one leads to %s, want %s (%v)", got.ID, kept, err)
	}
	// A class that was split again leaves two issues.
	osv.Aliases, pip.Aliases = nil, nil
	split := save(t, db, 3, osv, pip)
	if len(split) != 2 || split[0].ID == split[1].ID {
		t.Errorf("after the split: %v", ids(split))
	}
}

func TestAMoveHappensOnce(t *testing.T) {
	t.Parallel()
	db := database(t)
	id := save(t, db, 0, finding("trivy", "CVE-2026-1", "a", "1", "p"))[0].ID
	for range 2 {
		if got, err := issue.SetState(t.Context(), db, id, move(issue.InProgress, issue.Planned, "k"), day(1)); err != nil || got.State != issue.InProgress {
			t.Errorf("%s, %v", got.State, err)
		}
	}
	if _, err := issue.SetState(t.Context(), db, id, move(issue.InProgress, issue.ChangeOpen, "k"), day(1)); !errors.Is(err, issue.ErrReused) {
		t.Errorf("error %v, want ErrReused", err)
	}
	if events, err := issue.Events(t.Context(), db, id); len(events) != 1 || err != nil {
		t.Errorf("%d events, want 1 (%v)", len(events), err)
	}
}

func TestMovesThatAreRefused(t *testing.T) {
	t.Parallel()
	guess := []fact.Evidence{{Method: "m", Source: "s", Strength: fact.Guess}}
	for _, test := range []struct {
		name    string
		from    issue.State
		reason  string
		change  func(*issue.Move)
		refused bool
	}{
		{"as it is", issue.Open, "", func(*issue.Move) {}, false},
		{"no actor", issue.Open, "", func(m *issue.Move) { m.Actor = "" }, true},
		{"no key", issue.Open, "", func(m *issue.Move) { m.Key = "" }, true},
		{"no evidence", issue.Open, "", func(m *issue.Move) { m.Evidence = nil }, true},
		{"evidence without source", issue.Open, "", func(m *issue.Move) { m.Evidence = []fact.Evidence{{Method: "m", Strength: fact.Proven}} }, true},
		{"a guess for a verified fix", issue.Open, "", func(m *issue.Move) { m.Evidence = guess }, true},
		{"a guess for a deleted target", issue.Open, "", func(m *issue.Move) { m.Reason, m.Evidence = issue.TargetDeleted, guess }, false},
		{"a reason of another state", issue.Open, "", func(m *issue.Move) { m.Reason = issue.Exception }, true},
		{"no reason", issue.Open, "", func(m *issue.Move) { m.Reason = "" }, true},
		{"from rejected", issue.Rejected, issue.Exception, func(*issue.Move) {}, true},
		{"exception to not affected", issue.Rejected, issue.Exception, func(m *issue.Move) { m.To, m.Reason = issue.Rejected, issue.NotAffected }, true},
		{"won't fix to false positive", issue.Rejected, issue.WontFix, func(m *issue.Move) { m.To, m.Reason = issue.Rejected, issue.FalsePositive }, true},
		{"false positive to exception", issue.Rejected, issue.FalsePositive, func(m *issue.Move) { m.To, m.Reason = issue.Rejected, issue.Exception }, false},
		{"reopen", issue.Resolved, issue.FixedVerified, func(m *issue.Move) { m.To, m.Reason, m.Evidence = issue.Open, "", nil }, false},
		{"resolved to in progress", issue.Resolved, issue.FixedVerified, func(m *issue.Move) { m.To, m.Reason = issue.InProgress, issue.Planned }, true},
		{"an unknown state", issue.Open, "", func(m *issue.Move) { m.To = "closed" }, true},
	} {
		m := move(issue.Resolved, issue.FixedVerified, "k")
		test.change(&m)
		if err := m.Check(test.from, test.reason); errors.Is(err, issue.ErrTransition) != test.refused {
			t.Errorf("%s: %v, want refused %v", test.name, err, test.refused)
		}
	}
}

// Law 2: nothing closes without proof, whatever is tried.
func TestLaw2NothingIsResolvedWithoutEvidence(t *testing.T) {
	t.Parallel()
	const seed = 22
	random := rand.New(rand.NewPCG(seed, 2))
	db := database(t)
	f := finding("trivy", "CVE-2026-1", "a", "1", "p")
	id := save(t, db, 0, f)[0].ID
	states := []issue.State{issue.Open, issue.InProgress, issue.Resolved, issue.Rejected, issue.Unconfirmed}
	reasons := []string{"", issue.Planned, issue.FixedVerified, issue.TargetDeleted, issue.RuleChanged, issue.NotAffected, issue.Exception}
	strengths := []fact.Strength{fact.Proven, fact.Attested, fact.Guess}
	analyses := []string{"", fact.AnalysisResolved, fact.AnalysisNotAffected, fact.AnalysisAcceptedRisk}
	resolved := 0
	for step := range 1500 {
		before, err := issue.Load(t.Context(), db, id)
		if err != nil {
			t.Fatal(err)
		}
		if random.IntN(3) == 0 {
			next := f
			next.Analysis.State = analyses[random.IntN(len(analyses))]
			if random.IntN(2) == 0 {
				next.State = issue.FindingUnconfirmed
			}
			after := save(t, db, step, next)[0]
			if after.State == issue.Resolved && before.State != issue.Resolved {
				t.Fatalf("seed %d step %d: findings resolved it", seed, step)
			}
			continue
		}
		m := issue.Move{To: states[random.IntN(len(states))], Reason: reasons[random.IntN(len(reasons))], Actor: "a", Key: fmt.Sprint(step)}
		if random.IntN(2) == 0 {
			m.Evidence = []fact.Evidence{{Method: "m", Source: "s", Strength: strengths[random.IntN(len(strengths))]}}
		}
		after, err := issue.SetState(t.Context(), db, id, m, day(step))
		if err != nil {
			if !errors.Is(err, issue.ErrTransition) {
				t.Fatal(err)
			}
			continue
		}
		if after.State == issue.Resolved {
			resolved++
			if len(m.Evidence) == 0 || after.Reason == issue.FixedVerified && m.Evidence[0].Strength != fact.Proven {
				t.Fatalf("seed %d step %d: resolved as %s by %+v", seed, step, after.Reason, m)
			}
		}
	}
	if resolved < 3 {
		t.Errorf("only %d of the moves resolved it, so they show little", resolved)
	}
}
