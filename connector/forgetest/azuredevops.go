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

// azureDocument describes the calls that the connector makes. Microsoft publishes no
// document in a package, so it is written after its documentation.
//
//go:embed azuredevops.json
var azureDocument []byte

// absentObject is how Azure DevOps names a ref that is not there.
const absentObject = "0000000000000000000000000000000000000000"

// AzureDevOps is an Azure DevOps with one repository, whose branches and commits are those
// of a real bare repository. What it shares with other forges it keeps as they do.
type AzureDevOps struct {
	*GitHub
	doc       *openapi3.T
	Disabled  bool                     // the repository is switched off
	NoForce   bool                     // branches are not moved back
	SignIn    bool                     // a token that is not known leads to a page to sign in
	People    []string                 // known to the organization
	Team      []string                 // members of the project's team "Platform"
	Votes     map[string]int           // of reviewers
	Builds    map[int]string           // status of the build policy by pull request
	PullState map[int][]map[string]any // statuses of pull requests, the oldest first
	Relations map[int][]string         // addresses that tickets are linked with
	Fields    map[int]azureFields      // of tickets
}

type azureFields map[string]any

// AzureProject is the id of the project, AzureRepository that of the repository.
const (
	AzureProject    = "6ce954b1-ce1f-45d1-b94d-e6bf2464ba2c"
	AzureRepository = "5febef5a-833d-4e14-b9c0-14cb638f91e6"
)

// NewAzureDevOps starts an Azure DevOps over a bare repository, whose name is
// "organization/project/repository".
func NewAzureDevOps(t *testing.T, dir, name string, clock time.Time) *AzureDevOps {
	t.Helper()
	doc := described(t, "azuredevops.json", azureDocument)
	g := &GitHub{
		Server: New(t, doc, ""), t: t, Dir: dir, Name: name, Token: "secret-token", Actor: "backstitch-bot",
		Comments: map[int][]*GitHubComment{}, Statuses: map[string][]map[string]any{}, clock: clock,
	}
	a := &AzureDevOps{GitHub: g, doc: doc, People: []string{"ada", "lin"}, Team: []string{"ada"}, Votes: map[string]int{}, Builds: map[int]string{}, PullState: map[int][]map[string]any{}, Relations: map[int][]string{}, Fields: map[int]azureFields{}}
	const project = "/{organization}/{project}/_apis"
	const repo, pull, more, work = project + "/git/repositories/{repositoryId}", project + "/git/repositories/{repositoryId}/pullrequests/{pullRequestId}", project + "/git/repositories/{repositoryId}/pullRequests/{pullRequestId}", project + "/wit"
	for operation, handler := range map[string]Handler{
		"GET " + repo: a.about, "GET " + repo + "/refs": a.refs, "POST " + repo + "/refs": a.move, "POST " + repo + "/pushes": a.push, "GET " + repo + "/commits/{commitId}": a.commit,
		"GET " + repo + "/commits/{commitId}/statuses": a.statuses, "POST " + repo + "/commits/{commitId}/statuses": a.makeStatus,
		"GET " + repo + "/pullrequests": a.pulls, "POST " + repo + "/pullrequests": a.makePull, "GET " + pull: a.pull, "PATCH " + pull: a.editPull,
		"GET " + more + "/commits": a.pullCommits, "POST " + more + "/labels": a.label, "PUT " + more + "/reviewers/{reviewerId}": a.reviewer, "GET " + more + "/statuses": a.pullStatuses, "POST " + more + "/statuses": a.makePullStatus,
		"GET " + more + "/threads": a.threads, "POST " + more + "/threads": a.makeThread, "PATCH " + more + "/threads/{threadId}/comments/{commentId}": a.editThread,
		"GET " + project + "/policy/evaluations": a.policies, "GET /{organization}/_apis/identities": a.identities,
		"GET /{organization}/_apis/projects/{project}/teams": a.teams, "GET /{organization}/_apis/projects/{project}/teams/{teamId}": a.team, "GET /{organization}/_apis/projects/{project}/teams/{teamId}/members": a.members,
		"POST " + work + "/wiql": a.wiql, "POST " + work + "/workitemsbatch": a.batch, "POST " + work + "/workitems/{item}": a.makeTicket, "GET " + work + "/workitems/{item}": a.showTicket, "PATCH " + work + "/workitems/{item}": a.editTicket,
		"GET " + work + "/workItems/{workItemId}/comments": a.comments, "POST " + work + "/workItems/{workItemId}/comments": a.comment,
	} {
		a.On(operation, a.Allowed(handler))
	}
	return a
}

