package gitea

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// Bounds of the API; a server gives fewer elements a page where its operator said so.
const (
	pageSize = 50
	maxPages = 2000
)

// api asks one Gitea or Forgejo.
type api struct {
	client *rest.Client
	base   *url.URL // of REST
	web    string   // host of remotes, with the folder that the server lies in
	token  string
	// remote says how git is told of a remote, for what the API cannot do.
	remote func(address string) git.Remote
}

const apiPath = "/api/v1"

// newAPI reads the settings; it asks nothing.
func newAPI(client *rest.Client, values connector.Values) (*api, error) {
	root, err := rest.Base(values["address"])
	if err != nil {
		return nil, err
	}
	root.Path = strings.TrimSuffix(root.Path, apiPath)
	a := &api{client: client, base: rest.Below(root, apiPath, nil), web: strings.ToLower(root.Host) + root.Path, token: values["token"]}
	a.remote = func(address string) git.Remote { return git.Remote{URL: address, Token: a.token} }
	return a, nil
}

func (a *api) header() http.Header {
	header := http.Header{"Accept": {"application/json"}}
	if a.token != "" {
		header.Set("Authorization", "token "+a.token)
	}
	return header
}

// forgeError names an error; of a protected branch Gitea speaks in several ways.
func forgeError(err error) error {
	if code := rest.Code(err); (code == http.StatusForbidden || code == http.StatusUnprocessableEntity) && rest.Says(err, "protected") {
		return fmt.Errorf("%w: %w", connector.ErrProtected, err)
	}
	return rest.ForgeError(err)
}

// get asks for one answer.
func get[T any](ctx context.Context, a *api, way string, query url.Values, into *T) error {
	return forgeError(rest.Get(ctx, a.client, rest.Below(a.base, way, query), a.header(), into))
}

// pages asks for every page of a listing and gives the elements in order, until a page is
// empty: servers shorten pages by limits of their own. each may end it early.
func pages[T any](ctx context.Context, a *api, way string, query url.Values, each func(T) (more bool, err error)) error {
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(pageSize))
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
		if len(list) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s: more than %d pages", way, maxPages)
}

// send changes something, once.
func (a *api) send(ctx context.Context, method, way string, body, into any) error {
	return a.client.Send(ctx, rest.Write{Method: method, At: rest.Below(a.base, way, nil), Header: a.header(), Body: body}, into)
}

// repository reads "owner/name" from a remote's URL, false when it is none of this server.
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
	parts := strings.Split(strings.TrimSuffix(way, ".git"), "/")
	if !strings.EqualFold(host, web) || len(parts) != 2 || !isName(parts[0]) || !isName(parts[1]) {
		return "", false
	}
	return parts[0] + "/" + parts[1], true
}

// hostname is a host without its port: that of ssh is another.
func hostname(host string) string {
	return (&url.URL{Host: host}).Hostname()
}

// isName says whether a text is a name as Gitea gives them, so that it stays one part of
// a path.
func isName(text string) bool {
	if text == "" || text == "." || text == ".." || len(text) > 100 {
		return false
	}
	for _, c := range text {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// repository is a repository as it is described.
type repository struct {
	ID            int64    `json:"id"`
	FullName      string   `json:"full_name"`
	DefaultBranch string   `json:"default_branch"`
	Archived      bool     `json:"archived"`
	Mirror        bool     `json:"mirror"`
	Private       bool     `json:"private"`
	Fork          bool     `json:"fork"`
	URL           string   `json:"html_url"`
	Topics        []string `json:"topics"`
	Owner         user     `json:"owner"`
	Permissions   struct {
		Push bool `json:"push"`
	} `json:"permissions"`
}

type user struct {
	Login string `json:"login"`
}

// about reads the repository and says why it takes no change of ours.
func (a *api) about(ctx context.Context, repo string) (about repository, err error) {
	if err := get(ctx, a, "/repos/"+repo, nil, &about); err != nil {
		return about, err
	}
	switch {
	case about.Archived, about.Mirror:
		return about, fmt.Errorf("%s: %w", repo, connector.ErrArchived)
	case !about.Permissions.Push:
		return about, fmt.Errorf("%s: %w: the token may not push; changes from forks are not made", repo, connector.ErrRights)
	}
	return about, nil
}

// tip gives the commit at a branch, "" when there is none.
func (a *api) tip(ctx context.Context, repo, branch string) (string, error) {
	var found struct {
		Commit struct {
			ID string `json:"id"`
		} `json:"commit"`
	}
	err := get(ctx, a, "/repos/"+repo+"/branches/"+branch, nil, &found)
	if rest.Code(err) == http.StatusNotFound {
		return "", nil
	}
	return found.Commit.ID, err
}

// members lists who may write to a repository.
func (a *api) members(ctx context.Context, repo string) (list []string, err error) {
	var people []user
	if err := get(ctx, a, "/repos/"+repo+"/assignees", nil, &people); err != nil {
		if errors.Is(err, connector.ErrRights) {
			return nil, nil // nobody is taken for one then
		}
		return nil, err
	}
	for _, one := range people {
		list = append(list, one.Login)
	}
	slices.Sort(list)
	return list, nil
}
