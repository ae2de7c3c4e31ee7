package forgetest

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed testdata/gitlab.yaml
var gitlabDocument []byte

// GitLab is a GitLab with one project, whose branches and commits are those of a real bare
// repository. Comments on tickets are kept below the negative number.
type GitLab struct {
	*GitHub
	tickets int
}

const gitlabProject = 77

// NewGitLab starts a GitLab over a bare repository, in which the token belongs to a user.
func NewGitLab(t *testing.T, dir, path string, clock time.Time) *GitLab {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(gitlabDocument)
	if err != nil {
		t.Fatalf("the document of GitLab: %v", err)
	}
	g := &GitLab{GitHub: newEstate(t, New(t, open(doc), "/lab/api/v4"), dir, path, clock)}
	const (
		project = "/projects/{id}"
		request = project + "/merge_requests/{iid}"
		issue   = project + "/issues/{iid}"
	)
	for operation, handler := range map[string]Handler{
		"GET /users": g.users, "GET " + project: g.about, "GET " + project + "/members/all/{user_id}": g.member,
		"GET " + project + "/repository/branches/{branch}": g.branch, "DELETE " + project + "/repository/branches/{branch}": g.dropBranch,
		"POST " + project + "/repository/commits": g.makeCommit, "GET " + project + "/repository/commits/{sha}": g.commit, "GET " + project + "/repository/compare": g.compare,
		"GET " + project + "/repository/files/{file_path}": g.file, "GET " + project + "/repository/commits/{sha}/statuses": g.statuses, "POST " + project + "/statuses/{sha}": g.makeStatus,
		"GET " + project + "/merge_requests": g.requests, "POST " + project + "/merge_requests": g.makeRequest, "GET " + request: g.request, "PUT " + request: g.editRequest, "GET " + request + "/commits": g.requestCommits,
		"GET " + request + "/notes": g.notes(1), "POST " + request + "/notes": g.note(1), "PUT " + request + "/notes/{note_id}": g.renote,
		"GET " + project + "/issues": g.issues, "POST " + project + "/issues": g.makeIssue, "GET " + issue: g.issue, "PUT " + issue: g.editIssue, "GET " + issue + "/related_merge_requests": g.related,
		"GET " + issue + "/notes": g.notes(-1), "POST " + issue + "/notes": g.note(-1), "PUT " + issue + "/notes/{note_id}": g.renote,
	} {
		g.On(operation, handler)
	}
	return g
}

// On answers an operation for those who bear the token, about the project. Parameters that
// the document does not name fail the test.
func (g *GitLab) On(operation string, handler Handler) {
	method, path, _ := strings.Cut(operation, " ")
	g.GitHub.On(operation, func(w http.ResponseWriter, r *http.Request, parts map[string]string) {
		route, _, err := g.router.FindRoute(r)
		if err != nil || route.Path != path || route.Method != method {
			g.t.Errorf("%s: it was taken for another call: %v", operation, err)
			return
		}
		for name := range r.URL.Query() {
			if route.Operation.Parameters.GetByInAndName("query", name) == nil {
				g.t.Errorf("%s: it has no parameter %s", operation, name)
			}
		}
		switch {
		case r.Header.Get("Authorization") != "Bearer "+g.Token:
			say(w, http.StatusUnauthorized, "401 Unauthorized")
		case strings.HasPrefix(path, "/projects/") && parts["id"] != g.Name:
			say(w, http.StatusNotFound, "404 Project Not Found")
		default:
			g.clock = g.clock.Add(time.Second)
			handler(w, r, parts)
		}
	})
}

// person is somebody with an account; mallory is a member of nothing.
func (g *GitLab) person(name string) map[string]any {
	return map[string]any{"id": idOf(name), "username": name}
}

func (g *GitLab) people() []string {
	return append([]string{"ada", "mallory", "Ada", g.Actor}, g.Agents...)
}

func (g *GitLab) isMember(name string) bool {
	return name != "mallory" && !slices.Contains(g.Strangers, name)
}

func (g *GitLab) users(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for _, name := range g.people() {
		if name == r.URL.Query().Get("username") {
			list = append(list, g.person(name))
		}
	}
	JSON(w, 200, list)
}

