package bitbucket

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

type ticket struct {
	ID      int    `json:"id"`
	Title   string `json:"title"`
	Content struct {
		Raw string `json:"raw"`
	} `json:"content"`
	Assignee *user `json:"assignee"`
	Links    link  `json:"links"`
}

// noTracker names what a 404 of the issue tracker means: the repository has none.
func noTracker(err error) error {
	if rest.Code(err) == http.StatusNotFound {
		return fmt.Errorf("%w: the repository has no issue tracker: %w", connector.ErrRefused, err)
	}
	return rest.ForgeError(err)
}

// ticket gives the ticket with a key, nil when there is none.
func (f forge) ticket(ctx context.Context, repo, key string) (found *ticket, err error) {
	err = pages(ctx, f.api, "/repositories/"+repo+"/issues", url.Values{"sort": {"-created_on"}}, func(one ticket) (bool, error) {
		if git.Trailer(one.Content.Raw, keyTrailer) == key {
			found = &one
		}
		return found == nil, nil
	})
	if rest.Code(err) == http.StatusNotFound {
		err = noTracker(err)
	}
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
	return found.ID, nil
}

// text is the ticket's, with those whom it may belong to: Bitbucket has no place for
// suggestions.
func text(t connector.Ticket) string {
	var b strings.Builder
	for _, person := range t.Assignees {
		if b.Len() == 0 {
			b.WriteString("\n\nSuggested assignees:\n\n")
		}
		fmt.Fprintf(&b, "- %s (%.0f %%): %s\n", person.Name, person.Confidence*100, person.Rationale)
	}
	return strings.TrimRight(t.Body, "\n") + b.String()
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
	found, err := f.ticket(ctx, repo, t.Key)
	if err != nil {
		return receipt, err
	}
	body := map[string]any{"title": t.Title, "content": map[string]string{"raw": text(t)}}
	var one ticket
	switch {
	case found == nil:
		body["kind"] = "task"
		err = f.send(ctx, http.MethodPost, "/repositories/"+repo+"/issues", body, &one)
	case found.Title == t.Title && found.Content.Raw == text(t):
		one, receipt.Outcome = *found, "unchanged"
	default:
		receipt.Outcome = "updated"
		err = f.send(ctx, http.MethodPut, fmt.Sprintf("/repositories/%s/issues/%d", repo, found.ID), body, &one)
	}
	receipt.Number, receipt.URL, receipt.Ref = one.ID, one.Links.HTML.Href, strconv.Itoa(one.ID)
	return receipt, noTracker(err)
}

// Delegate implements connector.Tracker: an agent is assigned, or named in a comment.
func (f forge) Delegate(ctx context.Context, remote string, number int, to connector.Delegation) (connector.Receipt, error) {
	receipt := connector.Receipt{Number: number, Outcome: "updated"}
	repo, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	way := fmt.Sprintf("/repositories/%s/issues/%d", repo, number)
	switch to.Mode {
	case connector.DelegateMention:
		receipt.Outcome = "created"
		return f.say(ctx, way+"/comments", "delegate "+to.Agent, "@"+to.Agent+" "+to.Text, receipt)
	case connector.DelegateAssign:
		var one ticket
		if err := get(ctx, f.api, way, nil, &one); err != nil {
			return receipt, err
		}
		if one.Assignee != nil {
			if !one.Assignee.is(to.Agent) {
				return receipt, fmt.Errorf("ticket %d: %w: it is %.100q's, and Bitbucket takes one assignee", number, connector.ErrRefused, one.Assignee.login())
			}
			receipt.Outcome = "unchanged"
			return receipt, nil
		}
		found, _, err := f.people(ctx, repo, []connector.Reviewer{{Name: to.Agent}})
		if err != nil {
			return receipt, err
		}
		if len(found) == 0 {
			return receipt, fmt.Errorf("agent %s: %w: it is no member of the workspace", to.Agent, connector.ErrRights)
		}
		return receipt, noTracker(f.send(ctx, http.MethodPut, way, map[string]any{"assignee": map[string]string{"uuid": found[0].UUID}}, nil))
	}
	return receipt, fmt.Errorf("way %q of handing a ticket over: %w: Bitbucket knows assign and mention", to.Mode, connector.ErrRefused)
}

// Linked implements connector.Tracker: pull requests whose title or description names the
// ticket.
func (f forge) Linked(ctx context.Context, remote string, number int) (list []connector.Standing, err error) {
	repo, err := f.named(remote)
	if err != nil {
		return nil, err
	}
	mention := quoted("#" + strconv.Itoa(number))
	names := regexp.MustCompile(`(^|[^\w#&])#` + strconv.Itoa(number) + `($|\D)`)
	query := url.Values{"q": {"title ~ " + mention + " OR description ~ " + mention}, "state": {"OPEN", "MERGED", "DECLINED", "SUPERSEDED"}, "sort": {"created_on"}}
	err = pages(ctx, f.api, "/repositories/"+repo+"/pullrequests", query, func(one pull) (bool, error) {
		if !names.MatchString(one.Title) && !names.MatchString(one.Description) {
			return true, nil
		}
		standing := connector.Standing{State: connector.ChangeOpen, Number: one.ID, URL: one.Links.HTML.Href, Branch: one.Source.Branch.Name, Target: one.Destination.Branch.Name, Draft: one.Draft}
		for short, into := range map[*endpoint]*string{&one.Source: &standing.Head, &one.Destination: &standing.Tip} {
			if short.Commit == nil {
				continue
			}
			c, err := f.whole(ctx, repo, short.Commit.Hash)
			if err != nil {
				return false, err
			}
			*into = c.Hash
		}
		switch one.State {
		case "MERGED":
			standing.State = connector.ChangeMerged
			if one.MergeCommit != nil {
				c, err := f.whole(ctx, repo, one.MergeCommit.Hash)
				if err != nil {
					return false, err
				}
				standing.Merge = c.Hash
			}
		case "DECLINED", "SUPERSEDED":
			standing.State = connector.ChangeClosed
		}
		list = append(list, standing)
		return true, nil
	})
	return list, err
}