// On answers an operation of the document.
func (a *AzureDevOps) On(operation string, handler Handler) {
	a.GitHub.On(operation, documented(a.t, a.doc, operation, handler))
}

// Allowed answers only requests with the token, and about the organization, the project and
// the repository.
func (a *AzureDevOps) Allowed(handler Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		if user, password, ok := r.BasicAuth(); !ok || user != "" || password != a.Token {
			if a.SignIn {
				w.WriteHeader(http.StatusNonAuthoritativeInfo)
				fmt.Fprint(w, "<html>Sign in</html>")
				return
			}
			a.fail(w, http.StatusUnauthorized, "TF400813: The user is not authorized to access this resource.")
			return
		}
		parts := strings.Split(a.Name, "/")
		for i, name := range []string{"organization", "project", "repositoryId"} {
			if given := path[name]; given != "" && given != parts[i] && given != []string{"", AzureProject, AzureRepository}[i] {
				a.fail(w, http.StatusNotFound, "TF401019: The Git repository with name or identifier "+given+" does not exist or you do not have permissions for the operation you are attempting.")
				return
			}
		}
		a.clock = a.clock.Add(time.Second)
		handler(w, r, path)
	}
}

func (a *AzureDevOps) fail(w http.ResponseWriter, status int, message string) {
	JSON(w, status, map[string]any{"$id": "1", "message": message, "errorCode": 0, "eventId": 3000})
}

// List answers with a list, by pages where the request asks for them.
func (a *AzureDevOps) List(w http.ResponseWriter, r *http.Request, list []map[string]any) {
	size, from := len(list), 0
	if n, err := strconv.Atoi(r.URL.Query().Get("$top")); err == nil {
		size = n
	}
	for _, name := range []string{"$skip", "continuationToken"} {
		if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
			from = n
		}
	}
	from = min(from, len(list))
	to := min(from+size, len(list))
	if to < len(list) {
		w.Header().Set("X-Ms-Continuationtoken", strconv.Itoa(to))
	}
	JSON(w, 200, map[string]any{"count": to - from, "value": append([]map[string]any{}, list[from:to]...)})
}

// RepositoryJSON is the repository as listings give it.
func (a *AzureDevOps) RepositoryJSON() map[string]any {
	parts := strings.Split(a.Name, "/")
	return map[string]any{
		"id": AzureRepository, "name": parts[2], "defaultBranch": a.Git(nil, "symbolic-ref", "HEAD"), "isDisabled": a.Disabled, "isFork": false,
		"project": map[string]string{"id": AzureProject, "name": parts[1]},
	}
}

// AzureIdentity is a person as Azure DevOps tells of one.
func AzureIdentity(name string) map[string]any {
	return map[string]any{"id": "id-" + name, "displayName": strings.ToUpper(name[:1]) + name[1:], "uniqueName": name + "@example.org"}
}

func (a *AzureDevOps) about(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
	JSON(w, 200, a.RepositoryJSON())
}

// refs lists those whose names begin as is asked.
func (a *AzureDevOps) refs(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for line := range strings.Lines(a.Git(nil, "for-each-ref", "--format=%(refname) %(objectname)")) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "refs/"+r.URL.Query().Get("filter")) {
			list = append(list, map[string]any{"name": name, "objectId": id})
		}
	}
	a.List(w, r, list)
}

