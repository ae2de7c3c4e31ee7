package forgetest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// githubOperations are what the connector may ask of GitHub.
var githubOperations = []string{
	"GET /repos/{owner}/{repo}", "GET /orgs/{org}/repos", "GET /orgs/{org}/teams", "GET /orgs/{org}/teams/{team_slug}/members", "GET /orgs/{org}/teams/{team_slug}/repos",
	"GET /repos/{owner}/{repo}/dependabot/alerts", "GET /repos/{owner}/{repo}/code-scanning/alerts", "GET /repos/{owner}/{repo}/secret-scanning/alerts",
	"GET /repos/{owner}/{repo}/git/ref/{ref}", "POST /repos/{owner}/{repo}/git/refs", "PATCH /repos/{owner}/{repo}/git/refs/{ref}", "DELETE /repos/{owner}/{repo}/git/refs/{ref}",
	"GET /repos/{owner}/{repo}/git/commits/{commit_sha}", "GET /repos/{owner}/{repo}/compare/{basehead}",
	"GET /repos/{owner}/{repo}/pulls", "POST /repos/{owner}/{repo}/pulls", "GET /repos/{owner}/{repo}/pulls/{pull_number}", "PATCH /repos/{owner}/{repo}/pulls/{pull_number}",
	"GET /repos/{owner}/{repo}/pulls/{pull_number}/commits", "POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
	"GET /repos/{owner}/{repo}/issues", "POST /repos/{owner}/{repo}/issues", "PATCH /repos/{owner}/{repo}/issues/{issue_number}", "POST /repos/{owner}/{repo}/issues/{issue_number}/labels",
	"POST /repos/{owner}/{repo}/issues/{issue_number}/assignees", "GET /repos/{owner}/{repo}/issues/{issue_number}/comments", "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
	"PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}", "GET /repos/{owner}/{repo}/issues/{issue_number}/events", "GET /repos/{owner}/{repo}/issues/{issue_number}/timeline",
	"GET /repos/{owner}/{repo}/commits/{ref}/check-runs", "GET /repos/{owner}/{repo}/commits/{ref}/status", "POST /repos/{owner}/{repo}/statuses/{sha}",
	"POST /repos/{owner}/{repo}/check-runs", "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
	"GET /repos/{owner}/{repo}/installation", "GET /orgs/{org}/installation", "POST /app/installations/{installation_id}/access_tokens", "POST /agents/repos/{owner}/{repo}/tasks",
}

// githubPreview is what GitHub describes for the assignment of agents and its published
// schema leaves out.
const githubPreview = `
input AgentAssignmentInput { targetRepositoryId: ID baseRef: String customInstructions: String customAgent: String }
input ReplaceActorsForAssignableInput { assignableId: ID! actorIds: [ID!]! agentAssignment: AgentAssignmentInput }
type ReplaceActorsForAssignablePayload { assignable: Assignable }
enum RepositorySuggestedActorFilter { CAN_BE_ASSIGNED CAN_BE_AUTHOR }
type SuggestedActorConnection { nodes: [Actor] }
extend type Repository { suggestedActors(capabilities: [RepositorySuggestedActorFilter!]!, first: Int): SuggestedActorConnection }
extend type Issue { assignedActors(first: Int): SuggestedActorConnection }
extend type Mutation { replaceActorsForAssignable(input: ReplaceActorsForAssignableInput!): ReplaceActorsForAssignablePayload }
`

// GitHub is a GitHub with one repository, whose branches and commits are those of a real
// bare repository.
type GitHub struct {
	*Server
	t     *testing.T
	ql    *GraphQL
	Dir   string // the bare repository
	Name  string // "acme/shop"
	Token string // what requests must bear
	Actor string // who the token belongs to

	Archived, NoPush, NoDrafts bool
	Protected                  string   // branches that begin so take no commits
	Strangers                  []string // reviewers that are no collaborators
	Agents                     []string // that can be assigned

	Pulls    []*Pull
	Tickets  []*GitHubTicket
	Comments map[int][]*GitHubComment
	Statuses map[string][]map[string]any
	Runs     []map[string]any
	Tasks    []map[string]any
	next     int
	clock    time.Time
}

// Pull is a pull request of the server.
type Pull struct {
	Number                  int
	Title, Body, Head, Base string
	State                   string // open, closed
	Draft                   bool
	Merge                   string
	MergedBy, ClosedBy      string
	Labels, Reviewers       []string
	HeadSHA                 string // kept when the branch goes
	At                      time.Time
}

