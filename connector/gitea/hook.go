package gitea

import (
	"cmp"
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
	header := func(name string) string {
		return cmp.Or(request.Header["x-forgejo-"+name], request.Header["x-gitea-"+name])
	}
	given, err := hex.DecodeString(cmp.Or(header("signature"), strings.TrimPrefix(request.Header["x-hub-signature-256"], "sha256=")))
	if secret == "" || err != nil || len(given) == 0 {
		return connector.Event{}, errors.New("webhook: expected a signature in X-Gitea-Signature, and a secret to judge it by")
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
		return connector.Event{}, errors.New("webhook: the body is no JSON object as Gitea sends it")
	}
	event := connector.Event{ID: header("delivery"), Kind: "other"}
	owner, name, _ := strings.Cut(body.Repository.FullName, "/")
	if isName(owner) && isName(name) {
		event.Remote = f.base.Scheme + "://" + f.web + "/" + owner + "/" + name
	}
	switch kind := header("event"); kind {
	case "push":
		event.Kind, event.Branch = "push", strings.TrimPrefix(body.Ref, "refs/heads/")
	case "issue_comment", "pull_request_comment":
		event.Kind = "comment"
	case "status", "workflow_run", "workflow_job":
		event.Kind = "check"
	default:
		switch {
		case strings.HasPrefix(kind, "pull_request"):
			event.Kind = "pull_request"
		case strings.HasPrefix(kind, "issue"):
			event.Kind = "ticket"
		}
	}
	if body.PullRequest != nil {
		event.Number, event.Branch = body.PullRequest.Number, body.PullRequest.Head.Ref
	} else if body.Issue != nil {
		event.Number = body.Issue.Number
	}
	return event, nil
}
