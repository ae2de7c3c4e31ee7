package forgetest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// bitbucketDocument describes the calls that the connector makes. Atlassian publishes no
// document in a package, so it is written after its documentation.
//
//go:embed bitbucket.json
var bitbucketDocument []byte

// ours are documents of our own, read once for all tests of a process.
var ours struct {
	sync.Mutex
	read map[string]*openapi3.T
}

// described reads all operations of a document of our own.
func described(t *testing.T, name string, data []byte) *openapi3.T {
	t.Helper()
	ours.Lock()
	defer ours.Unlock()
	if doc := ours.read[name]; doc != nil {
		return doc
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatalf("the OpenAPI document %s: %v", name, err)
	}
	var operations []string
	for path, item := range doc.Paths {
		for method := range item {
			operations = append(operations, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(operations)
	if ours.read == nil {
		ours.read = map[string]*openapi3.T{}
	}
	ours.read[name] = Document(t, data, operations...)
	return ours.read[name]
}

// documented answers as handler does, and fails the test for parameters of the query that
// the document does not know, since servers pass over those in silence.
func documented(t *testing.T, doc *openapi3.T, operation string, handler Handler) Handler {
	t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	item := doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		t.Fatalf("%s: the API has no such operation", operation)
	}
	known := item.GetOperation(method).Parameters
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		for name := range r.URL.Query() {
			if known.GetByInAndName("query", name) == nil {
				t.Errorf("%s: the API knows no parameter %q", operation, name)
			}
		}
		handler(w, r, path)
	}
}

// Bitbucket is a Bitbucket Cloud with one repository, whose branches and commits are those
// of a real bare repository. What it shares with other forges it keeps as they do.
type Bitbucket struct {
	*GitHub
	doc       *openapi3.T
	ReadOnly  bool     // the workspace takes no changes
	NoTracker bool     // the repository has no issue tracker
	Hidden    bool     // who may write is not told
	Defaults  []string // default reviewers
	Members   []string // of the workspace
	Writers   []string // may write to the repository
}

var (
	bitbucketInPath = regexp.MustCompile(`^(/repositories/[^/]+/[^/]+/(?:refs/branches|diffstat)/)(.+)$`)
	bitbucketBranch = regexp.MustCompile(`source\.branch\.name = "((?:[^"\\]|\\.)*)"`)
	bitbucketHolds  = regexp.MustCompile(`description ~ "([^"]*)"`)
)

// NewBitbucket starts a Bitbucket over a bare repository.
func NewBitbucket(t *testing.T, dir, name string, clock time.Time) *Bitbucket {
	t.Helper()
	doc := described(t, "bitbucket.json", bitbucketDocument)
	g := &GitHub{
		Server: New(t, doc, "/2.0"), t: t, Dir: dir, Name: name, Token: "secret-token", Actor: "backstitch-bot",
		Comments: map[int][]*GitHubComment{}, Statuses: map[string][]map[string]any{}, clock: clock,
	}
	b := &Bitbucket{GitHub: g, doc: doc, Members: []string{"ada", "lin", "backstitch-bot"}, Writers: []string{"ada"}}
	b.Rewrite = func(path string) string {
		parts := bitbucketInPath.FindStringSubmatch(path)
		if parts == nil {
			return path
		}
		return parts[1] + strings.ReplaceAll(parts[2], "/", "%2F")
	}
	const repo, pull, issue = "/repositories/{workspace}/{repo_slug}", "/repositories/{workspace}/{repo_slug}/pullrequests/{pull_request_id}", "/repositories/{workspace}/{repo_slug}/issues/{issue_id}"
	for operation, handler := range map[string]Handler{
		"GET " + repo: b.about, "GET " + repo + "/refs/branches/{name}": b.branch, "DELETE " + repo + "/refs/branches/{name}": b.dropBranch,
		"POST " + repo + "/src": b.src, "GET " + repo + "/commit/{commit}": b.commit, "GET " + repo + "/commits": b.commits, "GET " + repo + "/diffstat/{spec}": b.diffstat,
		"GET " + repo + "/commit/{commit}/statuses": b.statuses, "POST " + repo + "/commit/{commit}/statuses/build": b.build,
		"GET " + repo + "/pullrequests": b.pulls, "POST " + repo + "/pullrequests": b.makePull, "PUT " + pull: b.editPull, "POST " + pull + "/decline": b.decline,
		"GET " + pull + "/commits": b.pullCommits, "GET " + pull + "/diffstat": b.pullStat, "GET " + pull + "/comments": b.comments, "POST " + pull + "/comments": b.comment,
		"PUT " + pull + "/comments/{comment_id}": b.editComment, "GET " + repo + "/effective-default-reviewers": b.defaults,
		"GET " + repo + "/issues": b.tickets, "POST " + repo + "/issues": b.makeTicket, "GET " + issue: b.showTicket, "PUT " + issue: b.editTicket,
		"GET " + issue + "/comments": b.comments, "POST " + issue + "/comments": b.comment, "PUT " + issue + "/comments/{comment_id}": b.editComment,
		"GET /workspaces/{workspace}/members": b.members, "GET /workspaces/{workspace}/permissions/repositories/{repo_slug}": b.writers,
	} {
		b.On(operation, b.Allowed(handler))
	}
	return b
}

// On answers an operation of the document.
func (b *Bitbucket) On(operation string, handler Handler) {
	b.GitHub.On(operation, documented(b.t, b.doc, operation, handler))
}

// Allowed answers only requests with the token, and about the workspace and the repository.
func (b *Bitbucket) Allowed(handler Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		_, password, basic := r.BasicAuth()
		if r.Header.Get("Authorization") != "Bearer "+b.Token && (!basic || password != b.Token) {
			b.fail(w, http.StatusUnauthorized, "Token is invalid, expired, or not supported for this endpoint.")
			return
		}
		workspace, name, _ := strings.Cut(b.Name, "/")
		if path["workspace"] != workspace || path["repo_slug"] != "" && path["repo_slug"] != name {
			b.fail(w, http.StatusNotFound, "Repository "+path["workspace"]+"/"+path["repo_slug"]+" not found")
			return
		}
		if b.ReadOnly && r.Method != http.MethodGet {
			b.fail(w, http.StatusForbidden, "The workspace is over its limit: the repository is in read-only mode")
			return
		}
		b.clock = b.clock.Add(time.Second)
		handler(w, r, path)
	}
}