// GitHubTicket is an issue of the server.
type GitHubTicket struct {
	Number      int
	Title, Body string
	Labels      []string
	Assigned    []string
	Suggested   []map[string]any
	Linked      []int
}

// GitHubComment is a comment of the server.
type GitHubComment struct {
	ID           int
	Author, Body string
	Association  string
	At           time.Time
}

// Git runs git in the bare repository.
func (g *GitHub) Git(input []byte, args ...string) string {
	g.t.Helper()
	out, err := g.git(input, args...)
	if err != nil {
		g.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return out
}

func (g *GitHub) git(input []byte, args ...string) (string, error) {
	command := exec.Command("git", args...)
	command.Dir = g.Dir
	command.Stdin = bytes.NewReader(input)
	stamp := strconv.FormatInt(g.clock.Unix(), 10) + " +0000"
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=backstitch[bot]", "GIT_AUTHOR_EMAIL=bot@example.org", "GIT_COMMITTER_NAME=GitHub", "GIT_COMMITTER_EMAIL=noreply@example.org",
		"GIT_AUTHOR_DATE=" + stamp, "GIT_COMMITTER_DATE=" + stamp}
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (g *GitHub) tip(branch string) string {
	out, err := g.git(nil, "rev-parse", "--verify", "--quiet", "refs/heads/"+branch)
	if err != nil {
		return ""
	}
	return out
}

// slashes of names stand in one part of a path in the document.
var inPath = regexp.MustCompile(`^(/repos/[^/]+/[^/]+/(?:git/refs?|compare)/)(.+)$`)

// documents are what GitHub publishes, read once for all tests of a process.
type documents struct {
	rest  *openapi3.T
	graph *GraphQL
}

var (
	readGitHub sync.Mutex
	ofGitHub   *documents
)

func githubDocuments(t *testing.T) *documents {
	t.Helper()
	readGitHub.Lock()
	defer readGitHub.Unlock()
	if ofGitHub == nil {
		rest := Document(t, Published(t, "github.json"), githubOperations...)
		ofGitHub = &documents{rest, NewGraphQL(t, "github.graphql", append(Published(t, "github.graphql"), githubPreview...))}
	}
	return ofGitHub
}

// NewGitHub starts a GitHub over a bare repository, in which the token belongs to a user.
func NewGitHub(t *testing.T, dir, name string, clock time.Time) *GitHub {
	t.Helper()
	published := githubDocuments(t)
	g := &GitHub{
		Server: New(t, published.rest, "/api/v3"), t: t, Dir: dir, Name: name, Token: "secret-token", Actor: "backstitch-bot",
		ql:       published.graph,
		Comments: map[int][]*GitHubComment{}, Statuses: map[string][]map[string]any{}, clock: clock,
	}
	g.Rewrite = func(path string) string {
		parts := inPath.FindStringSubmatch(path)
		if parts == nil {
			return path
		}
		return parts[1] + strings.ReplaceAll(parts[2], "/", "%2F")
	}
	g.Raw("POST /api/graphql", g.graphql)
	for operation, handler := range map[string]Handler{
		"GET /repos/{owner}/{repo}": g.about, "GET /repos/{owner}/{repo}/git/ref/{ref}": g.ref, "POST /repos/{owner}/{repo}/git/refs": g.makeRef,
		"PATCH /repos/{owner}/{repo}/git/refs/{ref}": g.moveRef, "DELETE /repos/{owner}/{repo}/git/refs/{ref}": g.dropRef,
		"GET /repos/{owner}/{repo}/git/commits/{commit_sha}": g.gitCommit, "GET /repos/{owner}/{repo}/compare/{basehead}": g.compare,
		"GET /repos/{owner}/{repo}/pulls": g.pulls, "POST /repos/{owner}/{repo}/pulls": g.makePull, "GET /repos/{owner}/{repo}/pulls/{pull_number}": g.pull,
		"PATCH /repos/{owner}/{repo}/pulls/{pull_number}": g.editPull, "GET /repos/{owner}/{repo}/pulls/{pull_number}/commits": g.pullCommits,
		"POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers": g.reviewers,
		"GET /repos/{owner}/{repo}/issues":                                   g.tickets, "POST /repos/{owner}/{repo}/issues": g.makeTicket, "PATCH /repos/{owner}/{repo}/issues/{issue_number}": g.editTicket,
		"POST /repos/{owner}/{repo}/issues/{issue_number}/labels": g.labels, "POST /repos/{owner}/{repo}/issues/{issue_number}/assignees": g.assignees,
		"GET /repos/{owner}/{repo}/issues/{issue_number}/comments": g.comments, "POST /repos/{owner}/{repo}/issues/{issue_number}/comments": g.say,
		"PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}": g.resay, "GET /repos/{owner}/{repo}/issues/{issue_number}/events": g.events,
		"GET /repos/{owner}/{repo}/issues/{issue_number}/timeline": g.timeline,
		"GET /repos/{owner}/{repo}/commits/{ref}/check-runs":       g.checkRuns, "GET /repos/{owner}/{repo}/commits/{ref}/status": g.status,
		"POST /repos/{owner}/{repo}/statuses/{sha}": g.makeStatus, "POST /repos/{owner}/{repo}/check-runs": g.makeRun, "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}": g.editRun,
		"POST /agents/repos/{owner}/{repo}/tasks": g.task,
	} {
		g.On(operation, g.allowed(handler))
	}
	return g
}

// allowed answers only requests with the token and about the repository.
func (g *GitHub) allowed(handler Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		if r.Header.Get("Authorization") != "Bearer "+g.Token {
			refuse(w, http.StatusUnauthorized, "Bad credentials")
			return
		}
		if path["owner"]+"/"+path["repo"] != g.Name {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		g.clock = g.clock.Add(time.Second)
		handler(w, r, path)
	}
}

func refuse(w http.ResponseWriter, status int, message string, details ...string) {
	errors := []map[string]string{}
	for _, text := range details {
		errors = append(errors, map[string]string{"message": text})
	}
	JSON(w, status, map[string]any{"message": message, "errors": errors})
}

func (g *GitHub) about(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
	JSON(w, 200, map[string]any{
		"full_name": g.Name, "default_branch": strings.TrimPrefix(g.Git(nil, "symbolic-ref", "HEAD"), "refs/heads/"), "archived": g.Archived,
		"private": true, "fork": false, "html_url": g.URL + "/" + g.Name, "topics": []string{"shop"}, "permissions": map[string]bool{"push": !g.NoPush, "pull": true},
	})
}

func (g *GitHub) ref(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if tip := g.tip(strings.TrimPrefix(path["ref"], "heads/")); tip != "" {
		JSON(w, 200, map[string]any{"ref": "refs/" + path["ref"], "object": map[string]string{"type": "commit", "sha": tip}})
		return
	}
	refuse(w, http.StatusNotFound, "Not Found")
}

func (g *GitHub) protected(w http.ResponseWriter, branch string) bool {
	if g.NoPush {
		refuse(w, http.StatusForbidden, "Resource not accessible by personal access token")
		return true
	}
	if g.Protected != "" && strings.HasPrefix(branch, g.Protected) {
		refuse(w, http.StatusUnprocessableEntity, "Repository rule violations found", "Cannot create ref due to creations being restricted")
		return true
	}
	return false
}

func (g *GitHub) makeRef(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct{ Ref, SHA string }](g.t, r)
	branch := strings.TrimPrefix(body.Ref, "refs/heads/")
	if g.protected(w, branch) {
		return
	}
	if _, err := g.git(nil, "cat-file", "-e", body.SHA+"^{commit}"); err != nil {
		refuse(w, http.StatusUnprocessableEntity, "Object does not exist")
		return
	}
	if g.tip(branch) != "" {
		refuse(w, http.StatusUnprocessableEntity, "Reference already exists")
		return
	}
	g.Git(nil, "update-ref", body.Ref, body.SHA)
	JSON(w, 201, map[string]any{"ref": body.Ref, "object": map[string]string{"sha": body.SHA}})
}

