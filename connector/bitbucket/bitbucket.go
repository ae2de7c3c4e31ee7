// Package bitbucket brings repositories, projects, members and the rights of groups of
// Bitbucket Cloud, and takes changes there: commits, pull requests, comments, build
// statuses and tickets. It needs no checkout to publish a change.
//
// One request makes a branch with its commit, or adds a commit to it, provided that the
// branch is absent or stands at the commit's parent; so it is its own lock. Bitbucket's API
// moves no branch. A later form of a change is therefore a further commit on the change's
// branch: its tree is exactly that of the change, and where the base has moved the new base
// is its second parent, so that the pull request shows the change and nothing else. Which
// tree a commit has is told by none of Bitbucket's answers; a trailer of the message says it.
//
// Shapes follow Bitbucket's documented REST API 2.0. Bitbucket Data Center speaks another
// one and is not served.
package bitbucket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
	"github.com/backstitch/backstitch/fact"
)

// ID names the connector.
const ID = "connector/bitbucket"

type source struct{ client *rest.Client }

// New makes the connector. wait sleeps between attempts, nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) connector.ForgeSource {
	return source{rest.New(wait)}
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "Bitbucket Cloud",
		Docs: "Repositories, projects, members of workspaces, and which groups own a repository. Changes go out as pull requests, of which a later form is a further commit; labels do not exist there, and groups are not asked to review. " +
			"An access token of a repository, project or workspace needs repositories and pull requests to write; with the setting user the token is an API token of that person. Rights of groups are told to administrators only.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Default: "https://api.bitbucket.org/2.0", Help: "address of the REST API"},
		{Name: "token", Kind: connector.SettingSecret, Help: "access token, or API token of a person, by reference: env:NAME or file:PATH"},
		connector.HookSetting(),
		{Name: "user", Kind: connector.SettingText, Help: "mail address of the person whom an API token belongs to; empty for access tokens"},
		{Name: "workspaces", Kind: connector.SettingList, Help: "workspaces whose repositories, projects and members are read"},
		{Name: "repositories", Kind: connector.SettingList, Help: "single repositories, WORKSPACE/NAME"},
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
	workspaces, single := values.List("workspaces"), values.List("repositories")
	if len(workspaces)+len(single) == 0 {
		return errors.New("expected the setting workspaces or repositories")
	}
	for _, name := range slices.Concat(workspaces, single) {
		workspace, repo, several := strings.Cut(name, "/")
		if !isName(workspace) || several != (repo != "") || several && !isName(repo) {
			return fmt.Errorf("%q: expected a workspace, or a repository as WORKSPACE/NAME", name)
		}
	}
	r := &reading{api: a, sink: sink}
	for _, name := range workspaces {
		for _, part := range []struct {
			scope string
			read  func(ctx context.Context, workspace string) error
		}{{"members " + name, r.members}, {"projects " + name, r.projects}} {
			if err := r.scope(ctx, part.scope, func() error { return part.read(ctx, name) }); err != nil {
				return err
			}
		}
		if err := r.listing(ctx, "repositories "+name, func() error { return r.workspace(ctx, name) }); err != nil {
			return err
		}
	}
	for _, name := range single {
		if err := r.listing(ctx, "repository "+name, func() error {
			var one repository
			if err := get(ctx, r.api, "/repositories/"+name, nil, &one); err != nil {
				return err
			}
			return r.repository("repository "+name, one)
		}); err != nil {
			return err
		}
	}
	slices.Sort(r.repositories)
	for i, name := range slices.Compact(r.repositories) {
		sink.Progress("groups", i, len(r.repositories))
		if err := r.scope(ctx, "groups "+name, func() error { return r.groups(ctx, name) }); err != nil {
			return err
		}
	}
	return nil
}

// reading is one run.
type reading struct {
	*api
	sink         connector.Sink
	repositories []string
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

// listing reads a part that names repositories. A resumed run that has covered it needs
// the names again, and says nothing of them.
func (r *reading) listing(ctx context.Context, name string, read func() error) error {
	if !r.sink.Done(name) {
		return r.scope(ctx, name, read)
	}
	err := read()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.sink.Gap(name+", looked up again", err)
	}
	return nil
}

func (r *reading) evidence(scope, method, detail string) fact.Evidence {
	return fact.Evidence{Method: method, Source: ID + " " + scope, Strength: fact.Declared, Detail: detail}
}

// asset names a repository as its remotes do.
func (r *reading) asset(name string) fact.Asset {
	key := strings.ToLower(r.web) + "/" + name
	return fact.Asset{Kind: fact.AssetRepository, Key: key, Name: key}
}

