package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// Bounds of the API.
const (
	pageSize = 100
	maxPages = 1000
)

// Levels of access.
const (
	developer  = 30 // may write to a repository
	maintainer = 40
)

const apiPath = "/api/v4"

// api asks one GitLab: the service itself or a server of one's own.
type api struct {
	client *rest.Client
	now    func() time.Time
	base   *url.URL // of REST
	web    string   // host of remotes, with the folder that the server lies in
	token  string
}

// newAPI reads the settings; it asks nothing.
func newAPI(client *rest.Client, now func() time.Time, values connector.Values) (*api, error) {
	root, err := rest.Base(values["address"])
	if err != nil {
		return nil, err
	}
	root.Path = strings.TrimSuffix(root.Path, apiPath)
	return &api{client: client, now: now, base: rest.Below(root, apiPath, nil), web: strings.ToLower(root.Host) + root.Path, token: values["token"]}, nil
}

func (a *api) header() http.Header {
	header := http.Header{"Accept": {"application/json"}}
	if a.token != "" {
		header.Set("Authorization", "Bearer "+a.token)
	}
	return header
}

// at gives an address below the API. Names stand in way as url.PathEscape writes them, so
// that the slashes of a project's path stay in one part.
func (a *api) at(way string, query url.Values) (*url.URL, error) {
	address := a.base.Scheme + "://" + a.base.Host + a.base.EscapedPath() + way
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return url.Parse(address)
}

// project gives the way of a project, by its full path.
func project(path string) string { return "/projects/" + url.PathEscape(path) }

// forgeError names an error; of a protected branch GitLab speaks in a way of its own.
func forgeError(err error) error {
	if rest.Says(err, "not allowed to push") || rest.Says(err, "protected") {
		return fmt.Errorf("%w: %w", connector.ErrProtected, err)
	}
	return rest.ForgeError(err)
}

// get asks for one answer.
func get[T any](ctx context.Context, a *api, way string, query url.Values, into *T) error {
	at, err := a.at(way, query)
	if err != nil {
		return err
	}
	return forgeError(rest.Get(ctx, a.client, at, a.header(), into))
}

// pages asks for every page of a listing and gives the elements in order. each may end it
// early.
func pages[T any](ctx context.Context, a *api, way string, query url.Values, each func(T) (more bool, err error)) error {
	if query == nil {
		query = url.Values{}
	}
	query.Set("per_page", strconv.Itoa(pageSize))
	for page := 1; page <= maxPages; page++ {
		query.Set("page", strconv.Itoa(page))
		var list []T
		if err := get(ctx, a, way, query, &list); err != nil {
			return err
		}
		for _, one := range list {
			if more, err := each(one); err != nil || !more {
				return err
			}
		}
		if len(list) < pageSize {
			return nil
		}
	}
	return fmt.Errorf("%s: more than %d pages", way, maxPages)
}

// send changes something, once.
func (a *api) send(ctx context.Context, method, way string, body, into any) error {
	at, err := a.at(way, nil)
	if err != nil {
		return err
	}
	return a.client.Send(ctx, rest.Write{Method: method, At: at, Header: a.header(), Body: body}, into)
}

// repository reads the full path of a project from a remote's URL, false when it is none
// of this GitLab.
func (a *api) repository(remote string) (string, bool) {
	host, way := "", ""
	_, folder, _ := strings.Cut(a.web, "/")
	web := strings.TrimSuffix(strings.TrimSuffix(a.web, folder), "/")
	if u, err := url.Parse(remote); err == nil && u.Host != "" {
		host, way = u.Host, u.Path
		if u.Scheme == "ssh" {
			host, web, folder = u.Hostname(), hostname(web), ""
		}
	} else if user, rest, ok := strings.Cut(remote, ":"); ok && !strings.Contains(user, "/") {
		host, way = user[strings.LastIndex(user, "@")+1:], rest
		web, folder = hostname(web), ""
	}
	way = strings.Trim(way, "/")
	if folder != "" {
		below, ok := strings.CutPrefix(way, folder+"/")
		if !ok {
			return "", false
		}
		way = below
	}
	way = strings.TrimSuffix(way, ".git")
	if !strings.EqualFold(host, web) || !isPath(way) || !strings.Contains(way, "/") {
		return "", false
	}
	return way, true
}

