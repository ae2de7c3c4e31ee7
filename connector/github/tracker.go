package github

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
	Number      int    `json:"number"`
	NodeID      string `json:"node_id"`
	URL         string `json:"html_url"`
	Title       string `json:"title"`
	Body        string `json:"body"`
	PullRequest *struct {
		URL string `json:"html_url"`
	} `json:"pull_request"`
	Assignees []user `json:"assignees"`
}

// ticketLabel is on every ticket of ours, so that a listing finds them.
const ticketLabel = "backstitch"

// find gives the ticket with a key, nil when there is none.
func (f forge) ticket(ctx context.Context, repo, key string) (found *ticket, err error) {
	err = pages(ctx, f.api, repo, "/repos/"+repo+"/issues", url.Values{"labels": {ticketLabel}, "state": {"all"}, "sort": {"created"}, "direction": {"desc"}}, func(one ticket) (bool, error) {
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

// OpenTicket implements connector.Tracker.
func (f forge) OpenTicket(ctx context.Context, t connector.Ticket) (connector.Receipt, error) {
	receipt := connector.Receipt{Outcome: "created"}
	repo, err := f.named(t.Remote)
	if err != nil {
		return receipt, err
	}
	if git.Trailer(t.Body, keyTrailer) != t.Key {
		return receipt, fmt.Errorf("the ticket's text lacks its key %s", t.Key)
	}
	labels := slices.Clone(t.Labels)
	if !slices.Contains(labels, ticketLabel) {
		labels = append(labels, ticketLabel)
	}
	found, err := f.ticket(ctx, repo, t.Key)
	if err != nil {
		return receipt, err
	}
	var one ticket
	switch {
	case found == nil:
		err = f.send(ctx, repo, http.MethodPost, "/repos/"+repo+"/issues", map[string]any{"title": t.Title, "body": t.Body, "labels": labels}, &one)
	case found.Title == t.Title && found.Body == t.Body:
		one, receipt.Outcome = *found, "unchanged"
	default:
		receipt.Outcome = "updated"
		err = f.send(ctx, repo, http.MethodPatch, fmt.Sprintf("/repos/%s/issues/%d", repo, found.Number), map[string]any{"title": t.Title, "body": t.Body}, &one)
	}
	if err != nil {
		return receipt, rest.ForgeError(err)
	}
	receipt.Number, receipt.URL, receipt.Ref = one.Number, one.URL, fmt.Sprint(one.Number)
	if receipt.Outcome == "unchanged" {
		return receipt, nil
	}
	if err := f.suggest(ctx, repo, one, t.Assignees); err != nil {
		receipt.Notes = append(receipt.Notes, "assignees: "+err.Error())
	}
	return receipt, nil
}

// suggest names people whom a ticket may belong to, with the reason and the confidence
// beside them, for somebody to accept.
func (f forge) suggest(ctx context.Context, repo string, one ticket, people []connector.Reviewer) error {
	assignees := []map[string]any{}
	for _, person := range people {
		if person.Team || slices.ContainsFunc(one.Assignees, func(u user) bool { return strings.EqualFold(u.Login, person.Name) }) {
			continue
		}
		level := "low"
		switch {
		case person.Confidence >= .8:
			level = "high"
		case person.Confidence >= .5:
			level = "medium"
		}
		assignees = append(assignees, map[string]any{"login": person.Name, "rationale": person.Rationale, "confidence": level, "suggest": true})
	}
	if len(assignees) == 0 {
		return nil
	}
	return rest.ForgeError(f.send(ctx, repo, http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/assignees", repo, one.Number), map[string]any{"assignees": assignees}, nil))
}

const (
	agentsQuery = `query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) { id issue(number: $number) { id assignedActors(first: 20) { nodes { ... on Bot { id login } ... on User { id login } } } } suggestedActors(capabilities: [CAN_BE_ASSIGNED], first: 100) { nodes { login ... on Bot { id } ... on User { id } } } } }`

	assignMutation = `mutation($input: ReplaceActorsForAssignableInput!) { replaceActorsForAssignable(input: $input) { assignable { __typename } } }`
	assignFeatures = "issues_copilot_assignment_api_support"
)

type actor struct {
	ID    string `json:"id"`
	Login string `json:"login"`
}

// Delegate implements connector.Tracker. An agent is assigned through GraphQL, which needs
// the token of a user: an App's is refused by GitHub.
func (f forge) Delegate(ctx context.Context, remote string, number int, to connector.Delegation) (connector.Receipt, error) {
	receipt := connector.Receipt{Number: number, Outcome: "updated"}
	repo, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	switch to.Mode {
	case connector.DelegateLabel:
		err = f.send(ctx, repo, http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/labels", repo, number), map[string]any{"labels": []string{to.Agent}}, nil)
		return receipt, rest.ForgeError(err)
	case connector.DelegateMention:
		key := "delegate " + to.Agent
		said, err := f.Comment(ctx, connector.Place{Remote: remote, Number: number}, key, "@"+to.Agent+" "+to.Text)
		receipt.Outcome, receipt.URL = said.Outcome, said.URL
		return receipt, err
	case connector.DelegateREST:
		body := map[string]any{"prompt": to.Text}
		if to.Agent != "" {
			body["custom_agent"] = to.Agent
		}
		if to.Target != "" {
			body["base_ref"] = to.Target
		}
		var task struct {
			ID  string `json:"id"`
			URL string `json:"html_url"`
		}
		err := f.send(ctx, repo, http.MethodPost, "/agents/repos/"+repo+"/tasks", body, &task)
		receipt.Ref, receipt.URL = task.ID, task.URL
		return receipt, rest.ForgeError(err)
	case connector.DelegateAssign:
	default:
		return receipt, fmt.Errorf("way %q of handing a ticket over: expected assign, label, mention or rest", to.Mode)
	}
	owner, name, _ := strings.Cut(repo, "/")
	var known struct {
		Repository struct {
			ID    string `json:"id"`
			Issue *struct {
				ID       string `json:"id"`
				Assigned struct {
					Nodes []actor `json:"nodes"`
				} `json:"assignedActors"`
			} `json:"issue"`
			Suggested struct {
				Nodes []actor `json:"nodes"`
			} `json:"suggestedActors"`
		} `json:"repository"`
	}
	if err := f.ask(ctx, repo, agentsQuery, map[string]any{"owner": owner, "name": name, "number": number}, assignFeatures, &known); err != nil {
		return receipt, err
	}
	if known.Repository.Issue == nil {
		return receipt, fmt.Errorf("ticket %d: %w", number, connector.ErrNoChange)
	}
	at := slices.IndexFunc(known.Repository.Suggested.Nodes, func(a actor) bool { return strings.EqualFold(a.Login, to.Agent) })
	if at < 0 {
		return receipt, fmt.Errorf("agent %s: %w: it cannot be assigned in %s, because it is not enabled there or the token is not a user's", to.Agent, connector.ErrRights, repo)
	}
	ids := []string{}
	for _, one := range known.Repository.Issue.Assigned.Nodes {
		if one.ID == known.Repository.Suggested.Nodes[at].ID {
			receipt.Outcome = "unchanged"
			return receipt, nil
		}
		ids = append(ids, one.ID)
	}
	assignment := map[string]any{"targetRepositoryId": known.Repository.ID}
	if to.Target != "" {
		assignment["baseRef"] = to.Target
	}
	return receipt, f.ask(ctx, repo, assignMutation, map[string]any{"input": map[string]any{
		"assignableId": known.Repository.Issue.ID, "actorIds": append(ids, known.Repository.Suggested.Nodes[at].ID), "agentAssignment": assignment,
	}}, assignFeatures, nil)
}

// Linked implements connector.Tracker: pull requests of the repository that mention the
// ticket.
func (f forge) Linked(ctx context.Context, remote string, number int) (list []connector.Standing, err error) {
	repo, err := f.named(remote)
	if err != nil {
		return nil, err
	}
	var numbers []int
	err = pages(ctx, f.api, repo, fmt.Sprintf("/repos/%s/issues/%d/timeline", repo, number), nil, func(event struct {
		Event  string `json:"event"`
		Source *struct {
			Issue *struct {
				Number      int `json:"number"`
				PullRequest *struct {
					URL string `json:"html_url"`
				} `json:"pull_request"`
				Repository *struct {
					FullName string `json:"full_name"`
				} `json:"repository"`
			} `json:"issue"`
		} `json:"source"`
	}) (bool, error) {
		if event.Event != "cross-referenced" || event.Source == nil || event.Source.Issue == nil || event.Source.Issue.PullRequest == nil {
			return true, nil
		}
		if from := event.Source.Issue.Repository; from != nil && !strings.EqualFold(from.FullName, repo) {
			return true, nil
		}
		if n := event.Source.Issue.Number; !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		var one pull
		if err := get(ctx, f.api, repo, fmt.Sprintf("/repos/%s/pulls/%d", repo, n), nil, &one); err != nil {
			return list, err
		}
		standing := connector.Standing{State: connector.ChangeOpen, Number: n, URL: one.URL, Branch: one.Head.Ref, Head: one.Head.SHA, Target: one.Base.Ref, Tip: one.Base.SHA, Draft: one.Draft}
		switch {
		case one.MergedAt != nil:
			standing.State = connector.ChangeMerged
			if one.MergeCommit != nil {
				standing.Merge = *one.MergeCommit
			}
		case one.State == "closed":
			standing.State = connector.ChangeClosed
		}
		list = append(list, standing)
	}
	return list, nil
}
