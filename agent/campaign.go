package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstitch/backstitch/campaign"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
)

// CampaignStatus is a campaign with what became of it so far.
type CampaignStatus struct {
	campaign.Campaign
	Issues []CampaignIssue     `json:"issues"` // worst first
	States map[issue.State]int `json:"states"` // how many issues are in each
	// Risk is that of all issues when the campaign was made, Closed what of it was
	// shown to be gone. What people rejected and what is only not seen again counts as
	// neither closed nor left.
	Risk   float64 `json:"risk"`
	Closed float64 `json:"risk_closed"`
	Late   bool    `json:"late"`          // past its day with issues left
	Left   Set     `json:"left,omitzero"` // the smallest set for what is left, where it was asked for
}

// CampaignIssue is an issue of a campaign as it stands now.
type CampaignIssue struct {
	campaign.Member
	State  issue.State `json:"state"` // "" when the issue is no longer stored
	Reason string      `json:"reason,omitempty"`
	Owner  string      `json:"owner,omitempty"` // first to ask
	// Change is the change that is to close it, the one that moved last of several.
	Change string            `json:"change,omitempty"`
	Stands remediation.State `json:"change_state,omitempty"`
	URL    string            `json:"url,omitempty"`
}

// Left says whether the issue still asks for something.
func (i *CampaignIssue) Left() bool { return i.State == issue.Open || i.State == issue.InProgress }

// Share is the part of the risk that was closed, in percent.
func (c *CampaignStatus) Share() float64 {
	if c.Risk == 0 {
		return 0
	}
	return 100 * c.Closed / c.Risk
}

// StartCampaign makes a campaign of the open issues that wanted chooses.
func (d *Desk) StartCampaign(ctx context.Context, c campaign.Campaign, wanted func(*issue.Issue) bool) (campaign.Campaign, error) {
	issues, err := d.Issues(ctx, false)
	if err != nil {
		return c, err
	}
	if err := d.Owned(ctx, issues); err != nil {
		return c, err
	}
	for i := range issues {
		if it := &issues[i]; it.State != issue.Unconfirmed && wanted(it) {
			c.Issues = append(c.Issues, campaign.Member{ID: it.ID, Title: it.Title, Risk: it.Risk})
		}
	}
	return campaign.Create(ctx, d.DB, c, d.Now())
}

// Campaign tells how a campaign stands, and what would close what is left.
func (d *Desk) Campaign(ctx context.Context, name string) (CampaignStatus, error) {
	c, err := campaign.Load(ctx, d.DB, name)
	if err != nil {
		return CampaignStatus{}, err
	}
	list, err := d.stand(ctx, c)
	if err != nil {
		return CampaignStatus{}, err
	}
	members := memberIDs(c)
	list[0].Left, err = d.Smallest(ctx, func(it *issue.Issue) bool { return members[it.ID] })
	return list[0], err
}

// Campaigns tells how all campaigns stand, the newest first, without what would close
// what is left.
func (d *Desk) Campaigns(ctx context.Context) ([]CampaignStatus, error) {
	all, err := campaign.List(ctx, d.DB)
	if err != nil {
		return nil, err
	}
	return d.stand(ctx, all...)
}

func memberIDs(campaigns ...campaign.Campaign) map[string]bool {
	members := map[string]bool{}
	for _, c := range campaigns {
		for _, member := range c.Issues {
			members[member.ID] = true
		}
	}
	return members
}

// stand tells what became of the issues of campaigns.
func (d *Desk) stand(ctx context.Context, campaigns ...campaign.Campaign) ([]CampaignStatus, error) {
	changes, err := d.Changes(ctx)
	if err != nil {
		return nil, err
	}
	all, err := d.Issues(ctx, true)
	if err != nil {
		return nil, err
	}
	members := memberIDs(campaigns...)
	all = slices.DeleteFunc(all, func(it issue.Issue) bool { return !members[it.ID] })
	if err := d.Owned(ctx, all); err != nil {
		return nil, err
	}
	now := map[string]*issue.Issue{}
	for i := range all {
		now[all[i].ID] = &all[i]
	}
	latest := map[string]*remediation.Remediation{}
	for i := range changes {
		for _, id := range changes[i].Issues {
			if latest[id] == nil {
				latest[id] = &changes[i]
			}
		}
	}
	list := []CampaignStatus{}
	for _, c := range campaigns {
		status := CampaignStatus{Campaign: c, Issues: []CampaignIssue{}, States: map[issue.State]int{}}
		for _, member := range c.Issues {
			one := CampaignIssue{Member: member}
			if it := now[member.ID]; it != nil {
				one.State, one.Reason = it.State, it.Reason
				if len(it.Owners) > 0 {
					one.Owner = it.Owners[0].Name
				}
			}
			if r := latest[member.ID]; r != nil {
				one.Change, one.Stands, one.URL = r.ID, r.State, r.URL
			}
			status.States[one.State]++
			status.Risk += member.Risk
			if one.State == issue.Resolved {
				status.Closed += member.Risk
			}
			status.Late = status.Late || one.Left() && c.Due != 0 && c.Ended == 0 && d.Now().UnixMicro() > c.Due
			status.Issues = append(status.Issues, one)
		}
		list = append(list, status)
	}
	return list, nil
}

// CampaignOpened is what became of one change of a campaign.
type CampaignOpened struct {
	Issue   string    `json:"issue"` // one that it closes
	Change  SetChange `json:"change"`
	Opened  Opened    `json:"opened"`
	Problem string    `json:"problem,omitempty"` // why nothing was offered
}

// OpenCampaign proves and offers the changes that a campaign has left, those that pay
// most first, until so many are under way that were not. One that is under way already is
// left alone. What fails, or waits for an approval, a limit or the kill switch, is told
// with its change and holds up none of the others.
func (d *Desk) OpenCampaign(ctx context.Context, name string, most int, request FixRequest) ([]CampaignOpened, error) {
	status, err := d.Campaign(ctx, name)
	if err != nil {
		return nil, err
	}
	if status.Ended != 0 {
		return nil, fmt.Errorf("campaign %s: %w", name, campaign.ErrEnded)
	}
	changes, err := d.Changes(ctx)
	if err != nil {
		return nil, err
	}
	list, offered := []CampaignOpened{}, 0
	underWay := func(r remediation.Remediation) bool { return r.State.Active() && r.State != remediation.Proposed }
	for _, change := range status.Left.Changes {
		if offered == most {
			break
		}
		key := changeKey(change.Repository, change.Path)
		if slices.ContainsFunc(changes, func(r remediation.Remediation) bool { return r.ID == key && underWay(r) }) {
			continue
		}
		one := CampaignOpened{Issue: change.Closes[0], Change: change}
		request.Issue, request.Path = one.Issue, change.Path.ID
		one.Opened, err = d.OpenFix(ctx, request)
		switch {
		case ctx.Err() != nil:
			return list, ctx.Err()
		case err != nil:
			one.Problem = err.Error()
		case one.Opened.Receipt.Ref == "":
			one.Problem = one.Opened.Remediation.Reason
		}
		if underWay(one.Opened.Remediation) {
			offered++
		}
		list = append(list, one)
	}
	return list, nil
}
