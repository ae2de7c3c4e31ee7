package github

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/rest"
)

// Bounds of the API.
const (
	pageSize = 100
	maxPages = 1000
	version  = "2022-11-28"
)

// api asks one GitHub: the service itself or a server of one's own.
type api struct {
	client *rest.Client
	now    func() time.Time
	base   *url.URL // of REST
	web    string   // host of remotes
	graph  *url.URL
	token  string
	app    string
	key    *rsa.PrivateKey

	mu     *sync.Mutex
	leased map[string]lease // installation tokens by "owner/repo"
}

type lease struct {
	token string
	until time.Time
}

// newAPI reads the settings; it asks nothing.
func newAPI(client *rest.Client, now func() time.Time, values connector.Values) (*api, error) {
	base, err := rest.Base(values["address"])
	if err != nil {
		return nil, err
	}
	a := &api{client: client, now: now, base: base, token: values["token"], app: values["app"], mu: &sync.Mutex{}, leased: map[string]lease{}}
	switch {
	case base.Host == "api.github.com":
		a.web, a.graph = "github.com", rest.Below(base, "/graphql", nil)
	case strings.HasSuffix(base.Path, "/v3"):
		root := *base
		root.Path = strings.TrimSuffix(base.Path, "/v3")
		a.web, a.graph = base.Host, rest.Below(&root, "/graphql", nil)
	default:
		return nil, errors.New("setting address: expected https://api.github.com, or https://HOST/api/v3 of a server of your own")
	}
	if (a.app == "") != (values["app-key"] == "") {
		return nil, errors.New("settings app and app-key: expected both or none")
	}
	if a.app != "" && !isReference(values["app-key"]) {
		if a.key, err = readKey(values["app-key"]); err != nil {
			return nil, fmt.Errorf("setting app-key: %w", err)
		}
	}
	return a, nil
}

// isReference says that a secret was not followed yet, as when a forge is only asked
// whose remotes it serves.
func isReference(value string) bool {
	return strings.HasPrefix(value, "env:") || strings.HasPrefix(value, "file:")
}

func readKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("expected a private key in PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("expected an RSA private key, as GitHub gives it for an App")
	}
	if key, ok := key.(*rsa.PrivateKey); ok {
		return key, nil
	}
	return nil, errors.New("expected an RSA private key, as GitHub gives it for an App")
}

