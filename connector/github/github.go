// Package github brings repositories, teams with their members and security alerts of
// GitHub, and takes changes there: commits that GitHub signs, pull requests, comments,
// checks and tickets. It needs no checkout to publish a change.
//
// It speaks to the service or to a server of one's own, with a token or as an App.
// Shapes follow GitHub's published OpenAPI document and GraphQL schema.
package github

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
	"github.com/backstitch/backstitch/fact"
)

// ID names the connector.
const ID = "connector/github"

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
		ID: ID, Name: "GitHub",
		Docs: "Repositories, teams and members, and the alerts of Dependabot, code scanning and secret scanning. Changes go out as pull requests whose commits GitHub signs. " +
			"An App needs contents, pull requests, issues and checks to write, members and the alerts to read; a token the same rights. Coding agents are assigned with the token of a user only.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "address", Kind: connector.SettingURL, Default: "https://api.github.com", Help: "address of the REST API; of a server of your own https://HOST/api/v3"},
		{Name: "token", Kind: connector.SettingSecret, Help: "token, by reference: env:NAME or file:PATH"},
		connector.HookSetting(),
		{Name: "app", Kind: connector.SettingText, Help: "id of a GitHub App, instead of a token"},
		{Name: "app-key", Kind: connector.SettingSecret, Help: "the App's private key in PEM, by reference"},
		{Name: "organizations", Kind: connector.SettingList, Help: "organizations whose repositories and teams are read"},
		{Name: "repositories", Kind: connector.SettingList, Help: "single repositories, OWNER/NAME"},
		{Name: "alerts", Kind: connector.SettingChoice, Choices: []string{"yes", "no"}, Default: "yes", Help: "whether security alerts are read"},
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
	for _, name := range organizations {
		if err := r.scope(ctx, "teams "+name, func() error { return r.teams(ctx, name) }); err != nil {
			return err
		}
		if err := r.scope(ctx, "repositories "+name, func() error { return r.organization(ctx, name) }); err != nil {
			return err
		}
	}
	for _, name := range single {
		if err := r.scope(ctx, "repository "+name, func() error {
			var one repository
			if err := get(ctx, r.api, name, "/repos/"+name, nil, &one); err != nil {
				return err
			}
			return r.repository("repository "+name, one)
		}); err != nil {
			return err
		}
	}
	if values["alerts"] == "no" {
		return nil
	}
	// Of scopes that an earlier run covered only the names are needed, to go on with alerts.
	for _, name := range organizations {
		if sink.Done("repositories " + name) {
			if err := r.names(ctx, name); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				sink.Gap("alerts "+name, err)
			}
		}
	}
	for _, name := range single {
		if sink.Done("repository " + name) {
			r.repositories = append(r.repositories, name)
		}
	}
	slices.Sort(r.repositories)
	for i, name := range slices.Compact(r.repositories) {
		sink.Progress("alerts", i, len(r.repositories))
		for _, kind := range []string{"dependabot", "code-scanning", "secret-scanning"} {
			if err := r.scope(ctx, kind+" alerts "+name, func() error { return r.alerts(ctx, name, kind) }); err != nil {
				return err
			}
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

func (r *reading) evidence(scope, method, detail string) fact.Evidence {
	return fact.Evidence{Method: method, Source: ID + " " + scope, Strength: fact.Declared, Detail: detail}
}

// organization reads the repositories of an organization.
func (r *reading) organization(ctx context.Context, name string) error {
	return pages(ctx, r.api, name, "/orgs/"+name+"/repos", nil, func(one repository) (bool, error) {
		return true, r.repository("repositories "+name, one)
	})
}

// names lists the repositories of an organization whose alerts are read.
func (r *reading) names(ctx context.Context, name string) error {
	return pages(ctx, r.api, name, "/orgs/"+name+"/repos", nil, func(one repository) (bool, error) {
		owner, repo, _ := strings.Cut(one.FullName, "/")
		if isName(owner) && isName(repo) && !one.Archived && !one.Disabled {
			r.repositories = append(r.repositories, one.FullName)
		}
		return true, nil
	})
}

func (r *reading) repository(scope string, one repository) error {
	owner, name, _ := strings.Cut(one.FullName, "/")
	if !isName(owner) || !isName(name) {
		return fmt.Errorf("repository %q: expected a name as OWNER/NAME", one.FullName)
	}
	if !one.Archived && !one.Disabled {
		r.repositories = append(r.repositories, one.FullName)
	}
	said := map[string]string{"default_branch": one.DefaultBranch, "url": one.URL, "archived": fmt.Sprint(one.Archived), "private": fmt.Sprint(one.Private), "fork": fmt.Sprint(one.Fork)}
	if len(one.Topics) > 0 {
		said["topics"] = strings.Join(one.Topics, ",")
	}
	return refuse(r.sink.Node(scope, fact.Node{Asset: r.asset(one.FullName), Properties: said}))
}

// asset names a repository as its remotes do.
func (r *reading) asset(name string) fact.Asset {
	key := strings.ToLower(r.web) + "/" + name
	return fact.Asset{Kind: fact.AssetRepository, Key: key, Name: key}
}

// teams reads teams, who is in them, and the repositories that they maintain.
func (r *reading) teams(ctx context.Context, org string) error {
	scope := "teams " + org
	type team struct {
		Slug   string `json:"slug"`
		Name   string `json:"name"`
		Parent *struct {
			Slug string `json:"slug"`
		} `json:"parent"`
	}
	var list []team
	if err := pages(ctx, r.api, org, "/orgs/"+org+"/teams", nil, func(one team) (bool, error) {
		list = append(list, one)
		return true, nil
	}); err != nil {
		return err
	}
	asset := func(slug, name string) fact.Asset {
		return fact.Asset{Kind: fact.AssetTeam, Key: "@" + org + "/" + slug, Name: name}
	}
	for _, one := range list {
		if !isName(one.Slug) {
			return fmt.Errorf("team %q: expected a slug", one.Slug)
		}
		of := asset(one.Slug, one.Name)
		if err := r.sink.Node(scope, fact.Node{Asset: of, Properties: map[string]string{"slug": one.Slug, "organization": org}}); err != nil {
			return refuse(err)
		}
		if one.Parent != nil {
			if err := r.sink.Relation(scope, fact.Relation{From: of, Kind: fact.PartOf, To: asset(one.Parent.Slug, one.Parent.Slug), Evidence: r.evidence(scope, "parent team", one.Parent.Slug)}); err != nil {
				return refuse(err)
			}
		}
		if err := pages(ctx, r.api, org, "/orgs/"+org+"/teams/"+one.Slug+"/members", nil, func(u user) (bool, error) {
			person := connector.Person{ID: "github:" + u.Login, Name: u.Login, Logins: []string{r.web + "/" + u.Login}, Bot: u.Type == "Bot"}
			if err := r.sink.Node(scope, person.Node()); err != nil {
				return false, refuse(err)
			}
			return true, refuse(r.sink.Relation(scope, fact.Relation{From: person.Asset(), Kind: fact.MemberOf, To: of, Evidence: r.evidence(scope, "team membership", u.Login)}))
		}); err != nil {
			return fmt.Errorf("members of %s: %w", one.Slug, err)
		}
		if err := pages(ctx, r.api, org, "/orgs/"+org+"/teams/"+one.Slug+"/repos", nil, func(repo struct {
			FullName string `json:"full_name"`
			RoleName string `json:"role_name"`
		}) (bool, error) {
			role := map[string]string{"admin": "owner", "maintain": "owner", "push": "reviewer", "write": "reviewer"}[repo.RoleName]
			if role == "" {
				return true, nil
			}
			return true, refuse(r.sink.Claim(scope, fact.Claim{
				Subject: r.asset(repo.FullName), Owner: fact.Party{Kind: "team", ID: of.Key, Name: of.Name}, Role: role, Source: ID,
				Evidence: r.evidence(scope, "repository role "+repo.RoleName, repo.FullName),
			}))
		}); err != nil {
			return fmt.Errorf("repositories of %s: %w", one.Slug, err)
		}
	}
	return nil
}

// alerts hands the pages of one kind of alerts to the readers of reports. A repository
// where the kind is switched off has none.
func (r *reading) alerts(ctx context.Context, repo, kind string) error {
	scope := kind + " alerts " + repo
	query := url.Values{"state": {"open"}, "per_page": {fmt.Sprint(pageSize)}}
	for page := 1; page <= maxPages; page++ {
		if kind != "dependabot" { // which gives cursors only
			query.Set("page", fmt.Sprint(page))
		}
		data, next, elements, err := rawPage(ctx, r.api, repo, "/repos/"+repo+"/"+kind+"/alerts", query)
		switch code := rest.Code(err); {
		case code == http.StatusNotFound, code == http.StatusForbidden && (rest.Says(err, "disabled") || rest.Says(err, "not enabled") || rest.Says(err, "must be enabled")):
			r.sink.Note(scope, kind+" alerts are switched off")
			return nil
		case err != nil:
			return err
		}
		if elements > 0 {
			if err := r.sink.Report(scope, kind+" alerts of "+repo, bytes.NewReader(data)); err != nil {
				return refuse(err)
			}
		}
		if kind == "dependabot" {
			if next == "" {
				return nil
			}
			query.Set("after", next)
		} else if elements < pageSize {
			return nil
		}
	}
	return fmt.Errorf("more than %d pages", maxPages)
}
