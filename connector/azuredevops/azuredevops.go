// Package azuredevops brings projects, repositories, teams with their members and required
// reviewers of Azure DevOps, and takes changes there: commits, pull requests, comments,
// statuses and work items. It needs no checkout to publish a change.
//
// One push makes a branch with its commit, provided that the branch is absent or stands at
// the commit's parent; a branch is moved and removed provided that it stands where it was
// looked at. So the branch is its own lock, and no run takes back what another did.
//
// Shapes follow Microsoft's documentation of the REST API 7.1.
package azuredevops

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
const ID = "connector/azuredevops"

type source struct{ client *rest.Client }

// New makes the connector. wait sleeps between attempts, nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) connector.ForgeSource {
	return source{rest.New(wait)}
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "Azure DevOps",
		Docs: "Projects, repositories, teams and members, and the reviewers whom branch policies require. Changes go out as pull requests; tickets are work items. " +
			"The personal access token needs code to write and status, work items to write, identities, projects and teams to read. A text of more than 4000 characters is shortened in the pull request; the commit holds all of it.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Default: "https://dev.azure.com", Help: "address above the organizations; of a server of your own that above its collections"},
		{Name: "token", Kind: connector.SettingSecret, Help: "personal access token, by reference: env:NAME or file:PATH"},
		connector.HookSetting(),
		{Name: "organizations", Kind: connector.SettingList, Help: "organizations all of whose projects are read"},
		{Name: "projects", Kind: connector.SettingList, Help: "single projects, ORGANIZATION/PROJECT"},
		{Name: "work-item-type", Kind: connector.SettingText, Default: "Issue", Help: "type of the work items that tickets become, such as Issue, Bug or Task"},
	}
}

// Forge implements connector.ForgeSource.
func (s source) Forge(values connector.Values) (connector.OpenForge, error) {
	a, err := newAPI(s.client, values)
	if err != nil {
		return nil, err
	}
	return forge{a}, nil
}

// Sync implements connector.Source.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	a, err := newAPI(s.client, values)
	if err != nil {
		return err
	}
	organizations, projects := values.List("organizations"), values.List("projects")
	if len(organizations)+len(projects) == 0 {
		return errors.New("expected the setting organizations or projects")
	}
	for _, name := range slices.Concat(organizations, projects) {
		organization, project, several := strings.Cut(name, "/")
		if !isName(organization) || several != (project != "") || several && !isName(project) {
			return fmt.Errorf("%q: expected an organization, or a project as ORGANIZATION/PROJECT", name)
		}
	}
	r := &reading{api: a, sink: sink}
	for _, name := range organizations {
		found, err := r.projects(ctx, name)
		if err != nil {
			return err
		}
		projects = append(projects, found...)
	}
	slices.Sort(projects)
	projects = slices.Compact(projects)
	for i, name := range projects {
		sink.Progress("projects", i, len(projects))
		organization, project, _ := strings.Cut(name, "/")
		at := place{organization: organization, project: project}
		if err := r.scope(ctx, "repositories "+name, func() error { return r.repositories(ctx, at) }); err != nil {
			return err
		}
		if err := r.scope(ctx, "owners "+name, func() error { return r.owners(ctx, at) }); err != nil {
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

// key names what lies below the address as remotes do.
func (r *reading) key(way string) string {
	return strings.ToLower(r.base.Host) + r.base.Path + way
}

func (r *reading) project(at place) fact.Asset {
	return fact.Asset{Kind: fact.AssetProject, Key: r.key(at.in()), Name: at.project}
}

func (r *reading) asset(at place) fact.Asset {
	key := r.key(at.in() + "/_git/" + at.name)
	return fact.Asset{Kind: fact.AssetRepository, Key: key, Name: key}
}

// projects reads the projects of an organization, and gives their names. A resumed run
// needs the names, too, and says nothing of them again.
func (r *reading) projects(ctx context.Context, organization string) (names []string, err error) {
	scope := "projects " + organization
	type project struct {
		Name        string `json:"name"`
		State       string `json:"state"`
		Visibility  string `json:"visibility"`
		Description string `json:"description"`
	}
	done := r.sink.Done(scope)
	read := func() error {
		return tokened(ctx, r.api, "/"+organization+"/_apis/projects", nil, func(one project) error {
			if !isName(one.Name) {
				return fmt.Errorf("project %q: expected a name", one.Name)
			}
			if one.State != "" && one.State != "wellFormed" { // being made or removed
				return nil
			}
			names = append(names, organization+"/"+one.Name)
			if done {
				return nil
			}
			return refuse(r.sink.Node(scope, fact.Node{Asset: r.project(place{organization: organization, project: one.Name}), Properties: map[string]string{"organization": organization, "visibility": one.Visibility}}))
		})
	}
	if !done {
		err := r.scope(ctx, scope, read)
		return names, err
	}
	if err := read(); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		r.sink.Gap("projects of "+organization+", looked up again", err)
	}
	return names, nil
}

func (r *reading) repositories(ctx context.Context, at place) error {
	scope := "repositories " + at.organization + "/" + at.project
	var list listed[repository]
	if err := get(ctx, r.api, at.in()+"/_apis/git/repositories", nil, &list); err != nil {
		return err
	}
	for _, one := range list.Value {
		at.name = one.Name
		if !isName(one.Name) {
			return fmt.Errorf("repository %q: expected a name", one.Name)
		}
		of := r.asset(at)
		said := map[string]string{"id": one.ID, "default_branch": one.main(), "url": r.page(at, ""), "archived": fmt.Sprint(one.Disabled), "fork": fmt.Sprint(one.Fork)}
		if err := r.sink.Node(scope, fact.Node{Asset: of, Properties: said}); err != nil {
			return refuse(err)
		}
		if err := r.sink.Relation(scope, fact.Relation{From: of, Kind: fact.PartOf, To: r.project(at), Evidence: r.evidence(scope, "project of the repository", at.project)}); err != nil {
			return refuse(err)
		}
	}
	return nil
}

// requiredReviewers is the type of branch policies that ask certain people to review.
const requiredReviewers = "fd2167ab-b0be-447a-8ec8-39368250530e"

// owners reads the teams of a project, who is in them, and whom policies make reviewers:
// Azure DevOps has no CODEOWNERS.
func (r *reading) owners(ctx context.Context, at place) error {
	scope := "owners " + at.organization + "/" + at.project
	known := map[string]fact.Party{}
	teams := "/" + at.organization + "/_apis/projects/" + at.project + "/teams"
	if err := pages(ctx, r.api, teams, nil, func(one struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}) (bool, error) {
		if !isName(one.ID) || !isName(one.Name) {
			return false, fmt.Errorf("team %q: expected an id and a name", one.Name)
		}
		of := fact.Asset{Kind: fact.AssetTeam, Key: "@" + at.organization + "/" + at.project + "/" + one.Name, Name: one.Name}
		known[strings.ToLower(one.ID)] = fact.Party{Kind: "team", ID: of.Key, Name: of.Name}
		if err := r.sink.Node(scope, fact.Node{Asset: of, Properties: map[string]string{"id": one.ID, "organization": at.organization, "project": at.project}}); err != nil {
			return false, refuse(err)
		}
		return true, r.members(ctx, scope, teams+"/"+one.ID+"/members", of, known)
	}); err != nil {
		return err
	}
	return r.policies(ctx, scope, at, known)
}