func (g *GitLab) member(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	for _, name := range g.people() {
		if strconv.FormatInt(idOf(name), 10) == path["user_id"] && g.isMember(name) {
			JSON(w, 200, map[string]any{"id": idOf(name), "username": name, "access_level": 30})
			return
		}
	}
	say(w, http.StatusNotFound, "404 Not found")
}

func (g *GitLab) about(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
	level := 30
	if g.NoPush {
		level = 20
	}
	namespace := g.Name[:strings.LastIndex(g.Name, "/")]
	JSON(w, 200, map[string]any{
		"id": gitlabProject, "path_with_namespace": g.Name, "default_branch": strings.TrimPrefix(g.Git(nil, "symbolic-ref", "HEAD"), "refs/heads/"), "archived": g.Archived, "visibility": "private",
		"web_url": g.URL + "/lab/" + g.Name, "namespace": map[string]string{"kind": "group", "full_path": namespace}, "permissions": map[string]any{"project_access": nil, "group_access": map[string]int{"access_level": level}},
	})
}

func (g *GitLab) branch(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if tip := g.tip(path["branch"]); tip != "" {
		JSON(w, 200, map[string]any{"name": path["branch"], "commit": map[string]string{"id": tip}})
		return
	}
	say(w, http.StatusNotFound, "404 Branch Not Found")
}

func (g *GitLab) dropBranch(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if g.tip(path["branch"]) == "" {
		say(w, http.StatusNotFound, "404 Branch Not Found")
		return
	}
	g.settle()
	g.Git(nil, "update-ref", "-d", "refs/heads/"+path["branch"])
	w.WriteHeader(http.StatusNoContent)
}

func (g *GitLab) commitJSON(id string) map[string]any {
	return map[string]any{"id": id, "message": g.Git(nil, "show", "-s", "--format=%B", id), "author_name": g.Git(nil, "show", "-s", "--format=%an", id), "parent_ids": strings.Fields(g.Git(nil, "show", "-s", "--format=%P", id))}
}

func (g *GitLab) has(commit string) bool {
	_, err := g.git(nil, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}

func (g *GitLab) makeCommit(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		Branch  string
		Message string `json:"commit_message"`
		Start   string `json:"start_sha"`
		Force   bool
		Actions []struct {
			Action, Content, Encoding string
			Path                      string `json:"file_path"`
		}
	}](g.t, r)
	switch {
	case g.Archived || g.NoPush:
		say(w, http.StatusForbidden, "403 Forbidden")
		return
	case g.Protected != "" && strings.HasPrefix(body.Branch, g.Protected):
		say(w, http.StatusBadRequest, "You are not allowed to push into this branch")
		return
	case body.Start == "":
		g.t.Error("a commit on the branch itself: the test does not expect this")
		return
	case !g.has(body.Start):
		say(w, http.StatusBadRequest, "Cannot find start_sha '%s'", body.Start)
		return
	case g.tip(body.Branch) != "" && !body.Force:
		say(w, http.StatusBadRequest, "A branch called '%s' already exists. Switch to that branch in order to make changes", body.Branch)
		return
	}
	var files []file
	for _, one := range body.Actions {
		there := g.blobAt(body.Start, one.Path) != ""
		change := file{path: one.Path}
		switch {
		case one.Action == "create" && there:
			say(w, http.StatusBadRequest, "A file with this name already exists")
			return
		case one.Action != "create" && !there:
			say(w, http.StatusBadRequest, "A file with this name doesn't exist")
			return
		case one.Action != "delete":
			content := []byte(one.Content)
			if one.Encoding == "base64" {
				var err error
				if content, err = base64.StdEncoding.DecodeString(one.Content); err != nil {
					g.t.Errorf("content of %s: %v", one.Path, err)
				}
			}
			change.content = append([]byte{}, content...)
		}
		files = append(files, change)
	}
	commit := g.record(body.Start, body.Message, files)
	g.Git(nil, "update-ref", "refs/heads/"+body.Branch, commit)
	JSON(w, 201, g.commitJSON(commit))
}

func (g *GitLab) commit(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if !g.has(path["sha"]) {
		say(w, http.StatusNotFound, "404 Commit Not Found")
		return
	}
	JSON(w, 200, g.commitJSON(path["sha"]))
}

