package forgetest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// giteaOperations are what the connector may ask of Gitea.
var giteaOperations = []string{
	"GET /repos/{owner}/{repo}", "GET /repos/{owner}/{repo}/assignees", "GET /orgs/{org}/repos", "GET /orgs/{org}/teams", "GET /teams/{id}/members", "GET /teams/{id}/repos",
	"GET /repos/{owner}/{repo}/branches/{branch}", "POST /repos/{owner}/{repo}/branches", "PUT /repos/{owner}/{repo}/branches/{branch}", "DELETE /repos/{owner}/{repo}/branches/{branch}",
	"POST /repos/{owner}/{repo}/contents", "GET /repos/{owner}/{repo}/contents/{filepath}", "GET /repos/{owner}/{repo}/git/commits/{sha}", "GET /repos/{owner}/{repo}/compare/{basehead}",
	"GET /repos/{owner}/{repo}/pulls", "POST /repos/{owner}/{repo}/pulls", "GET /repos/{owner}/{repo}/pulls/{base}/{head}", "GET /repos/{owner}/{repo}/pulls/{index}", "PATCH /repos/{owner}/{repo}/pulls/{index}",
	"GET /repos/{owner}/{repo}/pulls/{index}/commits", "POST /repos/{owner}/{repo}/pulls/{index}/requested_reviewers",
	"GET /repos/{owner}/{repo}/labels", "POST /repos/{owner}/{repo}/labels", "GET /orgs/{org}/labels", "POST /repos/{owner}/{repo}/issues/{index}/labels",
	"GET /repos/{owner}/{repo}/issues", "POST /repos/{owner}/{repo}/issues", "GET /repos/{owner}/{repo}/issues/{index}", "PATCH /repos/{owner}/{repo}/issues/{index}",
	"GET /repos/{owner}/{repo}/issues/{index}/comments", "POST /repos/{owner}/{repo}/issues/{index}/comments", "PATCH /repos/{owner}/{repo}/issues/comments/{id}", "GET /repos/{owner}/{repo}/issues/{index}/timeline",
	"GET /repos/{owner}/{repo}/commits/{ref}/status", "POST /repos/{owner}/{repo}/statuses/{sha}",
}

// Gitea is a Gitea with one repository, whose branches and commits are those of a real
// bare repository.
type Gitea struct {
	*GitHub
	// Fixed says that the server moves no branches, as Forgejo and former releases.
	Fixed  bool
	Labels []string // of the repository; a label's id is its place, from 1
}

var (
	readGitea sync.Mutex
	ofGitea   *openapi3.T

	giteaTemplate = regexp.MustCompile(`\{\{[^}]*\}\}`)
	giteaInPath   = regexp.MustCompile(`^(/repos/[^/]+/[^/]+/(?:branches|compare|contents|pulls/[^/0-9][^/]*)/)(.+)$`)
)

// giteaPage is how many elements the server gives at most.
const giteaPage = 30

func giteaDocument(t *testing.T) *openapi3.T {
	t.Helper()
	readGitea.Lock()
	defer readGitea.Unlock()
	if ofGitea == nil {
		data := giteaTemplate.ReplaceAll(Published(t, "gitea.json"), nil) // what the server fills in
		ofGitea = Swagger(t, data, giteaOperations...)
	}
	return ofGitea
}