func (b *Bitbucket) fail(w http.ResponseWriter, status int, message string) {
	JSON(w, status, map[string]any{"type": "error", "error": map[string]string{"message": message}})
}

// Paged answers a listing as Bitbucket pages it.
func (b *Bitbucket) Paged(w http.ResponseWriter, r *http.Request, list []map[string]any) {
	size, page := 10, 1
	if n, err := strconv.Atoi(r.URL.Query().Get("pagelen")); err == nil {
		size = n
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("page")); err == nil {
		page = n
	}
	from := min((page-1)*size, len(list))
	to := min(from+size, len(list))
	answer := map[string]any{"values": append([]map[string]any{}, list[from:to]...), "page": page, "pagelen": size}
	if to < len(list) {
		query := r.URL.Query()
		query.Set("page", strconv.Itoa(page+1))
		answer["next"] = b.URL + "/2.0" + r.URL.Path + "?" + query.Encode()
	}
	JSON(w, 200, answer)
}

// BitbucketUser is a person as Bitbucket tells of one.
func BitbucketUser(name string) map[string]any {
	kind := "user"
	if strings.HasSuffix(name, "[bot]") {
		kind = "app_user"
	}
	return map[string]any{"type": kind, "uuid": "{" + name + "}", "account_id": "557058:" + name, "nickname": name, "display_name": strings.ToUpper(name[:1]) + name[1:]}
}

func (b *Bitbucket) href(format string, args ...any) map[string]any {
	return map[string]any{"html": map[string]string{"href": b.URL + "/" + b.Name + "/" + fmt.Sprintf(format, args...)}}
}

func (b *Bitbucket) about(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
	JSON(w, 200, b.RepositoryJSON())
}

// RepositoryJSON is the repository as listings give it.
func (b *Bitbucket) RepositoryJSON() map[string]any {
	return map[string]any{
		"full_name": b.Name, "is_private": true, "language": "go", "mainbranch": map[string]string{"name": strings.TrimPrefix(b.Git(nil, "symbolic-ref", "HEAD"), "refs/heads/")},
		"project": map[string]string{"key": "SHOP", "name": "Shop"}, "links": b.href("src"),
	}
}

