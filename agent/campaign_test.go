package agent_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/campaign"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

func TestQueriesOfCampaignsAreInTheCommonSubset(t *testing.T) {
	t.Parallel()
	storetest.CheckQueries(t, sqlite.Open, campaign.Queries())
}

func all(*issue.Issue) bool { return true }

func TestACampaignIsOpenedByPartsAndFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	due := w.desk.Now().AddDate(0, 0, 1).UnixMicro()
	made, err := w.desk.StartCampaign(t.Context(), campaign.Campaign{Name: "autumn", Due: due, By: "ana"}, all)
	if err != nil {
		t.Fatal(err)
	}
	before := w.status(made.Name)
	if len(before.Left.Changes) < 3 || before.Closed != 0 || before.Risk == 0 || before.Late || before.States[issue.Open] != len(made.Issues) {
		t.Fatalf("a new campaign stands at %+v", before)
	}
	nowhere := agent.FixRequest{Remote: filepath.Join(t.TempDir(), "nowhere.git")}
	if list, err := w.desk.OpenCampaign(t.Context(), made.Name, 1, nowhere); err != nil || len(list) != len(before.Left.Changes) || list[0].Problem == "" {
		t.Errorf("what fails keeps the others from being tried: %+v, %v", list, err)
	}
	*w.later++
	w.offer(made.Name, 1)
	*w.later++
	if _, err := w.desk.Log.Throw(t.Context(), true, "ana", "freeze"); err != nil {
		t.Fatal(err)
	}
	if list := w.offer(made.Name, 1); !strings.Contains(list[0].Problem, "halted by ana") {
		t.Errorf("under the kill switch: %+v", list[0])
	}
	if _, err := w.desk.Log.Throw(t.Context(), false, "ana", "thaw"); err != nil {
		t.Fatal(err)
	}
	list := w.offer(made.Name, 10) // one is open and one waits in the log
	if len(list) != len(before.Left.Changes)-2 {
		t.Errorf("%d changes were tried, expected %d", len(list), len(before.Left.Changes)-2)
	}
	for _, one := range list {
		if one.Problem != "" || one.Opened.Remediation.State != remediation.ChangeOpen {
			t.Errorf("%s: %s, problem %q", one.Issue, one.Opened.Remediation.State, one.Problem)
		}
	}
	w.merge()
	w.expect(remediation.Merged)
	*w.later += 5
	triage(t, w.desk, agent.Request{Repo: w.r.Dir})
	w.expect(remediation.Verified)
	after := w.status(made.Name)
	if after.Closed == 0 || after.Closed >= after.Risk || after.Risk != before.Risk || after.States[issue.Resolved] == 0 || len(after.Issues) != len(made.Issues) {
		t.Errorf("after the first change: %+v", after)
	}
	for _, one := range after.Issues {
		if (one.State == issue.Resolved) != (one.Stands == remediation.Verified) {
			t.Errorf("issue %s is %s, its change %s", one.ID, one.State, one.Stands)
		}
	}
	*w.later += 2 * 24 * 60
	if !w.status(made.Name).Late {
		t.Error("a day past its day it is not late")
	}
	if _, err := campaign.End(t.Context(), w.desk.DB, made.Name, "enough", w.desk.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.desk.OpenCampaign(t.Context(), made.Name, 1, agent.FixRequest{}); !errors.Is(err, campaign.ErrEnded) {
		t.Errorf("an ended campaign is opened: %v", err)
	}
	if ended := w.status(made.Name); ended.Late || ended.Note != "enough" {
		t.Errorf("ended: %+v", ended)
	}
	if list, err := w.desk.Campaigns(t.Context()); err != nil || len(list) != 1 || list[0].Closed != after.Closed {
		t.Errorf("list %+v, %v", list, err)
	}
}

func TestACampaignThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]campaign.Campaign{
		"a name to misread":  {Name: "../autumn"},
		"a day that is over": {Name: "autumn", Due: 1},
	} {
		if _, err := w.desk.StartCampaign(t.Context(), c, all); err == nil {
			t.Errorf("%s: made", name)
		}
	}
	if _, err := w.desk.StartCampaign(t.Context(), campaign.Campaign{Name: "empty"}, func(*issue.Issue) bool { return false }); err == nil || !strings.Contains(err.Error(), "no open issue") {
		t.Errorf("an empty one: %v", err)
	}
	if _, err := w.desk.StartCampaign(t.Context(), campaign.Campaign{Name: "autumn"}, all); err != nil {
		t.Fatal(err)
	}
	if _, err := w.desk.StartCampaign(t.Context(), campaign.Campaign{Name: "autumn"}, all); !errors.Is(err, campaign.ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	if _, err := w.desk.Campaign(t.Context(), "winter"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown one: %v", err)
	}
}

func (w *world) status(name string) agent.CampaignStatus {
	w.t.Helper()
	status, err := w.desk.Campaign(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return status
}

// offer offers at most so many changes of a campaign and keeps the first.
func (w *world) offer(name string, most int) []agent.CampaignOpened {
	w.t.Helper()
	list, err := w.desk.OpenCampaign(w.t.Context(), name, most, agent.FixRequest{})
	if err != nil || len(list) == 0 {
		w.t.Fatalf("%+v, %v", list, err)
	}
	if w.opened.Remediation.ID == "" {
		if w.opened = list[0].Opened; w.opened.Remediation.State != remediation.ChangeOpen {
			w.t.Fatalf("%s, problem %q", w.opened.Remediation.State, list[0].Problem)
		}
	}
	return list
}
