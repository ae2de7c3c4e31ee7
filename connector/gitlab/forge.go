package gitlab

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
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// keyTrailer carries a change's key in its commits and in its merge request.
const keyTrailer = "Backstitch-Key"

// draftPrefix makes a merge request a draft.
const draftPrefix = "Draft: "

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

// named gives the full path of a remote's project.
func (f forge) named(remote string) (string, error) {
	path, ok := f.repository(remote)
	if !ok {
		return "", fmt.Errorf("%w: expected a project of %s", connector.ErrGone, f.web)
	}
	return path, nil
}

// request is a merge request as listings and single answers give it.
type request struct {
	IID         int      `json:"iid"`
	URL         string   `json:"web_url"`
	State       string   `json:"state"` // opened, closed, locked, merged
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Draft       bool     `json:"draft"`
	Source      string   `json:"source_branch"`
	Target      string   `json:"target_branch"`
	From        int64    `json:"source_project_id"`
	To          int64    `json:"target_project_id"`
	SHA         string   `json:"sha"`
	Labels      []string `json:"labels"`
	Reviewers   []user   `json:"reviewers"`
	Conflicts   bool     `json:"has_conflicts"`
	Status      string   `json:"detailed_merge_status"`
	MergeCommit *string  `json:"merge_commit_sha"`
	Squash      *string  `json:"squash_commit_sha"`
	MergedAt    *string  `json:"merged_at"`
	ClosedAt    *string  `json:"closed_at"`
	MergeUser   *user    `json:"merge_user"`
	ClosedBy    *user    `json:"closed_by"`
}

// open says whether a merge request still may be merged; one that is being merged is
// locked.
func (r *request) open() bool { return r.State == "opened" || r.State == "locked" }

// Propose implements connector.Forge. The branch is the lock: one request makes it with
// its commit, and fails when it is there. A later form replaces it by one request, too.
func (f forge) Propose(ctx context.Context, change connector.Proposal) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + change.Branch}
	path, err := f.named(change.Remote)
	if err != nil {
		return receipt, err
	}
	about, err := f.about(ctx, path)
	if err != nil {
		return receipt, err
	}
	if change.Target == "" {
		change.Target = about.DefaultBranch
	}
	receipt.Commit, receipt.Outcome, err = f.branch(ctx, path, change)
	if err != nil {
		return receipt, fmt.Errorf("branch %s of %s: %w", change.Branch, path, err)
	}
	one, made, err := f.request(ctx, path, change)
	if err != nil {
		return receipt, fmt.Errorf("merge request for %s of %s: %w", change.Branch, path, err)
	}
	receipt.URL, receipt.Number = one.URL, one.IID
	if made == "created" || made == "updated" && receipt.Outcome == "unchanged" {
		receipt.Outcome = made
	}
	receipt.Notes = f.dress(ctx, path, one, change)
	return receipt, nil
}

type commitAnswer struct {
	ID      string   `json:"id"`
	Message string   `json:"message"`
	Author  string   `json:"author_name"`
	Parents []string `json:"parent_ids"`
}

// branch puts the change on its branch.
func (f forge) branch(ctx context.Context, path string, change connector.Proposal) (commit, outcome string, err error) {
	repository, err := git.Open(ctx, change.Repository)
	if err != nil {
		return "", "", err
	}
	defer repository.Close()
	files, err := repository.Changed(ctx, change.Base, change.Commit)
	if err != nil {
		return "", "", err
	}
	present, err := f.tip(ctx, path, change.Branch)
	if err != nil {
		return "", "", err
	}
	if present == "" {
		commit, err := f.commit(ctx, path, change, repository, files, false)
		if err == nil || rest.Code(err) != http.StatusBadRequest || !rest.Says(err, "already exists") {
			return commit, "created", f.lacking(ctx, path, change.Base, err)
		}
		// Somebody made the branch meanwhile, or we did before the answer was lost; or a
		// file is there which the base lacks, and that is said below.
		taken := err
		if present, err = f.tip(ctx, path, change.Branch); err != nil {
			return "", "", err
		}
		if present == "" {
			return "", "", forgeError(taken)
		}
	}
	var former commitAnswer
	if err := get(ctx, f.api, project(path)+"/repository/commits/"+present, url.Values{"stats": {"false"}}, &former); err != nil {
		return "", "", err
	}
	own := git.Trailer(former.Message, keyTrailer) == change.Key
	if !own {
		// A branch without commits of its own holds nobody's work.
		if own, err = f.empty(ctx, path, change.Target, present); err != nil {
			return "", "", err
		}
	}
	if !own {
		return present, "", fmt.Errorf("it stands at %.12s: %w; it was left as it is", present, connector.ErrForeign)
	}
	if slices.Equal(former.Parents, []string{change.Base}) {
		if same, err := f.same(ctx, path, change.Base, present, files); err != nil || same {
			return present, "unchanged", err
		}
	}
	now, err := f.tip(ctx, path, change.Branch)
	if err == nil && now != present {
		err = fmt.Errorf("it moved to %.12s meanwhile: %w; it was left as it is", now, connector.ErrForeign)
	}
	if err != nil {
		return now, "", err
	}
	commit, err = f.commit(ctx, path, change, repository, files, true)
	return commit, "updated", f.lacking(ctx, path, change.Base, err)
}