func (g *GitLab) compare(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	from, to := r.URL.Query().Get("from"), r.URL.Query().Get("to")
	dots := "..."
	if r.URL.Query().Get("straight") == "true" {
		dots = ".."
	}
	names, err := g.git(nil, "diff", "--name-status", "-M", from+dots+to)
	if err != nil {
		say(w, http.StatusNotFound, "404 Ref Not Found")
		return
	}
	diffs := []map[string]string{}
	for line := range strings.Lines(names) {
		parts := strings.Split(strings.TrimSpace(line), "\t")
		diffs = append(diffs, map[string]string{"old_path": parts[1], "new_path": parts[len(parts)-1]})
	}
	commits := []map[string]string{}
	for _, id := range strings.Fields(g.Git(nil, "rev-list", from+".."+to)) {
		commits = append(commits, map[string]string{"id": id})
	}
	JSON(w, 200, map[string]any{"commits": commits, "diffs": diffs})
}

func (g *GitLab) file(w http.ResponseWriter, r *http.Request, path map[string]string) {
	blob := g.blobAt(r.URL.Query().Get("ref"), path["file_path"])
	if blob == "" {
		say(w, http.StatusNotFound, "404 File Not Found")
		return
	}
	JSON(w, 200, map[string]any{"file_path": path["file_path"], "blob_id": blob})
}

func (g *GitLab) statuses(w http.ResponseWriter, r *http.Request, path map[string]string) {
	newest, seen := []map[string]any{}, map[any]bool{}
	for _, one := range slices.Backward(g.Statuses[path["sha"]]) {
		if name := r.URL.Query().Get("name"); seen[one["name"]] || name != "" && name != one["name"] {
			continue
		}
		seen[one["name"]] = true
		newest = append(newest, map[string]any{"name": one["name"], "status": one["state"], "description": one["description"], "target_url": one["target_url"], "allow_failure": false})
	}
	JSON(w, 200, pageOf(r, "per_page", 100, newest))
}

func (g *GitLab) makeStatus(w http.ResponseWriter, r *http.Request, path map[string]string) {
	g.Statuses[path["sha"]] = append(g.Statuses[path["sha"]], Read[map[string]any](g.t, r))
	JSON(w, 201, map[string]any{"id": 1})
}

func (g *GitLab) requestJSON(p *Pull, whole bool) map[string]any {
	g.settle()
	doc := map[string]any{
		"iid": p.Number, "web_url": fmt.Sprintf("%s/lab/%s/-/merge_requests/%d", g.URL, g.Name, p.Number), "state": map[string]string{"open": "opened", "closed": "closed"}[p.State], "title": p.Title, "description": p.Body,
		"draft": strings.HasPrefix(p.Title, "Draft:"), "source_branch": p.Head, "target_branch": p.Base, "source_project_id": gitlabProject, "target_project_id": gitlabProject, "sha": p.HeadSHA, "labels": append([]string{}, p.Labels...),
		"merge_commit_sha": nil, "squash_commit_sha": nil, "merged_at": nil, "closed_at": nil,
	}
	reviewers := []map[string]any{}
	for _, name := range p.Reviewers {
		reviewers = append(reviewers, g.person(name))
	}
	doc["reviewers"] = reviewers
	switch {
	case p.Merge != "" && len(strings.Fields(g.Git(nil, "show", "-s", "--format=%P", p.Merge))) == 1:
		doc["squash_commit_sha"] = p.Merge
	case p.Merge != "":
		doc["merge_commit_sha"] = p.Merge
	}
	if p.Merge != "" {
		doc["state"], doc["merged_at"] = "merged", written(p.At)
	} else if p.State == "closed" {
		doc["closed_at"] = written(p.At)
	}
	if !whole {
		return doc
	}
	if p.MergedBy != "" {
		doc["merge_user"] = g.person(p.MergedBy)
	}
	if p.ClosedBy != "" && p.State == "closed" && p.Merge == "" {
		doc["closed_by"] = g.person(p.ClosedBy)
	}
	doc["has_conflicts"] = g.conflicts(p)
	return doc
}

func (g *GitLab) requests(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	query := r.URL.Query()
	list := []map[string]any{}
	for _, p := range slices.Backward(g.Pulls) {
		if source := query.Get("source_branch"); source != "" && source != p.Head {
			continue
		}
		doc := g.requestJSON(p, false)
		if state := query.Get("state"); state == "" || state == "all" || state == doc["state"] {
			list = append(list, doc)
		}
	}
	// One of a fork, whose branch has the same name, is nothing of ours.
	if source := query.Get("source_branch"); source != "" && query.Get("page") == "1" {
		list = append([]map[string]any{{"iid": 99, "state": "opened", "source_branch": source, "target_branch": "main", "source_project_id": 78, "target_project_id": gitlabProject, "title": "a fork's"}}, list...)
	}
	JSON(w, 200, pageOf(r, "per_page", 100, list))
}