// move updates refs, each provided that it is where the request says.
func (a *AzureDevOps) move(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for _, one := range Read[[]struct{ Name, OldObjectID, NewObjectID string }](a.t, r) {
		branch := strings.TrimPrefix(one.Name, "refs/heads/")
		tip := a.tip(branch)
		if tip == "" {
			tip = absentObject
		}
		answer := map[string]any{"name": one.Name, "success": false}
		list = append(list, answer)
		forced := false
		if tip != absentObject && one.NewObjectID != absentObject {
			_, err := a.git(nil, "merge-base", "--is-ancestor", tip, one.NewObjectID)
			forced = err != nil
		}
		switch {
		case tip != one.OldObjectID:
			answer["updateStatus"] = "staleOldObjectId"
		case a.Protected != "" && strings.HasPrefix(branch, a.Protected):
			answer["updateStatus"] = "rejectedByPolicy"
		case forced && a.NoForce:
			answer["updateStatus"] = "forcePushRequired"
		default:
			a.settle()
			if one.NewObjectID == absentObject {
				a.Git(nil, "update-ref", "-d", one.Name)
			} else {
				a.Git(nil, "update-ref", one.Name, one.NewObjectID)
			}
			answer["success"], answer["updateStatus"] = true, "succeeded"
		}
	}
	JSON(w, 200, map[string]any{"value": list})
}

// push makes commits on a branch that stands where the request says, or on a new one that
// begins there.
func (a *AzureDevOps) push(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		RefUpdates []struct{ Name, OldObjectID string }
		Commits    []struct {
			Comment string
			Changes []struct {
				ChangeType string
				Item       struct{ Path string }
				NewContent struct{ Content string }
			}
		}
	}](a.t, r)
	branch, old := strings.TrimPrefix(body.RefUpdates[0].Name, "refs/heads/"), body.RefUpdates[0].OldObjectID
	tip := a.tip(branch)
	_, err := a.git(nil, "cat-file", "-e", old+"^{commit}")
	switch {
	case a.NoPush:
		a.fail(w, http.StatusForbidden, "TF401027: You need the Git 'GenericContribute' permission to perform this action.")
		return
	case a.Protected != "" && strings.HasPrefix(branch, a.Protected):
		a.fail(w, http.StatusForbidden, "TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch.")
		return
	case tip != "" && tip != old:
		a.fail(w, http.StatusConflict, "TF401028: The reference 'refs/heads/"+branch+"' has already been updated by another client, so you cannot update it. Please try again.")
		return
	case err != nil:
		a.fail(w, http.StatusConflict, "TF401035: The object '"+old+"' does not exist.")
		return
	}
	made := []map[string]any{}
	for _, one := range body.Commits {
		files := map[string][]byte{}
		for _, change := range one.Changes {
			name := strings.TrimPrefix(change.Item.Path, "/")
			_, err := a.git(nil, "cat-file", "-e", old+":"+name)
			if here := err == nil; here == (change.ChangeType == "add") {
				a.fail(w, http.StatusBadRequest, "TF401036: "+change.ChangeType+" of "+name+" does not fit")
				return
			}
			files[name] = nil
			if change.ChangeType != "delete" {
				if files[name], err = base64.StdEncoding.DecodeString(change.NewContent.Content); err != nil {
					a.t.Errorf("content of %s: %v", name, err)
				}
			}
		}
		old = a.compose([]string{old}, one.Comment, files)
		made = append(made, map[string]any{"commitId": old})
	}
	a.Git(nil, "update-ref", "refs/heads/"+branch, old)
	JSON(w, 201, map[string]any{"commits": made, "refUpdates": []map[string]string{{"name": "refs/heads/" + branch, "newObjectId": old}}})
}

