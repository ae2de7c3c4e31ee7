package github

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// keyTrailer carries a change's key in its commits and in its pull request.
const keyTrailer = "Backstitch-Key"

type forge struct{ *api }

var (
	_ connector.OpenForge   = forge{}
	_ connector.Follower    = forge{}
	_ connector.Commenter   = forge{}
	_ connector.CheckWriter = forge{}
	_ connector.Tracker     = forge{}
	_ connector.HookReader  = forge{}
)

func (forge) Describe() connector.Description { return source{}.Describe() }

// Serves implements connector.OpenForge.
func (f forge) Serves(remote string) bool {
	_, ok := f.repository(remote)
	return ok
}

// named gives "owner/name" of a remote.
func (f forge) named(remote string) (string, error) {
	repo, ok := f.repository(remote)
	if !ok {
		return "", fmt.Errorf("%w: expected a repository of %s", connector.ErrGone, f.web)
	}
	return repo, nil
}

// pull is a pull request as listings and single answers give it.
type pull struct {
	Number         int     `json:"number"`
	NodeID         string  `json:"node_id"`
	URL            string  `json:"html_url"`
	State          string  `json:"state"`
	Title          string  `json:"title"`
	Body           string  `json:"body"`
	Draft          bool    `json:"draft"`
	MergedAt       *string `json:"merged_at"`
	ClosedAt       *string `json:"closed_at"`
	MergeCommit    *string `json:"merge_commit_sha"`
	MergeableState string  `json:"mergeable_state"`
	MergedBy       *user   `json:"merged_by"`
	Head           struct {
		SHA string `json:"sha"`
		Ref string `json:"ref"`
	} `json:"head"`
	Base struct {
		SHA string `json:"sha"`
		Ref string `json:"ref"`
	} `json:"base"`
}

type user struct {
	Login string `json:"login"`
	Type  string `json:"type"`
}

type repository struct {
	FullName      string   `json:"full_name"`
	DefaultBranch string   `json:"default_branch"`
	Archived      bool     `json:"archived"`
	Disabled      bool     `json:"disabled"`
	Private       bool     `json:"private"`
	Fork          bool     `json:"fork"`
	URL           string   `json:"html_url"`
	Topics        []string `json:"topics"`
	Permissions   struct {
		Push bool `json:"push"`
	} `json:"permissions"`
}

// Propose implements connector.Forge. The branch is the lock: it is made at the base by a
// request that fails when it is there. Commits are made by createCommitOnBranch, so that
// GitHub signs them; a later form is made on a branch beside and put in place at once, so
// that the pull request never stands empty.
func (f forge) Propose(ctx context.Context, change connector.Proposal) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + change.Branch}
	repo, err := f.named(change.Remote)
	if err != nil {
		return receipt, err
	}
	about, err := f.about(ctx, repo)
	if err != nil {
		return receipt, err
	}
	if change.Target == "" {
		change.Target = about.DefaultBranch
	}
	receipt.Commit, receipt.Outcome, err = f.branch(ctx, repo, change)
	if err != nil {
		return receipt, fmt.Errorf("branch %s of %s: %w", change.Branch, repo, err)
	}
	one, made, err := f.pull(ctx, repo, change)
	if err != nil {
		return receipt, fmt.Errorf("pull request for %s of %s: %w", change.Branch, repo, err)
	}
	receipt.URL, receipt.Number = one.URL, one.Number
	if made == "created" || made == "updated" && receipt.Outcome == "unchanged" {
		receipt.Outcome = made
	}
	receipt.Notes = f.dress(ctx, repo, one, change)
	return receipt, nil
}

// about reads the repository and says why it takes no change of ours.
func (f forge) about(ctx context.Context, repo string) (about repository, err error) {
	if err := get(ctx, f.api, repo, "/repos/"+repo, nil, &about); err != nil {
		return about, err
	}
	switch {
	case about.Archived || about.Disabled:
		return about, fmt.Errorf("%s: %w", repo, connector.ErrArchived)
	case f.key == nil && !about.Permissions.Push:
		return about, fmt.Errorf("%s: %w: the token may not push; changes from forks are not made", repo, connector.ErrRights)
	}
	return about, nil
}

// tip gives the commit at a branch, "" when there is none.
func (f forge) tip(ctx context.Context, repo, branch string) (string, error) {
	var ref struct {
		Object struct {
			SHA string `json:"sha"`
		} `json:"object"`
	}
	err := get(ctx, f.api, repo, "/repos/"+repo+"/git/ref/heads/"+branch, nil, &ref)
	if rest.Code(err) == http.StatusNotFound {
		return "", nil
	}
	return ref.Object.SHA, err
}

type gitCommit struct {
	Message string `json:"message"`
	Tree    struct {
		SHA string `json:"sha"`
	} `json:"tree"`
	Parents []struct {
		SHA string `json:"sha"`
	} `json:"parents"`
}

