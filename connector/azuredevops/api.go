package azuredevops

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// Bounds of the API.
const (
	pageSize = 100
	maxPages = 1000
)

// Versions of the API.
const (
	version         = "7.1"
	policyVersion   = "7.1-preview.1"
	workTextVersion = "7.1-preview.4" // comments of work items
)

// api asks Azure DevOps.
type api struct {
	client     *rest.Client
	base       *url.URL
	identities *url.URL // where people are looked up
	token      string
	kind       string // of work items
}

// newAPI reads the settings; it asks nothing.
func newAPI(client *rest.Client, values connector.Values) (*api, error) {
	base, err := rest.Base(values["address"])
	if err != nil {
		return nil, err
	}
	a := &api{client: client, base: base, identities: base, token: values["token"], kind: values["work-item-type"]}
	if base.Host == "dev.azure.com" {
		people := *base
		people.Host = "vssps.dev.azure.com"
		a.identities = &people
	}
	if !isName(a.kind) {
		return nil, fmt.Errorf("setting work-item-type is %q: expected a type such as Issue or Bug", a.kind)
	}
	return a, nil
}

func (a *api) header() http.Header {
	// Without the second header an expired token leads to a page to sign in.
	header := http.Header{"Accept": {"application/json"}, "X-Tfs-Fedauthredirect": {"Suppress"}}
	if a.token != "" {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(":"+a.token)))
	}
	return header
}

// failed names an error as the contract does. Pushes that a policy forbids, and tokens that
// are not known, are told in words and in a code of their own.
func failed(err error) error {
	switch {
	case err == nil:
		return nil
	case rest.Code(err) == http.StatusNonAuthoritativeInfo:
		return fmt.Errorf("%w: the token is not known: %w", connector.ErrRights, err)
	case rest.Says(err, "TF402455"), rest.Says(err, "must use a pull request"):
		return fmt.Errorf("%w: %w", connector.ErrProtected, err)
	case rest.Says(err, "is disabled"):
		return fmt.Errorf("%w: %w", connector.ErrArchived, err)
	}
	return rest.ForgeError(err)
}

func versioned(query url.Values, version string) url.Values {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("api-version", version)
	return query
}

// get asks for one answer.
func get[T any](ctx context.Context, a *api, way string, query url.Values, into *T) error {
	return failed(rest.Get(ctx, a.client, rest.Below(a.base, way, versioned(query, version)), a.header(), into))
}

// listed is how the API gives lists.
type listed[T any] struct {
	Value []T `json:"value"`
}

// pages asks for every page of a listing and gives the elements in order. each may end it
// early by saying that nothing more is wanted.
func pages[T any](ctx context.Context, a *api, way string, query url.Values, each func(T) (more bool, err error)) error {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("$top", strconv.Itoa(pageSize))
	for page := range maxPages {
		query.Set("$skip", strconv.Itoa(page*pageSize))
		var list listed[T]
		if err := get(ctx, a, way, query, &list); err != nil {
			return err
		}
		for _, one := range list.Value {
			if more, err := each(one); err != nil || !more {
				return err
			}
		}
		if len(list.Value) < pageSize {
			return nil
		}
	}
	return fmt.Errorf("%s: more than %d pages", way, maxPages)
}

// send changes something, once.
func (a *api) send(ctx context.Context, method, way string, body, into any) error {
	return failed(a.client.Send(ctx, rest.Write{Method: method, At: rest.Below(a.base, way, versioned(nil, version)), Header: a.header(), Body: body}, into))
}

// place is a repository.
type place struct{ organization, project, name string }

func (p place) String() string { return p.organization + "/" + p.project + "/" + p.name }

// git is the way to the repository's part of the API.
func (p place) git() string { return p.in() + "/_apis/git/repositories/" + p.name }

// in is the way to the project.
func (p place) in() string { return "/" + p.organization + "/" + p.project }

// page is the address of the repository for people.
func (a *api) page(p place, more string) string {
	return rest.Below(a.base, p.in()+"/_git/"+p.name+more, nil).String()
}

// repository reads a remote's URL, false when it is none of this Azure DevOps.
func (a *api) repository(remote string) (place, bool) {
	host, way := "", ""
	if u, err := url.Parse(remote); err == nil && u.Host != "" {
		host, way = u.Hostname(), u.Path
		if u.Port() != "" && u.Scheme != "ssh" {
			host = u.Host
		}
	} else if user, rest, ok := strings.Cut(remote, ":"); ok && !strings.Contains(user, "/") {
		if way, err = url.PathUnescape(rest); err != nil {
			return place{}, false
		}
		host = user[strings.LastIndex(user, "@")+1:]
	}
	host = strings.ToLower(host)
	parts := strings.Split(strings.Trim(way, "/"), "/")
	service := a.base.Host == "dev.azure.com"
	old, older := strings.CutSuffix(host, ".visualstudio.com")
	switch {
	case service && (host == "ssh.dev.azure.com" || host == "vs-ssh.visualstudio.com"):
		if len(parts) != 4 || parts[0] != "v3" {
			return place{}, false
		}
		parts = []string{parts[1], parts[2], "_git", parts[3]}
	case service && older:
		if len(parts) > 0 && strings.EqualFold(parts[0], "DefaultCollection") {
			parts = parts[1:]
		}
		parts = append([]string{old}, parts...)
	case host == strings.ToLower(a.base.Host):
		below, ok := strings.CutPrefix(strings.Trim(way, "/"), strings.Trim(a.base.Path, "/"))
		if !ok {
			return place{}, false
		}
		parts = strings.Split(strings.Trim(below, "/"), "/")
	default:
		return place{}, false
	}
	if len(parts) == 3 { // the repository that is named as its project
		parts = []string{parts[0], parts[2], parts[1], parts[2]}
	}
	if len(parts) != 4 || parts[2] != "_git" || !isName(parts[0]) || !isName(parts[1]) || !isName(parts[3]) {
		return place{}, false
	}
	return place{parts[0], parts[1], parts[3]}, true
}

// isName says whether a text may be a name, so that it stays one part of a path: names
// hold blanks and letters of all languages.
func isName(text string) bool {
	if text == "" || text == "." || text == ".." || len(text) > 256 || strings.HasPrefix(text, "_") || strings.TrimSpace(text) != text {
		return false
	}
	return !strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) || strings.ContainsRune(`/\:*?"<>|;#$%{},+=[]`, c) })
}

func isCommit(text string) bool {
	return len(text) == 40 && !strings.ContainsFunc(text, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') })
}

// page asks for one page of a listing whose pages are told apart by a token, and gives the
// token of the next, "" at the end.
func page[T any](ctx context.Context, a *api, way string, query url.Values) (list []T, next string, err error) {
	err = a.client.Page(ctx, rest.Below(a.base, way, versioned(query, version)), a.header(), func(answer http.Header, body io.Reader) error {
		var one listed[T]
		if err := json.NewDecoder(body).Decode(&one); err != nil {
			return err
		}
		list, next = one.Value, answer.Get("X-Ms-Continuationtoken")
		return nil
	})
	return list, next, failed(err)
}

// tokened asks for every page of such a listing.
func tokened[T any](ctx context.Context, a *api, way string, query url.Values, each func(T) error) error {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("$top", strconv.Itoa(pageSize))
	for range maxPages {
		list, next, err := page[T](ctx, a, way, query)
		if err != nil {
			return err
		}
		for _, one := range list {
			if err := each(one); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		query.Set("continuationToken", next)
	}
	return fmt.Errorf("%s: more than %d pages", way, maxPages)
}
