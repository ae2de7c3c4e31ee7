package gitea

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

type ticket struct {
	Number      int       `json:"number"`
	URL         string    `json:"html_url"`
	Title       string    `json:"title"`
	Body        string    `json:"body"`
	PullRequest *struct{} `json:"pull_request"`
	Assignees   []user    `json:"assignees"`
}

// ticketLabel is on every ticket of ours, so that a listing finds them.
const ticketLabel = "backstitch"

// labelColour is that of labels that are made because a ticket or change bears them.
const labelColour = "#5319e7"

type label struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// labels gives the ids of labels of a repository or its organization; those that are
// missing are made.
func (f forge) labels(ctx context.Context, about repository, names []string) ([]int64, error) {
	known := map[string]int64{}
	each := func(one label) (bool, error) {
		if _, ok := known[one.Name]; !ok {
			known[one.Name] = one.ID
		}
		return true, nil
	}
	if err := pages(ctx, f.api, "/repos/"+about.FullName+"/labels", nil, each); err != nil {
		return nil, err
	}
	err := pages(ctx, f.api, "/orgs/"+about.Owner.Login+"/labels", nil, each)
	if code := rest.Code(err); err != nil && code != http.StatusNotFound && code != http.StatusForbidden { // the owner is a user
		return nil, err
	}
	ids := []int64{}
	for _, name := range names {
		if _, ok := known[name]; !ok {
			var made label
			if err := f.send(ctx, http.MethodPost, "/repos/"+about.FullName+"/labels", map[string]string{"name": name, "color": labelColour}, &made); err != nil {
				return nil, forgeError(err)
			}
			known[name] = made.ID
		}
		ids = append(ids, known[name])
	}
	return ids, nil
}