func (a *AzureDevOps) commitObject(id string) map[string]any {
	parents := append([]string{}, strings.Fields(a.Git(nil, "show", "-s", "--format=%P", id))...)
	name := a.Git(nil, "show", "-s", "--format=%an", id)
	return map[string]any{
		"commitId": id, "treeId": a.Git(nil, "rev-parse", id+"^{tree}"), "comment": a.Git(nil, "show", "-s", "--format=%B", id), "parents": parents,
		"author": map[string]string{"name": name, "email": strings.ToLower(name) + "@example.org"},
	}
}

func (a *AzureDevOps) commit(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if _, err := a.git(nil, "cat-file", "-e", path["commitId"]+"^{commit}"); err != nil {
		a.fail(w, http.StatusNotFound, "TF401175: The version descriptor could not be resolved")
		return
	}
	JSON(w, 200, a.commitObject(path["commitId"]))
}

func (a *AzureDevOps) statuses(w http.ResponseWriter, r *http.Request, path map[string]string) {
	latest := []map[string]any{}
	for _, one := range slices.Backward(a.Statuses[path["commitId"]]) {
		same := func(other map[string]any) bool { return fmt.Sprint(other["context"]) == fmt.Sprint(one["context"]) }
		if r.URL.Query().Get("latestOnly") != "true" || !slices.ContainsFunc(latest, same) {
			latest = append(latest, one)
		}
	}
	a.List(w, r, latest)
}

func (a *AzureDevOps) makeStatus(w http.ResponseWriter, r *http.Request, path map[string]string) {
	one := Read[map[string]any](a.t, r)
	a.Statuses[path["commitId"]] = append(a.Statuses[path["commitId"]], one)
	JSON(w, 201, one)
}

// pullObject is a pull request; listings cut its text.
func (a *AzureDevOps) pullObject(p *Pull, whole bool) map[string]any {
	a.settle()
	text := p.Body
	if !whole {
		text = text[:min(len(text), 400)]
	}
	reviewers, labels := []map[string]any{}, []map[string]any{}
	for _, name := range p.Reviewers {
		reviewers = append(reviewers, map[string]any{"id": name, "vote": a.Votes[name]})
	}
	for _, name := range p.Labels {
		labels = append(labels, map[string]any{"name": name})
	}
	doc := map[string]any{
		"pullRequestId": p.Number, "status": "active", "title": p.Title, "description": text, "isDraft": p.Draft, "sourceRefName": "refs/heads/" + p.Head, "targetRefName": "refs/heads/" + p.Base, "mergeStatus": "succeeded",
		"lastMergeSourceCommit": map[string]any{"commitId": p.HeadSHA}, "lastMergeTargetCommit": map[string]any{"commitId": a.tip(p.Base)}, "reviewers": reviewers, "labels": labels,
		"lastMergeCommit": map[string]any{"commitId": strings.Repeat("e", 40)}, // what a merge would be
	}
	if _, err := a.git(nil, "merge-tree", "--write-tree", p.Base, p.HeadSHA); err != nil {
		doc["mergeStatus"] = "conflicts"
	}
	switch {
	case p.Merge != "":
		doc["status"], doc["lastMergeCommit"], doc["closedBy"] = "completed", map[string]any{"commitId": p.Merge}, AzureIdentity(p.MergedBy)
	case p.State == "closed":
		doc["status"], doc["closedBy"] = "abandoned", AzureIdentity(p.ClosedBy)
	}
	if p.State == "closed" {
		doc["closedDate"] = p.At.Format(time.RFC3339Nano)
	}
	return doc
}

func (a *AzureDevOps) pulls(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	query := r.URL.Query()
	list := []map[string]any{}
	for _, p := range slices.Backward(a.Pulls) {
		doc := a.pullObject(p, false)
		if ref := query.Get("searchCriteria.sourceRefName"); ref != "" && ref != doc["sourceRefName"] {
			continue
		}
		if status := query.Get("searchCriteria.status"); status == "all" || status == doc["status"] || status == "" && doc["status"] == "active" {
			list = append(list, doc)
		}
	}
	a.List(w, r, list)
}