func (b *Bitbucket) commitObject(id string) map[string]any {
	parents := []map[string]string{}
	for _, p := range strings.Fields(b.Git(nil, "show", "-s", "--format=%P", id)) {
		parents = append(parents, map[string]string{"hash": p})
	}
	name := b.Git(nil, "show", "-s", "--format=%an", id)
	return map[string]any{
		"hash": b.Git(nil, "rev-parse", id), "message": b.Git(nil, "show", "-s", "--format=%B", id), "date": b.Git(nil, "show", "-s", "--format=%cI", id), "parents": parents,
		"author": map[string]any{"raw": name, "user": BitbucketUser(strings.ToLower(name))}, "links": b.href("commits/%s", id),
	}
}

func (b *Bitbucket) branch(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	tip := b.tip(path["name"])
	if tip == "" {
		b.fail(w, http.StatusNotFound, `Branch "`+path["name"]+`" not found`)
		return
	}
	JSON(w, 200, map[string]any{"name": path["name"], "target": b.commitObject(tip)})
}

func (b *Bitbucket) dropBranch(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if b.tip(path["name"]) == "" {
		b.fail(w, http.StatusNotFound, `Branch "`+path["name"]+`" not found`)
		return
	}
	b.settle()
	b.Git(nil, "update-ref", "-d", "refs/heads/"+path["name"])
	w.WriteHeader(http.StatusNoContent)
}

// src makes a commit from a form, as the documentation says: on a branch that is there
// only when the first parent is its tip, else with a branch at that parent.
func (b *Bitbucket) src(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	form, err := r.MultipartReader()
	if err != nil {
		b.t.Errorf("form: %v", err)
		return
	}
	field := map[string]string{}
	files := map[string][]byte{}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			b.t.Errorf("form: %v", err)
			return
		}
		content, err := io.ReadAll(part)
		if err != nil {
			b.t.Errorf("form: %v", err)
		}
		switch {
		case part.FileName() != "":
			files[strings.TrimPrefix(part.FormName(), "/")] = content
		case part.FormName() == "files":
			files[strings.TrimPrefix(string(content), "/")] = nil
		default:
			field[part.FormName()] = string(content)
		}
	}
	parents := strings.Split(field["parents"], ",")
	tip := b.tip(field["branch"])
	switch {
	case b.NoPush:
		b.fail(w, http.StatusForbidden, "Your credentials lack one or more required privilege scopes.")
		return
	case b.Protected != "" && strings.HasPrefix(field["branch"], b.Protected):
		b.fail(w, http.StatusForbidden, "Permission denied by a branch restriction")
		return
	case tip != "" && tip != parents[0]:
		b.fail(w, http.StatusConflict, "The parent is not the tip of the branch")
		return
	}
	for _, parent := range parents {
		if _, err := b.git(nil, "cat-file", "-e", parent+"^{commit}"); err != nil {
			b.fail(w, http.StatusNotFound, "Commit not found")
			return
		}
	}
	commit := b.compose(parents, field["message"], files)
	b.Git(nil, "update-ref", "refs/heads/"+field["branch"], commit)
	w.Header().Set("Location", b.URL+"/2.0/repositories/"+b.Name+"/commit/"+commit)
	w.WriteHeader(http.StatusCreated)
}

