package gitea

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// one reads the pull request of a place, nil when there is none. A number that is known
// finds it even where somebody gave it another target.
func (f forge) one(ctx context.Context, repo string, place connector.Place, target string) (*pull, error) {
	number := place.Number
	if number == 0 {
		found, err := f.find(ctx, repo, place.Branch, target)
		if err != nil || found == nil {
			return nil, err
		}
		number = found.Number
	}
	var one pull
	err := get(ctx, f.api, fmt.Sprintf("/repos/%s/pulls/%d", repo, number), nil, &one)
	if rest.Code(err) == http.StatusNotFound && place.Number != 0 {
		return nil, nil
	}
	return &one, err
}

// target gives the branch that a place is meant for.
func (f forge) target(ctx context.Context, repo string, place connector.Place) (string, error) {
	if place.Target != "" {
		return place.Target, nil
	}
	var about repository
	err := get(ctx, f.api, "/repos/"+repo, nil, &about)
	return about.DefaultBranch, err
}

// Follow implements connector.Follower. Of a draft the server does not say whether it
// could be merged.
func (f forge) Follow(ctx context.Context, place connector.Place) (connector.Standing, error) {
	standing := connector.Standing{State: connector.ChangeOpen}
	repo, err := f.named(place.Remote)
	if err != nil {
		return standing, err
	}
	if standing.Target, err = f.target(ctx, repo, place); err != nil {
		return standing, err
	}
	one, err := f.one(ctx, repo, place, standing.Target)
	if err != nil {
		return standing, err
	}
	if standing.Head, err = f.tip(ctx, repo, place.Branch); err != nil {
		return standing, err
	}
	if one == nil && standing.Head == "" {
		return standing, fmt.Errorf("branch %s of %s: %w", place.Branch, repo, connector.ErrNoChange)
	}
	if one != nil {
		standing.Target = one.Base.Ref
	}
	if standing.Tip, err = f.tip(ctx, repo, standing.Target); err != nil || one == nil {
		return standing, err
	}
	standing.Head = cmp.Or(standing.Head, one.Head.SHA)
	stand(&standing, one)
	if one.State == "closed" && !one.Merged {
		if standing.By, err = f.closer(ctx, repo, one.Number); err != nil {
			return standing, err
		}
	}
	if standing.Comments, err = f.comments(ctx, repo, one.Number); err != nil {
		return standing, err
	}
	if standing.State != connector.ChangeOpen {
		return standing, nil
	}
	err = pages(ctx, f.api, fmt.Sprintf("/repos/%s/pulls/%d/commits", repo, one.Number), url.Values{"verification": {"false"}, "files": {"false"}}, func(c commitAnswer) (bool, error) {
		if git.Trailer(c.Commit.Message, keyTrailer) != place.Key && len(c.Parents) < 2 {
			name := c.Commit.Author.Name
			if c.Author != nil {
				name = cmp.Or(c.Author.Login, name)
			}
			if !slices.Contains(standing.Authors, name) {
				standing.Authors = append(standing.Authors, name)
			}
		}
		return true, nil
	})
	if err != nil {
		return standing, err
	}
	slices.Sort(standing.Authors)
	standing.Checks, err = f.checks(ctx, repo, one.Head.SHA)
	return standing, err
}

// stand reads what a pull request says of itself.
func stand(standing *connector.Standing, one *pull) {
	standing.Number, standing.URL, standing.Draft = one.Number, one.URL, one.Draft
	switch {
	case one.Merged:
		standing.State = connector.ChangeMerged
		if one.MergedAt != nil {
			standing.At = micros(*one.MergedAt)
		}
		if one.MergeCommit != nil {
			standing.Merge = *one.MergeCommit
		}
		if one.MergedBy != nil {
			standing.By = one.MergedBy.Login
		}
	case one.State == "closed":
		standing.State = connector.ChangeClosed
		if one.ClosedAt != nil {
			standing.At = micros(*one.ClosedAt)
		}
	default:
		standing.Conflict = !one.Mergeable && !one.Draft
	}
}

