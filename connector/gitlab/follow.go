package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// Follow implements connector.Follower.
func (f forge) Follow(ctx context.Context, place connector.Place) (connector.Standing, error) {
	standing := connector.Standing{State: connector.ChangeOpen, Target: place.Target}
	path, err := f.named(place.Remote)
	if err != nil {
		return standing, err
	}
	found, err := f.find(ctx, path, place.Branch)
	if err != nil {
		return standing, err
	}
	if standing.Head, err = f.tip(ctx, path, place.Branch); err != nil {
		return standing, err
	}
	if found == nil && standing.Head == "" {
		return standing, fmt.Errorf("branch %s of %s: %w", place.Branch, path, connector.ErrNoChange)
	}
	if found != nil {
		standing.Target = found.Target
	} else if standing.Target == "" {
		var about repository
		if err := get(ctx, f.api, project(path), nil, &about); err != nil {
			return standing, err
		}
		standing.Target = about.DefaultBranch
	}
	if standing.Tip, err = f.tip(ctx, path, standing.Target); err != nil || found == nil {
		return standing, err
	}
	var one request // a single answer says more than a listing
	if err := get(ctx, f.api, fmt.Sprintf("%s/merge_requests/%d", project(path), found.IID), nil, &one); err != nil {
		return standing, err
	}
	standing.Head = cmp.Or(standing.Head, one.SHA)
	stand(&standing, &one)
	if standing.Comments, err = f.comments(ctx, path, one.IID); err != nil || standing.State != connector.ChangeOpen {
		return standing, err
	}
	err = pages(ctx, f.api, fmt.Sprintf("%s/merge_requests/%d/commits", project(path), one.IID), nil, func(c commitAnswer) (bool, error) {
		if git.Trailer(c.Message, keyTrailer) != place.Key && len(c.Parents) < 2 && !slices.Contains(standing.Authors, c.Author) {
			standing.Authors = append(standing.Authors, c.Author)
		}
		return true, nil
	})
	if err != nil {
		return standing, err
	}
	slices.Sort(standing.Authors)
	standing.Checks, err = f.checks(ctx, path, one.SHA)
	return standing, err
}

// stand reads what a merge request says of itself.
func stand(standing *connector.Standing, one *request) {
	standing.Number, standing.URL, standing.Draft = one.IID, one.URL, one.Draft
	at := func(text *string) int64 {
		if text == nil {
			return 0
		}
		return micros(*text)
	}
	switch {
	case one.State == "merged":
		standing.State, standing.At = connector.ChangeMerged, at(one.MergedAt)
		// Without a merge commit the squashed one lies on the target, or the branch itself.
		for _, commit := range []*string{one.MergeCommit, one.Squash, &one.SHA} {
			if commit != nil && *commit != "" {
				standing.Merge = *commit
				break
			}
		}
		if one.MergeUser != nil {
			standing.By = one.MergeUser.Username
		}
	case one.State == "closed":
		standing.State, standing.At = connector.ChangeClosed, at(one.ClosedAt)
		if one.ClosedBy != nil {
			standing.By = one.ClosedBy.Username
		}
	default:
		standing.Conflict = one.Conflicts || one.Status == "conflict"
	}
}

func micros(text string) int64 {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return at.UnixMicro()
}

type note struct {
	ID        int64  `json:"id"`
	Body      string `json:"body"`
	System    bool   `json:"system"` // written by GitLab itself, of what happened
	Author    user   `json:"author"`
	CreatedAt string `json:"created_at"`
}

// marker begins comments of ours; what stands in it is not shown.
func marker(key string) string { return "<!-- backstitch:" + key + " -->" }

// notes gives the comments at a place below a project, oldest first.
func (f forge) notes(ctx context.Context, path, at string, each func(note) (bool, error)) error {
	return pages(ctx, f.api, project(path)+at+"/notes", url.Values{"sort": {"asc"}, "order_by": {"created_at"}}, each)
}

// botName is how GitLab calls the users of access tokens of projects and groups.
var botName = regexp.MustCompile(`^(?:project|group)_[0-9]+_bot`)

// comments lists what people said; what we or other bots said is left out.
func (f forge) comments(ctx context.Context, path string, number int) (list []connector.Comment, err error) {
	levels := map[int64]int{}
	err = f.notes(ctx, path, fmt.Sprintf("/merge_requests/%d", number), func(n note) (bool, error) {
		if n.System || strings.HasPrefix(n.Body, "<!-- backstitch:") || botName.MatchString(n.Author.Username) {
			return true, nil
		}
		if _, ok := levels[n.Author.ID]; !ok {
			level, err := f.level(ctx, path, n.Author.ID)
			if err != nil {
				return false, err
			}
			levels[n.Author.ID] = level
		}
		list = append(list, connector.Comment{ID: fmt.Sprint(n.ID), Author: n.Author.Username, Text: n.Body, At: micros(n.CreatedAt), Member: levels[n.Author.ID] >= developer})
		return true, nil
	})
	return list, err
}

type status struct {
	Name         string `json:"name"`
	State        string `json:"status"`
	Description  string `json:"description"`
	URL          string `json:"target_url"`
	AllowFailure bool   `json:"allow_failure"`
}

// checks joins what jobs and statuses say of a commit: one failure is a failure, but for
// those that may fail.
func (f forge) checks(ctx context.Context, path, commit string) (joined string, err error) {
	order := []string{"", "success", "pending", "failure"}
	err = pages(ctx, f.api, project(path)+"/repository/commits/"+commit+"/statuses", nil, func(one status) (bool, error) {
		state := "pending"
		switch one.State {
		case "success", "skipped":
			state = "success"
		case "failed", "canceled":
			state = "failure"
		case "manual":
			return true, nil // waits for nobody
		}
		if one.AllowFailure && state == "failure" {
			state = "success"
		}
		if slices.Index(order, state) > slices.Index(order, joined) {
			joined = state
		}
		return true, nil
	})
	return joined, err
}