// label puts labels on a pull request or ticket, beside those that are there.
func (f forge) label(ctx context.Context, about repository, number int, names []string) error {
	ids, err := f.labels(ctx, about, names)
	if err != nil {
		return err
	}
	return forgeError(f.send(ctx, http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/labels", about.FullName, number), map[string]any{"labels": ids}, nil))
}

// ticket gives the ticket with a key, nil when there is none.
func (f forge) ticket(ctx context.Context, repo, key string) (found *ticket, err error) {
	err = pages(ctx, f.api, "/repos/"+repo+"/issues", url.Values{"labels": {ticketLabel}, "state": {"all"}, "type": {"issues"}}, func(one ticket) (bool, error) {
		if one.PullRequest == nil && git.Trailer(one.Body, keyTrailer) == key {
			found = &one
		}
		return found == nil, nil
	})
	return found, err
}

// FindTicket implements connector.Tracker.
func (f forge) FindTicket(ctx context.Context, remote, key string) (int, error) {
	repo, err := f.named(remote)
	if err != nil {
		return 0, err
	}
	found, err := f.ticket(ctx, repo, key)
	if err != nil || found == nil {
		return 0, err
	}
	return found.Number, nil
}

// OpenTicket implements connector.Tracker. Whom it may belong to is said in a comment,
// with the reasons: the tracker has no suggestions, and nobody is assigned unasked.
func (f forge) OpenTicket(ctx context.Context, t connector.Ticket) (connector.Receipt, error) {
	receipt := connector.Receipt{Outcome: "created"}
	repo, err := f.named(t.Remote)
	if err != nil {
		return receipt, err
	}
	if git.Trailer(t.Body, keyTrailer) != t.Key {
		return receipt, fmt.Errorf("the ticket's text lacks its key %s", t.Key)
	}
	found, err := f.ticket(ctx, repo, t.Key)
	if err != nil {
		return receipt, err
	}
	var one ticket
	switch {
	case found == nil:
		one, err = f.open(ctx, repo, t)
	case found.Title == t.Title && found.Body == t.Body:
		one, receipt.Outcome = *found, "unchanged"
	default:
		receipt.Outcome = "updated"
		err = forgeError(f.send(ctx, http.MethodPatch, fmt.Sprintf("/repos/%s/issues/%d", repo, found.Number), map[string]any{"title": t.Title, "body": t.Body}, &one))
	}
	if err != nil {
		return receipt, err
	}
	receipt.Number, receipt.URL, receipt.Ref = one.Number, one.URL, fmt.Sprint(one.Number)
	if text := suggestions(t.Assignees); text != "" {
		if _, err := f.say(ctx, repo, one.Number, t.Key+" assignees", text); err != nil {
			receipt.Notes = append(receipt.Notes, "assignees: "+err.Error())
		}
	}
	return receipt, nil
}

// open makes a ticket with its labels, so that none stands without the one by which it is
// found.
func (f forge) open(ctx context.Context, repo string, t connector.Ticket) (one ticket, err error) {
	var about repository
	if err := get(ctx, f.api, "/repos/"+repo, nil, &about); err != nil {
		return one, err
	}
	names := slices.Clone(t.Labels)
	if !slices.Contains(names, ticketLabel) {
		names = append(names, ticketLabel)
	}
	ids, err := f.labels(ctx, about, names)
	if err != nil {
		return one, err
	}
	return one, forgeError(f.send(ctx, http.MethodPost, "/repos/"+repo+"/issues", map[string]any{"title": t.Title, "body": t.Body, "labels": ids}, &one))
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
	repo, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	switch to.Mode {
	case connector.DelegateLabel:
		var about repository
		if err := get(ctx, f.api, "/repos/"+repo, nil, &about); err != nil {
			return receipt, err
		}
		return receipt, f.label(ctx, about, number, []string{to.Agent})
	case connector.DelegateMention:
		said, err := f.say(ctx, repo, number, "delegate "+to.Agent, "@"+to.Agent+" "+to.Text)
		receipt.Outcome, receipt.URL = said.Outcome, said.URL
		return receipt, err
	case connector.DelegateAssign:
	case connector.DelegateREST:
		return receipt, fmt.Errorf("%w: the server has no service for coding agents; expected assign, label or mention", connector.ErrRefused)
	default:
		return receipt, fmt.Errorf("way %q of handing a ticket over: expected assign, label or mention", to.Mode)
	}
	var one ticket
	if err := get(ctx, f.api, fmt.Sprintf("/repos/%s/issues/%d", repo, number), nil, &one); err != nil {
		return receipt, err
	}
	var logins []string
	for _, who := range one.Assignees {
		if strings.EqualFold(who.Login, to.Agent) {
			receipt.Outcome = "unchanged"
			return receipt, nil
		}
		logins = append(logins, who.Login)
	}
	members, err := f.members(ctx, repo)
	if err != nil {
		return receipt, err
	}
	at := slices.IndexFunc(members, func(login string) bool { return strings.EqualFold(login, to.Agent) })
	if at < 0 {
		return receipt, fmt.Errorf("agent %s: %w: it cannot be assigned in %s", to.Agent, connector.ErrRights, repo)
	}
	return receipt, forgeError(f.send(ctx, http.MethodPatch, fmt.Sprintf("/repos/%s/issues/%d", repo, number), map[string]any{"assignees": append(logins, members[at])}, nil))
}

// Linked implements connector.Tracker: pull requests of the repository that mention the
// ticket.
func (f forge) Linked(ctx context.Context, remote string, number int) (list []connector.Standing, err error) {
	repo, err := f.named(remote)
	if err != nil {
		return nil, err
	}
	var numbers []int
	err = pages(ctx, f.api, fmt.Sprintf("/repos/%s/issues/%d/timeline", repo, number), nil, func(event struct {
		Issue *struct {
			Number      int       `json:"number"`
			PullRequest *struct{} `json:"pull_request"`
			Repository  *struct {
				FullName string `json:"full_name"`
			} `json:"repository"`
		} `json:"ref_issue"`
	}) (bool, error) {
		if event.Issue == nil || event.Issue.PullRequest == nil {
			return true, nil
		}
		if from := event.Issue.Repository; from != nil && !strings.EqualFold(from.FullName, repo) {
			return true, nil
		}
		if !slices.Contains(numbers, event.Issue.Number) {
			numbers = append(numbers, event.Issue.Number)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		var one pull
		if err := get(ctx, f.api, fmt.Sprintf("/repos/%s/pulls/%d", repo, n), nil, &one); err != nil {
			return list, err
		}
		standing := connector.Standing{State: connector.ChangeOpen, Branch: one.Head.Ref, Head: one.Head.SHA, Target: one.Base.Ref, Tip: one.Base.SHA}
		stand(&standing, &one)
		list = append(list, standing)
	}
	return list, nil
}