func micros(text string) int64 {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return at.UnixMicro()
}

// closer gives who closed a pull request last.
func (f forge) closer(ctx context.Context, repo string, number int) (by string, err error) {
	err = pages(ctx, f.api, fmt.Sprintf("/repos/%s/issues/%d/timeline", repo, number), nil, func(event struct {
		Type string `json:"type"`
		User *user  `json:"user"`
	}) (bool, error) {
		if event.Type == "close" && event.User != nil {
			by = event.User.Login
		}
		return true, nil
	})
	return by, err
}

type comment struct {
	ID        int64  `json:"id"`
	Body      string `json:"body"`
	URL       string `json:"html_url"`
	User      *user  `json:"user"`
	CreatedAt string `json:"created_at"`
}

// marker begins comments of ours; what stands in it is not shown.
func marker(key string) string { return "<!-- backstitch:" + key + " -->" }

// comments lists what people said; what we said is left out.
func (f forge) comments(ctx context.Context, repo string, number int) (list []connector.Comment, err error) {
	var said []comment // the listing has no pages
	if err := get(ctx, f.api, fmt.Sprintf("/repos/%s/issues/%d/comments", repo, number), nil, &said); err != nil || len(said) == 0 {
		return nil, err
	}
	members, err := f.members(ctx, repo)
	if err != nil {
		return nil, err
	}
	for _, c := range said {
		if strings.HasPrefix(c.Body, "<!-- backstitch:") || c.User == nil {
			continue
		}
		_, member := slices.BinarySearch(members, c.User.Login)
		list = append(list, connector.Comment{ID: fmt.Sprint(c.ID), Author: c.User.Login, Text: c.Body, At: micros(c.CreatedAt), Member: member})
	}
	return list, nil
}

// checks gives what all statuses of a commit come to.
func (f forge) checks(ctx context.Context, repo, commit string) (string, error) {
	var status struct {
		State string `json:"state"`
		Total int    `json:"total_count"`
	}
	if err := get(ctx, f.api, "/repos/"+repo+"/commits/"+commit+"/status", nil, &status); err != nil || status.Total == 0 {
		return "", err
	}
	switch status.State {
	case "success", "skipped", "warning":
		return "success", nil
	case "failure", "error":
		return "failure", nil
	}
	return "pending", nil
}

// Withdraw implements connector.Follower. The branch stays where somebody pushed to it
// between the look and the deed: a server deletes a branch wherever it stands, so the
// pull request is closed first and the branch looked at again.
func (f forge) Withdraw(ctx context.Context, place connector.Place, head, reason string) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + place.Branch, Commit: head, Outcome: "unchanged"}
	repo, err := f.named(place.Remote)
	if err != nil {
		return receipt, err
	}
	target, err := f.target(ctx, repo, place)
	if err != nil {
		return receipt, err
	}
	one, err := f.one(ctx, repo, place, target)
	if err != nil {
		return receipt, err
	}
	present, err := f.unmoved(ctx, repo, place.Branch, head)
	if err != nil {
		return receipt, err
	}
	if one != nil {
		receipt.Number, receipt.URL = one.Number, one.URL
	}
	if one != nil && one.State == "open" {
		if _, err := f.say(ctx, repo, one.Number, place.Key+" closed", "Closed: "+reason); err != nil {
			return receipt, err
		}
		if err := f.send(ctx, http.MethodPatch, fmt.Sprintf("/repos/%s/pulls/%d", repo, one.Number), map[string]string{"state": "closed"}, nil); err != nil {
			return receipt, forgeError(err)
		}
		receipt.Outcome = "closed"
		if present, err = f.unmoved(ctx, repo, place.Branch, head); err != nil {
			return receipt, err
		}
	}
	if present == "" {
		return receipt, nil
	}
	receipt.Outcome = "closed"
	return receipt, f.drop(ctx, repo, place.Branch)
}