func (g *GitLab) makeRequest(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		Source      string `json:"source_branch"`
		Target      string `json:"target_branch"`
		Title       string
		Description string
		Labels      string
	}](g.t, r)
	for _, p := range g.Pulls {
		if p.Head == body.Source && p.Base == body.Target && p.State == "open" {
			JSON(w, http.StatusConflict, map[string]any{"message": []string{fmt.Sprintf("Another open merge request already exists for this source branch: !%d", p.Number)}})
			return
		}
	}
	if g.tip(body.Source) == "" || g.tip(body.Target) == "" {
		JSON(w, http.StatusBadRequest, map[string]any{"message": map[string][]string{"source_branch": {"is invalid"}}})
		return
	}
	g.next++
	p := &Pull{Number: g.next, Title: body.Title, Body: g.obeyed(body.Description), Head: body.Source, Base: body.Target, State: "open", At: g.clock, Labels: words(body.Labels)}
	g.Pulls = append(g.Pulls, p)
	JSON(w, 201, g.requestJSON(p, true))
}

// obeyed fails the test for a text with a line that GitLab would carry out, and gives the
// text as GitLab stores it.
func (g *GitLab) obeyed(text string) string {
	text = strings.ReplaceAll(text, "\r", "")
	for line := range strings.Lines(text) {
		if command, _, _ := strings.Cut(strings.TrimSpace(line), " "); command == "/close" || command == "/merge" {
			g.t.Errorf("GitLab would carry out %q", line)
		}
	}
	return strings.TrimSpace(text)
}

// words reads a list as GitLab writes it, with commas.
func words(text string) (list []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part != "" {
			list = append(list, part)
		}
	}
	return list
}

func (g *GitLab) numbered(w http.ResponseWriter, iid string) *Pull {
	for _, p := range g.Pulls {
		if strconv.Itoa(p.Number) == iid {
			return p
		}
	}
	say(w, http.StatusNotFound, "404 Not found")
	return nil
}

func (g *GitLab) request(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if p := g.numbered(w, path["iid"]); p != nil {
		JSON(w, 200, g.requestJSON(p, true))
	}
}

// members gives the names of those ids that belong to members; others are left out in
// silence.
func (g *GitLab) members(ids []int64) (names []string) {
	for _, id := range ids {
		for _, name := range g.people() {
			if idOf(name) == id && g.isMember(name) {
				names = merged(names, []string{name})
			}
		}
	}
	return names
}

func (g *GitLab) editRequest(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := g.numbered(w, path["iid"])
	if p == nil {
		return
	}
	body := Read[struct {
		Title, Description *string
		Target             *string `json:"target_branch"`
		Labels             string  `json:"add_labels"`
		Reviewers          []int64 `json:"reviewer_ids"`
		Event              string  `json:"state_event"`
	}](g.t, r)
	for from, into := range map[*string]*string{body.Title: &p.Title, body.Description: &p.Body, body.Target: &p.Base} {
		if from != nil {
			*into = *from
		}
	}
	p.Body = g.obeyed(p.Body)
	p.Labels = merged(p.Labels, words(body.Labels))
	if body.Reviewers != nil {
		p.Reviewers = g.members(body.Reviewers)
	}
	if body.Event == "close" && p.State == "open" {
		g.settle()
		p.State, p.ClosedBy, p.At = "closed", g.Actor, g.clock
	}
	JSON(w, 200, g.requestJSON(p, true))
}

func (g *GitLab) requestCommits(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := g.numbered(w, path["iid"])
	if p == nil {
		return
	}
	g.settle()
	list := []map[string]any{}
	for _, id := range strings.Fields(g.Git(nil, "rev-list", p.HeadSHA, "^"+p.Base)) {
		list = append(list, g.commitJSON(id))
	}
	JSON(w, 200, pageOf(r, "per_page", 100, list))
}