func (g *GitHub) moveRef(w http.ResponseWriter, r *http.Request, path map[string]string) {
	body := Read[struct {
		SHA   string
		Force bool
	}](g.t, r)
	branch := strings.TrimPrefix(path["ref"], "heads/")
	if g.protected(w, branch) {
		return
	}
	if g.tip(branch) == "" {
		refuse(w, http.StatusUnprocessableEntity, "Reference does not exist")
		return
	}
	if _, err := g.git(nil, "merge-base", "--is-ancestor", g.tip(branch), body.SHA); err != nil && !body.Force {
		refuse(w, http.StatusUnprocessableEntity, "Update is not a fast forward")
		return
	}
	g.Git(nil, "update-ref", "refs/heads/"+branch, body.SHA)
	JSON(w, 200, map[string]any{"ref": "refs/heads/" + branch, "object": map[string]string{"sha": body.SHA}})
}

func (g *GitHub) dropRef(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	branch := strings.TrimPrefix(path["ref"], "heads/")
	if g.tip(branch) == "" {
		refuse(w, http.StatusUnprocessableEntity, "Reference does not exist")
		return
	}
	g.settle()
	g.Git(nil, "update-ref", "-d", "refs/heads/"+branch)
	for _, p := range g.Pulls {
		if p.Head == branch && p.State == "open" {
			p.State, p.ClosedBy = "closed", g.Actor
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// settle notes where the branches of pull requests stand.
func (g *GitHub) settle() {
	for _, p := range g.Pulls {
		if tip := g.tip(p.Head); tip != "" && p.State == "open" {
			p.HeadSHA = tip
		}
	}
}

func (g *GitHub) commitJSON(id string) map[string]any {
	parents := []map[string]string{}
	for _, p := range strings.Fields(g.Git(nil, "show", "-s", "--format=%P", id)) {
		parents = append(parents, map[string]string{"sha": p})
	}
	return map[string]any{"sha": id, "message": g.Git(nil, "show", "-s", "--format=%B", id), "tree": map[string]string{"sha": g.Git(nil, "rev-parse", id+"^{tree}")}, "parents": parents}
}

func (g *GitHub) gitCommit(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if _, err := g.git(nil, "cat-file", "-e", path["commit_sha"]+"^{commit}"); err != nil {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	JSON(w, 200, g.commitJSON(path["commit_sha"]))
}

func (g *GitHub) compare(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	base, head, _ := strings.Cut(path["basehead"], "...")
	ahead, err := g.git(nil, "rev-list", "--count", base+".."+head)
	if err != nil {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	n, err := strconv.Atoi(ahead)
	if err != nil {
		g.t.Errorf("rev-list: %v", err)
	}
	JSON(w, 200, map[string]any{"ahead_by": n, "commits": []any{}})
}

func (g *GitHub) pullJSON(p *Pull, whole bool) map[string]any {
	g.settle()
	doc := map[string]any{
		"number": p.Number, "node_id": fmt.Sprintf("PR_%d", p.Number), "html_url": fmt.Sprintf("%s/%s/pull/%d", g.URL, g.Name, p.Number), "state": p.State, "title": p.Title, "body": p.Body, "draft": p.Draft,
		"merged_at": nil, "closed_at": nil, "merge_commit_sha": nil, "head": map[string]string{"ref": p.Head, "sha": p.HeadSHA}, "base": map[string]string{"ref": p.Base, "sha": g.tip(p.Base)},
	}
	if p.State == "closed" {
		doc["closed_at"] = p.At.Format(time.RFC3339)
	}
	if p.Merge != "" {
		doc["merged_at"], doc["merge_commit_sha"] = p.At.Format(time.RFC3339), p.Merge
	}
	if whole {
		if p.MergedBy != "" {
			doc["merged_by"] = map[string]string{"login": p.MergedBy, "type": "User"}
		}
		doc["mergeable_state"] = "clean"
		if out, err := g.git(nil, "merge-tree", "--write-tree", p.Base, p.HeadSHA); err != nil && p.State == "open" {
			_ = out
			doc["mergeable_state"] = "dirty"
		}
	}
	return doc
}

func (g *GitHub) pulls(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	owner, _, _ := strings.Cut(g.Name, "/")
	for _, p := range slices.Backward(g.Pulls) {
		if head := r.URL.Query().Get("head"); head != "" && head != owner+":"+p.Head {
			continue
		}
		if state := r.URL.Query().Get("state"); state == "all" || state == p.State || state == "" && p.State == "open" {
			list = append(list, g.pullJSON(p, false))
		}
	}
	JSON(w, 200, paged(r, list))
}

// paged gives the elements of the page that is asked for.
func paged[T any](r *http.Request, list []T) []T {
	size, page := 30, 1
	if n, err := strconv.Atoi(r.URL.Query().Get("per_page")); err == nil {
		size = n
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("page")); err == nil {
		page = n
	}
	from := min((page-1)*size, len(list))
	return list[from:min(from+size, len(list))]
}

func (g *GitHub) makePull(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		Title, Body, Head, Base string
		Draft                   bool
	}](g.t, r)
	switch {
	case g.tip(body.Head) == "" || g.tip(body.Base) == "":
		refuse(w, http.StatusUnprocessableEntity, "Validation Failed", "head or base is invalid")
		return
	case g.tip(body.Head) == g.tip(body.Base):
		refuse(w, http.StatusUnprocessableEntity, "Validation Failed", "No commits between "+body.Base+" and "+body.Head)
		return
	case body.Draft && g.NoDrafts:
		refuse(w, http.StatusUnprocessableEntity, "Draft pull requests are not supported in this repository.")
		return
	}
	for _, p := range g.Pulls {
		if p.Head == body.Head && p.State == "open" {
			refuse(w, http.StatusUnprocessableEntity, "Validation Failed", "A pull request already exists for "+g.Name+":"+body.Head+".")
			return
		}
	}
	g.next++
	p := &Pull{Number: g.next, Title: body.Title, Body: body.Body, Head: body.Head, Base: body.Base, Draft: body.Draft, State: "open", At: g.clock}
	g.Pulls = append(g.Pulls, p)
	JSON(w, 201, g.pullJSON(p, true))
}

func (g *GitHub) numbered(w http.ResponseWriter, number string) *Pull {
	for _, p := range g.Pulls {
		if strconv.Itoa(p.Number) == number {
			return p
		}
	}
	refuse(w, http.StatusNotFound, "Not Found")
	return nil
}

func (g *GitHub) pull(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if p := g.numbered(w, path["pull_number"]); p != nil {
		JSON(w, 200, g.pullJSON(p, true))
	}
}

func (g *GitHub) editPull(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := g.numbered(w, path["pull_number"])
	if p == nil {
		return
	}
	body := Read[struct{ Title, Body, Base, State *string }](g.t, r)
	for from, into := range map[*string]*string{body.Title: &p.Title, body.Body: &p.Body, body.Base: &p.Base} {
		if from != nil {
			*into = *from
		}
	}
	if body.State != nil && *body.State != p.State {
		g.settle()
		p.State, p.ClosedBy, p.At = *body.State, g.Actor, g.clock
	}
	JSON(w, 200, g.pullJSON(p, true))
}

func (g *GitHub) pullCommits(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := g.numbered(w, path["pull_number"])
	if p == nil {
		return
	}
	g.settle()
	list := []map[string]any{}
	for _, id := range strings.Fields(g.Git(nil, "rev-list", "--reverse", p.HeadSHA, "^"+p.Base)) {
		doc := g.commitJSON(id)
		name := g.Git(nil, "show", "-s", "--format=%an", id)
		list = append(list, map[string]any{"sha": id, "parents": doc["parents"], "author": map[string]string{"login": strings.ToLower(name)}, "commit": map[string]any{"message": doc["message"], "author": map[string]string{"name": name}}})
	}
	JSON(w, 200, paged(r, list))
}

func (g *GitHub) reviewers(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := g.numbered(w, path["pull_number"])
	if p == nil {
		return
	}
	body := Read[struct {
		Reviewers []string
		Teams     []string `json:"team_reviewers"`
	}](g.t, r)
	for _, name := range body.Reviewers {
		if slices.Contains(g.Strangers, name) {
			refuse(w, http.StatusUnprocessableEntity, "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the "+g.Name+" repository.")
			return
		}
	}
	for _, name := range slices.Concat(body.Reviewers, body.Teams) {
		if !slices.Contains(p.Reviewers, name) {
			p.Reviewers = append(p.Reviewers, name)
		}
	}
	JSON(w, 201, g.pullJSON(p, true))
}

func (g *GitHub) ticketJSON(one *GitHubTicket) map[string]any {
	assignees := []map[string]string{}
	for _, name := range one.Assigned {
		assignees = append(assignees, map[string]string{"login": name})
	}
	return map[string]any{"number": one.Number, "node_id": fmt.Sprintf("I_%d", one.Number), "html_url": fmt.Sprintf("%s/%s/issues/%d", g.URL, g.Name, one.Number), "title": one.Title, "body": one.Body, "assignees": assignees}
}

func (g *GitHub) tickets(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for _, one := range slices.Backward(g.Tickets) {
		if label := r.URL.Query().Get("labels"); label == "" || slices.Contains(one.Labels, label) {
			list = append(list, g.ticketJSON(one))
		}
	}
	JSON(w, 200, paged(r, list))
}

func (g *GitHub) makeTicket(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		Title, Body string
		Labels      []string
	}](g.t, r)
	g.next++
	one := &GitHubTicket{Number: g.next, Title: body.Title, Body: body.Body, Labels: body.Labels}
	g.Tickets = append(g.Tickets, one)
	JSON(w, 201, g.ticketJSON(one))
}

func (g *GitHub) ticket(w http.ResponseWriter, number string) *GitHubTicket {
	for _, one := range g.Tickets {
		if strconv.Itoa(one.Number) == number {
			return one
		}
	}
	refuse(w, http.StatusNotFound, "Not Found")
	return nil
}

func (g *GitHub) editTicket(w http.ResponseWriter, r *http.Request, path map[string]string) {
	one := g.ticket(w, path["issue_number"])
	if one == nil {
		return
	}
	body := Read[struct{ Title, Body *string }](g.t, r)
	for from, into := range map[*string]*string{body.Title: &one.Title, body.Body: &one.Body} {
		if from != nil {
			*into = *from
		}
	}
	JSON(w, 200, g.ticketJSON(one))
}

func (g *GitHub) labels(w http.ResponseWriter, r *http.Request, path map[string]string) {
	body := Read[struct{ Labels []string }](g.t, r)
	for _, p := range g.Pulls {
		if strconv.Itoa(p.Number) == path["issue_number"] {
			p.Labels = merged(p.Labels, body.Labels)
		}
	}
	for _, one := range g.Tickets {
		if strconv.Itoa(one.Number) == path["issue_number"] {
			one.Labels = merged(one.Labels, body.Labels)
		}
	}
	JSON(w, 200, []any{})
}

func merged(list, more []string) []string {
	for _, one := range more {
		if !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

func (g *GitHub) assignees(w http.ResponseWriter, r *http.Request, path map[string]string) {
	one := g.ticket(w, path["issue_number"])
	if one == nil {
		return
	}
	body := Read[struct{ Assignees []map[string]any }](g.t, r)
	one.Suggested = append(one.Suggested, body.Assignees...)
	JSON(w, 201, g.ticketJSON(one))
}

func (g *GitHub) commentJSON(c *GitHubComment) map[string]any {
	kind := "User"
	if strings.HasSuffix(c.Author, "[bot]") {
		kind = "Bot"
	}
	return map[string]any{"id": c.ID, "body": c.Body, "html_url": fmt.Sprintf("%s/%s/comment/%d", g.URL, g.Name, c.ID), "user": map[string]string{"login": c.Author, "type": kind}, "author_association": c.Association, "created_at": c.At.Format(time.RFC3339)}
}

func (g *GitHub) comments(w http.ResponseWriter, r *http.Request, path map[string]string) {
	number, err := strconv.Atoi(path["issue_number"])
	if err != nil {
		g.t.Error(err)
	}
	list := []map[string]any{}
	for _, c := range g.Comments[number] {
		list = append(list, g.commentJSON(c))
	}
	JSON(w, 200, paged(r, list))
}

// Say puts a comment of somebody on a pull request or ticket.
func (g *GitHub) Say(number int, author, association, body string) *GitHubComment {
	g.next++
	c := &GitHubComment{ID: g.next, Author: author, Body: body, Association: association, At: g.clock}
	g.Comments[number] = append(g.Comments[number], c)
	return c
}

func (g *GitHub) say(w http.ResponseWriter, r *http.Request, path map[string]string) {
	number, err := strconv.Atoi(path["issue_number"])
	if err != nil {
		g.t.Error(err)
	}
	JSON(w, 201, g.commentJSON(g.Say(number, g.Actor, "MEMBER", Read[struct{ Body string }](g.t, r).Body)))
}

func (g *GitHub) resay(w http.ResponseWriter, r *http.Request, path map[string]string) {
	for _, list := range g.Comments {
		for _, c := range list {
			if strconv.Itoa(c.ID) == path["comment_id"] {
				c.Body = Read[struct{ Body string }](g.t, r).Body
				JSON(w, 200, g.commentJSON(c))
				return
			}
		}
	}
	refuse(w, http.StatusNotFound, "Not Found")
}

func (g *GitHub) events(w http.ResponseWriter, r *http.Request, path map[string]string) {
	list := []map[string]any{}
	for _, p := range g.Pulls {
		if strconv.Itoa(p.Number) == path["issue_number"] && p.ClosedBy != "" {
			list = append(list, map[string]any{"event": "closed", "actor": map[string]string{"login": p.ClosedBy, "type": "User"}})
		}
	}
	JSON(w, 200, paged(r, list))
}

func (g *GitHub) timeline(w http.ResponseWriter, r *http.Request, path map[string]string) {
	list := []map[string]any{{"event": "labeled"}}
	if one := g.ticket(w, path["issue_number"]); one != nil {
		for _, n := range one.Linked {
			list = append(list, map[string]any{"event": "cross-referenced", "source": map[string]any{"issue": map[string]any{"number": n, "pull_request": map[string]string{"html_url": "x"}, "repository": map[string]string{"full_name": g.Name}}}})
		}
		JSON(w, 200, paged(r, list))
	}
}

func (g *GitHub) checkRuns(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	list := []map[string]any{}
	for _, run := range g.Runs {
		if run["head_sha"] == path["ref"] {
			list = append(list, run)
		}
	}
	JSON(w, 200, map[string]any{"total_count": len(list), "check_runs": list})
}

func (g *GitHub) status(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	list := g.Statuses[path["ref"]]
	state := "pending"
	for _, one := range list {
		state = one["state"].(string)
	}
	JSON(w, 200, map[string]any{"state": state, "total_count": len(list), "statuses": list})
}

func (g *GitHub) makeStatus(w http.ResponseWriter, r *http.Request, path map[string]string) {
	g.Statuses[path["sha"]] = append(g.Statuses[path["sha"]], Read[map[string]any](g.t, r))
	JSON(w, 201, map[string]any{"id": 1})
}

func (g *GitHub) makeRun(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	run := Read[map[string]any](g.t, r)
	g.next++
	run["id"], run["app"] = g.next, map[string]any{"id": 7}
	g.Runs = append(g.Runs, run)
	JSON(w, 201, run)
}

func (g *GitHub) editRun(w http.ResponseWriter, r *http.Request, path map[string]string) {
	for _, run := range g.Runs {
		if fmt.Sprint(run["id"]) == path["check_run_id"] {
			for name, value := range Read[map[string]any](g.t, r) {
				run[name] = value
			}
			JSON(w, 200, run)
			return
		}
	}
	refuse(w, http.StatusNotFound, "Not Found")
}

func (g *GitHub) task(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	g.Tasks = append(g.Tasks, Read[map[string]any](g.t, r))
	JSON(w, 201, map[string]any{"id": fmt.Sprintf("task-%d", len(g.Tasks)), "html_url": fmt.Sprintf("%s/tasks/%d", g.URL, len(g.Tasks)), "state": "queued", "created_at": g.clock.Format(time.RFC3339)})
}

func (g *GitHub) graphql(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+g.Token {
		refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	g.clock = g.clock.Add(time.Second)
	field, query := g.ql.Read(g.t, r)
	input, _ := query.Variables["input"].(map[string]any)
	answer := func(data any) { JSON(w, 200, map[string]any{"data": data}) }
	fail := func(kind, message string) {
		JSON(w, 200, map[string]any{"data": nil, "errors": []map[string]string{{"type": kind, "message": message}}})
	}
	switch field {
	case "createCommitOnBranch":
		g.createCommit(input, answer, fail)
	case "markPullRequestReadyForReview", "convertPullRequestToDraft":
		for _, p := range g.Pulls {
			if fmt.Sprintf("PR_%d", p.Number) == query.Variables["id"] {
				p.Draft = field == "convertPullRequestToDraft"
				answer(map[string]any{field: map[string]any{"pullRequest": map[string]int{"number": p.Number}}})
				return
			}
		}
		fail("NOT_FOUND", "Could not resolve to a node")
	case "repository":
		nodes := []map[string]string{}
		for _, name := range g.Agents {
			nodes = append(nodes, map[string]string{"login": name, "id": "BOT_" + name})
		}
		number, _ := query.Variables["number"].(float64)
		for _, one := range g.Tickets {
			if float64(one.Number) == number {
				assigned := []map[string]string{}
				for _, name := range one.Assigned {
					assigned = append(assigned, map[string]string{"login": name, "id": "BOT_" + name})
				}
				answer(map[string]any{"repository": map[string]any{"id": "R_1", "issue": map[string]any{"id": fmt.Sprintf("I_%d", one.Number), "assignedActors": map[string]any{"nodes": assigned}}, "suggestedActors": map[string]any{"nodes": nodes}}})
				return
			}
		}
		fail("NOT_FOUND", "Could not resolve to an Issue")
	case "replaceActorsForAssignable":
		if r.Header.Get("Graphql-Features") != "issues_copilot_assignment_api_support" {
			fail("FORBIDDEN", "the feature header is missing")
			return
		}
		for _, one := range g.Tickets {
			if fmt.Sprintf("I_%d", one.Number) == input["assignableId"] {
				one.Assigned = nil
				for _, id := range input["actorIds"].([]any) {
					one.Assigned = append(one.Assigned, strings.TrimPrefix(id.(string), "BOT_"))
				}
				answer(map[string]any{"replaceActorsForAssignable": map[string]any{"assignable": map[string]string{"__typename": "Issue"}}})
				return
			}
		}
		fail("NOT_FOUND", "Could not resolve to a node")
	default:
		g.t.Errorf("GraphQL field %q: the test does not expect it", field)
		fail("NOT_FOUND", "unknown")
	}
}

func (g *GitHub) createCommit(input map[string]any, answer func(any), fail func(kind, message string)) {
	branch := input["branch"].(map[string]any)["branchName"].(string)
	tip := g.tip(branch)
	switch {
	case tip == "":
		fail("NOT_FOUND", "Could not resolve the branch")
		return
	case g.Protected != "" && strings.HasPrefix(branch, g.Protected):
		fail("UNPROCESSABLE", "Repository rule violations found")
		return
	case input["expectedHeadOid"] != tip:
		fail("STALE_DATA", "Expected branch to point to \""+fmt.Sprint(input["expectedHeadOid"])+"\" but it did not. Pull and try again.")
		return
	}
	message := input["message"].(map[string]any)
	changes := input["fileChanges"].(map[string]any)
	index := g.t.TempDir() + "/index"
	env := []string{"-c", "core.bare=true"}
	run := func(stdin []byte, args ...string) string {
		command := exec.Command("git", append(env, args...)...)
		command.Dir, command.Stdin = g.Dir, bytes.NewReader(stdin)
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_INDEX_FILE=" + index}
		out, err := command.CombinedOutput()
		if err != nil {
			g.t.Errorf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(nil, "read-tree", tip)
	for _, one := range changes["additions"].([]any) {
		file := one.(map[string]any)
		content, err := base64.StdEncoding.DecodeString(file["contents"].(string))
		if err != nil {
			g.t.Errorf("contents of %v: %v", file["path"], err)
		}
		blob := run(content, "hash-object", "-w", "--stdin")
		run(nil, "update-index", "--add", "--cacheinfo", "100644,"+blob+","+file["path"].(string))
	}
	for _, one := range changes["deletions"].([]any) {
		run([]byte("0 "+strings.Repeat("0", 40)+"\t"+one.(map[string]any)["path"].(string)+"\n"), "update-index", "--index-info")
	}
	tree := run(nil, "write-tree")
	commit := g.Git([]byte(message["headline"].(string)+"\n\n"+message["body"].(string)), "commit-tree", tree, "-p", tip)
	g.Git(nil, "update-ref", "refs/heads/"+branch, commit)
	answer(map[string]any{"createCommitOnBranch": map[string]any{"commit": map[string]string{"oid": commit}}})
}

// MergePull merges a pull request as somebody would: with a merge commit, or squashed.
func (g *GitHub) MergePull(number int, by string, squash bool) string {
	for _, p := range g.Pulls {
		if p.Number != number {
			continue
		}
		g.settle()
		g.clock = g.clock.Add(time.Minute)
		tree, _, _ := strings.Cut(g.Git(nil, "merge-tree", "--write-tree", p.Base, p.HeadSHA), "\n")
		args := []string{"commit-tree", tree, "-p", g.tip(p.Base)}
		message := "Merge pull request #" + strconv.Itoa(number)
		if squash {
			message = p.Title + " (#" + strconv.Itoa(number) + ")\n\n" + p.Body
		} else {
			args = append(args, "-p", p.HeadSHA)
		}
		p.Merge = g.Git([]byte(message), args...)
		g.Git(nil, "update-ref", "refs/heads/"+p.Base, p.Merge)
		p.State, p.MergedBy, p.At = "closed", by, g.clock
		return p.Merge
	}
	g.t.Fatalf("no pull request %d", number)
	return ""
}

// ClosePull closes a pull request without merging it.
func (g *GitHub) ClosePull(number int, by string) {
	for _, p := range g.Pulls {
		if p.Number == number {
			g.settle()
			p.State, p.ClosedBy, p.At = "closed", by, g.clock
		}
	}
}