func (r *reading) project(workspace, key, name string) fact.Asset {
	return fact.Asset{Kind: fact.AssetProject, Key: r.web + "/" + workspace + "/projects/" + key, Name: name}
}

func (r *reading) workspace(ctx context.Context, name string) error {
	return pages(ctx, r.api, "/repositories/"+name, nil, func(one repository) (bool, error) {
		return true, r.repository("repositories "+name, one)
	})
}

func (r *reading) repository(scope string, one repository) error {
	workspace, name, _ := strings.Cut(one.FullName, "/")
	if !isName(workspace) || !isName(name) {
		return fmt.Errorf("repository %q: expected a name as WORKSPACE/NAME", one.FullName)
	}
	r.repositories = append(r.repositories, one.FullName)
	if r.sink.Done(scope) {
		return nil
	}
	said := map[string]string{"default_branch": one.main(), "url": one.Links.HTML.Href, "private": fmt.Sprint(one.Private), "fork": fmt.Sprint(one.Parent != nil)}
	if one.Language != "" {
		said["language"] = one.Language
	}
	of := r.asset(one.FullName)
	if err := r.sink.Node(scope, fact.Node{Asset: of, Properties: said}); err != nil {
		return refuse(err)
	}
	if one.Project == nil || !isName(one.Project.Key) {
		return nil
	}
	return refuse(r.sink.Relation(scope, fact.Relation{From: of, Kind: fact.PartOf, To: r.project(workspace, one.Project.Key, one.Project.Name), Evidence: r.evidence(scope, "project of the repository", one.Project.Key)}))
}

func (r *reading) projects(ctx context.Context, workspace string) error {
	scope := "projects " + workspace
	return pages(ctx, r.api, "/workspaces/"+workspace+"/projects", nil, func(one struct {
		Key     string `json:"key"`
		Name    string `json:"name"`
		Private bool   `json:"is_private"`
	}) (bool, error) {
		if !isName(one.Key) {
			return false, fmt.Errorf("project %q: expected a key", one.Key)
		}
		return true, refuse(r.sink.Node(scope, fact.Node{Asset: r.project(workspace, one.Key, one.Name), Properties: map[string]string{"key": one.Key, "private": fmt.Sprint(one.Private)}}))
	})
}

// members reads who is in a workspace. Bitbucket tells no addresses.
func (r *reading) members(ctx context.Context, workspace string) error {
	scope := "members " + workspace
	return pages(ctx, r.api, "/workspaces/"+workspace+"/members", nil, func(one struct {
		User user `json:"user"`
	}) (bool, error) {
		if one.User.UUID == "" {
			return true, nil
		}
		person := connector.Person{ID: "bitbucket:" + one.User.UUID, Name: one.User.Name, Logins: []string{r.web + "/" + one.User.login()}, Said: map[string]string{"account_id": one.User.AccountID}}
		return true, refuse(r.sink.Node(scope, person.Node()))
	})
}

// groups reads which groups may do what in a repository.
func (r *reading) groups(ctx context.Context, repo string) error {
	scope := "groups " + repo
	workspace, _, _ := strings.Cut(repo, "/")
	err := pages(ctx, r.api, "/repositories/"+repo+"/permissions-config/groups", nil, func(one struct {
		Permission string `json:"permission"`
		Group      struct {
			Slug string `json:"slug"`
			Name string `json:"name"`
		} `json:"group"`
	}) (bool, error) {
		role := map[string]string{"admin": "owner", "write": "reviewer"}[one.Permission]
		if role == "" || !isName(one.Group.Slug) || one.Group.Slug == "administrators" {
			return true, nil // of the workspace: they administer everything
		}
		of := fact.Asset{Kind: fact.AssetTeam, Key: "@" + workspace + "/" + one.Group.Slug, Name: one.Group.Name}
		if err := r.sink.Node(scope, fact.Node{Asset: of, Properties: map[string]string{"slug": one.Group.Slug, "workspace": workspace}}); err != nil {
			return false, refuse(err)
		}
		return true, refuse(r.sink.Claim(scope, fact.Claim{
			Subject: r.asset(repo), Owner: fact.Party{Kind: "team", ID: of.Key, Name: of.Name}, Role: role, Source: ID,
			Evidence: r.evidence(scope, "repository permission "+one.Permission, one.Group.Slug),
		}))
	})
	if rest.Code(err) == http.StatusForbidden {
		return fmt.Errorf("only administrators are told the rights of groups: %w", err)
	}
	return err
}
