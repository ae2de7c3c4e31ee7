package gitea

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
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

// draftPrefix makes a pull request a draft, by the default of every server.
const draftPrefix = "WIP: "

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
	Number      int     `json:"number"`
	URL         string  `json:"html_url"`
	State       string  `json:"state"`
	Title       string  `json:"title"`
	Body        string  `json:"body"`
	Draft       bool    `json:"draft"`
	Mergeable   bool    `json:"mergeable"`
	Merged      bool    `json:"merged"`
	MergedAt    *string `json:"merged_at"`
	ClosedAt    *string `json:"closed_at"`
	MergeCommit *string `json:"merge_commit_sha"`
	MergedBy    *user   `json:"merged_by"`
	Head        end     `json:"head"`
	Base        end     `json:"base"`
}

// end is a side of a pull request. Ref of a head whose branch is gone is another name;
// Label stays the branch.
type end struct {
	Label  string `json:"label"`
	SHA    string `json:"sha"`
	Ref    string `json:"ref"`
	RepoID int64  `json:"repo_id"`
}

// Propose implements connector.Forge. The branch is the lock: it is made at the base by a
// request that fails when it is there. A later form is made on a branch beside and put in
// place at once, with the commit that it replaces named.
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
	receipt.Notes = f.dress(ctx, about, one, change)
	return receipt, nil
}

type commitAnswer struct {
	Commit struct {
		Message string `json:"message"`
		Author  struct {
			Name string `json:"name"`
		} `json:"author"`
	} `json:"commit"`
	Author  *user `json:"author"`
	Parents []struct {
		SHA string `json:"sha"`
	} `json:"parents"`
	Files []struct {
		Name string `json:"filename"`
	} `json:"files"`
}

// branch puts the change on its branch.
func (f forge) branch(ctx context.Context, repo string, change connector.Proposal) (commit, outcome string, err error) {
	present, err := f.tip(ctx, repo, change.Branch)
	if err != nil {
		return "", "", err
	}
	if present == "" {
		if present, err = f.start(ctx, repo, change.Branch, change.Base); err != nil {
			return "", "", err
		}
	}
	repository, err := git.Open(ctx, change.Repository)
	if err != nil {
		return "", "", err
	}
	defer repository.Close()
	files, err := repository.Changed(ctx, change.Base, change.Commit)
	if err != nil {
		return "", "", err
	}
	if present == change.Base {
		commit, err = f.commit(ctx, repo, change, repository, files, change.Branch)
		return commit, "created", err
	}
	var former commitAnswer
	if err := get(ctx, f.api, "/repos/"+repo+"/git/commits/"+present, url.Values{"stat": {"false"}, "verification": {"false"}}, &former); err != nil {
		return "", "", err
	}
	own := git.Trailer(former.Commit.Message, keyTrailer) == change.Key
	if !own {
		// A branch without commits of its own is the lock of a run that broke off.
		if own, err = f.empty(ctx, repo, change.Target, present); err != nil {
			return "", "", err
		}
	}
	if !own {
		return present, "", fmt.Errorf("it stands at %.12s: %w; it was left as it is", present, connector.ErrForeign)
	}
	if len(former.Parents) == 1 && former.Parents[0].SHA == change.Base {
		if same, err := f.same(ctx, repo, present, &former, files); err != nil {
			return present, "", err
		} else if same {
			return present, "unchanged", f.sweep(ctx, repo, change.Branch, present)
		}
	}
	commit, err = f.replace(ctx, repo, change, repository, files, present)
	return commit, "updated", err
}

// same says whether a commit changed these files to these contents. What the API calls the
// tree of a commit is the commit's own id, so that the files are compared one by one.
func (f forge) same(ctx context.Context, repo, id string, commit *commitAnswer, files map[string][]byte) (bool, error) {
	touched := map[string]bool{}
	for _, one := range commit.Files {
		touched[one.Name] = true
	}
	if len(touched) != len(files) {
		return false, nil
	}
	for name, content := range files {
		if !touched[name] {
			return false, nil
		}
		var there struct {
			SHA string `json:"sha"`
		}
		err := get(ctx, f.api, "/repos/"+repo+"/contents/"+name, url.Values{"ref": {id}}, &there)
		gone := rest.Code(err) == http.StatusNotFound
		switch {
		case err != nil && !gone:
			return false, err
		case gone != (content == nil), !gone && there.SHA != blob(content, len(id)):
			return false, nil
		}
	}
	return true, nil
}