// lacking says of a commit that was refused that its base is not there, if that is why.
func (f forge) lacking(ctx context.Context, path, base string, err error) error {
	if rest.Code(err) == http.StatusBadRequest || rest.Code(err) == http.StatusNotFound {
		var there commitAnswer
		look := get(ctx, f.api, project(path)+"/repository/commits/"+base, url.Values{"stats": {"false"}}, &there)
		if rest.Code(look) == http.StatusNotFound {
			return fmt.Errorf("%w: commit %.12s is not there", connector.ErrMoved, base)
		}
	}
	return forgeError(err)
}

type comparison struct {
	Commits []struct {
		ID string `json:"id"`
	} `json:"commits"`
	Diffs []struct {
		Old string `json:"old_path"`
		New string `json:"new_path"`
	} `json:"diffs"`
}

// empty says whether a commit lies on the target branch already.
func (f forge) empty(ctx context.Context, path, target, commit string) (bool, error) {
	var compared comparison
	err := get(ctx, f.api, project(path)+"/repository/compare", url.Values{"from": {target}, "to": {commit}}, &compared)
	return err == nil && len(compared.Commits) == 0, err
}

// same says whether a commit differs from the base by these files, in these contents. The
// API does not tell trees, so that the files are compared one by one. Of more files than
// it lists the answer is no, and the commit is made anew.
func (f forge) same(ctx context.Context, path, base, commit string, files map[string][]byte) (bool, error) {
	var compared comparison
	if err := get(ctx, f.api, project(path)+"/repository/compare", url.Values{"from": {base}, "to": {commit}, "straight": {"true"}}, &compared); err != nil {
		return false, err
	}
	touched := map[string]bool{}
	for _, one := range compared.Diffs {
		touched[one.Old], touched[one.New] = true, true
	}
	if len(touched) != len(files) {
		return false, nil
	}
	for name, content := range files {
		if !touched[name] {
			return false, nil
		}
		var there struct {
			Blob string `json:"blob_id"`
		}
		err := get(ctx, f.api, project(path)+"/repository/files/"+url.PathEscape(name), url.Values{"ref": {commit}}, &there)
		gone := rest.Code(err) == http.StatusNotFound
		switch {
		case err != nil && !gone:
			return false, err
		case gone != (content == nil), !gone && there.Blob != blob(content, len(base)):
			return false, nil
		}
	}
	return true, nil
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

// commit makes the change's branch with its commit, on the base. Without force it fails
// where the branch is there.
func (f forge) commit(ctx context.Context, path string, change connector.Proposal, repository *git.Repository, files map[string][]byte, force bool) (string, error) {
	before := repository.Tree(change.Base)
	actions := []map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == nil {
			actions = append(actions, map[string]string{"action": "delete", "file_path": name})
			continue
		}
		action := "update"
		if _, err := before.Read(ctx, name); errors.Is(err, fs.ErrNotExist) {
			action = "create"
		} else if err != nil {
			return "", err
		}
		actions = append(actions, map[string]string{"action": action, "file_path": name, "encoding": "base64", "content": base64.StdEncoding.EncodeToString(files[name])})
	}
	body := map[string]any{"branch": change.Branch, "start_sha": change.Base, "commit_message": change.Title + "\n\n" + change.Body, "actions": actions, "stats": false}
	if force {
		body["force"] = true
	}
	var made commitAnswer
	err := f.send(ctx, http.MethodPost, project(path)+"/repository/commits", body, &made)
	if err == nil && made.ID == "" {
		err = fmt.Errorf("%w: the answer names no commit", connector.ErrInDoubt)
	}
	return made.ID, err
}