// branch puts the change on its branch.
func (f forge) branch(ctx context.Context, repo string, change connector.Proposal) (commit, outcome string, err error) {
	present, err := f.tip(ctx, repo, change.Branch)
	if err != nil {
		return "", "", err
	}
	if present == "" {
		err := f.send(ctx, repo, http.MethodPost, "/repos/"+repo+"/git/refs", map[string]string{"ref": "refs/heads/" + change.Branch, "sha": change.Base}, nil)
		switch {
		case rest.Code(err) == http.StatusUnprocessableEntity && rest.Says(err, "already exists"):
			// somebody made it meanwhile, or we did before the answer was lost
		case rest.Code(err) == http.StatusUnprocessableEntity && rest.Says(err, "object does not exist"):
			return "", "", fmt.Errorf("%w: commit %.12s is not there", connector.ErrMoved, change.Base)
		case err != nil:
			return "", "", rest.ForgeError(err)
		}
		if present, err = f.tip(ctx, repo, change.Branch); err != nil {
			return "", "", err
		}
		if present == "" {
			return "", "", fmt.Errorf("%w: it was made and is not there", connector.ErrInDoubt)
		}
	}
	repository, err := git.Open(ctx, change.Repository)
	if err != nil {
		return "", "", err
	}
	defer repository.Close()
	ours, err := repository.Head(ctx, git.Remote{URL: change.Remote}, change.Branch, change.Commit)
	if err != nil {
		return "", "", err
	}
	if present == change.Base {
		commit, err = f.commit(ctx, repo, change, repository, change.Branch, present)
		return commit, "created", err
	}
	var former gitCommit
	if err := get(ctx, f.api, repo, "/repos/"+repo+"/git/commits/"+present, nil, &former); err != nil {
		return "", "", err
	}
	own := git.Trailer(former.Message, keyTrailer) == change.Key
	if !own {
		// A branch without commits of its own is the lock of a run that broke off.
		if own, err = f.empty(ctx, repo, change.Target, present); err != nil {
			return "", "", err
		}
	}
	switch {
	case !own:
		return present, "", fmt.Errorf("it stands at %.12s: %w; it was left as it is", present, connector.ErrForeign)
	case former.Tree.SHA == ours.Tree && len(former.Parents) == 1 && former.Parents[0].SHA == change.Base:
		return present, "unchanged", nil
	}
	commit, err = f.replace(ctx, repo, change, repository, present)
	return commit, "updated", err
}

// empty says whether a commit lies on the target branch already.
func (f forge) empty(ctx context.Context, repo, target, commit string) (bool, error) {
	var compared struct {
		AheadBy int `json:"ahead_by"`
	}
	err := get(ctx, f.api, repo, "/repos/"+repo+"/compare/"+target+"..."+commit, url.Values{"per_page": {"1"}}, &compared)
	return err == nil && compared.AheadBy == 0, err
}

// replace makes the change on a branch beside, and moves the change's branch there.
func (f forge) replace(ctx context.Context, repo string, change connector.Proposal, repository *git.Repository, present string) (string, error) {
	beside := change.Branch + "-next"
	at, err := f.tip(ctx, repo, beside)
	if err != nil {
		return "", err
	}
	switch {
	case at == "":
		err = f.send(ctx, repo, http.MethodPost, "/repos/"+repo+"/git/refs", map[string]string{"ref": "refs/heads/" + beside, "sha": change.Base}, nil)
	case at != change.Base:
		err = f.send(ctx, repo, http.MethodPatch, "/repos/"+repo+"/git/refs/heads/"+beside, map[string]any{"sha": change.Base, "force": true}, nil)
	}
	if err != nil {
		return "", rest.ForgeError(err)
	}
	commit, err := f.commit(ctx, repo, change, repository, beside, change.Base)
	if err != nil {
		return "", err
	}
	now, err := f.tip(ctx, repo, change.Branch)
	if err != nil {
		return "", err
	}
	if now != present {
		return now, fmt.Errorf("it moved to %.12s meanwhile: %w", now, connector.ErrForeign)
	}
	if err := f.send(ctx, repo, http.MethodPatch, "/repos/"+repo+"/git/refs/heads/"+change.Branch, map[string]any{"sha": commit, "force": true}, nil); err != nil {
		return "", rest.ForgeError(err)
	}
	err = f.send(ctx, repo, http.MethodDelete, "/repos/"+repo+"/git/refs/heads/"+beside, nil, nil)
	if rest.Code(err) == http.StatusUnprocessableEntity {
		err = nil // gone already
	}
	return commit, rest.ForgeError(err)
}

const commitMutation = `mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }`