// NewGitea starts a Gitea over a bare repository, in which the token belongs to a user.
func NewGitea(t *testing.T, dir, name string, clock time.Time) *Gitea {
	t.Helper()
	g := &Gitea{GitHub: newEstate(t, New(t, giteaDocument(t), "/git/api/v1"), dir, name, clock)}
	g.Rewrite = func(path string) string {
		parts := giteaInPath.FindStringSubmatch(path)
		if parts == nil {
			return path
		}
		return parts[1] + strings.ReplaceAll(parts[2], "/", "%2F")
	}
	const repo = "/repos/{owner}/{repo}"
	for operation, handler := range map[string]Handler{
		"GET " + repo: g.about, "GET " + repo + "/assignees": g.assignees, "GET " + repo + "/branches/{branch}": g.branch, "POST " + repo + "/branches": g.makeBranch,
		"PUT " + repo + "/branches/{branch}": g.moveBranch, "DELETE " + repo + "/branches/{branch}": g.dropBranch, "POST " + repo + "/contents": g.contents, "GET " + repo + "/contents/{filepath}": g.content,
		"GET " + repo + "/git/commits/{sha}": g.commit, "GET " + repo + "/compare/{basehead}": g.compare,
		"GET " + repo + "/pulls": g.pulls, "POST " + repo + "/pulls": g.makePull, "GET " + repo + "/pulls/{base}/{head}": g.pair, "GET " + repo + "/pulls/{index}": g.pull,
		"PATCH " + repo + "/pulls/{index}": g.editPull, "GET " + repo + "/pulls/{index}/commits": g.pullCommits, "POST " + repo + "/pulls/{index}/requested_reviewers": g.reviewers,
		"GET " + repo + "/labels": g.labels, "POST " + repo + "/labels": g.makeLabel, "POST " + repo + "/issues/{index}/labels": g.putLabels,
		"GET " + repo + "/issues": g.tickets, "POST " + repo + "/issues": g.makeTicket, "GET " + repo + "/issues/{index}": g.oneTicket, "PATCH " + repo + "/issues/{index}": g.editTicket,
		"GET " + repo + "/issues/{index}/comments": g.comments, "POST " + repo + "/issues/{index}/comments": g.say, "PATCH " + repo + "/issues/comments/{id}": g.resay,
		"GET " + repo + "/issues/{index}/timeline": g.timeline, "GET " + repo + "/commits/{ref}/status": g.status, "POST " + repo + "/statuses/{sha}": g.makeStatus,
	} {
		g.On(operation, g.allowed(handler))
	}
	g.On("GET /orgs/{org}/labels", func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
		JSON(w, 200, pageOf(r, "limit", giteaPage, []map[string]any{{"id": 900, "name": "of-the-organization"}}))
	})
	return g
}

// allowed answers only requests with the token and about the repository.
func (g *Gitea) allowed(handler Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		switch {
		case r.Header.Get("Authorization") != "token "+g.Token:
			say(w, http.StatusUnauthorized, "invalid username, password or token")
		case path["owner"]+"/"+path["repo"] != g.Name:
			say(w, http.StatusNotFound, "The target couldn't be found.")
		case r.Method != http.MethodGet && g.Archived:
			say(w, http.StatusLocked, "%s is archived", g.Name)
		default:
			g.clock = g.clock.Add(time.Second)
			handler(w, r, path)
		}
	}
}

func (g *Gitea) missing(w http.ResponseWriter) {
	say(w, http.StatusNotFound, "The target couldn't be found.")
}

func (g *Gitea) repoJSON() map[string]any {
	owner, _, _ := strings.Cut(g.Name, "/")
	return map[string]any{
		"id": 1, "full_name": g.Name, "default_branch": strings.TrimPrefix(g.Git(nil, "symbolic-ref", "HEAD"), "refs/heads/"), "archived": g.Archived, "owner": map[string]string{"login": owner},
		"html_url": g.URL + "/git/" + g.Name, "permissions": map[string]bool{"push": !g.NoPush, "pull": true},
	}
}

func (g *Gitea) about(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
	JSON(w, 200, g.repoJSON())
}

func (g *Gitea) assignees(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
	list := []map[string]string{}
	for _, login := range append([]string{"ada", g.Actor}, g.Agents...) {
		list = append(list, map[string]string{"login": login})
	}
	JSON(w, 200, list)
}

func (g *Gitea) branch(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if tip := g.tip(path["branch"]); tip != "" {
		JSON(w, 200, map[string]any{"name": path["branch"], "commit": map[string]string{"id": tip}})
		return
	}
	g.missing(w)
}