// start makes a branch at a commit, or finds the one that somebody made meanwhile, or we
// did before the answer was lost; it tells where the branch stands.
func (f forge) start(ctx context.Context, repo, branch, at string) (string, error) {
	err := f.send(ctx, http.MethodPost, "/repos/"+repo+"/branches", map[string]string{"new_branch_name": branch, "old_ref_name": at}, nil)
	if err != nil && rest.Code(err) != http.StatusConflict {
		return "", f.lacking(ctx, repo, at, err)
	}
	present, err := f.tip(ctx, repo, branch)
	if err == nil && present == "" {
		err = fmt.Errorf("%w: it was made and is not there", connector.ErrInDoubt)
	}
	return present, err
}

// lacking says of a failure to make a branch that its commit is not there, which servers
// answer like any failure of their own.
func (f forge) lacking(ctx context.Context, repo, commit string, err error) error {
	if code := rest.Code(err); code != http.StatusNotFound && code < 500 {
		return forgeError(err)
	}
	var there commitAnswer
	look := get(ctx, f.api, "/repos/"+repo+"/git/commits/"+commit, url.Values{"stat": {"false"}, "files": {"false"}}, &there)
	if rest.Code(look) == http.StatusNotFound {
		return fmt.Errorf("%w: commit %.12s is not there", connector.ErrMoved, commit)
	}
	return forgeError(err)
}

// empty says whether a commit lies on the target branch already.
func (f forge) empty(ctx context.Context, repo, target, commit string) (bool, error) {
	var compared struct {
		Total int `json:"total_commits"`
	}
	err := get(ctx, f.api, "/repos/"+repo+"/compare/"+target+"..."+commit, nil, &compared)
	return err == nil && compared.Total == 0, err
}

// replace makes the change on a branch beside, and moves the change's branch there. The
// server moves it only while it stands where we saw it. A server that moves no branches
// takes the commit by a push with a lease instead.
func (f forge) replace(ctx context.Context, repo string, change connector.Proposal, repository *git.Repository, files map[string][]byte, present string) (string, error) {
	beside := change.Branch + besideSuffix
	// What an earlier run left there is nobody's work; it is made anew.
	if err := f.drop(ctx, repo, beside); err != nil {
		return "", err
	}
	at, err := f.start(ctx, repo, beside, change.Base)
	if err != nil {
		return "", err
	}
	if at != change.Base {
		return "", fmt.Errorf("%w: another run makes %s", connector.ErrInDoubt, beside)
	}
	commit, err := f.commit(ctx, repo, change, repository, files, beside)
	if err != nil {
		return "", err
	}
	err = f.send(ctx, http.MethodPut, "/repos/"+repo+"/branches/"+change.Branch, map[string]any{"new_commit_id": commit, "old_commit_id": present, "force": true}, nil)
	switch {
	case rest.Code(err) == http.StatusMethodNotAllowed:
		commit = change.Commit
		if err = repository.Push(ctx, f.remote(change.Remote), commit, change.Branch, present); errors.Is(err, git.ErrStale) {
			err = fmt.Errorf("it moved meanwhile: %w", connector.ErrForeign)
		}
	case rest.Code(err) == http.StatusUnprocessableEntity && rest.Says(err, "does not match"):
		err = fmt.Errorf("it moved meanwhile: %w", connector.ErrForeign)
	case err != nil:
		err = forgeError(err)
	}
	if err != nil {
		return "", err
	}
	return commit, f.drop(ctx, repo, beside)
}

// besideSuffix ends the name of the branch that a later form of a change is made on.
const besideSuffix = "-next"

// sweep removes the branch beside that a run left which broke off once it had moved the
// change's branch.
func (f forge) sweep(ctx context.Context, repo, branch, at string) error {
	left, err := f.tip(ctx, repo, branch+besideSuffix)
	if err != nil || left != at {
		return err
	}
	return f.drop(ctx, repo, branch+besideSuffix)
}

// drop removes a branch, wherever it stands.
func (f forge) drop(ctx context.Context, repo, branch string) error {
	err := f.send(ctx, http.MethodDelete, "/repos/"+repo+"/branches/"+branch, nil, nil)
	if rest.Code(err) == http.StatusNotFound {
		return nil
	}
	return forgeError(err)
}