func (a *AzureDevOps) makePull(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	body := Read[struct {
		SourceRefName, TargetRefName, Title, Description string
		IsDraft                                          bool
		Labels                                           []struct{ Name string }
	}](a.t, r)
	p := &Pull{Number: len(a.Pulls) + 1, Title: body.Title, Body: body.Description, Head: strings.TrimPrefix(body.SourceRefName, "refs/heads/"), Base: strings.TrimPrefix(body.TargetRefName, "refs/heads/"), Draft: body.IsDraft, State: "open", At: a.clock}
	if a.tip(p.Head) == "" || a.tip(p.Base) == "" {
		a.fail(w, http.StatusBadRequest, "TF401398: The pull request cannot be activated because the source and/or the target branch no longer exists")
		return
	}
	for _, one := range a.Pulls {
		if one.Head == p.Head && one.Base == p.Base && one.State == "open" {
			a.fail(w, http.StatusConflict, "TF401179: An active pull request for the source and target branch already exists.")
			return
		}
	}
	for _, label := range body.Labels {
		p.Labels = append(p.Labels, label.Name)
	}
	a.Pulls = append(a.Pulls, p)
	JSON(w, 201, a.pullObject(p, true))
}

func (a *AzureDevOps) asked(w http.ResponseWriter, path map[string]string) *Pull {
	for _, p := range a.Pulls {
		if strconv.Itoa(p.Number) == path["pullRequestId"] {
			return p
		}
	}
	a.fail(w, http.StatusNotFound, "TF401180: The requested pull request was not found.")
	return nil
}

func (a *AzureDevOps) pull(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if p := a.asked(w, path); p != nil {
		JSON(w, 200, a.pullObject(p, true))
	}
}

func (a *AzureDevOps) editPull(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := a.asked(w, path)
	if p == nil {
		return
	}
	body := Read[struct {
		Title, Description, TargetRefName, Status *string
		IsDraft                                   *bool
	}](a.t, r)
	for from, into := range map[*string]*string{body.Title: &p.Title, body.Description: &p.Body} {
		if from != nil {
			*into = *from
		}
	}
	if body.TargetRefName != nil {
		p.Base = strings.TrimPrefix(*body.TargetRefName, "refs/heads/")
	}
	if body.IsDraft != nil {
		p.Draft = *body.IsDraft
	}
	if body.Status != nil && *body.Status == "abandoned" {
		a.ClosePull(p.Number, a.Actor)
	}
	JSON(w, 200, a.pullObject(p, true))
}

// pullCommits cuts the messages, as Azure DevOps does.
func (a *AzureDevOps) pullCommits(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := a.asked(w, path)
	if p == nil {
		return
	}
	a.settle()
	list := []map[string]any{}
	for _, id := range strings.Fields(a.Git(nil, "rev-list", p.HeadSHA, "^"+p.Base)) {
		doc := a.commitObject(id)
		doc["comment"], _, doc["commentTruncated"] = strings.Cut(doc["comment"].(string), "\n")
		delete(doc, "parents")
		list = append(list, doc)
	}
	a.List(w, r, list)
}

func (a *AzureDevOps) label(w http.ResponseWriter, r *http.Request, path map[string]string) {
	if p := a.asked(w, path); p != nil {
		p.Labels = merged(p.Labels, []string{Read[struct{ Name string }](a.t, r).Name})
		JSON(w, 200, map[string]any{"active": true})
	}
}

// reviewer adds one, and takes back the vote of one who is there.
func (a *AzureDevOps) reviewer(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := a.asked(w, path)
	if p == nil {
		return
	}
	id := path["reviewerId"]
	if slices.Contains(a.Strangers, id) {
		a.fail(w, http.StatusBadRequest, "TF401232: "+id+" cannot be a reviewer")
		return
	}
	p.Reviewers = merged(p.Reviewers, []string{id})
	a.Votes[id] = Read[struct{ Vote int }](a.t, r).Vote
	JSON(w, 200, map[string]any{"id": id})
}

