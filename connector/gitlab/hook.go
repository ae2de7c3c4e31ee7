package gitlab

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
)

// maxHook is the size over which a request is not even judged.
const maxHook = 25 << 20

// maxSkew is how far the time of a signed request may be from ours, so that nobody sends
// an old one again.
const maxSkew = 5 * time.Minute

// signingPrefix begins signing tokens; what stands behind it is the key in base64.
const signingPrefix = "whsec_"

// ReadHook implements connector.HookReader. A secret that is a signing token is asked a
// signature of; any other has to be the request's token.
func (f forge) ReadHook(secret string, request connector.HookRequest) (connector.Event, error) {
	if len(request.Body) > maxHook {
		return connector.Event{}, fmt.Errorf("webhook: a body of more than %d MiB", maxHook>>20)
	}
	if err := f.judge(secret, request); err != nil {
		return connector.Event{}, fmt.Errorf("webhook: %w", err)
	}
	if kind := request.Header["content-type"]; !strings.HasPrefix(kind, "application/json") {
		return connector.Event{}, errors.New("webhook: expected the content type application/json")
	}
	type target struct {
		IID    int    `json:"iid"`
		Branch string `json:"source_branch"`
	}
	var body struct {
		Kind    string `json:"object_kind"`
		Ref     string `json:"ref"`
		Project struct {
			Path string `json:"path_with_namespace"`
		} `json:"project"`
		Object  target  `json:"object_attributes"`
		Request *target `json:"merge_request"`
		Issue   *target `json:"issue"`
	}
	if err := json.Unmarshal(request.Body, &body); err != nil {
		return connector.Event{}, errors.New("webhook: the body is no JSON object as GitLab sends it")
	}
	event := connector.Event{ID: cmp.Or(request.Header["idempotency-key"], request.Header["webhook-id"], request.Header["x-gitlab-event-uuid"]), Kind: "other"}
	if isPath(body.Project.Path) {
		event.Remote = f.base.Scheme + "://" + f.web + "/" + body.Project.Path
	}
	switch body.Kind {
	case "push":
		event.Kind, event.Branch = "push", strings.TrimPrefix(body.Ref, "refs/heads/")
	case "merge_request":
		event.Kind, event.Number, event.Branch = "pull_request", body.Object.IID, body.Object.Branch
	case "note":
		event.Kind = "comment"
		if body.Request != nil {
			event.Number, event.Branch = body.Request.IID, body.Request.Branch
		} else if body.Issue != nil {
			event.Number = body.Issue.IID
		}
	case "pipeline", "build":
		event.Kind = "check"
		if body.Request != nil {
			event.Number, event.Branch = body.Request.IID, body.Request.Branch
		}
	case "issue", "work_item":
		event.Kind, event.Number = "ticket", body.Object.IID
	}
	return event, nil
}

// judge says whether a request was made by somebody who knows the secret.
func (f forge) judge(secret string, request connector.HookRequest) error {
	encoded, signed := strings.CutPrefix(secret, signingPrefix)
	if !signed {
		given := request.Header["x-gitlab-token"]
		if secret == "" || given == "" {
			return errors.New("expected a token in X-Gitlab-Token, and a secret to judge it by")
		}
		// Of sums the length is the same, whatever was given.
		ours, theirs := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(ours[:], theirs[:]) != 1 {
			return errors.New("the token is not the secret")
		}
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 {
		return errors.New("the secret is no signing token: expected base64 behind " + signingPrefix)
	}
	id, stamp := request.Header["webhook-id"], request.Header["webhook-timestamp"]
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" {
		return errors.New("expected a signature with Webhook-Id and Webhook-Timestamp")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(request.Body)
	sum, good := mac.Sum(nil), false
	for _, one := range strings.Fields(request.Header["webhook-signature"]) {
		text, known := strings.CutPrefix(one, "v1,")
		given, err := base64.StdEncoding.DecodeString(text)
		good = good || known && err == nil && hmac.Equal(sum, given)
	}
	if !good {
		return errors.New("the signature is not that of the secret")
	}
	if skew := f.now().Sub(time.Unix(seconds, 0)); skew > maxSkew || skew < -maxSkew {
		return fmt.Errorf("it was signed at another time than within %v of now", maxSkew)
	}
	return nil
}
