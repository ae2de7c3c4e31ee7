package github

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

// maxHook is the size over which a request is not even judged; GitHub sends at most 25 MiB.
const maxHook = 25 << 20

// ReadHook implements connector.HookReader.
func (f forge) ReadHook(secret string, request connector.HookRequest) (connector.Event, error) {
	if len(request.Body) > maxHook {
		return connector.Event{}, fmt.Errorf("webhook: a body of more than %d MiB", maxHook>>20)
	}
	given, err := hex.DecodeString(strings.TrimPrefix(request.Header["x-hub-signature-256"], "sha256="))
	if secret == "" || err != nil || len(given) == 0 {
		return connector.Event{}, errors.New("webhook: expected a signature in X-Hub-Signature-256, and a secret to judge it by")
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
		Ref        string `json:"ref"`
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
		PullRequest *struct {
			Number int `json:"number"`
			Head   struct {
				Ref string `json:"ref"`
			} `json:"head"`
		} `json:"pull_request"`
		Issue *struct {
			Number int `json:"number"`
		} `json:"issue"`
	}
	if err := json.Unmarshal(request.Body, &body); err != nil {
		return connector.Event{}, errors.New("webhook: the body is no JSON object as GitHub sends it")
	}
	event := connector.Event{ID: request.Header["x-github-delivery"]}
	owner, name, _ := strings.Cut(body.Repository.FullName, "/")
	if isName(owner) && isName(name) {
		event.Remote = "https://" + f.web + "/" + owner + "/" + name
	}
	switch request.Header["x-github-event"] {
	case "ping":
		event.Kind = "ping"
	case "push":
		event.Kind, event.Branch = "push", strings.TrimPrefix(body.Ref, "refs/heads/")
	case "pull_request", "pull_request_review":
		event.Kind = "pull_request"
	case "issue_comment":
		event.Kind = "comment"
	case "check_run", "check_suite", "status":
		event.Kind = "check"
	case "issues":
		event.Kind = "ticket"
	default:
		event.Kind = "other"
	}
	if body.PullRequest != nil {
		event.Number, event.Branch = body.PullRequest.Number, body.PullRequest.Head.Ref
	} else if body.Issue != nil {
		event.Number = body.Issue.Number
	}
	return event, nil
}
