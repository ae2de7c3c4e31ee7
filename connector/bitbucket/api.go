package bitbucket

import (
	"context"
	"encoding/base64"
	"fmt"
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
	pageSize = 50 // the most that listings of pull requests give
	maxPages = 2000
)

// api asks Bitbucket Cloud.
type api struct {
	client *rest.Client
	base   *url.URL // of REST
	web    string   // host of remotes
	user   string
	token  string
}

// newAPI reads the settings; it asks nothing.
func newAPI(client *rest.Client, values connector.Values) (*api, error) {
	base, err := rest.Base(values["address"])
	if err != nil {
		return nil, err
	}
	a := &api{client: client, base: base, web: base.Host, user: values["user"], token: values["token"]}
	if base.Host == "api.bitbucket.org" {
		a.web = "bitbucket.org"
	}
	return a, nil
}

func (a *api) header() http.Header {
	header := http.Header{"Accept": {"application/json"}}
	switch {
	case a.token == "":
	case a.user != "":
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.user+":"+a.token)))
	default:
		header.Set("Authorization", "Bearer "+a.token)
	}
	return header
}

// get asks for one answer.
func get[T any](ctx context.Context, a *api, way string, query url.Values, into *T) error {
	return rest.ForgeError(rest.Get(ctx, a.client, rest.Below(a.base, way, query), a.header(), into))
}

// pages asks for every page of a listing and gives the elements in order. each may end it
// early by saying that nothing more is wanted. The address of the next page is the
// server's to make; it is followed on the same server only.
func pages[T any](ctx context.Context, a *api, way string, query url.Values, each func(T) (more bool, err error)) error {
	if query == nil {
		query = url.Values{}
	}
	query.Set("pagelen", strconv.Itoa(pageSize))
	at := rest.Below(a.base, way, query)
	for range maxPages {
		var page struct {
			Values []T    `json:"values"`
			Next   string `json:"next"`
		}
		if err := rest.Get(ctx, a.client, at, a.header(), &page); err != nil {
			return rest.ForgeError(err)
		}
		for _, one := range page.Values {
			if more, err := each(one); err != nil || !more {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		next, err := url.Parse(page.Next)
		if err != nil || next.Host != a.base.Host || next.Scheme != a.base.Scheme || next.User != nil {
			return fmt.Errorf("%s: the address of the next page does not lead to %s", way, a.base.Host)
		}
		at = next
	}
	return fmt.Errorf("%s: more than %d pages", way, maxPages)
}

// send changes something, once.
func (a *api) send(ctx context.Context, method, way string, body, into any) error {
	return a.client.Send(ctx, rest.Write{Method: method, At: rest.Below(a.base, way, nil), Header: a.header(), Body: body}, into)
}

// repository reads "workspace/name" from a remote's URL, false when it is none of this
// Bitbucket.
func (a *api) repository(remote string) (string, bool) {
	host, way := "", ""
	if u, err := url.Parse(remote); err == nil && u.Host != "" {
		host, way = u.Hostname(), u.Path
		if u.Port() != "" && u.Scheme != "ssh" {
			host = u.Host
		}
	} else if user, rest, ok := strings.Cut(remote, ":"); ok && !strings.Contains(user, "/") {
		host, way = user[strings.LastIndex(user, "@")+1:], rest
	}
	parts := strings.Split(strings.TrimSuffix(strings.Trim(way, "/"), ".git"), "/")
	served := strings.EqualFold(host, a.web) || a.web == "bitbucket.org" && strings.EqualFold(host, "altssh.bitbucket.org")
	if !served || len(parts) != 2 || !isName(parts[0]) || !isName(parts[1]) {
		return "", false
	}
	return parts[0] + "/" + parts[1], true
}

// isName says whether a text is a slug as Bitbucket gives them, so that it stays one part
// of a path.
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

// isID says whether a text is a commit's id, whole or shortened as Bitbucket does it in
// pull requests.
func isID(text string) bool {
	return len(text) >= 7 && len(text) <= 64 && !strings.ContainsFunc(text, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') })
}

// quoted writes a text as Bitbucket's query language takes it.
func quoted(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, text)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