// hostname is a host without its port: that of ssh is another.
func hostname(host string) string {
	return (&url.URL{Host: host}).Hostname()
}

// maxDepth bounds groups in groups; GitLab allows twenty.
const maxDepth = 24

// isPath says whether a text is the full path of a group or project.
func isPath(text string) bool {
	parts := strings.Split(text, "/")
	for _, part := range parts {
		if part == "" || part == "-" || strings.Trim(part, ".") == "" || len(part) > 255 {
			return false
		}
		for _, c := range part {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
				return false
			}
		}
	}
	return len(parts) <= maxDepth
}

type user struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
}

type access struct {
	Level int `json:"access_level"`
}

// repository is a project as it is described.
type repository struct {
	ID            int64    `json:"id"`
	Path          string   `json:"path_with_namespace"`
	DefaultBranch string   `json:"default_branch"`
	Archived      bool     `json:"archived"`
	Visibility    string   `json:"visibility"`
	URL           string   `json:"web_url"`
	Topics        []string `json:"topics"`
	ForkedFrom    *struct {
		ID int64 `json:"id"`
	} `json:"forked_from_project"`
	Namespace struct {
		Kind string `json:"kind"`
		Path string `json:"full_path"`
	} `json:"namespace"`
	Shared []struct {
		Path  string `json:"group_full_path"`
		Level int    `json:"group_access_level"`
	} `json:"shared_with_groups"`
	Permissions struct {
		Project *access `json:"project_access"`
		Group   *access `json:"group_access"`
	} `json:"permissions"`
}

// about reads the project and says why it takes no change of ours. Where it does not say
// what the token may, the first request will.
func (a *api) about(ctx context.Context, path string) (about repository, err error) {
	if err := get(ctx, a, project(path), nil, &about); err != nil {
		return about, err
	}
	level, told := 0, false
	for _, given := range []*access{about.Permissions.Project, about.Permissions.Group} {
		if given != nil {
			level, told = max(level, given.Level), true
		}
	}
	switch {
	case about.Archived:
		return about, fmt.Errorf("%s: %w", path, connector.ErrArchived)
	case told && level < developer:
		return about, fmt.Errorf("%s: %w: the token may not push; changes from forks are not made", path, connector.ErrRights)
	}
	return about, nil
}

// tip gives the commit at a branch, "" when there is none.
func (a *api) tip(ctx context.Context, path, branch string) (string, error) {
	var found struct {
		Commit struct {
			ID string `json:"id"`
		} `json:"commit"`
	}
	err := get(ctx, a, project(path)+"/repository/branches/"+url.PathEscape(branch), nil, &found)
	if rest.Code(err) == http.StatusNotFound {
		return "", nil
	}
	return found.Commit.ID, err
}

// who finds a user by name, nil when there is none.
func (a *api) who(ctx context.Context, username string) (*user, error) {
	var list []user
	if err := get(ctx, a, "/users", url.Values{"username": {username}}, &list); err != nil {
		return nil, err
	}
	for _, one := range list {
		if strings.EqualFold(one.Username, username) {
			return &one, nil
		}
	}
	return nil, nil
}

// level gives what a user may do in a project, by itself or through groups, 0 for nothing.
func (a *api) level(ctx context.Context, path string, id int64) (int, error) {
	var member access
	err := get(ctx, a, fmt.Sprintf("%s/members/all/%d", project(path), id), nil, &member)
	if rest.Code(err) == http.StatusNotFound {
		return 0, nil
	}
	return member.Level, err
}
