package azuredevops

import (
	"cmp"
	"context"
	"encoding/base64"
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

// absent is the id of no object: a ref that is not there, or is to go.
const absent = "0000000000000000000000000000000000000000"

// maxDescription is how many characters the text of a pull request may have.
const maxDescription = 4000

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

// named gives the repository of a remote.
func (f forge) named(remote string) (place, error) {
	at, ok := f.repository(remote)
	if !ok {
		return at, fmt.Errorf("%w: expected a repository of %s", connector.ErrGone, f.base.Host)
	}
	return at, nil
}

type identity struct {
	ID          string `json:"id"`
	Name        string `json:"displayName"`
	UniqueName  string `json:"uniqueName"`
	IsContainer bool   `json:"isContainer"`
}

func (i *identity) login() string {
	if i == nil {
		return ""
	}
	return cmp.Or(i.UniqueName, i.Name, i.ID)
}

type commit struct {
	ID        string   `json:"commitId"`
	Tree      string   `json:"treeId"`
	Comment   string   `json:"comment"`
	Truncated bool     `json:"commentTruncated"`
	Parents   []string `json:"parents"`
	Author    struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	} `json:"author"`
}

// pull is a pull request.
type pull struct {
	ID          int        `json:"pullRequestId"`
	Status      string     `json:"status"` // active, completed, abandoned
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Draft       bool       `json:"isDraft"`
	Source      string     `json:"sourceRefName"`
	Target      string     `json:"targetRefName"`
	MergeStatus string     `json:"mergeStatus"`
	Head        *commit    `json:"lastMergeSourceCommit"`
	Tip         *commit    `json:"lastMergeTargetCommit"`
	Merge       *commit    `json:"lastMergeCommit"`
	ClosedBy    *identity  `json:"closedBy"`
	ClosedDate  string     `json:"closedDate"`
	Reviewers   []identity `json:"reviewers"`
	Labels      []struct {
		Name string `json:"name"`
	} `json:"labels"`
	ForkSource *struct {
		Name string `json:"name"`
	} `json:"forkSource"`
}