// find gives the newest merge request of a branch of the project itself, the open one
// first.
func (f forge) find(ctx context.Context, path, branch string) (found *request, err error) {
	err = pages(ctx, f.api, project(path)+"/merge_requests", url.Values{"source_branch": {branch}, "state": {"all"}, "order_by": {"created_at"}, "sort": {"desc"}}, func(one request) (bool, error) {
		if one.Source == branch && one.From == one.To && (found == nil || one.open() && !found.open()) {
			found = &one
		}
		return found == nil || !found.open(), nil
	})
	return found, err
}

// quickAction is a line that GitLab would carry out, and take out of the text.
var quickAction = regexp.MustCompile(`(?m)^([ \t]*)/([A-Za-z_]+(?:[ \t]|$))`)

// plain keeps a text from commanding GitLab: it holds words of reports and repositories,
// and a line such as /close would be done in our name. GitLab drops carriage returns
// before it looks, and space at both ends when it stores.
func plain(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r", ""))
	return quickAction.ReplaceAllString(text, `${1}\/${2}`)
}

// request opens the change's merge request, or brings the open one up to date.
func (f forge) request(ctx context.Context, path string, change connector.Proposal) (one request, outcome string, err error) {
	found, err := f.find(ctx, path, change.Branch)
	if err != nil {
		return one, "", err
	}
	title, description := change.Title, plain(change.Body)
	if change.Draft {
		title = draftPrefix + title
	}
	if found == nil || !found.open() {
		err := f.send(ctx, http.MethodPost, project(path)+"/merge_requests", map[string]any{
			"source_branch": change.Branch, "target_branch": change.Target, "title": title, "description": description, "labels": strings.Join(change.Labels, ","), "remove_source_branch": true,
		}, &one)
		if err == nil {
			return one, "created", nil
		}
		if rest.Code(err) != http.StatusConflict {
			return one, "", forgeError(err)
		}
		if found, err = f.find(ctx, path, change.Branch); err != nil {
			return one, "", err
		}
		if found == nil || !found.open() {
			return one, "", fmt.Errorf("%w: one exists that is not listed", connector.ErrInDoubt)
		}
	}
	if found.Title == title && found.Description == description && found.Target == change.Target {
		return *found, "unchanged", nil
	}
	err = f.send(ctx, http.MethodPut, fmt.Sprintf("%s/merge_requests/%d", project(path), found.IID), map[string]string{"title": title, "description": description, "target_branch": change.Target}, &one)
	return one, "updated", forgeError(err)
}

// dress puts labels and reviewers on a merge request, beside those that are there. What
// GitLab does not take is a note: somebody may not be a member. It asks no groups for
// reviews, and one person only where its edition says so.
func (f forge) dress(ctx context.Context, path string, one request, change connector.Proposal) (notes []string) {
	at := fmt.Sprintf("%s/merge_requests/%d", project(path), one.IID)
	missing := slices.DeleteFunc(slices.Clone(change.Labels), func(label string) bool { return slices.Contains(one.Labels, label) })
	if len(missing) > 0 {
		if err := forgeError(f.send(ctx, http.MethodPut, at, map[string]string{"add_labels": strings.Join(missing, ",")}, nil)); err != nil {
			notes = append(notes, "labels: "+err.Error())
		}
	}
	ids := []int64{}
	for _, reviewer := range one.Reviewers {
		ids = append(ids, reviewer.ID)
	}
	var asked []user
	for _, reviewer := range change.Reviewers {
		if reviewer.Team {
			notes = append(notes, "reviewer "+reviewer.Name+": GitLab asks no groups for reviews")
			continue
		}
		if slices.ContainsFunc(one.Reviewers, func(u user) bool { return strings.EqualFold(u.Username, reviewer.Name) }) {
			continue
		}
		found, err := f.who(ctx, reviewer.Name)
		switch {
		case err != nil:
			notes = append(notes, "reviewer "+reviewer.Name+": "+err.Error())
		case found == nil:
			notes = append(notes, "reviewer "+reviewer.Name+": there is no such user")
		default:
			ids, asked = append(ids, found.ID), append(asked, *found)
		}
	}
	if len(asked) == 0 {
		return notes
	}
	var now request
	err := forgeError(f.send(ctx, http.MethodPut, at, map[string]any{"reviewer_ids": ids}, &now))
	for _, reviewer := range asked {
		switch {
		case err != nil:
			notes = append(notes, "reviewer "+reviewer.Username+": "+err.Error())
		case !slices.ContainsFunc(now.Reviewers, func(u user) bool { return u.ID == reviewer.ID }):
			notes = append(notes, "reviewer "+reviewer.Username+": GitLab did not take it, because it is no member or asks no second one")
		}
	}
	return notes
}

// errNoPlace says that a comment has nowhere to go.
var errNoPlace = errors.New("there is no merge request to comment on")