// unmoved gives where a branch stands, and fails when that is not where it should.
func (f forge) unmoved(ctx context.Context, repo, branch, head string) (string, error) {
	present, err := f.tip(ctx, repo, branch)
	if err == nil && present != "" && present != head {
		err = fmt.Errorf("%s stands at %.12s: %w; it was left as it is", branch, present, connector.ErrForeign)
	}
	return present, err
}

// Comment implements connector.Commenter.
func (f forge) Comment(ctx context.Context, place connector.Place, key, body string) (connector.Receipt, error) {
	repo, err := f.named(place.Remote)
	if err != nil {
		return connector.Receipt{}, err
	}
	if place.Number == 0 {
		target, err := f.target(ctx, repo, place)
		if err != nil {
			return connector.Receipt{}, err
		}
		found, err := f.find(ctx, repo, place.Branch, target)
		if err != nil {
			return connector.Receipt{}, err
		}
		if found == nil {
			return connector.Receipt{}, fmt.Errorf("branch %s of %s: %w: %w", place.Branch, repo, connector.ErrNoChange, errNoPlace)
		}
		place.Number = found.Number
	}
	return f.say(ctx, repo, place.Number, key, body)
}

// say keeps the comment of a key on a pull request or ticket.
func (f forge) say(ctx context.Context, repo string, number int, key, body string) (connector.Receipt, error) {
	receipt := connector.Receipt{Outcome: "created", Number: number}
	var list []comment
	if err := get(ctx, f.api, fmt.Sprintf("/repos/%s/issues/%d/comments", repo, number), nil, &list); err != nil {
		return receipt, err
	}
	text := marker(key) + "\n" + body
	at := slices.IndexFunc(list, func(c comment) bool { return strings.HasPrefix(c.Body, marker(key)) })
	var said comment
	var err error
	switch {
	case at < 0:
		err = f.send(ctx, http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/comments", repo, number), map[string]string{"body": text}, &said)
	case list[at].Body == text:
		said, receipt.Outcome = list[at], "unchanged"
	default:
		receipt.Outcome = "updated"
		err = f.send(ctx, http.MethodPatch, fmt.Sprintf("/repos/%s/issues/comments/%d", repo, list[at].ID), map[string]string{"body": text}, &said)
	}
	receipt.URL, receipt.Ref = said.URL, fmt.Sprint(said.ID)
	return receipt, forgeError(err)
}

// Check implements connector.CheckWriter, as a commit status: of one name the newest
// counts, and what stands there already is not said again.
func (f forge) Check(ctx context.Context, remote string, run connector.CheckRun) (connector.Receipt, error) {
	receipt := connector.Receipt{Commit: run.Commit, Outcome: "created"}
	repo, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	type status struct {
		Context     string `json:"context"`
		State       string `json:"status"`
		Description string `json:"description"`
		URL         string `json:"target_url"`
	}
	var present struct {
		Statuses []status `json:"statuses"`
	}
	if err := get(ctx, f.api, "/repos/"+repo+"/commits/"+run.Commit+"/status", nil, &present); err != nil {
		return receipt, err
	}
	state := "success"
	if run.Conclusion == "failure" {
		state = "failure"
	}
	ours := status{run.Name, state, short(run.Title), run.URL}
	for _, one := range present.Statuses {
		if one == ours {
			receipt.Outcome = "unchanged"
			return receipt, nil
		}
		if one.Context == run.Name {
			receipt.Outcome = "updated"
		}
	}
	body := map[string]string{"state": ours.State, "context": ours.Context, "description": ours.Description}
	if run.URL != "" {
		body["target_url"] = run.URL
	}
	return receipt, forgeError(f.send(ctx, http.MethodPost, "/repos/"+repo+"/statuses/"+run.Commit, body, nil))
}

// short cuts a text to what a status has room for.
func short(text string) string { return strings.ToValidUTF8(text[:min(len(text), 140)], "") }
