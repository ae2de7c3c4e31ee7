package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/forgetest"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/remediation"
)

// hub puts the repository of a world behind a GitHub.
func hub(t *testing.T, w *world) *forgetest.GitHub {
	t.Helper()
	g := forgetest.NewGitHub(t, w.r.Remote, "ledgerworks/platform", time.Date(2024, 7, 1, 9, 0, 0, 0, time.UTC))
	g.Agents = []string{"copilot-swe-agent"}
	t.Setenv("FORGE_TOKEN", g.Token)
	if _, err := w.desk.AddSource(app.Source{Name: "hub", Type: "github", Settings: map[string]string{"address": g.URL + "/api/v3", "token": "env:FORGE_TOKEN", "repositories": "ledgerworks/platform"}}); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAChangeGoesToAForgeAndIsFollowedThere(t *testing.T) {
	w := newWorld(t)
	g := hub(t, w)
	remote := g.URL + "/ledgerworks/platform"
	var err error
	w.opened, err = w.open(func(r *agent.FixRequest) { r.Remote = remote })
	if err != nil || w.opened.Receipt.Number != 1 || w.opened.Remediation.Forge != "connector/github" {
		t.Fatalf("%+v, %v", w.opened.Receipt, err)
	}
	p := g.Pulls[0]
	if p.Draft || !strings.Contains(p.Body, w.issue.ID) || !strings.Contains(p.Body, "Backstitch-Key: "+w.opened.Remediation.ID) || strings.Count(p.Body, "\n") > 60 {
		t.Errorf("draft %t, %d lines:\n%s", p.Draft, strings.Count(p.Body, "\n"), p.Body)
	}
	again, err := w.open(func(r *agent.FixRequest) { r.Remote = remote })
	if err != nil || again.Receipt.Outcome != "unchanged" || len(g.Pulls) != 1 {
		t.Errorf("again: %+v, %v, %d pull requests", again.Receipt, err, len(g.Pulls))
	}
	g.Say(1, "mallory", "NONE", "/backstitch ignore")
	g.Say(1, "ada", "MEMBER", "/backstitch explain")
	w.expect(remediation.ChangeOpen)
	if said := g.Comments[1]; len(said) != 3 || !strings.Contains(said[2].Body, "Proof: proven") {
		t.Errorf("%d comments", len(said))
	}
	w.expect(remediation.ChangeOpen)
	if len(g.Comments[1]) != 3 {
		t.Error("it was explained twice")
	}
	g.ClosePull(1, "ada")
	w.expect(remediation.Rejected, "closed without being merged")
	asked := g.Comments[1][len(g.Comments[1])-1].Body
	if !strings.Contains(asked, "/backstitch reason") {
		t.Errorf("the reason was not asked for: %q", asked)
	}
	g.Say(1, "ada", "MEMBER", "/backstitch reason accepted-risk behind a wall")
	w.expect(remediation.Rejected, "accepted-risk behind a wall")
	if _, err := w.open(func(r *agent.FixRequest) { r.Remote = remote }); !errors.Is(err, agent.ErrDeclined) {
		t.Errorf("offered again: %v", err)
	}
}

func TestATaskIsHandedOverOnceAndWhatComesBackIsJudged(t *testing.T) {
	w := newWorld(t)
	g := hub(t, w)
	request := agent.HandOffRequest{Issue: w.issue.ID, Remote: g.URL + "/ledgerworks/platform", Mode: connector.DelegateAssign, Agent: "copilot-swe-agent"}
	for range 2 {
		*w.later++
		handed, err := w.desk.HandOff(t.Context(), request)
		if err != nil || handed.Receipt.Number != 1 || handed.Remediation.State != remediation.Applying {
			t.Fatalf("%+v, %v", handed.Receipt, err)
		}
		w.opened.Remediation = handed.Remediation
	}
	body := g.Tickets[0].Body
	for _, section := range []string{"What is wrong", "Where", "Do exactly this", "Do not touch", "Done when", "How it will be verified", "Owner"} {
		if !strings.Contains(body, "## "+section+"\n") {
			t.Errorf("no section %q", section)
		}
	}
	if len(g.Tickets) != 1 || len(g.Tickets[0].Assigned) != 1 || strings.Contains(body, "<!--") {
		t.Errorf("%d tickets, assigned %v", len(g.Tickets), g.Tickets[0].Assigned)
	}
	w.expect(remediation.Applying)

	ours, err := w.open() // what a right change holds
	if err != nil {
		t.Fatal(err)
	}

	// The agent answers with a change that only hides the finding.
	base := run(t, w.r.Dir, "rev-parse", "HEAD")
	offer := func(branch string, change func()) string {
		t.Helper()
		run(t, w.r.Dir, "checkout", "-q", "-b", branch, base)
		change()
		run(t, w.r.Dir, "add", "-A")
		run(t, w.r.Dir, "commit", "-q", "-m", "fix it")
		run(t, w.r.Dir, "push", "-q", w.r.Remote, "HEAD:"+branch)
		return run(t, w.r.Dir, "rev-parse", "HEAD")
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(w.r.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hidden := offer("copilot/fix-1", func() { write(".trivyignore", strings.Join(w.issue.Advisories, "\n")+"\n") })
	g.Pulls = append(g.Pulls, &forgetest.Pull{Number: 40, Title: "All done, all tests pass", Head: "copilot/fix-1", Base: "main", State: "open"})
	g.Tickets[0].Linked = []int{40}
	w.expect(remediation.ChangeOpen, "its proof is failed")
	if list := g.Statuses[hidden]; len(list) != 1 || list[0]["state"] != "failure" {
		t.Errorf("statuses %v", list)
	}

	// A second one does what was asked.
	good := offer("copilot/fix-2", func() { run(t, w.r.Dir, "checkout", "-q", ours.Commit, "--", ".") })
	g.Pulls[0].State = "closed"
	g.Pulls = append(g.Pulls, &forgetest.Pull{Number: 41, Title: "Fix", Head: "copilot/fix-2", Base: "main", State: "open"})
	g.Tickets[0].Linked = []int{40, 41}
	w.expect(remediation.ChangeOpen, "its proof is proven")
	if list := g.Statuses[good]; len(list) != 1 || list[0]["state"] != "success" {
		t.Errorf("statuses %v", list)
	}
	r, _, err := w.desk.Change(t.Context(), w.opened.Remediation.ID)
	if err != nil || r.Path.Verification == nil || r.Path.Verification.Status != fact.VerificationProven {
		t.Errorf("%+v, %v", r.Path.Verification, err)
	}
}

func TestAnIssueThatIsNotUnderstoodIsNotHandedOver(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	for _, r := range estate.Repositories {
		for _, it := range triage(t, desk, agent.Request{Repo: r.Dir, Reports: r.Reports}).Issues {
			_, err := desk.HandOff(t.Context(), agent.HandOffRequest{Issue: it.ID, Remote: r.Remote})
			if found := it.Cause.Status == fact.CauseFound; found && !errors.Is(err, agent.ErrNoTracker) || !found && !errors.Is(err, agent.ErrIncomplete) {
				t.Errorf("%s, cause %s: %v", it.ID, it.Cause.Status, err)
			}
		}
	}
}
