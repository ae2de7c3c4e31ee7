package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
)

type ticket struct {
	IID         int    `json:"iid"`
	URL         string `json:"web_url"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Assignees   []user `json:"assignees"`
}

// ticketLabel is on every ticket of ours, so that a listing finds them.
const ticketLabel = "backstitch"

// ticket gives the ticket with a key, nil when there is none.
func (f forge) ticket(ctx context.Context, path, key string) (found *ticket, err error) {
	err = pages(ctx, f.api, project(path)+"/issues", url.Values{"labels": {ticketLabel}, "scope": {"all"}, "order_by": {"created_at"}, "sort": {"desc"}}, func(one ticket) (bool, error) {
		if git.Trailer(one.Description, keyTrailer) == key {
			found = &one
		}
		return found == nil, nil
	})
	return found, err
}

// FindTicket implements connector.Tracker.
func (f forge) FindTicket(ctx context.Context, remote, key string) (int, error) {
	path, err := f.named(remote)
	if err != nil {
		return 0, err
	}
	found, err := f.ticket(ctx, path, key)
	if err != nil || found == nil {
		return 0, err
	}
	return found.IID, nil
}

// OpenTicket implements connector.Tracker. Whom it may belong to is said in a comment,
// with the reasons: the tracker has no suggestions, and nobody is assigned unasked.
func (f forge) OpenTicket(ctx context.Context, t connector.Ticket) (connector.Receipt, error) {
	receipt := connector.Receipt{Outcome: "created"}
	path, err := f.named(t.Remote)
	if err != nil {
		return receipt, err
	}
	if git.Trailer(t.Body, keyTrailer) != t.Key {
		return receipt, fmt.Errorf("the ticket's text lacks its key %s", t.Key)
	}
	found, err := f.ticket(ctx, path, t.Key)
	if err != nil {
		return receipt, err
	}
	labels := slices.Clone(t.Labels)
	if !slices.Contains(labels, ticketLabel) {
		labels = append(labels, ticketLabel)
	}
	var one ticket
	description := plain(t.Body)
	switch {
	case found == nil:
		err = f.send(ctx, http.MethodPost, project(path)+"/issues", map[string]string{"title": t.Title, "description": description, "labels": strings.Join(labels, ",")}, &one)
	case found.Title == t.Title && found.Description == description:
		one, receipt.Outcome = *found, "unchanged"
	default:
		receipt.Outcome = "updated"
		err = f.send(ctx, http.MethodPut, fmt.Sprintf("%s/issues/%d", project(path), found.IID), map[string]string{"title": t.Title, "description": description}, &one)
	}
	if err != nil {
		return receipt, forgeError(err)
	}
	receipt.Number, receipt.URL, receipt.Ref = one.IID, one.URL, fmt.Sprint(one.IID)
	if text := suggestions(t.Assignees); text != "" {
		if _, err := f.say(ctx, path, fmt.Sprintf("/issues/%d", one.IID), t.Key+" assignees", text); err != nil {
			receipt.Notes = append(receipt.Notes, "assignees: "+err.Error())
		}
	}
	return receipt, nil
}

// suggestions is the text that names people whom a ticket may belong to, "" for none.
func suggestions(people []connector.Reviewer) string {
	var list []string
	for _, person := range people {
		level := "low"
		switch {
		case person.Confidence >= .8:
			level = "high"
		case person.Confidence >= .5:
			level = "medium"
		}
		list = append(list, fmt.Sprintf("- @%s (confidence %s): %s", person.Name, level, person.Rationale))
	}
	if len(list) == 0 {
		return ""
	}
	return "Suggested assignees:\n\n" + strings.Join(list, "\n") + "\n"
}

// Delegate implements connector.Tracker.
func (f forge) Delegate(ctx context.Context, remote string, number int, to connector.Delegation) (connector.Receipt, error) {
	receipt := connector.Receipt{Number: number, Outcome: "updated"}
	path, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	at := fmt.Sprintf("/issues/%d", number)
	switch to.Mode {
	case connector.DelegateLabel:
		return receipt, forgeError(f.send(ctx, http.MethodPut, project(path)+at, map[string]string{"add_labels": to.Agent}, nil))
	case connector.DelegateMention:
		said, err := f.say(ctx, path, at, "delegate "+to.Agent, "@"+to.Agent+" "+to.Text)
		receipt.Outcome, receipt.URL = said.Outcome, said.URL
		return receipt, err
	case connector.DelegateAssign:
	case connector.DelegateREST:
		return receipt, fmt.Errorf("%w: no service of GitLab for coding agents is spoken; expected assign, label or mention", connector.ErrRefused)
	default:
		return receipt, fmt.Errorf("way %q of handing a ticket over: expected assign, label or mention", to.Mode)
	}
	var one ticket
	if err := get(ctx, f.api, project(path)+at, nil, &one); err != nil {
		return receipt, err
	}
	ids := []int64{}
	for _, who := range one.Assignees {
		if strings.EqualFold(who.Username, to.Agent) {
			receipt.Outcome = "unchanged"
			return receipt, nil
		}
		ids = append(ids, who.ID)
	}
	agent, err := f.who(ctx, to.Agent)
	if err != nil {
		return receipt, err
	}
	if agent == nil {
		return receipt, fmt.Errorf("agent %s: %w: there is no such user", to.Agent, connector.ErrRights)
	}
	var now ticket
	if err := f.send(ctx, http.MethodPut, project(path)+at, map[string]any{"assignee_ids": append(ids, agent.ID)}, &now); err != nil {
		return receipt, forgeError(err)
	}
	if !slices.ContainsFunc(now.Assignees, func(u user) bool { return u.ID == agent.ID }) {
		return receipt, fmt.Errorf("agent %s: %w: GitLab did not assign it, because it is no member of %s or there is an assignee already", to.Agent, connector.ErrRights, path)
	}
	return receipt, nil
}

// Linked implements connector.Tracker: merge requests of the project that mention the
// ticket.
func (f forge) Linked(ctx context.Context, remote string, number int) (list []connector.Standing, err error) {
	path, err := f.named(remote)
	if err != nil {
		return nil, err
	}
	var about repository
	if err := get(ctx, f.api, project(path), nil, &about); err != nil {
		return nil, err
	}
	err = pages(ctx, f.api, fmt.Sprintf("%s/issues/%d/related_merge_requests", project(path), number), nil, func(one request) (bool, error) {
		if one.To != about.ID {
			return true, nil
		}
		standing := connector.Standing{State: connector.ChangeOpen, Branch: one.Source, Head: one.SHA, Target: one.Target}
		stand(&standing, &one)
		list = append(list, standing)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b connector.Standing) int { return a.Number - b.Number })
	tips := map[string]string{}
	for i, one := range list {
		if _, ok := tips[one.Target]; !ok {
			if tips[one.Target], err = f.tip(ctx, path, one.Target); err != nil {
				return list, err
			}
		}
		list[i].Tip = tips[one.Target]
	}
	return list, nil
}