type repository struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	DefaultBranch string `json:"defaultBranch"`
	Disabled      bool   `json:"isDisabled"`
	Fork          bool   `json:"isFork"`
	Project       struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"project"`
}

func (r *repository) main() string { return branchOf(r.DefaultBranch) }

func branchOf(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }

// Propose implements connector.Forge. One push makes the branch with its commit, and fails
// when the branch is there and does not stand at the base. A later form is pushed to a
// branch beside, and the change's branch is moved there provided that it still stands where
// it was looked at.
func (f forge) Propose(ctx context.Context, change connector.Proposal) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + change.Branch}
	at, err := f.named(change.Remote)
	if err != nil {
		return receipt, err
	}
	about, err := f.about(ctx, at)
	if err != nil {
		return receipt, err
	}
	if change.Target == "" {
		change.Target = about.main()
	}
	receipt.Commit, receipt.Outcome, err = f.branch(ctx, at, change)
	if err != nil {
		return receipt, fmt.Errorf("branch %s of %s: %w", change.Branch, at, err)
	}
	one, made, err := f.pull(ctx, at, change)
	if err != nil {
		return receipt, fmt.Errorf("pull request for %s of %s: %w", change.Branch, at, err)
	}
	receipt.URL, receipt.Number = f.pullPage(at, one.ID), one.ID
	if made == "created" || made == "updated" && receipt.Outcome == "unchanged" {
		receipt.Outcome = made
	}
	receipt.Notes = f.dress(ctx, at, one, change)
	return receipt, nil
}

func (f forge) pullPage(at place, number int) string {
	return f.page(at, fmt.Sprintf("/pullrequest/%d", number))
}

// about reads the repository and says why it takes no change of ours.
func (f forge) about(ctx context.Context, at place) (about repository, err error) {
	if err := get(ctx, f.api, at.git(), nil, &about); err != nil {
		return about, err
	}
	if about.Disabled {
		return about, fmt.Errorf("%s: %w", at, connector.ErrArchived)
	}
	return about, nil
}

// tips gives the commits at a branch and at others whose names begin with its name.
func (f forge) tips(ctx context.Context, at place, branch string) (map[string]string, error) {
	var list listed[struct {
		Name string `json:"name"`
		ID   string `json:"objectId"`
	}]
	if err := get(ctx, f.api, at.git()+"/refs", url.Values{"filter": {"heads/" + branch}}, &list); err != nil {
		return nil, err
	}
	tips := map[string]string{}
	for _, ref := range list.Value {
		tips[branchOf(ref.Name)] = ref.ID
	}
	return tips, nil
}

func (f forge) commit(ctx context.Context, at place, id string) (one commit, err error) {
	if !isCommit(id) {
		return one, fmt.Errorf("commit %q: expected a full id", id)
	}
	err = get(ctx, f.api, at.git()+"/commits/"+id, nil, &one)
	return one, err
}

func besides(branch string) string { return branch + "-next" }

// branch puts the change on its branch.
func (f forge) branch(ctx context.Context, at place, change connector.Proposal) (id, outcome string, err error) {
	local, err := git.Open(ctx, change.Repository)
	if err != nil {
		return "", "", err
	}
	defer local.Close()
	ours, err := local.Head(ctx, git.Remote{URL: change.Remote}, change.Branch, change.Commit)
	if err != nil {
		return "", "", err
	}
	for again := false; ; again = true {
		tips, err := f.tips(ctx, at, change.Branch)
		if err != nil {
			return "", "", err
		}
		present := tips[change.Branch]
		if present == "" || present == change.Base {
			id, err := f.push(ctx, at, change, local, change.Branch)
			if errors.Is(err, connector.ErrMoved) && !again {
				continue // somebody made it meanwhile, perhaps a run of ours
			}
			return id, "created", err
		}
		former, err := f.commit(ctx, at, present)
		if err != nil {
			return "", "", err
		}
		same := func(c commit) bool {
			return git.Trailer(c.Comment, keyTrailer) == change.Key && c.Tree == ours.Tree && len(c.Parents) == 1 && c.Parents[0] == change.Base
		}
		if git.Trailer(former.Comment, keyTrailer) != change.Key {
			return present, "", fmt.Errorf("it stands at %.12s: %w; it was left as it is", present, connector.ErrForeign)
		}
		next := tips[besides(change.Branch)]
		if same(former) {
			return present, "unchanged", f.sweep(ctx, at, change, next)
		}
		if next != "" { // what a run that broke off left
			beside, err := f.commit(ctx, at, next)
			if err != nil {
				return "", "", err
			}
			if !same(beside) {
				if err := f.sweep(ctx, at, change, next); err != nil {
					return "", "", err
				}
				next = ""
			}
		}
		if next == "" {
			if next, err = f.push(ctx, at, change, local, besides(change.Branch)); err != nil {
				return "", "", err
			}
		}
		if err := f.move(ctx, at, change.Branch, present, next); err != nil {
			if errors.Is(err, errStale) {
				err = fmt.Errorf("it left %.12s meanwhile: %w", present, connector.ErrForeign)
			}
			return present, "", err
		}
		return next, "updated", f.sweep(ctx, at, change, next)
	}
}

// sweep removes the branch beside, as long as it stands at a commit of the change.
func (f forge) sweep(ctx context.Context, at place, change connector.Proposal, tip string) error {
	if tip == "" {
		return nil
	}
	one, err := f.commit(ctx, at, tip)
	if err != nil {
		return err
	}
	name := besides(change.Branch)
	if git.Trailer(one.Comment, keyTrailer) != change.Key {
		return fmt.Errorf("branch %s: %w; it was left as it is", name, connector.ErrForeign)
	}
	if err := f.move(ctx, at, name, tip, absent); !errors.Is(err, errStale) {
		return err
	}
	return nil // moved or gone by another run
}

// push makes the change's commit on its base, with a branch that is absent or stands there.
func (f forge) push(ctx context.Context, at place, change connector.Proposal, local *git.Repository, branch string) (string, error) {
	files, err := local.Changed(ctx, change.Base, change.Commit)
	if err != nil {
		return "", err
	}
	links, err := local.Links(ctx, change.Base)
	if err != nil {
		return "", err
	}
	tree := local.Tree(change.Base)
	changes := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		one := map[string]any{"changeType": "edit", "item": map[string]string{"path": "/" + name}}
		changes = append(changes, one)
		if files[name] == nil {
			one["changeType"] = "delete"
			continue
		}
		one["newContent"] = map[string]string{"content": base64.StdEncoding.EncodeToString(files[name]), "contentType": "base64encoded"}
		_, err := tree.Read(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !slices.Contains(links, name):
			one["changeType"] = "add"
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	var made struct {
		Commits []commit `json:"commits"`
	}
	err = f.send(ctx, http.MethodPost, at.git()+"/pushes", map[string]any{
		"refUpdates": []map[string]string{{"name": "refs/heads/" + branch, "oldObjectId": change.Base}},
		"commits":    []map[string]any{{"comment": change.Title + "\n\n" + change.Body, "changes": changes}},
	}, &made)
	if err == nil && (len(made.Commits) != 1 || !isCommit(made.Commits[0].ID)) {
		err = fmt.Errorf("%w: the answer names no commit", connector.ErrInDoubt)
	}
	if err != nil {
		return "", err
	}
	return made.Commits[0].ID, nil
}

// errStale says that a branch was not where a move expected it.
var errStale = fmt.Errorf("%w: the branch is elsewhere", connector.ErrMoved)

// move puts a branch from one commit to another; absent makes or removes it.
func (f forge) move(ctx context.Context, at place, branch, from, to string) error {
	var list listed[struct {
		Success bool   `json:"success"`
		Status  string `json:"updateStatus"`
		Message string `json:"customMessage"`
	}]
	err := f.send(ctx, http.MethodPost, at.git()+"/refs", []map[string]string{{"name": "refs/heads/" + branch, "oldObjectId": from, "newObjectId": to}}, &list)
	switch {
	case err != nil:
		return err
	case len(list.Value) != 1:
		return fmt.Errorf("%w: the answer does not tell of branch %s", connector.ErrInDoubt, branch)
	case list.Value[0].Success:
		return nil
	}
	reason := connector.ErrRefused
	switch one := list.Value[0]; one.Status {
	case "staleOldObjectId":
		return errStale
	case "forcePushRequired", "writePermissionRequired", "createBranchPermissionRequired":
		reason = connector.ErrRights
	case "rejectedByPolicy", "rejectedByPlugin", "locked":
		reason = connector.ErrProtected
	case "unresolvableToCommit":
		reason = connector.ErrMoved
	}
	return fmt.Errorf("move branch %s: %w: %.60q %.200q", branch, reason, list.Value[0].Status, list.Value[0].Message)
}

// find gives the newest pull request of a branch, the active one first.
func (f forge) find(ctx context.Context, at place, branch string) (found *pull, err error) {
	query := url.Values{"searchCriteria.sourceRefName": {"refs/heads/" + branch}, "searchCriteria.status": {"all"}}
	err = pages(ctx, f.api, at.git()+"/pullrequests", query, func(one pull) (bool, error) {
		if branchOf(one.Source) != branch || one.ForkSource != nil {
			return true, nil
		}
		if found == nil || one.Status == "active" && found.Status != "active" || found.Status != "active" && one.ID > found.ID {
			found = &one
		}
		return found.Status != "active", nil
	})
	return found, err
}

// fitting shortens a text to what a pull request takes: its last paragraph, which holds the
// trailers, stays.
func fitting(text string) string {
	text = strings.TrimRight(text, "\n")
	runes := []rune(text)
	if len(runes) <= maxDescription {
		return text
	}
	tail := ""
	if at := strings.LastIndex(text, "\n\n"); at >= 0 {
		tail = text[at:]
	}
	const cut = "\n\n(shortened)"
	room := maxDescription - len([]rune(tail)) - len(cut)
	if room < 0 {
		return string(runes[:maxDescription])
	}
	return string(runes[:room]) + cut + tail
}

// pull opens the change's pull request, or brings the active one up to date.
func (f forge) pull(ctx context.Context, at place, change connector.Proposal) (one pull, outcome string, err error) {
	found, err := f.find(ctx, at, change.Branch)
	if err != nil {
		return one, "", err
	}
	text := fitting(change.Body)
	if found == nil || found.Status != "active" {
		labels := []map[string]string{}
		for _, name := range change.Labels {
			labels = append(labels, map[string]string{"name": name})
		}
		err := f.send(ctx, http.MethodPost, at.git()+"/pullrequests", map[string]any{
			"sourceRefName": "refs/heads/" + change.Branch, "targetRefName": "refs/heads/" + change.Target, "title": change.Title, "description": text, "isDraft": change.Draft, "labels": labels,
		}, &one)
		if err == nil || rest.Code(err) != http.StatusConflict || !rest.Says(err, "already exists") {
			return one, "created", err
		}
		if found, err = f.find(ctx, at, change.Branch); err != nil {
			return one, "", err
		}
		if found == nil || found.Status != "active" {
			return one, "", fmt.Errorf("%w: one exists that is not listed", connector.ErrInDoubt)
		}
	}
	// Listings cut descriptions at 400 characters.
	if err := get(ctx, f.api, fmt.Sprintf("%s/pullrequests/%d", at.git(), found.ID), nil, &one); err != nil {
		return one, "", err
	}
	body := map[string]any{}
	if one.Title != change.Title {
		body["title"] = change.Title
	}
	if strings.TrimRight(one.Description, "\n") != text {
		body["description"] = text
	}
	if branchOf(one.Target) != change.Target {
		body["targetRefName"] = "refs/heads/" + change.Target
	}
	if one.Draft != change.Draft {
		body["isDraft"] = change.Draft
	}
	if len(body) == 0 {
		return one, "unchanged", nil
	}
	err = f.send(ctx, http.MethodPatch, fmt.Sprintf("%s/pullrequests/%d", at.git(), found.ID), body, &one)
	return one, "updated", err
}

// dress puts labels and reviewers on a pull request. What is not taken is a note. A
// reviewer who is there already is left, since a request would take the vote back.
func (f forge) dress(ctx context.Context, at place, one pull, change connector.Proposal) (notes []string) {
	note := func(what string, err error) {
		if err != nil {
			notes = append(notes, what+": "+err.Error())
		}
	}
	for _, name := range change.Labels {
		has := false
		for _, label := range one.Labels {
			has = has || strings.EqualFold(label.Name, name)
		}
		if !has {
			note("label "+name, f.send(ctx, http.MethodPost, fmt.Sprintf("%s/pullRequests/%d/labels", at.git(), one.ID), map[string]string{"name": name}, nil))
		}
	}
	for _, reviewer := range change.Reviewers {
		id, err := f.identity(ctx, at, reviewer)
		if err == nil && !slices.ContainsFunc(one.Reviewers, func(r identity) bool { return strings.EqualFold(r.ID, id) }) {
			err = f.send(ctx, http.MethodPut, fmt.Sprintf("%s/pullRequests/%d/reviewers/%s", at.git(), one.ID, id), map[string]any{"vote": 0, "isRequired": false}, nil)
		}
		note("reviewer "+reviewer.Name, err)
	}
	return notes
}

var errNobody = errors.New("nobody, or more than one, is known by this name")

// identity gives the id of a person or team.
func (f forge) identity(ctx context.Context, at place, who connector.Reviewer) (id string, err error) {
	if who.Team {
		name := who.Name[strings.LastIndexAny(who.Name, `/\`)+1:]
		var team identity
		if !isName(name) {
			return "", errNobody
		}
		err = get(ctx, f.api, "/"+at.organization+"/_apis/projects/"+at.project+"/teams/"+name, nil, &team)
		id = team.ID
	} else {
		type property struct {
			Value any `json:"$value"`
		}
		var list listed[struct {
			ID         string `json:"id"`
			Active     bool   `json:"isActive"`
			Properties struct {
				Account property `json:"Account"`
				Mail    property `json:"Mail"`
			} `json:"properties"`
		}]
		way := rest.Below(f.identities, "/"+at.organization+"/_apis/identities", versioned(url.Values{"searchFilter": {"General"}, "filterValue": {who.Name}}, version))
		err = failed(rest.Get(ctx, f.client, way, f.header(), &list))
		for _, one := range list.Value {
			exact := false
			for _, said := range []property{one.Properties.Account, one.Properties.Mail} {
				text, _ := said.Value.(string)
				exact = exact || strings.EqualFold(text, who.Name)
			}
			switch {
			case !one.Active || !exact && len(list.Value) > 1 || id == one.ID:
			case id != "":
				return "", errNobody
			default:
				id = one.ID
			}
		}
	}
	if err == nil && !isName(id) {
		err = errNobody
	}
	return id, err
}
