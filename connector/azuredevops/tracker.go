package azuredevops

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// ticketTag is on every ticket of ours, so that a query over fields finds them.
const ticketTag = "backstitch"

// maxBatch is how many work items one request gives at most.
const maxBatch = 200

type ticket struct {
	ID     int `json:"id"`
	Fields struct {
		Title       string `json:"System.Title"`
		Description string `json:"System.Description"`
		Tags        string `json:"System.Tags"`
		Assigned    any    `json:"System.AssignedTo"`
	} `json:"fields"`
	Relations []struct {
		Kind string `json:"rel"`
		URL  string `json:"url"`
	} `json:"relations"`
}

// described writes a text for a field of HTML: as it is, with those whom it may belong to
// below, for which there is no field of suggestions.
func described(t connector.Ticket) string {
	var b strings.Builder
	b.WriteString("<pre>" + html.EscapeString(strings.TrimRight(t.Body, "\n")) + "</pre>")
	for i, person := range t.Assignees {
		if i == 0 {
			b.WriteString("<p>Suggested assignees:</p><ul>")
		}
		fmt.Fprintf(&b, "<li>%s (%.0f %%): %s</li>", html.EscapeString(person.Name), person.Confidence*100, html.EscapeString(person.Rationale))
		if i == len(t.Assignees)-1 {
			b.WriteString("</ul>")
		}
	}
	return b.String()
}

// written gives the text that described wrote.
func written(description string) string {
	_, rest, _ := strings.Cut(description, "<pre>")
	text, _, _ := strings.Cut(rest, "</pre>")
	return html.UnescapeString(text)
}

// ticket gives the ticket with a key, nil when there is none.
func (f forge) ticket(ctx context.Context, at place, key string) (*ticket, error) {
	var found struct {
		WorkItems []struct {
			ID int `json:"id"`
		} `json:"workItems"`
	}
	query := "SELECT [System.Id] FROM WorkItems WHERE [System.TeamProject] = @project AND [System.Tags] CONTAINS '" + ticketTag + "' ORDER BY [System.Id] DESC"
	if err := f.send(ctx, http.MethodPost, at.in()+"/_apis/wit/wiql", map[string]string{"query": query}, &found); err != nil {
		return nil, err
	}
	for batch := range slices.Chunk(found.WorkItems, maxBatch) {
		var ids []int
		for _, one := range batch {
			ids = append(ids, one.ID)
		}
		var list listed[*ticket]
		err := f.send(ctx, http.MethodPost, at.in()+"/_apis/wit/workitemsbatch", map[string]any{"ids": ids, "fields": []string{"System.Title", "System.Description", "System.Tags"}, "errorPolicy": "omit"}, &list)
		if err != nil {
			return nil, err
		}
		for _, one := range list.Value {
			if one != nil && git.Trailer(written(one.Fields.Description), keyTrailer) == key {
				return one, nil
			}
		}
	}
	return nil, nil
}

// FindTicket implements connector.Tracker. The query is one over fields of the project's
// work items, not one of the search service.
func (f forge) FindTicket(ctx context.Context, remote, key string) (int, error) {
	at, err := f.named(remote)
	if err != nil {
		return 0, err
	}
	found, err := f.ticket(ctx, at, key)
	if err != nil || found == nil {
		return 0, err
	}
	return found.ID, nil
}

// patch is one operation on a work item.
type patch struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func set(field string, value any) patch { return patch{"add", "/fields/" + field, value} }

// change sends operations on a work item.
func (f forge) change(ctx context.Context, method string, at place, item string, into any, operations ...patch) error {
	header := f.header()
	header.Set("Content-Type", "application/json-patch+json")
	return failed(f.client.Send(ctx, rest.Write{Method: method, At: rest.Below(f.base, at.in()+"/_apis/wit/workitems/"+item, versioned(nil, version)), Header: header, Body: operations}, into))
}

func (f forge) ticketPage(at place, number int) string {
	return rest.Below(f.base, at.in()+"/_workitems/edit/"+strconv.Itoa(number), nil).String()
}

func tags(present string, more ...string) string {
	var list []string
	for _, tag := range append(strings.Split(present, ";"), more...) {
		if tag = strings.TrimSpace(tag); tag != "" && !slices.ContainsFunc(list, func(has string) bool { return strings.EqualFold(has, tag) }) {
			list = append(list, tag)
		}
	}
	return strings.Join(list, "; ")
}

// OpenTicket implements connector.Tracker by a work item.
func (f forge) OpenTicket(ctx context.Context, t connector.Ticket) (connector.Receipt, error) {
	receipt := connector.Receipt{Outcome: "created"}
	at, err := f.named(t.Remote)
	if err != nil {
		return receipt, err
	}
	if git.Trailer(t.Body, keyTrailer) != t.Key {
		return receipt, fmt.Errorf("the ticket's text lacks its key %s", t.Key)
	}
	found, err := f.ticket(ctx, at, t.Key)
	if err != nil {
		return receipt, err
	}
	var one ticket
	switch {
	case found == nil:
		err = f.change(ctx, http.MethodPost, at, "$"+f.kind, &one, set("System.Title", t.Title), set("System.Description", described(t)), set("System.Tags", tags("", append(slices.Clone(t.Labels), ticketTag)...)))
	case found.Fields.Title == t.Title && written(found.Fields.Description) == strings.TrimRight(t.Body, "\n"):
		one, receipt.Outcome = *found, "unchanged"
	default:
		receipt.Outcome = "updated"
		err = f.change(ctx, http.MethodPatch, at, strconv.Itoa(found.ID), &one, set("System.Title", t.Title), set("System.Description", described(t)))
	}
	if err != nil {
		return receipt, err
	}
	receipt.Number, receipt.URL, receipt.Ref = one.ID, f.ticketPage(at, one.ID), strconv.Itoa(one.ID)
	return receipt, nil
}