func (g *GitLab) noteJSON(c *GitHubComment) map[string]any {
	return map[string]any{"id": c.ID, "body": c.Body, "system": false, "author": g.person(c.Author), "created_at": written(c.At)}
}

// notes lists what was said on a merge request or, with the sign -1, on a ticket, after a
// note of GitLab's own.
func (g *GitLab) notes(sign int) Handler {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		list := []map[string]any{{"id": 1 << 40, "body": "changed the description", "system": true, "author": g.person("ada"), "created_at": written(g.clock)}}
		for _, c := range g.Comments[sign*g.number(path["iid"])] {
			list = append(list, g.noteJSON(c))
		}
		JSON(w, 200, pageOf(r, "per_page", 100, list))
	}
}

func (g *GitLab) note(sign int) Handler {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		JSON(w, 201, g.noteJSON(g.Say(sign*g.number(path["iid"]), g.Actor, "", g.obeyed(Read[struct{ Body string }](g.t, r).Body))))
	}
}

func (g *GitLab) renote(w http.ResponseWriter, r *http.Request, path map[string]string) {
	for _, list := range g.Comments {
		for _, c := range list {
			if strconv.Itoa(c.ID) == path["note_id"] {
				c.Body = g.obeyed(Read[struct{ Body string }](g.t, r).Body)
				JSON(w, 200, g.noteJSON(c))
				return
			}
		}
	}
	say(w, http.StatusNotFound, "404 Not found")
}

func (g *GitLab) issueJSON(one *GitHubTicket) map[string]any {
	assignees := []map[string]any{}
	for _, name := range one.Assigned {
		assignees = append(assignees, g.person(name))
	}
	return map[string]any{"iid": one.Number, "web_url": fmt.Sprintf("%s/lab/%s/-/issues/%d", g.URL, g.Name, one.Number), "title": one.Title, "description": one.Body, "assignees": assignees}
}

func (g *GitLab) issues(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for _, one := range slices.Backward(g.Tickets) {
		if label := r.URL.Query().Get("labels"); label == "" || slices.Contains(one.Labels, label) {
			list = append(list, g.issueJSON(one))
		}
	}
	JSON(w, 200, pageOf(r, "per_page", 100, list))
}

func (g *GitLab) makeIssue(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct{ Title, Description, Labels string }](g.t, r)
	g.tickets++
	one := &GitHubTicket{Number: g.tickets, Title: body.Title, Body: g.obeyed(body.Description), Labels: words(body.Labels)}
	g.Tickets = append(g.Tickets, one)
	JSON(w, 201, g.issueJSON(one))
}

func (g *GitLab) ticketOf(w http.ResponseWriter, iid string) *GitHubTicket {
	for _, one := range g.Tickets {
		if strconv.Itoa(one.Number) == iid {
			return one
		}
	}
	say(w, http.StatusNotFound, "404 Not found")
	return nil
}

func (g *GitLab) issue(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if one := g.ticketOf(w, path["iid"]); one != nil {
		JSON(w, 200, g.issueJSON(one))
	}
}

func (g *GitLab) editIssue(w http.ResponseWriter, r *http.Request, path map[string]string) {
	one := g.ticketOf(w, path["iid"])
	if one == nil {
		return
	}
	body := Read[struct {
		Title, Description *string
		Labels             string  `json:"add_labels"`
		Assignees          []int64 `json:"assignee_ids"`
	}](g.t, r)
	for from, into := range map[*string]*string{body.Title: &one.Title, body.Description: &one.Body} {
		if from != nil {
			*into = *from
		}
	}
	one.Body = g.obeyed(one.Body)
	one.Labels = merged(one.Labels, words(body.Labels))
	if body.Assignees != nil {
		one.Assigned = g.members(body.Assignees)
	}
	JSON(w, 200, g.issueJSON(one))
}

func (g *GitLab) related(w http.ResponseWriter, r *http.Request, path map[string]string) {
	one := g.ticketOf(w, path["iid"])
	if one == nil {
		return
	}
	list := []map[string]any{{"iid": 3, "state": "opened", "source_branch": "x", "target_branch": "main", "target_project_id": 5, "source_project_id": 5}}
	for _, p := range g.Pulls {
		if slices.Contains(one.Linked, p.Number) {
			list = append(list, g.requestJSON(p, false))
		}
	}
	JSON(w, 200, pageOf(r, "per_page", 100, list))
}