func (a *AzureDevOps) pullStatuses(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := a.asked(w, path)
	if p == nil {
		return
	}
	a.List(w, r, a.PullState[p.Number])
}

func (a *AzureDevOps) makePullStatus(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := a.asked(w, path)
	if p == nil {
		return
	}
	one := Read[map[string]any](a.t, r)
	one["id"] = len(a.PullState[p.Number]) + 1
	a.PullState[p.Number] = append(a.PullState[p.Number], one)
	JSON(w, 200, one)
}

func (a *AzureDevOps) policies(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	artifact := r.URL.Query().Get("artifactId")
	list := []map[string]any{{"status": "queued", "configuration": map[string]any{"type": map[string]string{"id": "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"}}}} // people are asked
	for number, status := range a.Builds {
		if artifact == fmt.Sprintf("vstfs:///CodeReview/CodeReviewId/%s/%d", AzureProject, number) {
			list = append(list, map[string]any{"status": status, "configuration": map[string]any{"type": map[string]string{"id": "0609b952-1397-4640-95ec-e00a01b2c241"}}})
		}
	}
	a.List(w, r, list)
}

// threads gives each comment a thread of its own, and one of the system first.
func (a *AzureDevOps) threads(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := a.asked(w, path)
	if p == nil {
		return
	}
	list := []map[string]any{{"id": 9000, "comments": []map[string]any{{"id": 1, "commentType": "system", "content": "Ada joined as a reviewer", "author": AzureIdentity("ada"), "publishedDate": a.clock.Format(time.RFC3339)}}}}
	for _, c := range a.Comments[p.Number] {
		list = append(list, map[string]any{"id": c.ID, "comments": []map[string]any{{"id": 1, "commentType": "text", "content": c.Body, "author": AzureIdentity(c.Author), "publishedDate": c.At.Format(time.RFC3339)}}})
	}
	a.List(w, r, list)
}

func (a *AzureDevOps) makeThread(w http.ResponseWriter, r *http.Request, path map[string]string) {
	if p := a.asked(w, path); p != nil {
		body := Read[struct{ Comments []struct{ Content string } }](a.t, r)
		c := a.Say(p.Number, a.Actor, "", body.Comments[0].Content)
		JSON(w, 200, map[string]any{"id": c.ID})
	}
}

func (a *AzureDevOps) editThread(w http.ResponseWriter, r *http.Request, path map[string]string) {
	p := a.asked(w, path)
	if p == nil {
		return
	}
	for _, c := range a.Comments[p.Number] {
		if strconv.Itoa(c.ID) == path["threadId"] && path["commentId"] == "1" {
			c.Body = Read[struct{ Content string }](a.t, r).Content
			JSON(w, 200, map[string]any{"id": 1})
			return
		}
	}
	a.fail(w, http.StatusNotFound, "TF401181: The comment was not found.")
}

// identities finds by a part of a name, as a search does.
func (a *AzureDevOps) identities(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for _, name := range a.People {
		if strings.Contains(name+"@example.org", strings.ToLower(r.URL.Query().Get("filterValue"))) {
			list = append(list, map[string]any{"id": "id-" + name, "isActive": true, "properties": map[string]any{"Account": map[string]string{"$type": "System.String", "$value": name + "@example.org"}, "Mail": map[string]string{"$type": "System.String", "$value": name + "@example.org"}}})
		}
	}
	a.List(w, r, list)
}

func (a *AzureDevOps) teams(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	a.List(w, r, []map[string]any{{"id": "id-platform", "name": "Platform"}})
}

func (a *AzureDevOps) team(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if !strings.EqualFold(path["teamId"], "Platform") {
		a.fail(w, http.StatusNotFound, "The team with id '"+path["teamId"]+"' does not exist")
		return
	}
	JSON(w, 200, map[string]any{"id": "id-platform", "name": "Platform"})
}