func (g *Gitea) makeBranch(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		Name string `json:"new_branch_name"`
		Old  string `json:"old_ref_name"`
	}](g.t, r)
	switch _, err := g.git(nil, "cat-file", "-e", body.Old+"^{commit}"); {
	case g.NoPush:
		say(w, http.StatusForbidden, "user should have a permission to write to a repo")
	case err != nil:
		say(w, http.StatusInternalServerError, "")
	case g.tip(body.Name) != "":
		say(w, http.StatusConflict, "The branch already exists.")
	default:
		g.Git(nil, "update-ref", "refs/heads/"+body.Name, body.Old)
		JSON(w, 201, map[string]any{"name": body.Name, "commit": map[string]string{"id": body.Old}})
	}
}

func (g *Gitea) moveBranch(w http.ResponseWriter, r *http.Request, path map[string]string) {
	body := Read[struct {
		New   string `json:"new_commit_id"`
		Old   string `json:"old_commit_id"`
		Force bool   `json:"force"`
	}](g.t, r)
	tip := g.tip(path["branch"])
	_, err := g.git(nil, "merge-base", "--is-ancestor", tip, body.New)
	switch {
	case g.Fixed:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case tip == "":
		g.missing(w)
	case body.Old != "" && body.Old != tip:
		say(w, http.StatusUnprocessableEntity, "branch commit does not match [expected: %s, given: %s]", body.Old, tip)
	case err != nil && !body.Force:
		say(w, http.StatusUnprocessableEntity, "Force push %s need a confirm force parameter", path["branch"])
	default:
		g.Git(nil, "update-ref", "refs/heads/"+path["branch"], body.New)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (g *Gitea) dropBranch(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if g.tip(path["branch"]) == "" {
		g.missing(w)
		return
	}
	g.settle()
	g.Git(nil, "update-ref", "-d", "refs/heads/"+path["branch"])
	for _, p := range g.Pulls {
		if p.Head == path["branch"] && p.State == "open" {
			p.State, p.ClosedBy, p.At = "closed", g.Actor, g.clock
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (g *Gitea) contents(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		Branch  string `json:"branch"`
		New     string `json:"new_branch"`
		Message string `json:"message"`
		Files   []struct{ Operation, Path, Content, SHA string }
	}](g.t, r)
	tip := g.tip(body.Branch)
	switch {
	case g.Protected != "" && strings.HasPrefix(body.New, g.Protected):
		say(w, http.StatusForbidden, "Not allowed to push to protected branch %s", body.New)
		return
	case tip == "":
		g.missing(w)
		return
	case body.New != body.Branch:
		g.t.Errorf("contents on %s of %s: the test does not expect this", body.New, body.Branch)
	}
	var files []file
	for _, one := range body.Files {
		at := g.blobAt(tip, one.Path)
		switch {
		case one.Operation == "create" && at != "":
			say(w, http.StatusUnprocessableEntity, "repository file already exists [path: %s]", one.Path)
			return
		case one.Operation != "create" && at == "":
			say(w, http.StatusNotFound, "object does not exist [id: , rel_path: %s]", one.Path)
			return
		case one.Operation != "create" && one.SHA != at:
			say(w, http.StatusUnprocessableEntity, "sha does not match [given: %s, expected: %s]", one.SHA, at)
			return
		}
		change := file{path: one.Path}
		if one.Operation != "delete" {
			content, err := base64.StdEncoding.DecodeString(one.Content)
			if err != nil {
				g.t.Errorf("content of %s: %v", one.Path, err)
			}
			change.content = append([]byte{}, content...)
		}
		files = append(files, change)
	}
	commit := g.record(tip, strings.TrimSpace(body.Message), files)
	g.Git(nil, "update-ref", "refs/heads/"+body.New, commit)
	JSON(w, 201, map[string]any{"commit": map[string]string{"sha": commit}})
}

func (g *Gitea) commitJSON(id string) map[string]any {
	doc := g.GitHub.commitJSON(id)
	name := g.Git(nil, "show", "-s", "--format=%an", id)
	files := []map[string]string{}
	for path := range strings.SplitSeq(g.Git(nil, "show", "--format=", "--name-only", "--no-renames", id), "\n") {
		files = append(files, map[string]string{"filename": path})
	}
	// The tree's id is the commit's, as servers give it.
	return map[string]any{"sha": id, "parents": doc["parents"], "files": files, "author": map[string]string{"login": strings.ToLower(name)}, "commit": map[string]any{"message": doc["message"], "tree": map[string]string{"sha": id}, "author": map[string]string{"name": name}}}
}

func (g *Gitea) content(w http.ResponseWriter, r *http.Request, path map[string]string) {
	blob := g.blobAt(r.URL.Query().Get("ref"), path["filepath"])
	if blob == "" {
		g.missing(w)
		return
	}
	JSON(w, 200, map[string]any{"path": path["filepath"], "sha": blob})
}

func (g *Gitea) commit(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if _, err := g.git(nil, "cat-file", "-e", path["sha"]+"^{commit}"); err != nil {
		g.missing(w)
		return
	}
	JSON(w, 200, g.commitJSON(path["sha"]))
}

func (g *Gitea) compare(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	base, head, _ := strings.Cut(path["basehead"], "...")
	ahead, err := g.git(nil, "rev-list", "--count", base+".."+head)
	if err != nil {
		g.missing(w)
		return
	}
	JSON(w, 200, map[string]any{"total_commits": g.number(ahead), "commits": []any{}})
}

func (g *Gitea) pullJSON(p *Pull) map[string]any {
	g.settle()
	draft := strings.HasPrefix(p.Title, "WIP:") || strings.HasPrefix(p.Title, "[WIP]")
	ref := p.Head
	if g.tip(p.Head) == "" {
		ref = fmt.Sprintf("refs/pull/%d/head", p.Number)
	}
	doc := map[string]any{
		"number": p.Number, "html_url": fmt.Sprintf("%s/git/%s/pulls/%d", g.URL, g.Name, p.Number), "state": p.State, "title": p.Title, "body": p.Body, "draft": draft,
		"merged": p.Merge != "", "merged_at": nil, "closed_at": nil, "merge_commit_sha": nil, "merged_by": nil, "mergeable": !draft && !g.conflicts(p),
		"head": map[string]any{"label": p.Head, "ref": ref, "sha": p.HeadSHA, "repo_id": 1}, "base": map[string]any{"label": p.Base, "ref": p.Base, "sha": g.tip(p.Base), "repo_id": 1},
	}
	if p.State == "closed" {
		doc["closed_at"] = written(p.At)
	}
	if p.Merge != "" {
		doc["merged_at"], doc["merge_commit_sha"], doc["merged_by"] = written(p.At), p.Merge, map[string]string{"login": p.MergedBy}
	}
	return doc
}

func (g *Gitea) pulls(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for _, p := range slices.Backward(g.Pulls) {
		if base := r.URL.Query().Get("base_branch"); base != "" && base != p.Base {
			continue
		}
		if state := r.URL.Query().Get("state"); state == "all" || state == p.State {
			list = append(list, g.pullJSON(p))
		}
	}
	JSON(w, 200, pageOf(r, "limit", giteaPage, list))
}

// pair answers with the oldest pull request of a pair of branches, open or not.
func (g *Gitea) pair(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	for _, p := range g.Pulls {
		if p.Base == path["base"] && p.Head == path["head"] {
			JSON(w, 200, g.pullJSON(p))
			return
		}
	}
	g.missing(w)
}

func (g *Gitea) makePull(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct{ Title, Body, Head, Base string }](g.t, r)
	for _, p := range g.Pulls {
		if p.Head == body.Head && p.Base == body.Base && p.State == "open" {
			say(w, http.StatusConflict, "pull request already exists for these targets [id: %d, issue_id: %d, head_repo_id: 1, base_repo_id: 1, head_branch: %s, base_branch: %s]", p.Number, p.Number, p.Head, p.Base)
			return
		}
	}
	if g.tip(body.Head) == "" || g.tip(body.Base) == "" {
		g.missing(w)
		return
	}
	g.next++
	p := &Pull{Number: g.next, Title: body.Title, Body: body.Body, Head: body.Head, Base: body.Base, State: "open", At: g.clock}
	g.Pulls = append(g.Pulls, p)
	JSON(w, 201, g.pullJSON(p))
}

func (g *Gitea) numbered(w http.ResponseWriter, number string) *Pull {
	for _, p := range g.Pulls {
		if strconv.Itoa(p.Number) == number {
			return p
		}
	}
	g.missing(w)
	return nil
}

func (g *Gitea) pull(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if p := g.numbered(w, path["index"]); p != nil {
		JSON(w, 200, g.pullJSON(p))
	}
}

func (g *Gitea) editPull(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := g.numbered(w, path["index"])
	if p == nil {
		return
	}
	body := Read[struct{ Title, Body, State *string }](g.t, r)
	for from, into := range map[*string]*string{body.Title: &p.Title, body.Body: &p.Body} {
		if from != nil {
			*into = *from
		}
	}
	if body.State != nil && *body.State != p.State {
		g.settle()
		p.State, p.ClosedBy, p.At = *body.State, g.Actor, g.clock
	}
	JSON(w, 201, g.pullJSON(p))
}

func (g *Gitea) pullCommits(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := g.numbered(w, path["index"])
	if p == nil {
		return
	}
	g.settle()
	list := []map[string]any{}
	for _, id := range strings.Fields(g.Git(nil, "rev-list", p.HeadSHA, "^"+p.Base)) {
		list = append(list, g.commitJSON(id))
	}
	JSON(w, 200, pageOf(r, "limit", giteaPage, list))
}

func (g *Gitea) reviewers(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := g.numbered(w, path["index"])
	if p == nil {
		return
	}
	body := Read[struct {
		Reviewers []string
		Teams     []string `json:"team_reviewers"`
	}](g.t, r)
	for _, name := range body.Reviewers {
		if slices.Contains(g.Strangers, name) {
			say(w, http.StatusNotFound, "User '%s' not exist", name)
			return
		}
	}
	p.Reviewers = merged(p.Reviewers, slices.Concat(body.Reviewers, body.Teams))
	JSON(w, 201, []any{})
}

func (g *Gitea) labels(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for i, name := range g.Labels {
		list = append(list, map[string]any{"id": i + 1, "name": name})
	}
	JSON(w, 200, pageOf(r, "limit", giteaPage, list))
}

func (g *Gitea) makeLabel(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct{ Name string }](g.t, r)
	g.Labels = append(g.Labels, body.Name)
	JSON(w, 201, map[string]any{"id": len(g.Labels), "name": body.Name})
}

// called gives the names of labels; ids of none are ignored.
func (g *Gitea) called(ids []int) (names []string) {
	for _, id := range ids {
		if id > 0 && id <= len(g.Labels) {
			names = append(names, g.Labels[id-1])
		}
	}
	return names
}

func (g *Gitea) putLabels(w http.ResponseWriter, r *http.Request, path map[string]string) {
	names := g.called(Read[struct{ Labels []int }](g.t, r).Labels)
	for _, p := range g.Pulls {
		if strconv.Itoa(p.Number) == path["index"] {
			p.Labels = merged(p.Labels, names)
		}
	}
	for _, one := range g.Tickets {
		if strconv.Itoa(one.Number) == path["index"] {
			one.Labels = merged(one.Labels, names)
		}
	}
	JSON(w, 200, []any{})
}

func (g *Gitea) ticketJSON(one *GitHubTicket) map[string]any {
	assignees := []map[string]string{}
	for _, name := range one.Assigned {
		assignees = append(assignees, map[string]string{"login": name})
	}
	return map[string]any{"number": one.Number, "html_url": fmt.Sprintf("%s/git/%s/issues/%d", g.URL, g.Name, one.Number), "title": one.Title, "body": one.Body, "assignees": assignees, "pull_request": nil}
}

func (g *Gitea) tickets(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for _, one := range slices.Backward(g.Tickets) {
		if label := r.URL.Query().Get("labels"); label == "" || slices.Contains(one.Labels, label) {
			list = append(list, g.ticketJSON(one))
		}
	}
	JSON(w, 200, pageOf(r, "limit", giteaPage, list))
}

func (g *Gitea) makeTicket(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		Title, Body string
		Labels      []int
	}](g.t, r)
	g.next++
	one := &GitHubTicket{Number: g.next, Title: body.Title, Body: body.Body, Labels: g.called(body.Labels)}
	g.Tickets = append(g.Tickets, one)
	JSON(w, 201, g.ticketJSON(one))
}

