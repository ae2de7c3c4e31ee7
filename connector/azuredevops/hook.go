package azuredevops

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/backstitch/backstitch/connector"
)

// maxHook is the size over which a request is not even judged.
const maxHook = 25 << 20

// ReadHook implements connector.HookReader. Service hooks are not signed: they carry the
// user and password that the subscription was given, of which the password is the secret.
func (f forge) ReadHook(secret string, request connector.HookRequest) (connector.Event, error) {
	if len(request.Body) > maxHook {
		return connector.Event{}, fmt.Errorf("webhook: a body of more than %d MiB", maxHook>>20)
	}
	encoded, basic := strings.CutPrefix(request.Header["authorization"], "Basic ")
	given, err := base64.StdEncoding.DecodeString(encoded)
	_, password, _ := strings.Cut(string(given), ":")
	if secret == "" || err != nil || !basic {
		return connector.Event{}, errors.New("webhook: expected basic credentials, and a secret to judge them by")
	}
	want, got := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return connector.Event{}, errors.New("webhook: the password is not the secret")
	}
	if kind := request.Header["content-type"]; !strings.HasPrefix(kind, "application/json") {
		return connector.Event{}, errors.New("webhook: expected the content type application/json")
	}
	type pullRequest struct {
		ID         int    `json:"pullRequestId"`
		Source     string `json:"sourceRefName"`
		Repository struct {
			RemoteURL string `json:"remoteUrl"`
		} `json:"repository"`
	}
	var body struct {
		ID       string `json:"id"`
		Kind     string `json:"eventType"`
		Resource struct {
			pullRequest
			PullRequest *pullRequest `json:"pullRequest"`
			RefUpdates  []struct {
				Name string `json:"name"`
			} `json:"refUpdates"`
			WorkItem int `json:"workItemId"`
			Item     int `json:"id"`
		} `json:"resource"`
	}
	if err := json.Unmarshal(request.Body, &body); err != nil {
		return connector.Event{}, errors.New("webhook: the body is no JSON object as Azure DevOps sends it")
	}
	event := connector.Event{ID: body.ID, Kind: "other"}
	about := body.Resource.pullRequest
	if body.Resource.PullRequest != nil {
		about = *body.Resource.PullRequest
	}
	if at, ok := f.repository(about.Repository.RemoteURL); ok {
		event.Remote = f.page(at, "")
	}
	event.Number, event.Branch = about.ID, branchOf(about.Source)
	switch kind := body.Kind; {
	case kind == "git.push":
		event.Kind = "push"
		for _, ref := range body.Resource.RefUpdates {
			event.Branch = branchOf(ref.Name)
		}
	case kind == "ms.vss-code.git-pullrequest-comment-event":
		event.Kind = "comment"
	case strings.HasPrefix(kind, "git.pullrequest."):
		event.Kind = "pull_request"
	case kind == "build.complete":
		event.Kind = "check"
	case strings.HasPrefix(kind, "workitem."):
		event.Kind, event.Number = "ticket", body.Resource.WorkItem
		if event.Number == 0 {
			event.Number = body.Resource.Item
		}
	}
	return event, nil
}
