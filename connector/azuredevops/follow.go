package azuredevops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// Follow implements connector.Follower.
func (f forge) Follow(ctx context.Context, change connector.Place) (connector.Standing, error) {
	standing := connector.Standing{State: connector.ChangeOpen, Target: change.Target}
	at, err := f.named(change.Remote)
	if err != nil {
		return standing, err
	}
	found, err := f.find(ctx, at, change.Branch)
	if err != nil {
		return standing, err
	}
	tips, err := f.tips(ctx, at, change.Branch)
	if err != nil {
		return standing, err
	}
	standing.Head = tips[change.Branch]
	if found == nil && standing.Head == "" {
		return standing, fmt.Errorf("branch %s of %s: %w", change.Branch, at, connector.ErrNoChange)
	}
	var about repository
	if err := get(ctx, f.api, at.git(), nil, &about); err != nil {
		return standing, err
	}
	if standing.Target == "" {
		standing.Target = about.main()
		if found != nil {
			standing.Target = branchOf(found.Target)
		}
	}
	if tips, err = f.tips(ctx, at, standing.Target); err != nil {
		return standing, err
	}
	standing.Tip = tips[standing.Target]
	if found == nil {
		return standing, nil
	}
	return standing, f.complete(ctx, at, &about, change, found, &standing)
}