func (g *Gitea) ticketOf(w http.ResponseWriter, number string) *GitHubTicket {
	for _, one := range g.Tickets {
		if strconv.Itoa(one.Number) == number {
			return one
		}
	}
	g.missing(w)
	return nil
}

func (g *Gitea) oneTicket(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if one := g.ticketOf(w, path["index"]); one != nil {
		JSON(w, 200, g.ticketJSON(one))
	}
}

func (g *Gitea) editTicket(w http.ResponseWriter, r *http.Request, path map[string]string) {
	one := g.ticketOf(w, path["index"])
	if one == nil {
		return
	}
	body := Read[struct {
		Title, Body *string
		Assignees   []string
	}](g.t, r)
	for from, into := range map[*string]*string{body.Title: &one.Title, body.Body: &one.Body} {
		if from != nil {
			*into = *from
		}
	}
	if body.Assignees != nil {
		one.Assigned = body.Assignees
	}
	JSON(w, 201, g.ticketJSON(one))
}

func (g *Gitea) commentJSON(c *GitHubComment) map[string]any {
	return map[string]any{"id": c.ID, "body": c.Body, "html_url": fmt.Sprintf("%s/git/%s/comment/%d", g.URL, g.Name, c.ID), "user": map[string]string{"login": c.Author}, "created_at": written(c.At)}
}