func (r *reading) members(ctx context.Context, scope, way string, of fact.Asset, known map[string]fact.Party) error {
	err := pages(ctx, r.api, way, nil, func(one member) (bool, error) {
		who := one.Identity
		if who.ID == "" || who.IsContainer {
			return true, nil // a group within the team
		}
		person := connector.Person{ID: "azuredevops:" + who.ID, Name: who.Name, Emails: []string{who.UniqueName}}
		known[strings.ToLower(who.ID)] = person.Party()
		if err := r.sink.Node(scope, person.Node()); err != nil {
			return false, refuse(err)
		}
		detail := who.Name
		if one.Admin {
			detail += ", administrator of the team"
		}
		return true, refuse(r.sink.Relation(scope, fact.Relation{From: person.Asset(), Kind: fact.MemberOf, To: of, Evidence: r.evidence(scope, "team membership", detail)}))
	})
	if err != nil {
		return fmt.Errorf("members of %s: %w", of.Name, err)
	}
	return nil
}

func (r *reading) policies(ctx context.Context, scope string, at place, known map[string]fact.Party) error {
	var list listed[repository]
	if err := get(ctx, r.api, at.in()+"/_apis/git/repositories", nil, &list); err != nil {
		return err
	}
	names := map[string]string{}
	for _, one := range list.Value {
		names[strings.ToLower(one.ID)] = one.Name
	}
	query := url.Values{"policyType": {requiredReviewers}}
	return tokened(ctx, r.api, at.in()+"/_apis/policy/configurations", query, func(one struct {
		ID       int  `json:"id"`
		Enabled  bool `json:"isEnabled"`
		Deleted  bool `json:"isDeleted"`
		Settings struct {
			Reviewers []string `json:"requiredReviewerIds"`
			Patterns  []string `json:"filenamePatterns"`
			Scope     []struct {
				Repository string `json:"repositoryId"`
			} `json:"scope"`
		} `json:"settings"`
	}) error {
		if !one.Enabled || one.Deleted {
			return nil
		}
		for _, part := range one.Settings.Scope {
			name := names[strings.ToLower(part.Repository)]
			if !isName(name) {
				continue // every repository of the project, or one that is not seen
			}
			for _, id := range one.Settings.Reviewers {
				owner, ok := known[strings.ToLower(id)]
				if !ok {
					r.sink.Note(scope, fmt.Sprintf("policy %d asks a reviewer who is in no team of the project", one.ID))
					continue
				}
				claim := fact.Claim{
					Subject: r.asset(place{at.organization, at.project, name}), Owner: owner, Role: "reviewer", Source: ID,
					Evidence: r.evidence(scope, "required reviewer by branch policy", fmt.Sprintf("policy %d", one.ID)),
				}
				if len(one.Settings.Patterns) > 0 { // of some files only
					claim.Evidence.Detail += " for " + strings.Join(one.Settings.Patterns, " ")
					claim.Confidence = .5
				}
				if err := r.sink.Claim(scope, claim); err != nil {
					return refuse(err)
				}
			}
		}
		return nil
	})
}