// Delegate implements connector.Tracker: an agent is assigned, tagged for, or named in a
// comment.
func (f forge) Delegate(ctx context.Context, remote string, number int, to connector.Delegation) (connector.Receipt, error) {
	receipt := connector.Receipt{Number: number, Outcome: "updated"}
	at, err := f.named(remote)
	if err != nil {
		return receipt, err
	}
	receipt.URL = f.ticketPage(at, number)
	item := strconv.Itoa(number)
	switch to.Mode {
	case connector.DelegateMention:
		return f.say(ctx, at, number, to, receipt)
	case connector.DelegateLabel, connector.DelegateAssign:
	default:
		return receipt, fmt.Errorf("way %q of handing a ticket over: %w: Azure DevOps knows assign, label and mention", to.Mode, connector.ErrRefused)
	}
	var one ticket
	if err := get(ctx, f.api, at.in()+"/_apis/wit/workitems/"+item, nil, &one); err != nil {
		return receipt, err
	}
	if to.Mode == connector.DelegateLabel {
		all := tags(one.Fields.Tags, to.Agent)
		if all == tags(one.Fields.Tags) {
			receipt.Outcome = "unchanged"
			return receipt, nil
		}
		return receipt, f.change(ctx, http.MethodPatch, at, item, nil, set("System.Tags", all))
	}
	if one.Fields.Assigned == nil {
		return receipt, f.change(ctx, http.MethodPatch, at, item, nil, set("System.AssignedTo", to.Agent))
	}
	who, _ := one.Fields.Assigned.(map[string]any)
	if !strings.EqualFold(fmt.Sprint(who["uniqueName"]), to.Agent) && !strings.EqualFold(fmt.Sprint(who["displayName"]), to.Agent) {
		return receipt, fmt.Errorf("ticket %d: %w: it is %.100q's, and a work item has one assignee", number, connector.ErrRefused, fmt.Sprint(who["displayName"]))
	}
	receipt.Outcome = "unchanged"
	return receipt, nil
}

// say puts a comment on a work item once.
func (f forge) say(ctx context.Context, at place, number int, to connector.Delegation, receipt connector.Receipt) (connector.Receipt, error) {
	text := "<p>@" + html.EscapeString(to.Agent) + "</p><pre>" + html.EscapeString(to.Text) + "</pre>"
	way := rest.Below(f.base, fmt.Sprintf("%s/_apis/wit/workItems/%d/comments", at.in(), number), versioned(url.Values{"$top": {strconv.Itoa(maxBatch)}}, workTextVersion))
	var present struct {
		Comments []struct {
			ID   int    `json:"id"`
			Text string `json:"text"`
		} `json:"comments"`
	}
	if err := rest.Get(ctx, f.client, way, f.header(), &present); err != nil {
		return receipt, failed(err)
	}
	for _, one := range present.Comments {
		if written(one.Text) == to.Text && strings.Contains(one.Text, "@"+html.EscapeString(to.Agent)) {
			receipt.Outcome, receipt.Ref = "unchanged", strconv.Itoa(one.ID)
			return receipt, nil
		}
	}
	var said struct {
		ID int `json:"id"`
	}
	way.RawQuery = versioned(nil, workTextVersion).Encode()
	err := failed(f.client.Send(ctx, rest.Write{Method: http.MethodPost, At: way, Header: f.header(), Body: map[string]string{"text": text}}, &said))
	receipt.Outcome, receipt.Ref = "created", strconv.Itoa(said.ID)
	return receipt, err
}

// Linked implements connector.Tracker: pull requests of the repository that the work item
// is linked with.
func (f forge) Linked(ctx context.Context, remote string, number int) (list []connector.Standing, err error) {
	at, err := f.named(remote)
	if err != nil {
		return nil, err
	}
	var about repository
	if err := get(ctx, f.api, at.git(), nil, &about); err != nil {
		return nil, err
	}
	var one ticket
	if err := get(ctx, f.api, at.in()+"/_apis/wit/workitems/"+strconv.Itoa(number), url.Values{"$expand": {"relations"}}, &one); err != nil {
		return nil, err
	}
	var numbers []int
	for _, relation := range one.Relations {
		id, ok := strings.CutPrefix(relation.URL, "vstfs:///Git/PullRequestId/")
		id, err := url.PathUnescape(id)
		parts := strings.Split(id, "/")
		if !ok || err != nil || relation.Kind != "ArtifactLink" || len(parts) != 3 || !strings.EqualFold(parts[1], about.ID) {
			continue
		}
		if n, err := strconv.Atoi(parts[2]); err == nil && !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		var p pull
		if err := get(ctx, f.api, fmt.Sprintf("%s/pullrequests/%d", at.git(), n), nil, &p); err != nil {
			return list, err
		}
		standing := connector.Standing{State: connector.ChangeOpen, Number: p.ID, URL: f.pullPage(at, p.ID), Branch: branchOf(p.Source), Target: branchOf(p.Target), Draft: p.Draft, Conflict: p.MergeStatus == "conflicts"}
		for from, into := range map[*commit]*string{p.Head: &standing.Head, p.Tip: &standing.Tip} {
			if from != nil {
				*into = from.ID
			}
		}
		switch p.Status {
		case "completed":
			standing.State = connector.ChangeMerged
			if p.Merge != nil {
				standing.Merge = p.Merge.ID
			}
		case "abandoned":
			standing.State = connector.ChangeClosed
		}
		list = append(list, standing)
	}
	return list, nil
}
