package bitbucket

import (
	"cmp"
	"context"
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

const (
	// keyTrailer carries a change's key in its commits and in its pull request.
	keyTrailer = "Backstitch-Key"
	// treeTrailer carries the tree of the change in its commits: Bitbucket's API tells
	// of no commit which tree it has.
	treeTrailer = "Backstitch-Tree"
)

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

// named gives "workspace/name" of a remote.
func (f forge) named(remote string) (string, error) {
	repo, ok := f.repository(remote)
	if !ok {
		return "", fmt.Errorf("%w: expected a repository of %s", connector.ErrGone, f.web)
	}
	return repo, nil
}

type user struct {
	UUID      string `json:"uuid"`
	AccountID string `json:"account_id"`
	Nickname  string `json:"nickname"`
	Name      string `json:"display_name"`
	Type      string `json:"type"`
}

func (u *user) login() string {
	if u == nil {
		return ""
	}
	return cmp.Or(u.Nickname, u.Name, u.AccountID)
}

// is says whether a name means this person.
func (u *user) is(name string) bool {
	return name != "" && (strings.EqualFold(name, u.Nickname) || name == u.AccountID || name == u.UUID)
}

type link struct {
	HTML struct {
		Href string `json:"href"`
	} `json:"html"`
}

type commit struct {
	Hash    string `json:"hash"`
	Message string `json:"message"`
	Date    string `json:"date"`
	Author  struct {
		Raw  string `json:"raw"`
		User *user  `json:"user"`
	} `json:"author"`
	Parents []struct {
		Hash string `json:"hash"`
	} `json:"parents"`
	Links link `json:"links"`
}

type endpoint struct {
	Branch struct {
		Name string `json:"name"`
	} `json:"branch"`
	Commit *struct {
		Hash string `json:"hash"` // the first twelve characters
	} `json:"commit"`
}

// pull is a pull request.
type pull struct {
	ID          int      `json:"id"`
	State       string   `json:"state"` // OPEN, MERGED, DECLINED, SUPERSEDED
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Draft       bool     `json:"draft"`
	Source      endpoint `json:"source"`
	Destination endpoint `json:"destination"`
	MergeCommit *struct {
		Hash string `json:"hash"`
	} `json:"merge_commit"`
	Author    *user  `json:"author"`
	ClosedBy  *user  `json:"closed_by"`
	Reviewers []user `json:"reviewers"`
	UpdatedOn string `json:"updated_on"`
	Links     link   `json:"links"`
}

type repository struct {
	FullName   string `json:"full_name"`
	MainBranch *struct {
		Name string `json:"name"`
	} `json:"mainbranch"`
	Private  bool   `json:"is_private"`
	Language string `json:"language"`
	Parent   *struct {
		FullName string `json:"full_name"`
	} `json:"parent"`
	Project *struct {
		Key  string `json:"key"`
		Name string `json:"name"`
	} `json:"project"`
	Links link `json:"links"`
}

func (r *repository) main() string {
	if r.MainBranch == nil {
		return ""
	}
	return r.MainBranch.Name
}

// Propose implements connector.Forge. One request makes the branch with its commit, and
// fails when the branch is there and does not stand at the commit's parent.
func (f forge) Propose(ctx context.Context, change connector.Proposal) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + change.Branch}
	repo, err := f.named(change.Remote)
	if err != nil {
		return receipt, err
	}
	var about repository
	if err := get(ctx, f.api, "/repositories/"+repo, nil, &about); err != nil {
		return receipt, err
	}
	if change.Target == "" {
		change.Target = about.main()
	}
	receipt.Commit, receipt.Outcome, err = f.branch(ctx, repo, change)
	if err != nil {
		return receipt, fmt.Errorf("branch %s of %s: %w", change.Branch, repo, err)
	}
	one, made, err := f.pull(ctx, repo, change)
	if err != nil {
		return receipt, fmt.Errorf("pull request for %s of %s: %w", change.Branch, repo, err)
	}
	receipt.URL, receipt.Number = one.Links.HTML.Href, one.ID
	if made == "created" || made == "updated" && receipt.Outcome == "unchanged" {
		receipt.Outcome = made
	}
	receipt.Notes = f.review(ctx, repo, one, change, made == "created")
	return receipt, nil
}

