// Package gitlab brings projects, groups with their members of GitLab, and takes changes
// there: commits made by GitLab, merge requests, comments, statuses and tickets. It needs
// no checkout to publish a change.
//
// It speaks to the service or to a server of one's own, with an access token. A change's
// branch comes into being together with its commit, by one request that fails where the
// branch is there. A later form replaces the branch by one request as well; GitLab takes
// no lease for that, so the branch is looked at right before, and a push that arrives
// between these two requests is lost from the branch.
package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
	"github.com/backstitch/backstitch/fact"
)

// ID names the connector.
const ID = "connector/gitlab"

type source struct {
	client *rest.Client
	now    func() time.Time
}

// New makes the connector. wait sleeps between attempts, nil waits for real; now is the
// clock, nil the real one.
func New(wait func(ctx context.Context, d time.Duration) error, now func() time.Time) connector.ForgeSource {
	if now == nil {
		now = time.Now
	}
	return source{rest.New(wait), now}
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "GitLab",
		Docs: "Projects, and groups with their members. Changes go out as merge requests whose commits GitLab makes. " +
			"The token needs the scope api and the role Developer; to read alone, read_api.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Default: "https://gitlab.com", Help: "address of GitLab, or of a server of your own"},
		{Name: "token", Kind: connector.SettingSecret, Help: "access token of a person, group or project, by reference: env:NAME or file:PATH"},
		connector.HookSetting(),
		{Name: "groups", Kind: connector.SettingList, Help: "groups, by full path, whose projects and subgroups are read"},
		{Name: "projects", Kind: connector.SettingList, Help: "single projects, by full path"},
	}
}

// Forge implements connector.ForgeSource.
func (s source) Forge(values connector.Values) (connector.OpenForge, error) {
	a, err := newAPI(s.client, s.now, values)
	if err != nil {
		return nil, err
	}
	return forge{a}, nil
}

// Sync implements connector.Source.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	a, err := newAPI(s.client, s.now, values)
	if err != nil {
		return err
	}
	groups, single := values.List("groups"), values.List("projects")
	if len(groups)+len(single) == 0 {
		return errors.New("expected the setting groups or projects")
	}
	for _, name := range groups {
		if !isPath(name) {
			return fmt.Errorf("%q: expected the full path of a group", name)
		}
	}
	for _, name := range single {
		if !isPath(name) || !strings.Contains(name, "/") {
			return fmt.Errorf("%q: expected the full path of a project", name)
		}
	}
	r := &reading{api: a, sink: sink}
	for i, name := range groups {
		sink.Progress("groups", i, len(groups))
		if err := r.scope(ctx, "groups "+name, func() error { return r.groups(ctx, name) }); err != nil {
			return err
		}
		if err := r.scope(ctx, "projects "+name, func() error {
			return pages(ctx, r.api, "/groups/"+url.PathEscape(name)+"/projects", url.Values{"include_subgroups": {"true"}, "with_shared": {"false"}, "order_by": {"id"}, "sort": {"asc"}}, func(one repository) (bool, error) {
				return true, r.project("projects "+name, one)
			})
		}); err != nil {
			return err
		}
	}
	for _, name := range single {
		if err := r.scope(ctx, "project "+name, func() error {
			var one repository
			if err := get(ctx, r.api, project(name), nil, &one); err != nil {
				return err
			}
			return r.project("project "+name, one)
		}); err != nil {
			return err
		}
	}
	return nil
}

// reading is one run.
type reading struct {
	*api
	sink connector.Sink
}

// sinkError is an error of the sink, which ends the run.
type sinkError struct{ error }

func refuse(err error) error {
	if err == nil {
		return nil
	}
	return sinkError{err}
}

// scope reads one part. What fails in it is a gap, and the rest goes on; the errors of the
// sink and of the context end the run.
func (r *reading) scope(ctx context.Context, name string, read func() error) error {
	if r.sink.Done(name) {
		return nil
	}
	err := read()
	var refused sinkError
	switch {
	case errors.As(err, &refused):
		return refused.error
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		r.sink.Gap(name, err)
		return nil
	}
	return r.sink.Covered(name)
}

func (r *reading) evidence(scope, method, detail string) fact.Evidence {
	return fact.Evidence{Method: method, Source: ID + " " + scope, Strength: fact.Declared, Detail: detail}
}

