package bitbucket

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	at, err := f.tip(ctx, repo, place.Branch)
	if err != nil {
		return standing, err
	}
	if found == nil && at == nil {
		return standing, fmt.Errorf("branch %s of %s: %w", place.Branch, repo, connector.ErrNoChange)
	}
	if at != nil {
		standing.Head = at.Hash
	}
	if standing.Target == "" {
		if found != nil {
			standing.Target = found.Destination.Branch.Name
		} else {
			var about repository
			if err := get(ctx, f.api, "/repositories/"+repo, nil, &about); err != nil {
				return standing, err
			}
			standing.Target = about.main()
		}
	}
	target, err := f.tip(ctx, repo, standing.Target)
	if err != nil {
		return standing, err
	}
	if target != nil {
		standing.Tip = target.Hash
	}
	if found == nil {
		return standing, nil
	}
	return standing, f.complete(ctx, repo, place, found, &standing)
}

// complete says of a change what its pull request tells.
func (f forge) complete(ctx context.Context, repo string, place connector.Place, found *pull, standing *connector.Standing) (err error) {
	standing.Number, standing.URL, standing.Draft = found.ID, found.Links.HTML.Href, found.Draft
	if standing.Head == "" && found.Source.Commit != nil {
		one, err := f.whole(ctx, repo, found.Source.Commit.Hash)
		if err != nil {
			return err
		}
		standing.Head = one.Hash
	}
	switch found.State {
	case "MERGED":
		standing.State, standing.By, standing.At = connector.ChangeMerged, found.ClosedBy.login(), micros(found.UpdatedOn)
		if found.MergeCommit != nil {
			one, err := f.whole(ctx, repo, found.MergeCommit.Hash)
			if err != nil {
				return err
			}
			standing.Merge, standing.At = one.Hash, cmp.Or(micros(one.Date), standing.At)
		}
	case "DECLINED", "SUPERSEDED":
		standing.State, standing.By, standing.At = connector.ChangeClosed, found.ClosedBy.login(), micros(found.UpdatedOn)
	}
	if standing.Comments, err = f.comments(ctx, repo, found.ID); err != nil {
		return err
	}
	if standing.State != connector.ChangeOpen {
		return nil
	}
	err = pages(ctx, f.api, fmt.Sprintf("/repositories/%s/pullrequests/%d/commits", repo, found.ID), nil, func(c commit) (bool, error) {
		name := cmp.Or(c.Author.User.login(), c.Author.Raw)
		if git.Trailer(c.Message, keyTrailer) != place.Key && len(c.Parents) < 2 && !slices.Contains(standing.Authors, name) {
			standing.Authors = append(standing.Authors, name)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	slices.Sort(standing.Authors)
	if standing.Conflict, err = f.conflict(ctx, repo, found); err != nil {
		return err
	}
	standing.Checks, err = f.checks(ctx, repo, standing.Head)
	return err
}

// whole gives a commit by the shortened id that pull requests hold. One that is no longer
// there keeps what is known of it.
func (f forge) whole(ctx context.Context, repo, id string) (commit, error) {
	if !isID(id) {
		return commit{}, fmt.Errorf("a pull request names the commit %q: expected an id", id)
	}
	var one commit
	err := get(ctx, f.api, "/repositories/"+repo+"/commit/"+id, nil, &one)
	if rest.Code(err) == http.StatusNotFound {
		return commit{Hash: id}, nil
	}
	return one, err
}

// conflict says whether a file of the pull request cannot be merged. What Bitbucket says of
// such a file is not documented; it is none of the four words that are.
func (f forge) conflict(ctx context.Context, repo string, found *pull) (conflict bool, err error) {
	err = pages(ctx, f.api, fmt.Sprintf("/repositories/%s/pullrequests/%d/diffstat", repo, found.ID), nil, func(one struct {
		Status string `json:"status"`
	}) (bool, error) {
		conflict = !slices.Contains([]string{"added", "removed", "modified", "renamed"}, one.Status)
		return !conflict, nil
	})
	return conflict, err
}

func micros(text string) int64 {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return at.UnixMicro()
}

type comment struct {
	ID      int `json:"id"`
	Content struct {
		Raw string `json:"raw"`
	} `json:"content"`
	User      *user  `json:"user"`
	CreatedOn string `json:"created_on"`
	Deleted   bool   `json:"deleted"`
	Links     link   `json:"links"`
}

const markers = "[//]: # (backstitch:"

// marker begins comments of ours: a link that nothing refers to, which is not shown.
// Bitbucket shows comments of HTML.
func marker(key string) string {
	return markers + strings.NewReplacer("(", "", ")", "", "\n", " ").Replace(key) + ")"
}

// comments lists what people said; what we said is left out.
func (f forge) comments(ctx context.Context, repo string, number int) (list []connector.Comment, err error) {
	var authors []string
	err = pages(ctx, f.api, fmt.Sprintf("/repositories/%s/pullrequests/%d/comments", repo, number), nil, func(c comment) (bool, error) {
		if c.Deleted || strings.HasPrefix(c.Content.Raw, markers) || c.User == nil || c.User.Type != "user" {
			return true, nil
		}
		list = append(list, connector.Comment{ID: fmt.Sprint(c.ID), Author: c.User.login(), Text: c.Content.Raw, At: micros(c.CreatedOn)})
		authors = append(authors, c.User.UUID)
		return true, nil
	})
	if err != nil || len(list) == 0 {
		return list, err
	}
	writers, err := f.writers(ctx, repo)
	if err != nil {
		return list, err
	}
	for i := range list {
		list[i].Member = slices.Contains(writers, authors[i])
	}
	return list, nil
}

// writers lists who may write to a repository, by their ids. To whom Bitbucket does not
// tell it, nobody may.
func (f forge) writers(ctx context.Context, repo string) (ids []string, err error) {
	workspace, name, _ := strings.Cut(repo, "/")
	err = pages(ctx, f.api, "/workspaces/"+workspace+"/permissions/repositories/"+name, nil, func(one struct {
		Permission string `json:"permission"`
		User       user   `json:"user"`
	}) (bool, error) {
		if one.User.UUID != "" && (one.Permission == "write" || one.Permission == "admin") {
			ids = append(ids, one.User.UUID)
		}
		return true, nil
	})
	if errors.Is(err, connector.ErrRights) {
		return nil, nil
	}
	return ids, err
}

// checks joins what builds say of a commit: one failure is a failure.
func (f forge) checks(ctx context.Context, repo, id string) (joined string, err error) {
	order := []string{"", "success", "pending", "failure"}
	err = pages(ctx, f.api, "/repositories/"+repo+"/commit/"+id+"/statuses", nil, func(one struct {
		State string `json:"state"`
	}) (bool, error) {
		state := map[string]string{"SUCCESSFUL": "success", "INPROGRESS": "pending", "FAILED": "failure", "STOPPED": "failure"}[one.State]
		if slices.Index(order, state) > slices.Index(order, joined) {
			joined = state
		}
		return true, nil
	})
	return joined, err
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
	if present != nil && present.Hash != head {
		return receipt, fmt.Errorf("%s stands at %.12s: %w; it was left as it is", place.Branch, present.Hash, connector.ErrForeign)
	}
	if found != nil {
		receipt.Number, receipt.URL = found.ID, found.Links.HTML.Href
	}
	if found != nil && found.State == "OPEN" {
		place.Number = found.ID
		if _, err := f.Comment(ctx, place, place.Key+" closed", "Closed: "+reason); err != nil {
			return receipt, err
		}
		if err := f.send(ctx, http.MethodPost, fmt.Sprintf("/repositories/%s/pullrequests/%d/decline", repo, found.ID), nil, nil); err != nil {
			return receipt, rest.ForgeError(err)
		}
		receipt.Outcome = "closed"
	}
	if present == nil {
		return receipt, nil
	}
	err = f.send(ctx, http.MethodDelete, "/repositories/"+repo+"/refs/branches/"+place.Branch, nil, nil)
	if rest.Code(err) == http.StatusNotFound {
		err = nil // gone already
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
			return receipt, fmt.Errorf("branch %s of %s: %w: there is no pull request to comment on", place.Branch, repo, connector.ErrNoChange)
		}
		place.Number = found.ID
	}
	receipt.Number = place.Number
	return f.say(ctx, fmt.Sprintf("/repositories/%s/pullrequests/%d/comments", repo, place.Number), key, body, receipt)
}

// say keeps one comment below a place.
func (f forge) say(ctx context.Context, way, key, body string, receipt connector.Receipt) (connector.Receipt, error) {
	text := marker(key) + "\n\n" + body
	var present *comment
	err := pages(ctx, f.api, way, nil, func(c comment) (bool, error) {
		if !c.Deleted && strings.HasPrefix(c.Content.Raw, marker(key)) {
			present = &c
		}
		return present == nil, nil
	})
	if err != nil {
		return receipt, err
	}
	content := map[string]any{"content": map[string]string{"raw": text}}
	var said comment
	switch {
	case present == nil:
		err = f.send(ctx, http.MethodPost, way, content, &said)
	case present.Content.Raw == text:
		said, receipt.Outcome = *present, "unchanged"
	default:
		receipt.Outcome = "updated"
		err = f.send(ctx, http.MethodPut, fmt.Sprintf("%s/%d", way, present.ID), content, &said)
	}
	receipt.URL, receipt.Ref = said.Links.HTML.Href, fmt.Sprint(said.ID)
	return receipt, rest.ForgeError(err)
}

// Check implements connector.CheckWriter by a build status, of which Bitbucket keeps one
// by its key.
func (f forge) Check(ctx context.Context, remote string, run connector.CheckRun) (connector.Receipt, error) {
	receipt := connector.Receipt{Commit: run.Commit, Outcome: "created"}
	repo, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	if !isID(run.Commit) {
		return receipt, fmt.Errorf("check of %q: expected a commit's id", run.Commit)
	}
	key := run.Name
	if len(key) > 40 { // the most that a key may have
		sum := sha256.Sum256([]byte(key))
		key = hex.EncodeToString(sum[:20])
	}
	state := map[string]string{"success": "SUCCESSFUL", "failure": "FAILED", "neutral": "SUCCESSFUL"}[run.Conclusion]
	if state == "" {
		return receipt, fmt.Errorf("check %s: a conclusion %q, expected success, failure or neutral", run.Name, run.Conclusion)
	}
	link := cmp.Or(run.URL, "https://"+f.web+"/"+repo+"/commits/"+run.Commit)
	err = f.send(ctx, http.MethodPost, "/repositories/"+repo+"/commit/"+run.Commit+"/statuses/build", map[string]string{
		"key": key, "state": state, "name": run.Name, "description": run.Title, "url": link,
	}, nil)
	receipt.URL = link
	return receipt, rest.ForgeError(err)
}