// tip gives the commit at a branch, nil when there is none.
func (f forge) tip(ctx context.Context, repo, branch string) (*commit, error) {
	var ref struct {
		Target commit `json:"target"`
	}
	err := get(ctx, f.api, "/repositories/"+repo+"/refs/branches/"+branch, nil, &ref)
	switch {
	case rest.Code(err) == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	case !isID(ref.Target.Hash):
		return nil, fmt.Errorf("%w: the answer names no commit", connector.ErrInDoubt)
	}
	return &ref.Target, nil
}

// branch puts the change on its branch.
func (f forge) branch(ctx context.Context, repo string, change connector.Proposal) (id, outcome string, err error) {
	local, err := git.Open(ctx, change.Repository)
	if err != nil {
		return "", "", err
	}
	defer local.Close()
	ours, err := local.Head(ctx, git.Remote{URL: change.Remote}, change.Branch, change.Commit)
	if err != nil {
		return "", "", err
	}
	files, err := local.Changed(ctx, change.Base, change.Commit)
	if err != nil {
		return "", "", err
	}
	for again := false; ; again = true {
		present, err := f.tip(ctx, repo, change.Branch)
		if err != nil {
			return "", "", err
		}
		parents := []string{change.Base}
		outcome = "created"
		switch {
		case present == nil || present.Hash == change.Base:
		case git.Trailer(present.Message, keyTrailer) != change.Key:
			return present.Hash, "", fmt.Errorf("it stands at %.12s: %w; it was left as it is", present.Hash, connector.ErrForeign)
		case git.Trailer(present.Message, treeTrailer) == ours.Tree:
			return present.Hash, "unchanged", nil
		default:
			outcome = "updated"
			if parents, err = f.onTop(ctx, repo, local, change, present, files); err != nil {
				return "", "", err
			}
		}
		err = f.commit(ctx, repo, change, ours.Tree, files, parents)
		if rest.Code(err) == http.StatusConflict && !again {
			continue // it moved meanwhile, perhaps by a run of ours
		}
		if err != nil {
			return "", "", err
		}
		made, err := f.tip(ctx, repo, change.Branch)
		switch {
		case err != nil:
			return "", "", err
		case made == nil:
			return "", "", fmt.Errorf("%w: it was made and is not there", connector.ErrInDoubt)
		case git.Trailer(made.Message, treeTrailer) != ours.Tree:
			return made.Hash, "", fmt.Errorf("it moved to %.12s meanwhile: %w", made.Hash, connector.ErrForeign)
		}
		return made.Hash, outcome, nil
	}
}