// project tells of a project, the group that it lies in, and the groups that it is shared
// with.
func (r *reading) project(scope string, one repository) error {
	if !isPath(one.Path) || !strings.Contains(one.Path, "/") {
		return fmt.Errorf("project %q: expected a full path", one.Path)
	}
	said := map[string]string{"default_branch": one.DefaultBranch, "url": one.URL, "archived": fmt.Sprint(one.Archived), "private": fmt.Sprint(one.Visibility == "private"), "fork": fmt.Sprint(one.ForkedFrom != nil)}
	if len(one.Topics) > 0 {
		said["topics"] = strings.Join(one.Topics, ",")
	}
	key := r.web + "/" + one.Path
	asset := fact.Asset{Kind: fact.AssetRepository, Key: key, Name: key}
	if err := r.sink.Node(scope, fact.Node{Asset: asset, Properties: said}); err != nil {
		return refuse(err)
	}
	claim := func(group, role, method string) error {
		if !isPath(group) {
			return fmt.Errorf("project %s: group %q: expected a full path", one.Path, group)
		}
		of := team(group)
		return refuse(r.sink.Claim(scope, fact.Claim{Subject: asset, Owner: fact.Party{Kind: "team", ID: of.Key, Name: of.Name}, Role: role, Source: ID, Evidence: r.evidence(scope, method, one.Path)}))
	}
	if one.Namespace.Kind == "group" {
		if err := claim(one.Namespace.Path, "owner", "group of the project"); err != nil {
			return err
		}
	}
	for _, shared := range one.Shared {
		role := "reviewer"
		switch {
		case shared.Level < developer:
			continue
		case shared.Level >= maintainer:
			role = "owner"
		}
		if err := claim(shared.Path, role, fmt.Sprintf("shared with access level %d", shared.Level)); err != nil {
			return err
		}
	}
	return nil
}

// team names a group as CODEOWNERS does.
func team(path string) fact.Asset {
	return fact.Asset{Kind: fact.AssetTeam, Key: "@" + path, Name: path}
}

// groups reads a group, the groups in it, and who is in each by itself.
func (r *reading) groups(ctx context.Context, name string) error {
	scope := "groups " + name
	type group struct {
		ID     int64  `json:"id"`
		Path   string `json:"full_path"`
		Name   string `json:"name"`
		URL    string `json:"web_url"`
		Parent *int64 `json:"parent_id"`
	}
	var first group
	if err := get(ctx, r.api, "/groups/"+url.PathEscape(name), url.Values{"with_projects": {"false"}}, &first); err != nil {
		return err
	}
	list := []group{first}
	if err := pages(ctx, r.api, fmt.Sprintf("/groups/%d/descendant_groups", first.ID), nil, func(one group) (bool, error) {
		list = append(list, one)
		return true, nil
	}); err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b group) int { return strings.Compare(a.Path, b.Path) })
	paths := map[int64]string{}
	for _, one := range list {
		if !isPath(one.Path) {
			return fmt.Errorf("group %q: expected a full path", one.Path)
		}
		paths[one.ID] = one.Path
	}
	for _, one := range list {
		of := team(one.Path)
		if err := r.sink.Node(scope, fact.Node{Asset: of, Properties: map[string]string{"name": one.Name, "url": one.URL}}); err != nil {
			return refuse(err)
		}
		if one.Parent != nil && paths[*one.Parent] != "" {
			parent := team(paths[*one.Parent])
			if err := r.sink.Relation(scope, fact.Relation{From: of, Kind: fact.PartOf, To: parent, Evidence: r.evidence(scope, "parent group", parent.Name)}); err != nil {
				return refuse(err)
			}
		}
		if err := pages(ctx, r.api, fmt.Sprintf("/groups/%d/members", one.ID), nil, func(member struct {
			Username string `json:"username"`
			Name     string `json:"name"`
			State    string `json:"state"`
			Level    int    `json:"access_level"`
		}) (bool, error) {
			active := member.State == "active"
			person := connector.Person{
				ID: "gitlab:" + r.web + "/" + member.Username, Name: member.Name, Logins: []string{r.web + "/" + member.Username},
				Active: &active, Bot: botName.MatchString(member.Username),
			}
			if err := r.sink.Node(scope, person.Node()); err != nil {
				return false, refuse(err)
			}
			return true, refuse(r.sink.Relation(scope, fact.Relation{From: person.Asset(), Kind: fact.MemberOf, To: of, Evidence: r.evidence(scope, fmt.Sprintf("group membership with access level %d", member.Level), member.Username)}))
		}); err != nil {
			return fmt.Errorf("members of %s: %w", one.Path, err)
		}
	}
	return nil
}