func (a *AzureDevOps) members(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for i, name := range a.Team {
		list = append(list, map[string]any{"isTeamAdmin": i == 0, "identity": AzureIdentity(name)})
	}
	a.List(w, r, list)
}

// wiql answers the one query that is asked: tickets with a tag, the newest first.
func (a *AzureDevOps) wiql(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	if query := Read[struct{ Query string }](a.t, r).Query; !strings.Contains(query, "[System.Tags] CONTAINS 'backstitch'") || !strings.Contains(query, "@project") {
		a.t.Errorf("the test does not expect the query %q", query)
	}
	list := []map[string]any{}
	for _, one := range slices.Backward(a.Tickets) {
		if strings.Contains(fmt.Sprint(a.Fields[one.Number]["System.Tags"]), "backstitch") {
			list = append(list, map[string]any{"id": one.Number})
		}
	}
	JSON(w, 200, map[string]any{"queryType": "flat", "workItems": list})
}

func (a *AzureDevOps) ticketObject(number int) map[string]any {
	relations := []map[string]any{}
	for _, address := range a.Relations[number] {
		relations = append(relations, map[string]any{"rel": "ArtifactLink", "url": address})
	}
	return map[string]any{"id": number, "fields": a.Fields[number], "relations": relations}
}

func (a *AzureDevOps) batch(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	list := []map[string]any{}
	for _, id := range Read[struct{ IDs []int }](a.t, r).IDs {
		list = append(list, a.ticketObject(id))
	}
	JSON(w, 200, map[string]any{"value": list})
}

func (a *AzureDevOps) apply(number int, r *http.Request) {
	for _, one := range Read[[]struct {
		Op, Path string
		Value    any
	}](a.t, r) {
		field := strings.TrimPrefix(one.Path, "/fields/")
		if field == "System.AssignedTo" {
			one.Value = AzureIdentity(fmt.Sprint(one.Value))
		}
		a.Fields[number][field] = one.Value
	}
}

func (a *AzureDevOps) makeTicket(w http.ResponseWriter, r *http.Request, path map[string]string) {
	one := &GitHubTicket{Number: len(a.Tickets) + 1}
	a.Tickets = append(a.Tickets, one)
	a.Fields[one.Number] = azureFields{"System.WorkItemType": strings.TrimPrefix(path["item"], "$")}
	a.apply(one.Number, r)
	JSON(w, 200, a.ticketObject(one.Number))
}

func (a *AzureDevOps) number(w http.ResponseWriter, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || a.Fields[n] == nil {
		a.fail(w, http.StatusNotFound, "TF401232: Work item "+text+" does not exist, or you do not have permissions to read it.")
		return 0
	}
	return n
}

func (a *AzureDevOps) showTicket(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	if n := a.number(w, path["item"]); n > 0 {
		JSON(w, 200, a.ticketObject(n))
	}
}

func (a *AzureDevOps) editTicket(w http.ResponseWriter, r *http.Request, path map[string]string) {
	if n := a.number(w, path["item"]); n > 0 {
		a.apply(n, r)
		JSON(w, 200, a.ticketObject(n))
	}
}

// AzureTickets is added to the number of a ticket under which its comments are kept.
const AzureTickets = 1000

func (a *AzureDevOps) comments(w http.ResponseWriter, _ *http.Request, path map[string]string) {
	n := a.number(w, path["workItemId"])
	if n == 0 {
		return
	}
	list := []map[string]any{}
	for _, c := range a.Comments[AzureTickets+n] {
		list = append(list, map[string]any{"id": c.ID, "text": c.Body})
	}
	JSON(w, 200, map[string]any{"comments": list})
}

func (a *AzureDevOps) comment(w http.ResponseWriter, r *http.Request, path map[string]string) {
	if n := a.number(w, path["workItemId"]); n > 0 {
		c := a.Say(AzureTickets+n, a.Actor, "", Read[struct{ Text string }](a.t, r).Text)
		JSON(w, 200, map[string]any{"id": c.ID})
	}
}