// onTop prepares the later form of a change to stand on top of the former one: it gives
// the parents, and completes files by what differs between the former form and the base,
// so that the tree becomes that of the later form.
func (f forge) onTop(ctx context.Context, repo string, local *git.Repository, change connector.Proposal, former *commit, files map[string][]byte) ([]string, error) {
	parents := []string{former.Hash}
	held := false
	err := pages(ctx, f.api, "/repositories/"+repo+"/commits", url.Values{"include": {change.Base}, "exclude": {former.Hash}}, func(commit) (bool, error) {
		held = true // the base has a commit that the branch has not
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if held {
		parents = append(parents, change.Base)
	}
	links, err := local.Links(ctx, change.Base)
	if err != nil {
		return nil, err
	}
	tree := local.Tree(change.Base)
	err = pages(ctx, f.api, "/repositories/"+repo+"/diffstat/"+former.Hash+".."+change.Base, url.Values{"topic": {"false"}}, func(one struct {
		Old *struct {
			Path string `json:"path"`
		} `json:"old"`
		New *struct {
			Path string `json:"path"`
		} `json:"new"`
	}) (bool, error) {
		var names []string
		if one.Old != nil {
			names = append(names, one.Old.Path)
		}
		if one.New != nil {
			names = append(names, one.New.Path)
		}
		for _, name := range names {
			if _, ours := files[name]; ours {
				continue
			}
			if slices.Contains(links, name) {
				return false, fmt.Errorf("%w: %q is a link in the base, and the API takes files only; close the pull request to have it made anew", connector.ErrRefused, name)
			}
			content, err := tree.Read(ctx, name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				files[name] = nil
			case err != nil:
				return false, err
			default:
				files[name] = content
			}
		}
		return true, nil
	})
	return parents, err
}

// commit makes a commit with its branch, or on the branch that stands at the first parent.
func (f forge) commit(ctx context.Context, repo string, change connector.Proposal, tree string, files map[string][]byte, parents []string) error {
	message := change.Title + "\n\n" + strings.TrimRight(change.Body, "\n") + "\n" + treeTrailer + ": " + tree + "\n"
	form := []rest.Part{
		{Name: "message", Content: []byte(message)},
		{Name: "branch", Content: []byte(change.Branch)},
		{Name: "parents", Content: []byte(strings.Join(parents, ","))},
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// A path begins with a slash, so that no file has the name of another field.
		if files[name] == nil {
			form = append(form, rest.Part{Name: "files", Content: []byte("/" + name)})
			continue
		}
		form = append(form, rest.Part{Name: "/" + name, File: true, Content: files[name]})
	}
	err := f.client.Send(ctx, rest.Write{Method: http.MethodPost, At: rest.Below(f.base, "/repositories/"+repo+"/src", nil), Header: f.header(), Form: form}, nil)
	if rest.Code(err) == http.StatusNotFound {
		return fmt.Errorf("%w: commit %.12s is not there: %w", connector.ErrMoved, change.Base, err)
	}
	return rest.ForgeError(err)
}

// find gives the newest pull request of a branch, the open one first.
func (f forge) find(ctx context.Context, repo, branch string) (found *pull, err error) {
	query := url.Values{"q": {"source.branch.name = " + quoted(branch) + " AND source.repository.full_name = " + quoted(repo)}, "state": {"OPEN", "MERGED", "DECLINED", "SUPERSEDED"}, "sort": {"-created_on"}}
	err = pages(ctx, f.api, "/repositories/"+repo+"/pullrequests", query, func(one pull) (bool, error) {
		if one.Source.Branch.Name == branch && (found == nil || one.State == "OPEN" && found.State != "OPEN") {
			found = &one
		}
		return found == nil || found.State != "OPEN", nil
	})
	return found, err
}

func named(branch string) map[string]any {
	return map[string]any{"branch": map[string]string{"name": branch}}
}

// pull opens the change's pull request, or brings the open one up to date.
func (f forge) pull(ctx context.Context, repo string, change connector.Proposal) (one pull, outcome string, err error) {
	found, err := f.find(ctx, repo, change.Branch)
	if err != nil {
		return one, "", err
	}
	if found == nil || found.State != "OPEN" {
		err := f.send(ctx, http.MethodPost, "/repositories/"+repo+"/pullrequests", map[string]any{
			"title": change.Title, "description": change.Body, "source": named(change.Branch), "destination": named(change.Target), "close_source_branch": true, "draft": change.Draft,
		}, &one)
		if err == nil && change.Draft && !one.Draft {
			return one, "", f.undraft(ctx, repo, one)
		}
		return one, "created", rest.ForgeError(err)
	}
	if found.Title == change.Title && strings.TrimSpace(found.Description) == strings.TrimSpace(change.Body) && found.Destination.Branch.Name == change.Target && found.Draft == change.Draft {
		return *found, "unchanged", nil
	}
	err = f.send(ctx, http.MethodPut, fmt.Sprintf("/repositories/%s/pullrequests/%d", repo, found.ID), map[string]any{
		"title": change.Title, "description": change.Body, "destination": named(change.Target), "draft": change.Draft,
	}, &one)
	if err == nil && change.Draft && !one.Draft {
		return one, "", f.undraft(ctx, repo, one)
	}
	return one, "updated", rest.ForgeError(err)
}

// undraft closes a pull request that Bitbucket did not take as a draft: a change that is
// not proven is offered as nothing else.
func (f forge) undraft(ctx context.Context, repo string, one pull) error {
	err := fmt.Errorf("%w: pull request %d was not taken as a draft and is closed", connector.ErrRefused, one.ID)
	if failed := f.send(ctx, http.MethodPost, fmt.Sprintf("/repositories/%s/pullrequests/%d/decline", repo, one.ID), nil, nil); failed != nil {
		err = fmt.Errorf("%w: pull request %d was not taken as a draft, and is not closed: %w", connector.ErrRefused, one.ID, failed)
	}
	return err
}

// review asks people to look at a pull request: those who are named, and the default
// reviewers of a new one, whom Bitbucket adds in its pages only. Whom it does not take is a
// note.
func (f forge) review(ctx context.Context, repo string, one pull, change connector.Proposal, created bool) (notes []string) {
	type candidate struct{ id, name string }
	var wanted []candidate
	add := func(u user, name string) {
		known := u.UUID == "" || one.Author != nil && one.Author.UUID == u.UUID ||
			slices.ContainsFunc(one.Reviewers, func(r user) bool { return r.UUID == u.UUID }) ||
			slices.ContainsFunc(wanted, func(c candidate) bool { return c.id == u.UUID })
		if !known {
			wanted = append(wanted, candidate{u.UUID, name})
		}
	}
	if created {
		if err := pages(ctx, f.api, "/repositories/"+repo+"/effective-default-reviewers", nil, func(r struct {
			User user `json:"user"`
		}) (bool, error) {
			add(r.User, r.User.login())
			return true, nil
		}); err != nil {
			notes = append(notes, "default reviewers: "+err.Error())
		}
	}
	people, rest, err := f.people(ctx, repo, change.Reviewers)
	if err != nil {
		notes = append(notes, "reviewers: "+err.Error())
	}
	for _, person := range people {
		add(person, person.login())
	}
	notes = append(notes, rest...)
	if len(wanted) == 0 {
		return notes
	}
	ask := func(ids []string) error {
		list := []map[string]string{}
		for _, id := range ids {
			list = append(list, map[string]string{"uuid": id})
		}
		return f.send(ctx, http.MethodPut, fmt.Sprintf("/repositories/%s/pullrequests/%d", repo, one.ID), map[string]any{"title": one.Title, "reviewers": list}, nil)
	}
	var ids []string
	for _, r := range one.Reviewers {
		ids = append(ids, r.UUID)
	}
	all := slices.Clone(ids)
	for _, c := range wanted {
		all = append(all, c.id)
	}
	if ask(all) == nil {
		return notes
	}
	for _, c := range wanted { // one of them is not taken: which?
		if err := ask(append(slices.Clone(ids), c.id)); err != nil {
			notes = append(notes, fmt.Sprintf("reviewer %.100q: %v", c.name, err))
			continue
		}
		ids = append(ids, c.id)
	}
	return notes
}

// people finds those who are named among the members of the workspace; notes tell of those
// who are not there.
func (f forge) people(ctx context.Context, repo string, names []connector.Reviewer) (found []user, notes []string, err error) {
	var missing []string
	for _, one := range names {
		if one.Team {
			notes = append(notes, "reviewer "+one.Name+": Bitbucket asks people only, no groups")
			continue
		}
		missing = append(missing, one.Name)
	}
	if len(missing) == 0 {
		return nil, notes, nil
	}
	workspace, _, _ := strings.Cut(repo, "/")
	err = pages(ctx, f.api, "/workspaces/"+workspace+"/members", nil, func(member struct {
		User user `json:"user"`
	}) (bool, error) {
		if at := slices.IndexFunc(missing, member.User.is); at >= 0 {
			found = append(found, member.User)
			missing = slices.Delete(missing, at, at+1)
		}
		return len(missing) > 0, nil
	})
	if err != nil {
		return found, notes, err
	}
	for _, name := range missing {
		notes = append(notes, "reviewer "+name+": not a member of the workspace")
	}
	return found, notes, nil
}