// commit makes the change's commit on a branch that stands at a commit.
func (f forge) commit(ctx context.Context, repo string, change connector.Proposal, repository *git.Repository, branch, at string) (string, error) {
	files, err := repository.Changed(ctx, change.Base, change.Commit)
	if err != nil {
		return "", err
	}
	additions, deletions := []map[string]string{}, []map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == nil {
			deletions = append(deletions, map[string]string{"path": name})
			continue
		}
		additions = append(additions, map[string]string{"path": name, "contents": base64.StdEncoding.EncodeToString(files[name])})
	}
	var made struct {
		Create struct {
			Commit struct {
				OID string `json:"oid"`
			} `json:"commit"`
		} `json:"createCommitOnBranch"`
	}
	err = f.ask(ctx, repo, commitMutation, map[string]any{"input": map[string]any{
		"branch":          map[string]string{"repositoryNameWithOwner": repo, "branchName": branch},
		"message":         map[string]string{"headline": change.Title, "body": change.Body},
		"fileChanges":     map[string]any{"additions": additions, "deletions": deletions},
		"expectedHeadOid": at,
	}}, "", &made)
	if err == nil && made.Create.Commit.OID == "" {
		err = fmt.Errorf("%w: the answer names no commit", connector.ErrInDoubt)
	}
	return made.Create.Commit.OID, err
}

// find gives the newest pull request of a branch, the open one first.
func (f forge) find(ctx context.Context, repo, branch string) (found *pull, err error) {
	owner, _, _ := strings.Cut(repo, "/")
	err = pages(ctx, f.api, repo, "/repos/"+repo+"/pulls", url.Values{"head": {owner + ":" + branch}, "state": {"all"}, "sort": {"created"}, "direction": {"desc"}}, func(one pull) (bool, error) {
		if one.Head.Ref == branch && (found == nil || one.State == "open" && found.State != "open") {
			found = &one
		}
		return found == nil || found.State != "open", nil
	})
	return found, err
}

// pull opens the change's pull request, or brings the open one up to date.
func (f forge) pull(ctx context.Context, repo string, change connector.Proposal) (one pull, outcome string, err error) {
	found, err := f.find(ctx, repo, change.Branch)
	if err != nil {
		return one, "", err
	}
	if found == nil || found.State != "open" {
		err := f.send(ctx, repo, http.MethodPost, "/repos/"+repo+"/pulls", map[string]any{
			"title": change.Title, "body": change.Body, "head": change.Branch, "base": change.Target, "draft": change.Draft, "maintainer_can_modify": true,
		}, &one)
		if err == nil {
			return one, "created", nil
		}
		if rest.Code(err) != http.StatusUnprocessableEntity || !rest.Says(err, "already exists") {
			if change.Draft && rest.Code(err) == http.StatusUnprocessableEntity && rest.Says(err, "draft") {
				err = fmt.Errorf("the repository takes no drafts, and a change that is not proven is offered as nothing else: %w", err)
			}
			return one, "", rest.ForgeError(err)
		}
		if found, err = f.find(ctx, repo, change.Branch); err != nil {
			return one, "", err
		}
		if found == nil {
			return one, "", fmt.Errorf("%w: one exists that is not listed", connector.ErrInDoubt)
		}
	}
	if found.Draft != change.Draft {
		if err := f.draft(ctx, repo, found.NodeID, change.Draft); err != nil {
			return *found, "", err
		}
	}
	if found.Title == change.Title && found.Body == change.Body && found.Base.Ref == change.Target {
		return *found, "unchanged", nil
	}
	err = f.send(ctx, repo, http.MethodPatch, fmt.Sprintf("/repos/%s/pulls/%d", repo, found.Number), map[string]string{"title": change.Title, "body": change.Body, "base": change.Target}, &one)
	return one, "updated", rest.ForgeError(err)
}

const (
	readyMutation = `mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { number } } }`
	draftMutation = `mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { pullRequest { number } } }`
)

func (f forge) draft(ctx context.Context, repo, id string, draft bool) error {
	mutation := readyMutation
	if draft {
		mutation = draftMutation
	}
	return f.ask(ctx, repo, mutation, map[string]any{"id": id}, "", nil)
}

// dress puts labels and reviewers on a pull request. What GitHub does not take is a note:
// somebody may not be a collaborator.
func (f forge) dress(ctx context.Context, repo string, one pull, change connector.Proposal) (notes []string) {
	note := func(what string, err error) {
		if err != nil {
			notes = append(notes, what+": "+err.Error())
		}
	}
	if len(change.Labels) > 0 {
		note("labels", f.send(ctx, repo, http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/labels", repo, one.Number), map[string]any{"labels": change.Labels}, nil))
	}
	for _, reviewer := range change.Reviewers {
		body := map[string]any{"reviewers": []string{reviewer.Name}}
		if reviewer.Team {
			_, slug, _ := strings.Cut(reviewer.Name, "/")
			body = map[string]any{"team_reviewers": []string{slug}}
		}
		note("reviewer "+reviewer.Name, f.send(ctx, repo, http.MethodPost, fmt.Sprintf("/repos/%s/pulls/%d/requested_reviewers", repo, one.Number), body, nil))
	}
	return notes
}

// errNoPlace says that a comment has nowhere to go.
var errNoPlace = errors.New("there is no pull request to comment on")