// commit makes the change's commit on a branch that stands at the base. The server
// compares every former content, so that a second commit of the same change is refused.
func (f forge) commit(ctx context.Context, repo string, change connector.Proposal, repository *git.Repository, files map[string][]byte, branch string) (string, error) {
	before := repository.Tree(change.Base)
	operations := []map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		operation := map[string]string{"path": name, "operation": "create"}
		former, err := before.Read(ctx, name)
		switch {
		case err == nil:
			operation["operation"], operation["sha"] = "update", blob(former, len(change.Base))
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		if files[name] == nil {
			operation["operation"] = "delete"
		} else {
			operation["content"] = base64.StdEncoding.EncodeToString(files[name])
		}
		operations = append(operations, operation)
	}
	var made struct {
		Commit struct {
			SHA string `json:"sha"`
		} `json:"commit"`
	}
	err := f.send(ctx, http.MethodPost, "/repos/"+repo+"/contents", map[string]any{
		"branch": branch, "new_branch": branch, "message": change.Title + "\n\n" + change.Body, "files": operations,
	}, &made)
	switch code := rest.Code(err); {
	case err == nil && made.Commit.SHA == "":
		return "", fmt.Errorf("%w: the answer names no commit", connector.ErrInDoubt)
	case code == http.StatusUnprocessableEntity && (rest.Says(err, "sha does not match") || rest.Says(err, "already exists")):
		return "", fmt.Errorf("%w: %s holds other contents meanwhile: %w", connector.ErrMoved, branch, err)
	}
	return made.Commit.SHA, forgeError(err)
}

// blob is the id that git gives a content, by the length of the repository's ids.
func blob(content []byte, length int) string {
	sum := sha1.New()
	if length == 2*sha256.Size {
		sum = sha256.New()
	}
	fmt.Fprintf(sum, "blob %d\x00", len(content))
	sum.Write(content)
	return hex.EncodeToString(sum.Sum(nil))
}

// find gives the newest pull request of a branch of the repository itself, the open one
// first. A server lists pull requests by their target only: it is asked for the pair
// first, and its list is read only where there is a closed one.
func (f forge) find(ctx context.Context, repo, branch, target string) (found *pull, err error) {
	ours := func(one pull) bool {
		return (one.Head.Ref == branch || one.Head.Label == branch) && one.Head.RepoID == one.Base.RepoID
	}
	if !strings.Contains(target, "/") {
		var pair pull
		err := get(ctx, f.api, "/repos/"+repo+"/pulls/"+target+"/"+branch, nil, &pair)
		switch {
		case rest.Code(err) == http.StatusNotFound:
			return nil, nil
		case err != nil:
			return nil, err
		case pair.State == "open":
			return &pair, nil
		}
	}
	err = pages(ctx, f.api, "/repos/"+repo+"/pulls", url.Values{"state": {"all"}, "base_branch": {target}}, func(one pull) (bool, error) {
		if ours(one) && (found == nil || one.State == "open" && found.State != "open") {
			found = &one
		}
		return found == nil, nil // newest first, and at most one is open
	})
	return found, err
}

// pull opens the change's pull request, or brings the open one up to date.
func (f forge) pull(ctx context.Context, repo string, change connector.Proposal) (one pull, outcome string, err error) {
	found, err := f.find(ctx, repo, change.Branch, change.Target)
	if err != nil {
		return one, "", err
	}
	title := change.Title
	if change.Draft {
		title = draftPrefix + title
	}
	if found == nil || found.State != "open" {
		err := f.send(ctx, http.MethodPost, "/repos/"+repo+"/pulls", map[string]any{"title": title, "body": change.Body, "head": change.Branch, "base": change.Target}, &one)
		if err == nil {
			return one, "created", nil
		}
		if rest.Code(err) != http.StatusConflict {
			return one, "", forgeError(err)
		}
		if found, err = f.find(ctx, repo, change.Branch, change.Target); err != nil {
			return one, "", err
		}
		if found == nil {
			return one, "", fmt.Errorf("%w: one exists that is not listed", connector.ErrInDoubt)
		}
	}
	if found.Title == title && found.Body == change.Body {
		return *found, "unchanged", nil
	}
	err = f.send(ctx, http.MethodPatch, fmt.Sprintf("/repos/%s/pulls/%d", repo, found.Number), map[string]string{"title": title, "body": change.Body}, &one)
	return one, "updated", forgeError(err)
}

// dress puts labels and reviewers on a pull request. What the server does not take is a
// note: somebody may not be known there.
func (f forge) dress(ctx context.Context, about repository, one pull, change connector.Proposal) (notes []string) {
	note := func(what string, err error) {
		if err != nil {
			notes = append(notes, what+": "+err.Error())
		}
	}
	if len(change.Labels) > 0 {
		note("labels", f.label(ctx, about, one.Number, change.Labels))
	}
	for _, reviewer := range change.Reviewers {
		body := map[string]any{"reviewers": []string{reviewer.Name}}
		if reviewer.Team {
			_, team, _ := strings.Cut(reviewer.Name, "/")
			body = map[string]any{"team_reviewers": []string{team}}
		}
		note("reviewer "+reviewer.Name, f.send(ctx, http.MethodPost, fmt.Sprintf("/repos/%s/pulls/%d/requested_reviewers", about.FullName, one.Number), body, nil))
	}
	return notes
}

// errNoPlace says that a comment has nowhere to go.
var errNoPlace = errors.New("there is no pull request to comment on")
