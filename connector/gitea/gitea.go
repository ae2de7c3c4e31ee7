// Package gitea brings repositories and teams with their members of Gitea and Forgejo,
// and takes changes there: commits made by the server, pull requests, comments, statuses
// and tickets. It needs no checkout to publish a change.
//
// Shapes follow Gitea's published Swagger document. A branch is moved by a request of
// Gitea 1.26 that names the commit it replaces; servers that have none, as Forgejo, take
// the later form of a change by a git push with a lease over https instead, whose commit
// the server does not sign.
package gitea

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
	"github.com/backstitch/backstitch/fact"
)

// ID names the connector.
const ID = "connector/gitea"

type source struct{ client *rest.Client }

// New makes the connector. wait sleeps between attempts, nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) connector.ForgeSource {
	return source{rest.New(wait)}
}

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "Gitea, Forgejo",
		Docs: "Repositories, teams and members. Changes go out as pull requests whose commits the server makes. " +
			"A token needs to read organizations, and to write repositories and issues.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Required: true, Help: "address of the server, such as https://git.example.org"},
		{Name: "token", Kind: connector.SettingSecret, Help: "token, by reference: env:NAME or file:PATH"},
		connector.HookSetting(),
		{Name: "organizations", Kind: connector.SettingList, Help: "organizations whose repositories and teams are read"},
		{Name: "repositories", Kind: connector.SettingList, Help: "single repositories, OWNER/NAME"},
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
	organizations, single := values.List("organizations"), values.List("repositories")
	if len(organizations)+len(single) == 0 {
		return errors.New("expected the setting organizations or repositories")
	}
	for _, name := range slices.Concat(organizations, single) {
		owner, repo, several := strings.Cut(name, "/")
		if !isName(owner) || several != (repo != "") || several && !isName(repo) {
			return fmt.Errorf("%q: expected an organization, or a repository as OWNER/NAME", name)
		}
	}
	r := &reading{api: a, sink: sink}
	for i, name := range organizations {
		sink.Progress("organizations", i, len(organizations))
		if err := r.scope(ctx, "teams "+name, func() error { return r.teams(ctx, name) }); err != nil {
			return err
		}
		if err := r.scope(ctx, "repositories "+name, func() error {
			return pages(ctx, r.api, "/orgs/"+name+"/repos", nil, func(one repository) (bool, error) {
				return true, r.repository("repositories "+name, one)
			})
		}); err != nil {
			return err
		}
	}
	for _, name := range single {
		if err := r.scope(ctx, "repository "+name, func() error {
			var one repository
			if err := get(ctx, r.api, "/repos/"+name, nil, &one); err != nil {
				return err
			}
			return r.repository("repository "+name, one)
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

func (r *reading) repository(scope string, one repository) error {
	owner, name, _ := strings.Cut(one.FullName, "/")
	if !isName(owner) || !isName(name) {
		return fmt.Errorf("repository %q: expected a name as OWNER/NAME", one.FullName)
	}
	said := map[string]string{"default_branch": one.DefaultBranch, "url": one.URL, "archived": fmt.Sprint(one.Archived), "private": fmt.Sprint(one.Private), "fork": fmt.Sprint(one.Fork), "mirror": fmt.Sprint(one.Mirror)}
	if len(one.Topics) > 0 {
		said["topics"] = strings.Join(one.Topics, ",")
	}
	return refuse(r.sink.Node(scope, fact.Node{Asset: r.asset(one.FullName), Properties: said}))
}

// asset names a repository as its remotes do.
func (r *reading) asset(name string) fact.Asset {
	key := r.web + "/" + name
	return fact.Asset{Kind: fact.AssetRepository, Key: key, Name: key}
}

// teams reads teams, who is in them, and the repositories that they may write to. Those
// who own an organization administer everything, which says nothing of whose code it is.
func (r *reading) teams(ctx context.Context, org string) error {
	scope := "teams " + org
	type team struct {
		ID         int64             `json:"id"`
		Name       string            `json:"name"`
		Permission string            `json:"permission"`
		Units      map[string]string `json:"units_map"`
	}
	var list []team
	if err := pages(ctx, r.api, "/orgs/"+org+"/teams", nil, func(one team) (bool, error) {
		list = append(list, one)
		return true, nil
	}); err != nil {
		return err
	}
	for _, one := range list {
		if !isName(one.Name) {
			return fmt.Errorf("team %q: expected a name", one.Name)
		}
		of := fact.Asset{Kind: fact.AssetTeam, Key: "@" + org + "/" + one.Name, Name: one.Name}
		if err := r.sink.Node(scope, fact.Node{Asset: of, Properties: map[string]string{"organization": org, "permission": one.Permission}}); err != nil {
			return refuse(err)
		}
		if err := pages(ctx, r.api, fmt.Sprintf("/teams/%d/members", one.ID), nil, func(u user) (bool, error) {
			person := connector.Person{ID: "gitea:" + r.web + "/" + u.Login, Name: u.Login, Logins: []string{r.web + "/" + u.Login}}
			if err := r.sink.Node(scope, person.Node()); err != nil {
				return false, refuse(err)
			}
			return true, refuse(r.sink.Relation(scope, fact.Relation{From: person.Asset(), Kind: fact.MemberOf, To: of, Evidence: r.evidence(scope, "team membership", u.Login)}))
		}); err != nil {
			return fmt.Errorf("members of %s: %w", one.Name, err)
		}
		role := map[string]string{"admin": "owner", "write": "reviewer"}[one.Permission]
		if role == "" && one.Permission != "owner" && one.Units["repo.code"] == "write" {
			role = "reviewer"
		}
		if role == "" {
			continue
		}
		if err := pages(ctx, r.api, fmt.Sprintf("/teams/%d/repos", one.ID), nil, func(repo repository) (bool, error) {
			return true, refuse(r.sink.Claim(scope, fact.Claim{
				Subject: r.asset(repo.FullName), Owner: fact.Party{Kind: "team", ID: of.Key, Name: of.Name}, Role: role, Source: ID,
				Evidence: r.evidence(scope, "team permission "+one.Permission, repo.FullName),
			}))
		}); err != nil {
			return fmt.Errorf("repositories of %s: %w", one.Name, err)
		}
	}
	return nil
}