func (g *Gitea) comments(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	list := []map[string]any{}
	for _, c := range g.Comments[g.number(path["index"])] {
		list = append(list, g.commentJSON(c))
	}
	JSON(w, 200, list)
}

func (g *Gitea) say(w http.ResponseWriter, r *http.Request, path map[string]string) {
	JSON(w, 201, g.commentJSON(g.Say(g.number(path["index"]), g.Actor, "", Read[struct{ Body string }](g.t, r).Body)))
}

func (g *Gitea) resay(w http.ResponseWriter, r *http.Request, path map[string]string) {
	for _, list := range g.Comments {
		for _, c := range list {
			if strconv.Itoa(c.ID) == path["id"] {
				c.Body = Read[struct{ Body string }](g.t, r).Body
				JSON(w, 200, g.commentJSON(c))
				return
			}
		}
	}
	g.missing(w)
}

func (g *Gitea) timeline(w http.ResponseWriter, r *http.Request, path map[string]string) {
	list := []map[string]any{{"type": "label", "user": map[string]string{"login": "ada"}}}
	for _, p := range g.Pulls {
		if strconv.Itoa(p.Number) == path["index"] && p.ClosedBy != "" {
			list = append(list, map[string]any{"type": "close", "user": map[string]string{"login": p.ClosedBy}})
		}
	}
	for _, one := range g.Tickets {
		if strconv.Itoa(one.Number) != path["index"] {
			continue
		}
		for _, n := range one.Linked {
			list = append(list, map[string]any{"type": "pull_ref", "ref_issue": map[string]any{"number": n, "pull_request": map[string]bool{"merged": false}, "repository": map[string]string{"full_name": g.Name}}})
		}
	}
	JSON(w, 200, pageOf(r, "limit", giteaPage, list))
}

func (g *Gitea) status(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	newest := []map[string]any{} // one of each context
	worst := ""
	for _, one := range slices.Backward(g.Statuses[path["ref"]]) {
		if slices.ContainsFunc(newest, func(other map[string]any) bool { return other["context"] == one["context"] }) {
			continue
		}
		newest = append(newest, map[string]any{"context": one["context"], "status": one["state"], "description": one["description"], "target_url": one["target_url"]})
		if state, _ := one["state"].(string); worst == "" || worst == "success" {
			worst = state
		}
	}
	JSON(w, 200, map[string]any{"state": worst, "total_count": len(newest), "statuses": newest})
}

func (g *Gitea) makeStatus(w http.ResponseWriter, r *http.Request, path map[string]string) {
	g.Statuses[path["sha"]] = append(g.Statuses[path["sha"]], Read[map[string]any](g.t, r))
	JSON(w, 201, map[string]any{"id": 1})
}