// complete says of a change what its pull request tells.
func (f forge) complete(ctx context.Context, at place, about *repository, change connector.Place, found *pull, standing *connector.Standing) (err error) {
	standing.Number, standing.URL, standing.Draft = found.ID, f.pullPage(at, found.ID), found.Draft
	standing.Conflict = found.MergeStatus == "conflicts"
	if standing.Head == "" && found.Head != nil {
		standing.Head = found.Head.ID
	}
	switch found.Status {
	case "completed":
		standing.State = connector.ChangeMerged
		if found.Merge != nil {
			standing.Merge = found.Merge.ID
		}
	case "abandoned":
		standing.State = connector.ChangeClosed
	}
	if standing.State != connector.ChangeOpen {
		standing.By, standing.At, standing.Conflict = found.ClosedBy.login(), micros(found.ClosedDate), false
	}
	if standing.Comments, err = f.comments(ctx, at, about, found.ID); err != nil {
		return err
	}
	if standing.State != connector.ChangeOpen {
		return nil
	}
	err = tokened(ctx, f.api, fmt.Sprintf("%s/pullRequests/%d/commits", at.git(), found.ID), nil, func(c commit) error {
		if c.Truncated { // and the trailers with it
			whole, err := f.commit(ctx, at, c.ID)
			if err != nil {
				return err
			}
			c.Comment, c.Parents = whole.Comment, whole.Parents
		}
		name := cmp.Or(c.Author.Email, c.Author.Name)
		if git.Trailer(c.Comment, keyTrailer) != change.Key && len(c.Parents) < 2 && !slices.Contains(standing.Authors, name) {
			standing.Authors = append(standing.Authors, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(standing.Authors)
	standing.Checks, err = f.checks(ctx, at, about, found.ID, standing.Head)
	return err
}

func micros(text string) int64 {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return at.UnixMicro()
}

type thread struct {
	ID       int  `json:"id"`
	Deleted  bool `json:"isDeleted"`
	Comments []struct {
		ID      int       `json:"id"`
		Content string    `json:"content"`
		Kind    string    `json:"commentType"`
		Author  *identity `json:"author"`
		At      string    `json:"publishedDate"`
		Deleted bool      `json:"isDeleted"`
	} `json:"comments"`
}

const markers = "[//]: # (backstitch:"

// marker begins comments of ours: a link that nothing refers to, which is not shown.
func marker(key string) string {
	return markers + strings.NewReplacer("(", "", ")", "", "\n", " ").Replace(key) + ")"
}

func (f forge) threads(ctx context.Context, at place, number int) ([]thread, error) {
	var list listed[thread]
	err := get(ctx, f.api, fmt.Sprintf("%s/pullRequests/%d/threads", at.git(), number), nil, &list)
	return list.Value, err
}

// comments lists what people said; what we and the system said is left out.
func (f forge) comments(ctx context.Context, at place, about *repository, number int) (list []connector.Comment, err error) {
	threads, err := f.threads(ctx, at, number)
	if err != nil {
		return nil, err
	}
	var authors []string
	for _, t := range threads {
		for _, c := range t.Comments {
			if t.Deleted || c.Deleted || c.Kind == "system" || c.Author == nil || strings.HasPrefix(c.Content, markers) {
				continue
			}
			list = append(list, connector.Comment{ID: fmt.Sprintf("%d/%d", t.ID, c.ID), Author: c.Author.login(), Text: c.Content, At: micros(c.At)})
			authors = append(authors, c.Author.ID)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	members, err := f.members(ctx, at, about.Project.ID)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Member = slices.Contains(members, authors[i])
	}
	slices.SortStableFunc(list, func(a, b connector.Comment) int { return cmp.Compare(a.At, b.At) })
	return list, nil
}

// members lists who is in a team of the project, and so may contribute to it. To whom
// Azure DevOps does not tell it, nobody is.
func (f forge) members(ctx context.Context, at place, project string) (ids []string, err error) {
	if !isName(project) {
		return nil, nil
	}
	teams := "/" + at.organization + "/_apis/projects/" + project + "/teams"
	err = pages(ctx, f.api, teams, nil, func(team identity) (bool, error) {
		if !isName(team.ID) {
			return false, fmt.Errorf("team %q: expected an id", team.ID)
		}
		return true, pages(ctx, f.api, teams+"/"+team.ID+"/members", nil, func(one member) (bool, error) {
			ids = append(ids, one.Identity.ID)
			return true, nil
		})
	})
	if errors.Is(err, connector.ErrRights) {
		return nil, nil
	}
	return ids, err
}

type member struct {
	Admin    bool     `json:"isTeamAdmin"`
	Identity identity `json:"identity"`
}

// buildPolicy is the type of branch policies that build a pull request.
const buildPolicy = "0609b952-1397-4640-95ec-e00a01b2c241"

type status struct {
	ID          int    `json:"id"`
	State       string `json:"state"`
	Description string `json:"description"`
	URL         string `json:"targetUrl"`
	Context     struct {
		Name  string `json:"name"`
		Genre string `json:"genre"`
	} `json:"context"`
}

// checks joins what statuses of a commit and of the pull request and builds by policy say:
// one failure is a failure.
func (f forge) checks(ctx context.Context, at place, about *repository, number int, head string) (joined string, err error) {
	order := []string{"", "success", "pending", "failure"}
	worse := func(state string) {
		if slices.Index(order, state) > slices.Index(order, joined) {
			joined = state
		}
	}
	states := map[string]string{"succeeded": "success", "pending": "pending", "failed": "failure", "error": "failure"}
	if isCommit(head) {
		list, err := f.statuses(ctx, at, head)
		if err != nil {
			return "", err
		}
		for _, one := range list {
			worse(states[one.State])
		}
	}
	ofPull, err := f.pullStatuses(ctx, at, number)
	if err != nil {
		return "", err
	}
	for _, one := range ofPull {
		worse(states[one.State])
	}
	var policies listed[struct {
		Status        string `json:"status"`
		Configuration struct {
			Type struct {
				ID string `json:"id"`
			} `json:"type"`
		} `json:"configuration"`
	}]
	query := url.Values{"artifactId": {fmt.Sprintf("vstfs:///CodeReview/CodeReviewId/%s/%d", about.Project.ID, number)}}
	err = failed(rest.Get(ctx, f.client, rest.Below(f.base, at.in()+"/_apis/policy/evaluations", versioned(query, policyVersion)), f.header(), &policies))
	if err != nil {
		return "", err
	}
	for _, one := range policies.Value {
		if one.Configuration.Type.ID == buildPolicy {
			worse(map[string]string{"approved": "success", "queued": "pending", "running": "pending", "rejected": "failure", "broken": "failure"}[one.Status])
		}
	}
	return joined, nil
}

// statuses gives the latest status of each kind on a commit.
func (f forge) statuses(ctx context.Context, at place, id string) ([]status, error) {
	var list listed[status]
	err := get(ctx, f.api, at.git()+"/commits/"+id+"/statuses", url.Values{"latestOnly": {"true"}, "top": {"1000"}}, &list)
	return list.Value, err
}

// pullStatuses gives the latest status of each kind on a pull request.
func (f forge) pullStatuses(ctx context.Context, at place, number int) (map[string]status, error) {
	var list listed[status]
	if err := get(ctx, f.api, fmt.Sprintf("%s/pullRequests/%d/statuses", at.git(), number), nil, &list); err != nil {
		return nil, err
	}
	latest := map[string]status{}
	for _, one := range list.Value {
		key := one.Context.Genre + "/" + one.Context.Name
		if one.ID >= latest[key].ID {
			latest[key] = one
		}
	}
	return latest, nil
}

// Withdraw implements connector.Follower. The branch goes provided that it stands at head:
// the request itself says so.
func (f forge) Withdraw(ctx context.Context, change connector.Place, head, reason string) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + change.Branch, Commit: head, Outcome: "unchanged"}
	at, err := f.named(change.Remote)
	if err != nil {
		return receipt, err
	}
	found, err := f.find(ctx, at, change.Branch)
	if err != nil {
		return receipt, err
	}
	tips, err := f.tips(ctx, at, change.Branch)
	if err != nil {
		return receipt, err
	}
	present := tips[change.Branch]
	if present != "" && present != head {
		return receipt, fmt.Errorf("%s stands at %.12s: %w; it was left as it is", change.Branch, present, connector.ErrForeign)
	}
	if found != nil {
		receipt.Number, receipt.URL = found.ID, f.pullPage(at, found.ID)
	}
	if found != nil && found.Status == "active" {
		change.Number = found.ID
		if _, err := f.Comment(ctx, change, change.Key+" closed", "Closed: "+reason); err != nil {
			return receipt, err
		}
		if err := f.send(ctx, http.MethodPatch, fmt.Sprintf("%s/pullrequests/%d", at.git(), found.ID), map[string]string{"status": "abandoned"}, nil); err != nil {
			return receipt, err
		}
		receipt.Outcome = "closed"
	}
	if present == "" {
		return receipt, nil
	}
	err = f.move(ctx, at, change.Branch, head, absent)
	if errors.Is(err, errStale) {
		return receipt, fmt.Errorf("%s left %.12s meanwhile: %w; it was left as it is", change.Branch, head, connector.ErrForeign)
	}
	receipt.Outcome = "closed"
	return receipt, err
}

// Comment implements connector.Commenter by a thread of its own, closed so that it holds up
// no merge.
func (f forge) Comment(ctx context.Context, change connector.Place, key, body string) (connector.Receipt, error) {
	receipt := connector.Receipt{Outcome: "created"}
	at, err := f.named(change.Remote)
	if err != nil {
		return receipt, err
	}
	if change.Number == 0 {
		found, err := f.find(ctx, at, change.Branch)
		if err != nil {
			return receipt, err
		}
		if found == nil {
			return receipt, fmt.Errorf("branch %s of %s: %w: there is no pull request to comment on", change.Branch, at, connector.ErrNoChange)
		}
		change.Number = found.ID
	}
	receipt.Number, receipt.URL = change.Number, f.pullPage(at, change.Number)
	threads, err := f.threads(ctx, at, change.Number)
	if err != nil {
		return receipt, err
	}
	text := marker(key) + "\n\n" + body
	way := fmt.Sprintf("%s/pullRequests/%d/threads", at.git(), change.Number)
	for _, t := range threads {
		if t.Deleted || len(t.Comments) == 0 || t.Comments[0].Deleted || !strings.HasPrefix(t.Comments[0].Content, marker(key)) {
			continue
		}
		receipt.Ref = strconv.Itoa(t.ID)
		if t.Comments[0].Content == text {
			receipt.Outcome = "unchanged"
			return receipt, nil
		}
		receipt.Outcome = "updated"
		return receipt, f.send(ctx, http.MethodPatch, fmt.Sprintf("%s/%d/comments/%d", way, t.ID, t.Comments[0].ID), map[string]string{"content": text}, nil)
	}
	var made thread
	err = f.send(ctx, http.MethodPost, way, map[string]any{"status": "closed", "comments": []map[string]any{{"parentCommentId": 0, "content": text, "commentType": "text"}}}, &made)
	receipt.Ref = strconv.Itoa(made.ID)
	return receipt, err
}

// newest is how many of the active pull requests are looked at for a commit.
const newest = 1000

// Check implements connector.CheckWriter by a status of the commit, of which the latest of
// a name counts, and by the same on the active pull requests that stand at the commit,
// since branch policies see only that. A status there that is not taken is a note.
func (f forge) Check(ctx context.Context, remote string, run connector.CheckRun) (connector.Receipt, error) {
	receipt := connector.Receipt{Commit: run.Commit, Outcome: "created"}
	at, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	state := map[string]string{"success": "succeeded", "failure": "failed", "neutral": "notApplicable"}[run.Conclusion]
	if !isCommit(run.Commit) || state == "" {
		return receipt, fmt.Errorf("check %s of %.60q: a conclusion %q, expected success, failure or neutral, and a commit's id", run.Name, run.Commit, run.Conclusion)
	}
	present, err := f.statuses(ctx, at, run.Commit)
	if err != nil {
		return receipt, err
	}
	body := map[string]any{"state": state, "description": run.Title, "context": map[string]string{"name": run.Name, "genre": genre}}
	if run.URL != "" {
		body["targetUrl"] = run.URL
	}
	said := func(one status) bool { return one.State == state && one.Description == run.Title && one.URL == run.URL }
	for _, one := range present {
		if one.Context.Genre == genre && one.Context.Name == run.Name {
			receipt.Outcome = "updated"
			if said(one) {
				receipt.Outcome = "unchanged"
			}
		}
	}
	if receipt.Outcome != "unchanged" {
		if err := f.send(ctx, http.MethodPost, at.git()+"/commits/"+run.Commit+"/statuses", body, nil); err != nil {
			return receipt, err
		}
	}
	var numbers []int
	looked := 0
	err = pages(ctx, f.api, at.git()+"/pullrequests", url.Values{"searchCriteria.status": {"active"}}, func(one pull) (bool, error) {
		if looked++; one.Head != nil && one.Head.ID == run.Commit {
			numbers = append(numbers, one.ID)
		}
		return looked < newest, nil
	})
	if err != nil {
		return receipt, err
	}
	for _, number := range numbers {
		latest, err := f.pullStatuses(ctx, at, number)
		if err == nil && !said(latest[genre+"/"+run.Name]) {
			err = f.send(ctx, http.MethodPost, fmt.Sprintf("%s/pullRequests/%d/statuses", at.git(), number), body, nil)
		}
		if err != nil {
			receipt.Notes = append(receipt.Notes, fmt.Sprintf("status of pull request %d: %v", number, err))
		}
	}
	return receipt, nil
}

// genre tells statuses of ours from others of the same name.
const genre = "backstitch"