// compose makes a commit whose content is that of the first parent with files replaced; nil
// deletes one.
func (g *GitHub) compose(parents []string, message string, files map[string][]byte) string {
	index := g.t.TempDir() + "/index"
	run := func(stdin []byte, args ...string) string {
		command := exec.Command("git", append([]string{"-c", "core.bare=true"}, args...)...)
		command.Dir, command.Stdin = g.Dir, bytes.NewReader(stdin)
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_INDEX_FILE=" + index}
		out, err := command.CombinedOutput()
		if err != nil {
			g.t.Errorf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run(nil, "read-tree", parents[0])
	for name, content := range files {
		if content == nil {
			run([]byte("0 "+strings.Repeat("0", 40)+"\t"+name+"\n"), "update-index", "--index-info")
			continue
		}
		mode := "100644"
		if held := run(nil, "ls-files", "-s", "--", name); held != "" {
			mode, _, _ = strings.Cut(held, " ")
		}
		run(nil, "update-index", "--add", "--cacheinfo", mode+","+run(content, "hash-object", "-w", "--stdin")+","+name)
	}
	args := []string{"commit-tree", run(nil, "write-tree")}
	for _, parent := range parents {
		args = append(args, "-p", parent)
	}
	return g.Git([]byte(message), args...)
}

func (b *Bitbucket) commit(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if _, err := b.git(nil, "cat-file", "-e", path["commit"]+"^{commit}"); err != nil {
		b.fail(w, http.StatusNotFound, "Commit not found")
		return
	}
	JSON(w, 200, b.commitObject(path["commit"]))
}

func (b *Bitbucket) commits(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	args := append([]string{"rev-list"}, r.URL.Query()["include"]...)
	for _, id := range r.URL.Query()["exclude"] {
		args = append(args, "^"+id)
	}
	list := []map[string]any{}
	for _, id := range strings.Fields(b.Git(nil, args...)) {
		list = append(list, b.commitObject(id))
	}
	b.Paged(w, r, list)
}

func (b *Bitbucket) diffstat(w http.ResponseWriter, r *http.Request, path map[string]string) {
	first, second, _ := strings.Cut(path["spec"], "..")
	list := []map[string]any{}
	for line := range strings.Lines(b.Git(nil, "diff", "--no-renames", "--name-status", first, second)) {
		status, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		one := map[string]any{"status": map[string]string{"A": "added", "D": "removed", "M": "modified"}[status], "old": nil, "new": nil}
		if status != "A" {
			one["old"] = map[string]string{"path": name}
		}
		if status != "D" {
			one["new"] = map[string]string{"path": name}
		}
		list = append(list, one)
	}
	b.Paged(w, r, list)
}

func (b *Bitbucket) statuses(w http.ResponseWriter, r *http.Request, path map[string]string) {
	b.Paged(w, r, b.Statuses[path["commit"]])
}

// build keeps one status by its key.
func (b *Bitbucket) build(w http.ResponseWriter, r *http.Request, path map[string]string) {
	status := Read[map[string]any](b.t, r)
	list := slices.DeleteFunc(b.Statuses[path["commit"]], func(one map[string]any) bool { return one["key"] == status["key"] })
	b.Statuses[path["commit"]] = append(list, status)
	JSON(w, 201, status)
}

// shortened is how pull requests name commits.
func shortened(id string) map[string]any {
	if id == "" {
		return nil
	}
	return map[string]any{"hash": id[:12]}
}

func (b *Bitbucket) pullObject(p *Pull) map[string]any {
	b.settle()
	reviewers := []map[string]any{}
	for _, name := range p.Reviewers {
		reviewers = append(reviewers, BitbucketUser(name))
	}
	doc := map[string]any{
		"id": p.Number, "title": p.Title, "description": p.Body, "draft": p.Draft, "state": "OPEN", "author": BitbucketUser(b.Actor), "reviewers": reviewers, "updated_on": p.At.Format(time.RFC3339), "merge_commit": nil, "closed_by": nil,
		"source": map[string]any{"branch": map[string]string{"name": p.Head}, "commit": shortened(p.HeadSHA)}, "destination": map[string]any{"branch": map[string]string{"name": p.Base}, "commit": shortened(b.tip(p.Base))},
		"links": b.href("pull-requests/%d", p.Number),
	}
	switch {
	case p.Merge != "":
		doc["state"], doc["merge_commit"], doc["closed_by"] = "MERGED", shortened(p.Merge), BitbucketUser(p.MergedBy)
	case p.State == "closed":
		doc["state"], doc["closed_by"] = "DECLINED", BitbucketUser(p.ClosedBy)
	}
	return doc
}

func (b *Bitbucket) pulls(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	query := r.URL.Query()
	list := []map[string]any{}
	for _, p := range slices.Backward(b.Pulls) {
		doc := b.pullObject(p)
		if parts := bitbucketBranch.FindStringSubmatch(query.Get("q")); parts != nil && parts[1] != p.Head {
			continue
		}
		if parts := bitbucketHolds.FindStringSubmatch(query.Get("q")); parts != nil && !strings.Contains(p.Title+p.Body, parts[1]) {
			continue
		}
		if states := query["state"]; len(states) > 0 && !slices.Contains(states, doc["state"].(string)) || len(states) == 0 && doc["state"] != "OPEN" {
			continue
		}
		list = append(list, doc)
	}
	b.Paged(w, r, list)
}

type bitbucketPull struct {
	Title, Description  *string
	Source, Destination *struct{ Branch struct{ Name string } }
	Draft               *bool
	Reviewers           *[]struct{ UUID string }
}

// apply changes a pull request, or says why it does not.
func (b *Bitbucket) apply(p *Pull, body bitbucketPull) string {
	for from, into := range map[*string]*string{body.Title: &p.Title, body.Description: &p.Body} {
		if from != nil {
			*into = *from
		}
	}
	if body.Destination != nil {
		p.Base = body.Destination.Branch.Name
	}
	if body.Draft != nil {
		p.Draft = *body.Draft && !b.NoDrafts
	}
	if body.Reviewers == nil {
		return ""
	}
	var names []string
	for _, one := range *body.Reviewers {
		name := strings.Trim(one.UUID, "{}")
		if name == b.Actor || slices.Contains(b.Strangers, name) {
			return name + " cannot be included as a reviewer"
		}
		names = append(names, name)
	}
	p.Reviewers = names
	return ""
}

// makePull takes a second pull request for a branch, too: nothing is documented that would
// forbid it.
func (b *Bitbucket) makePull(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[bitbucketPull](b.t, r)
	p := &Pull{Number: len(b.Pulls) + 1, Head: body.Source.Branch.Name, State: "open", At: b.clock, Base: strings.TrimPrefix(b.Git(nil, "symbolic-ref", "HEAD"), "refs/heads/")}
	if b.tip(p.Head) == "" {
		b.fail(w, http.StatusBadRequest, "source: branch not found: "+p.Head)
		return
	}
	if why := b.apply(p, body); why != "" {
		b.fail(w, http.StatusBadRequest, why)
		return
	}
	b.Pulls = append(b.Pulls, p)
	JSON(w, 201, b.pullObject(p))
}

func (b *Bitbucket) asked(w http.ResponseWriter, path map[string]string) *Pull {
	for _, p := range b.Pulls {
		if strconv.Itoa(p.Number) == path["pull_request_id"] {
			return p
		}
	}
	b.fail(w, http.StatusNotFound, "Pull request not found")
	return nil
}

func (b *Bitbucket) editPull(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := b.asked(w, path)
	if p == nil {
		return
	}
	if why := b.apply(p, Read[bitbucketPull](b.t, r)); why != "" {
		b.fail(w, http.StatusBadRequest, why)
		return
	}
	JSON(w, 200, b.pullObject(p))
}

func (b *Bitbucket) decline(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if p := b.asked(w, path); p != nil {
		b.ClosePull(p.Number, b.Actor)
		JSON(w, 200, b.pullObject(p))
	}
}

func (b *Bitbucket) pullCommits(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := b.asked(w, path)
	if p == nil {
		return
	}
	b.settle()
	list := []map[string]any{}
	for _, id := range strings.Fields(b.Git(nil, "rev-list", p.HeadSHA, "^"+p.Base)) {
		list = append(list, b.commitObject(id))
	}
	b.Paged(w, r, list)
}

func (b *Bitbucket) pullStat(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := b.asked(w, path)
	if p == nil {
		return
	}
	b.settle()
	status := "modified"
	if _, err := b.git(nil, "merge-tree", "--write-tree", p.Base, p.HeadSHA); err != nil {
		status = "merge conflict"
	}
	b.Paged(w, r, []map[string]any{{"status": status}})
}

// place is the number under which comments are kept: tickets stand apart from pull
// requests.
func (b *Bitbucket) place(path map[string]string) int {
	text, from := path["pull_request_id"], 0
	if text == "" {
		text, from = path["issue_id"], BitbucketTickets
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.t.Error(err)
	}
	return from + n
}

// BitbucketTickets is added to the number of a ticket under which its comments are kept.
const BitbucketTickets = 1000

func (b *Bitbucket) commentObject(c *GitHubComment) map[string]any {
	return map[string]any{"id": c.ID, "content": map[string]string{"raw": c.Body}, "user": BitbucketUser(c.Author), "created_on": c.At.Format(time.RFC3339), "deleted": false, "links": b.href("comments/%d", c.ID)}
}

func (b *Bitbucket) comments(w http.ResponseWriter, r *http.Request, path map[string]string) {
	list := []map[string]any{}
	for _, c := range b.Comments[b.place(path)] {
		list = append(list, b.commentObject(c))
	}
	b.Paged(w, r, list)
}

type bitbucketContent struct {
	Title    *string
	Content  *struct{ Raw string }
	Assignee *struct{ UUID string }
}

func (b *Bitbucket) comment(w http.ResponseWriter, r *http.Request, path map[string]string) {
	body := Read[bitbucketContent](b.t, r)
	JSON(w, 201, b.commentObject(b.Say(b.place(path), b.Actor, "", body.Content.Raw)))
}

func (b *Bitbucket) editComment(w http.ResponseWriter, r *http.Request, path map[string]string) {
	for _, c := range b.Comments[b.place(path)] {
		if strconv.Itoa(c.ID) == path["comment_id"] {
			c.Body = Read[bitbucketContent](b.t, r).Content.Raw
			JSON(w, 200, b.commentObject(c))
			return
		}
	}
	b.fail(w, http.StatusNotFound, "Comment not found")
}

func (b *Bitbucket) persons(w http.ResponseWriter, r *http.Request, names []string, more map[string]any) {
	list := []map[string]any{}
	for _, name := range names {
		one := map[string]any{"user": BitbucketUser(name)}
		for key, value := range more {
			one[key] = value
		}
		list = append(list, one)
	}
	b.Paged(w, r, list)
}

func (b *Bitbucket) defaults(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	b.persons(w, r, b.Defaults, map[string]any{"reviewer_type": "repository"})
}

func (b *Bitbucket) members(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	b.persons(w, r, b.Members, nil)
}

func (b *Bitbucket) writers(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	if b.Hidden {
		b.fail(w, http.StatusForbidden, "Your credentials lack one or more required privilege scopes.")
		return
	}
	b.persons(w, r, b.Writers, map[string]any{"permission": "write"})
}

func (b *Bitbucket) ticketObject(one *GitHubTicket) map[string]any {
	doc := map[string]any{"id": one.Number, "title": one.Title, "content": map[string]string{"raw": one.Body}, "assignee": nil, "links": b.href("issues/%d", one.Number)}
	if len(one.Assigned) > 0 {
		doc["assignee"] = BitbucketUser(one.Assigned[0])
	}
	return doc
}

func (b *Bitbucket) tickets(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	if b.NoTracker {
		b.fail(w, http.StatusNotFound, "Repository has no issue tracker.")
		return
	}
	list := []map[string]any{}
	for _, one := range slices.Backward(b.Tickets) {
		list = append(list, b.ticketObject(one))
	}
	b.Paged(w, r, list)
}

func (b *Bitbucket) makeTicket(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[bitbucketContent](b.t, r)
	one := &GitHubTicket{Number: len(b.Tickets) + 1, Title: *body.Title, Body: body.Content.Raw}
	b.Tickets = append(b.Tickets, one)
	JSON(w, 201, b.ticketObject(one))
}

func (b *Bitbucket) asking(w http.ResponseWriter, path map[string]string) *GitHubTicket {
	for _, one := range b.Tickets {
		if strconv.Itoa(one.Number) == path["issue_id"] {
			return one
		}
	}
	b.fail(w, http.StatusNotFound, "Issue not found")
	return nil
}

func (b *Bitbucket) showTicket(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if one := b.asking(w, path); one != nil {
		JSON(w, 200, b.ticketObject(one))
	}
}

func (b *Bitbucket) editTicket(w http.ResponseWriter, r *http.Request, path map[string]string) {
	one := b.asking(w, path)
	if one == nil {
		return
	}
	body := Read[bitbucketContent](b.t, r)
	if body.Title != nil {
		one.Title = *body.Title
	}
	if body.Content != nil {
		one.Body = body.Content.Raw
	}
	if body.Assignee != nil {
		one.Assigned = []string{strings.Trim(body.Assignee.UUID, "{}")}
	}
	JSON(w, 200, b.ticketObject(one))
}
