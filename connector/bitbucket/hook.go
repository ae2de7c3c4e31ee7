package bitbucket

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/backstitch/backstitch/connector"
)

// maxHook is the size over which a request is not even judged.
const maxHook = 25 << 20

// ReadHook implements connector.HookReader.
func (f forge) ReadHook(secret string, request connector.HookRequest) (connector.Event, error) {
	if len(request.Body) > maxHook {
		return connector.Event{}, fmt.Errorf("webhook: a body of more than %d MiB", maxHook>>20)
	}
	given, err := hex.DecodeString(strings.TrimPrefix(request.Header["x-hub-signature"], "sha256="))
	if secret == "" || err != nil || len(given) == 0 {
		return connector.Event{}, errors.New("webhook: expected a signature in X-Hub-Signature, and a secret to judge it by")
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(request.Body)
	if !hmac.Equal(mac.Sum(nil), given) {
		return connector.Event{}, errors.New("webhook: the signature is not that of the secret")
	}
	if kind := request.Header["content-type"]; !strings.HasPrefix(kind, "application/json") {
		return connector.Event{}, errors.New("webhook: expected the content type application/json")
	}
	var body struct {
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
		PullRequest *pull `json:"pullrequest"`
		Issue       *struct {
			ID int `json:"id"`
		} `json:"issue"`
		Push struct {
			Changes []struct {
				New, Old *struct {
					Name string `json:"name"`
				}
			} `json:"changes"`
		} `json:"push"`
	}
	if err := json.Unmarshal(request.Body, &body); err != nil {
		return connector.Event{}, errors.New("webhook: the body is no JSON object as Bitbucket sends it")
	}
	event := connector.Event{ID: request.Header["x-request-uuid"], Kind: "other"}
	workspace, name, _ := strings.Cut(body.Repository.FullName, "/")
	if isName(workspace) && isName(name) {
		event.Remote = "https://" + f.web + "/" + workspace + "/" + name
	}
	switch kind := request.Header["x-event-key"]; {
	case kind == "repo:push":
		event.Kind = "push"
		for _, change := range body.Push.Changes {
			if change.New != nil {
				event.Branch = change.New.Name
			} else if change.Old != nil {
				event.Branch = change.Old.Name
			}
		}
	case strings.HasPrefix(kind, "repo:commit_status_"):
		event.Kind = "check"
	case strings.HasPrefix(kind, "pullrequest:comment_"), kind == "issue:comment_created":
		event.Kind = "comment"
	case strings.HasPrefix(kind, "pullrequest:"):
		event.Kind = "pull_request"
	case strings.HasPrefix(kind, "issue:"):
		event.Kind = "ticket"
	}
	if body.PullRequest != nil {
		event.Number, event.Branch = body.PullRequest.ID, body.PullRequest.Source.Branch.Name
	} else if body.Issue != nil {
		event.Number = body.Issue.ID
	}
	return event, nil
}
