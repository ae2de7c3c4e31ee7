package github

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
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
	repo, err := f.named(place.Remote)
	if err != nil {
		return standing, err
	}
	found, err := f.find(ctx, repo, place.Branch)
	if err != nil {
		return standing, err
	}
	if standing.Head, err = f.tip(ctx, repo, place.Branch); err != nil {
		return standing, err
	}
	if found == nil && standing.Head == "" {
		return standing, fmt.Errorf("branch %s of %s: %w", place.Branch, repo, connector.ErrNoChange)
	}
	if standing.Target == "" {
		if found != nil {
			standing.Target = found.Base.Ref
		} else {
			var about repository
			if err := get(ctx, f.api, repo, "/repos/"+repo, nil, &about); err != nil {
				return standing, err
			}
			standing.Target = about.DefaultBranch
		}
	}
	if standing.Tip, err = f.tip(ctx, repo, standing.Target); err != nil {
		return standing, err
	}
	if found == nil {
		return standing, nil
	}
	standing.Number, standing.URL = found.Number, found.URL
	var one pull // a single answer says more than a listing
	if err := get(ctx, f.api, repo, fmt.Sprintf("/repos/%s/pulls/%d", repo, found.Number), nil, &one); err != nil {
		return standing, err
	}
	standing.Draft, standing.Conflict = one.Draft, one.MergeableState == "dirty"
	standing.Head = cmp.Or(standing.Head, one.Head.SHA)
	switch {
	case one.MergedAt != nil:
		standing.State, standing.At = connector.ChangeMerged, micros(*one.MergedAt)
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
	err = pages(ctx, f.api, repo, fmt.Sprintf("/repos/%s/pulls/%d/commits", repo, one.Number), nil, func(c pullCommit) (bool, error) {
		if git.Trailer(c.Commit.Message, keyTrailer) != place.Key && len(c.Parents) < 2 {
			name := cmp.Or(c.Author.Login, c.Commit.Author.Name)
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

type pullCommit struct {
	Commit struct {
		Message string `json:"message"`
		Author  struct {
			Name string `json:"name"`
		} `json:"author"`
	} `json:"commit"`
	Author  user `json:"author"`
	Parents []struct {
		SHA string `json:"sha"`
	} `json:"parents"`
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
	err = pages(ctx, f.api, repo, fmt.Sprintf("/repos/%s/issues/%d/events", repo, number), nil, func(event struct {
		Event string `json:"event"`
		Actor *user  `json:"actor"`
	}) (bool, error) {
		if event.Event == "closed" && event.Actor != nil {
			by = event.Actor.Login
		}
		return true, nil
	})
	return by, err
}

type comment struct {
	ID          int64  `json:"id"`
	Body        string `json:"body"`
	URL         string `json:"html_url"`
	User        *user  `json:"user"`
	Association string `json:"author_association"`
	CreatedAt   string `json:"created_at"`
}

// marker begins comments of ours; what stands in it is not shown.
func marker(key string) string { return "<!-- backstitch:" + key + " -->" }

// comments lists what people said; what we said is left out.
func (f forge) comments(ctx context.Context, repo string, number int) (list []connector.Comment, err error) {
	err = pages(ctx, f.api, repo, fmt.Sprintf("/repos/%s/issues/%d/comments", repo, number), nil, func(c comment) (bool, error) {
		if strings.HasPrefix(c.Body, "<!-- backstitch:") || c.User == nil || c.User.Type == "Bot" {
			return true, nil
		}
		list = append(list, connector.Comment{
			ID: fmt.Sprint(c.ID), Author: c.User.Login, Text: c.Body, At: micros(c.CreatedAt),
			Member: slices.Contains([]string{"OWNER", "MEMBER", "COLLABORATOR"}, c.Association),
		})
		return true, nil
	})
	return list, err
}

// checks joins what checks and statuses say of a commit: one failure is a failure.
func (f forge) checks(ctx context.Context, repo, commit string) (string, error) {
	var runs struct {
		CheckRuns []struct {
			Name       string  `json:"name"`
			Status     string  `json:"status"`
			Conclusion *string `json:"conclusion"`
		} `json:"check_runs"`
	}
	if err := get(ctx, f.api, repo, "/repos/"+repo+"/commits/"+commit+"/check-runs", nil, &runs); err != nil {
		return "", err
	}
	var status struct {
		State string `json:"state"`
		Total int    `json:"total_count"`
	}
	if err := get(ctx, f.api, repo, "/repos/"+repo+"/commits/"+commit+"/status", nil, &status); err != nil {
		return "", err
	}
	joined := ""
	worse := func(state string) {
		order := []string{"", "success", "pending", "failure"}
		if slices.Index(order, state) > slices.Index(order, joined) {
			joined = state
		}
	}
	for _, run := range runs.CheckRuns {
		switch {
		case run.Status != "completed" || run.Conclusion == nil:
			worse("pending")
		case *run.Conclusion == "success" || *run.Conclusion == "neutral" || *run.Conclusion == "skipped":
			worse("success")
		default:
			worse("failure")
		}
	}
	if status.Total > 0 {
		state := status.State
		if state == "error" {
			state = "failure"
		}
		worse(state)
	}
	return joined, nil
}

// Withdraw implements connector.Follower.
func (f forge) Withdraw(ctx context.Context, place connector.Place, head, reason string) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + place.Branch, Commit: head, Outcome: "unchanged"}
	repo, err := f.named(place.Remote)
	if err != nil {
		return receipt, err
	}
	found, err := f.find(ctx, repo, place.Branch)
	if err != nil {
		return receipt, err
	}
	present, err := f.tip(ctx, repo, place.Branch)
	if err != nil {
		return receipt, err
	}
	if present != "" && present != head {
		return receipt, fmt.Errorf("%s stands at %.12s: %w; it was left as it is", place.Branch, present, connector.ErrForeign)
	}
	if found != nil {
		receipt.Number, receipt.URL = found.Number, found.URL
	}
	if found != nil && found.State == "open" {
		place.Number = found.Number
		if _, err := f.Comment(ctx, place, place.Key+" closed", "Closed: "+reason); err != nil {
			return receipt, err
		}
		if err := f.send(ctx, repo, http.MethodPatch, fmt.Sprintf("/repos/%s/pulls/%d", repo, found.Number), map[string]string{"state": "closed"}, nil); err != nil {
			return receipt, rest.ForgeError(err)
		}
		receipt.Outcome = "closed"
	}
	if present == "" {
		return receipt, nil
	}
	err = f.send(ctx, repo, http.MethodDelete, "/repos/"+repo+"/git/refs/heads/"+place.Branch, nil, nil)
	if rest.Code(err) == http.StatusUnprocessableEntity && rest.Says(err, "does not exist") {
		err = nil
	}
	receipt.Outcome = "closed"
	return receipt, rest.ForgeError(err)
}

// Comment implements connector.Commenter.
func (f forge) Comment(ctx context.Context, place connector.Place, key, body string) (connector.Receipt, error) {
	receipt := connector.Receipt{Outcome: "created"}
	repo, err := f.named(place.Remote)
	if err != nil {
		return receipt, err
	}
	if place.Number == 0 {
		found, err := f.find(ctx, repo, place.Branch)
		if err != nil {
			return receipt, err
		}
		if found == nil {
			return receipt, fmt.Errorf("branch %s of %s: %w: %w", place.Branch, repo, connector.ErrNoChange, errNoPlace)
		}
		place.Number = found.Number
	}
	text := marker(key) + "\n" + body
	var present *comment
	err = pages(ctx, f.api, repo, fmt.Sprintf("/repos/%s/issues/%d/comments", repo, place.Number), nil, func(c comment) (bool, error) {
		if strings.HasPrefix(c.Body, marker(key)) {
			present = &c
		}
		return present == nil, nil
	})
	if err != nil {
		return receipt, err
	}
	receipt.Number = place.Number
	var said comment
	switch {
	case present == nil:
		err = f.send(ctx, repo, http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/comments", repo, place.Number), map[string]string{"body": text}, &said)
	case present.Body == text:
		said, receipt.Outcome = *present, "unchanged"
	default:
		receipt.Outcome = "updated"
		err = f.send(ctx, repo, http.MethodPatch, fmt.Sprintf("/repos/%s/issues/comments/%d", repo, present.ID), map[string]string{"body": text}, &said)
	}
	receipt.URL, receipt.Ref = said.URL, fmt.Sprint(said.ID)
	return receipt, rest.ForgeError(err)
}

// Check implements connector.CheckWriter. Only an App may write check runs; with another
// token it becomes a commit status.
func (f forge) Check(ctx context.Context, remote string, run connector.CheckRun) (connector.Receipt, error) {
	receipt := connector.Receipt{Commit: run.Commit, Outcome: "created"}
	repo, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	if f.key == nil {
		state := map[string]string{"success": "success", "failure": "failure", "neutral": "success"}[run.Conclusion]
		body := map[string]string{"state": state, "context": run.Name, "description": run.Title[:min(len(run.Title), 140)]}
		if run.URL != "" {
			body["target_url"] = run.URL
		}
		return receipt, rest.ForgeError(f.send(ctx, repo, http.MethodPost, "/repos/"+repo+"/statuses/"+run.Commit, body, nil))
	}
	var present struct {
		CheckRuns []struct {
			ID   int64  `json:"id"`
			Name string `json:"name"`
			App  struct {
				ID int64 `json:"id"`
			} `json:"app"`
		} `json:"check_runs"`
	}
	if err := get(ctx, f.api, repo, "/repos/"+repo+"/commits/"+run.Commit+"/check-runs", nil, &present); err != nil {
		return receipt, err
	}
	body := map[string]any{
		"name": run.Name, "status": "completed", "conclusion": run.Conclusion,
		"output": map[string]string{"title": run.Title, "summary": run.Summary},
	}
	if run.URL != "" {
		body["details_url"] = run.URL
	}
	for _, one := range present.CheckRuns {
		if one.Name == run.Name && fmt.Sprint(one.App.ID) == f.app {
			receipt.Outcome = "updated"
			return receipt, rest.ForgeError(f.send(ctx, repo, http.MethodPatch, fmt.Sprintf("/repos/%s/check-runs/%d", repo, one.ID), body, nil))
		}
	}
	body["head_sha"] = run.Commit
	return receipt, rest.ForgeError(f.send(ctx, repo, http.MethodPost, "/repos/"+repo+"/check-runs", body, nil))
}