// Withdraw implements connector.Follower. The branch stays where somebody pushed to it
// between the look and the deed: GitLab deletes a branch wherever it stands, so the merge
// request is closed first and the branch looked at again.
func (f forge) Withdraw(ctx context.Context, place connector.Place, head, reason string) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + place.Branch, Commit: head, Outcome: "unchanged"}
	path, err := f.named(place.Remote)
	if err != nil {
		return receipt, err
	}
	found, err := f.find(ctx, path, place.Branch)
	if err != nil {
		return receipt, err
	}
	present, err := f.unmoved(ctx, path, place.Branch, head)
	if err != nil {
		return receipt, err
	}
	if found != nil {
		receipt.Number, receipt.URL = found.IID, found.URL
	}
	if found != nil && found.open() {
		at := fmt.Sprintf("/merge_requests/%d", found.IID)
		if _, err := f.say(ctx, path, at, place.Key+" closed", "Closed: "+reason); err != nil {
			return receipt, err
		}
		if err := f.send(ctx, http.MethodPut, project(path)+at, map[string]string{"state_event": "close"}, nil); err != nil {
			return receipt, forgeError(err)
		}
		receipt.Outcome = "closed"
		if present, err = f.unmoved(ctx, path, place.Branch, head); err != nil {
			return receipt, err
		}
	}
	if present == "" {
		return receipt, nil
	}
	receipt.Outcome = "closed"
	err = f.send(ctx, http.MethodDelete, project(path)+"/repository/branches/"+url.PathEscape(place.Branch), nil, nil)
	if rest.Code(err) == http.StatusNotFound {
		err = nil
	}
	return receipt, forgeError(err)
}

// unmoved gives where a branch stands, and fails when that is not where it should.
func (f forge) unmoved(ctx context.Context, path, branch, head string) (string, error) {
	present, err := f.tip(ctx, path, branch)
	if err == nil && present != "" && present != head {
		err = fmt.Errorf("%s stands at %.12s: %w; it was left as it is", branch, present, connector.ErrForeign)
	}
	return present, err
}

// Comment implements connector.Commenter.
func (f forge) Comment(ctx context.Context, place connector.Place, key, body string) (connector.Receipt, error) {
	path, err := f.named(place.Remote)
	if err != nil {
		return connector.Receipt{}, err
	}
	if place.Number == 0 {
		found, err := f.find(ctx, path, place.Branch)
		if err != nil {
			return connector.Receipt{}, err
		}
		if found == nil {
			return connector.Receipt{}, fmt.Errorf("branch %s of %s: %w: %w", place.Branch, path, connector.ErrNoChange, errNoPlace)
		}
		place.Number = found.IID
	}
	receipt, err := f.say(ctx, path, fmt.Sprintf("/merge_requests/%d", place.Number), key, body)
	receipt.Number = place.Number
	return receipt, err
}

// say keeps the comment of a key at a place below a project.
func (f forge) say(ctx context.Context, path, at, key, body string) (connector.Receipt, error) {
	receipt := connector.Receipt{Outcome: "created"}
	text := marker(key) + "\n" + plain(body)
	var present *note
	if err := f.notes(ctx, path, at, func(n note) (bool, error) {
		if strings.HasPrefix(n.Body, marker(key)) {
			present = &n
		}
		return present == nil, nil
	}); err != nil {
		return receipt, err
	}
	var said note
	var err error
	switch {
	case present == nil:
		err = f.send(ctx, http.MethodPost, project(path)+at+"/notes", map[string]string{"body": text}, &said)
	case present.Body == text:
		said, receipt.Outcome = *present, "unchanged"
	default:
		receipt.Outcome = "updated"
		err = f.send(ctx, http.MethodPut, fmt.Sprintf("%s%s/notes/%d", project(path), at, present.ID), map[string]string{"body": text}, &said)
	}
	receipt.Ref = fmt.Sprint(said.ID)
	if said.ID != 0 {
		receipt.URL = fmt.Sprintf("%s://%s/%s/-%s#note_%d", f.base.Scheme, f.web, path, at, said.ID)
	}
	return receipt, forgeError(err)
}

// Check implements connector.CheckWriter, as a commit status: of one name the newest
// counts, and what stands there already is not said again.
func (f forge) Check(ctx context.Context, remote string, run connector.CheckRun) (connector.Receipt, error) {
	receipt := connector.Receipt{Commit: run.Commit, Outcome: "created"}
	path, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	ours := status{Name: run.Name, State: "success", Description: short(run.Title), URL: run.URL}
	if run.Conclusion == "failure" {
		ours.State = "failed"
	}
	if err := pages(ctx, f.api, project(path)+"/repository/commits/"+run.Commit+"/statuses", url.Values{"name": {run.Name}}, func(one status) (bool, error) {
		one.AllowFailure = false
		switch {
		case one == ours:
			receipt.Outcome = "unchanged"
		case one.Name == run.Name:
			receipt.Outcome = "updated"
		}
		return true, nil
	}); err != nil || receipt.Outcome == "unchanged" {
		return receipt, err
	}
	body := map[string]string{"state": ours.State, "name": ours.Name, "description": ours.Description}
	if run.URL != "" {
		body["target_url"] = run.URL
	}
	return receipt, forgeError(f.send(ctx, http.MethodPost, project(path)+"/statuses/"+run.Commit, body, nil))
}

// short cuts a text to what a status has room for.
func short(text string) string { return strings.ToValidUTF8(text[:min(len(text), 140)], "") }