// header gives the headers of a request about a repository.
func (a *api) header(ctx context.Context, repo string) (http.Header, error) {
	header := http.Header{"Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {version}}
	token := a.token
	if a.key != nil {
		var err error
		if token, err = a.installation(ctx, repo); err != nil {
			return nil, err
		}
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return header, nil
}

// installation gives a token of the App for the repository, or for all that it is
// installed on when repo is an owner only.
func (a *api) installation(ctx context.Context, repo string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l, ok := a.leased[repo]; ok && a.now().Before(l.until.Add(-5*time.Minute)) {
		return l.token, nil
	}
	signed, err := a.jwt()
	if err != nil {
		return "", err
	}
	header := http.Header{"Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {version}, "Authorization": {"Bearer " + signed}}
	way := "/repos/" + repo + "/installation"
	if !strings.Contains(repo, "/") {
		way = "/orgs/" + repo + "/installation"
	}
	var installed struct {
		ID int64 `json:"id"`
	}
	if err := rest.Get(ctx, a.client, rest.Below(a.base, way, nil), header, &installed); err != nil {
		return "", fmt.Errorf("installation of the App: %w", rest.ForgeError(err))
	}
	var given struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	at := rest.Below(a.base, "/app/installations/"+strconv.FormatInt(installed.ID, 10)+"/access_tokens", nil)
	if err := a.client.Send(ctx, rest.Write{Method: http.MethodPost, At: at, Header: header, Body: map[string]any{}}, &given); err != nil {
		return "", fmt.Errorf("token of the App: %w", rest.ForgeError(err))
	}
	a.leased[repo] = lease{given.Token, given.ExpiresAt}
	return given.Token, nil
}

// jwt signs who the App is, for nine minutes.
func (a *api) jwt() (string, error) {
	now := a.now()
	claims, err := json.Marshal(map[string]any{"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(), "iss": a.app})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign who the App is: %w", err)
	}
	return text + "." + encode(signature), nil
}

// get asks for one answer below a repository.
func get[T any](ctx context.Context, a *api, repo, way string, query url.Values, into *T) error {
	header, err := a.header(ctx, repo)
	if err != nil {
		return err
	}
	return rest.ForgeError(rest.Get(ctx, a.client, rest.Below(a.base, way, query), header, into))
}

// pages asks for every page of a listing and gives the elements in order. each may end it
// early by saying that nothing more is wanted.
func pages[T any](ctx context.Context, a *api, repo, way string, query url.Values, each func(T) (more bool, err error)) error {
	if query == nil {
		query = url.Values{}
	}
	query.Set("per_page", strconv.Itoa(pageSize))
	for page := 1; page <= maxPages; page++ {
		query.Set("page", strconv.Itoa(page))
		var list []T
		if err := get(ctx, a, repo, way, query, &list); err != nil {
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

// rawPage asks for a page as it is, for readers of reports. It tells the cursor of the next
// page, where there is one, and how many elements the page has.
func rawPage(ctx context.Context, a *api, repo, way string, query url.Values) (data json.RawMessage, next string, elements int, err error) {
	header, err := a.header(ctx, repo)
	if err != nil {
		return nil, "", 0, err
	}
	err = a.client.Page(ctx, rest.Below(a.base, way, query), header, func(answer http.Header, body io.Reader) error {
		if data, err = io.ReadAll(body); err != nil {
			return err
		}
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		elements, next = len(list), cursor(answer.Get("Link"))
		return nil
	})
	return data, next, elements, rest.ForgeError(err)
}

// cursor reads the parameter after of the address of the next page in a Link header.
func cursor(link string) string {
	for part := range strings.SplitSeq(link, ",") {
		address, relation, _ := strings.Cut(part, ";")
		if !strings.Contains(relation, `rel="next"`) {
			continue
		}
		if at, err := url.Parse(strings.Trim(strings.TrimSpace(address), "<>")); err == nil {
			return at.Query().Get("after")
		}
	}
	return ""
}

// send changes something below a repository, once.
func (a *api) send(ctx context.Context, repo, method, way string, body, into any) error {
	header, err := a.header(ctx, repo)
	if err != nil {
		return err
	}
	return a.client.Send(ctx, rest.Write{Method: method, At: rest.Below(a.base, way, nil), Header: header, Body: body}, into)
}

// ask sends a GraphQL operation once. Errors that the answer names are given by what they
// mean.
func (a *api) ask(ctx context.Context, repo, query string, variables map[string]any, features string, into any) error {
	header, err := a.header(ctx, repo)
	if err != nil {
		return err
	}
	if features != "" {
		header.Set("Graphql-Features", features)
	}
	var answer struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	err = a.client.Send(ctx, rest.Write{Method: http.MethodPost, At: a.graph, Header: header, Body: map[string]any{"query": query, "variables": variables}}, &answer)
	if err != nil {
		return rest.ForgeError(err)
	}
	if len(answer.Errors) > 0 { // the first says why, the others what follows from it
		one := answer.Errors[0]
		text := strings.Join(strings.Fields(one.Message), " ")
		reason := connector.ErrRefused
		switch {
		case one.Type == "STALE_DATA" || strings.Contains(text, "Expected branch to point to"):
			reason = connector.ErrMoved
		case one.Type == "FORBIDDEN" || one.Type == "INSUFFICIENT_SCOPES":
			reason = connector.ErrRights
		case one.Type == "NOT_FOUND":
			reason = connector.ErrGone
		case one.Type == "RATE_LIMITED":
			return &connector.LimitError{Err: errors.New("graphql: " + text)}
		case strings.Contains(strings.ToLower(text), "protected") || strings.Contains(strings.ToLower(text), "rule violation"):
			reason = connector.ErrProtected
		}
		return fmt.Errorf("graphql: %w: %s", reason, text[:min(len(text), 300)])
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		return fmt.Errorf("graphql: %w: the answer is not as expected: %v", connector.ErrInDoubt, err)
	}
	return nil
}

// repository reads "owner/name" from a remote's URL, false when it is none of this GitHub.
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
	if !strings.EqualFold(host, a.web) || len(parts) != 2 || !isName(parts[0]) || !isName(parts[1]) {
		return "", false
	}
	return parts[0] + "/" + parts[1], true
}

// isName says whether a text is a name as GitHub gives them, so that it stays one part of
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
