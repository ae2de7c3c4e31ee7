package agent_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/remediation"
)

func TestWebhooksAreOnlyAReasonToLook(t *testing.T) {
	w := newWorld(t)
	g := hub(t, w)
	t.Setenv("HOOK_SECRET", "hush")
	if err := w.desk.RemoveSource("hub"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.desk.AddSource(app.Source{Name: "hub", Type: "github", Settings: map[string]string{
		"address": g.URL + "/api/v3", "token": "env:FORGE_TOKEN", "repositories": "ledgerworks/platform", "hook-secret": "env:HOOK_SECRET",
	}}); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.opened, err = w.open(func(r *agent.FixRequest) { r.Remote = g.URL + "/ledgerworks/platform" }); err != nil {
		t.Fatal(err)
	}
	hook := func(id, kind, body, secret string) connector.HookRequest {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		return connector.HookRequest{Body: []byte(body), Header: map[string]string{
			"content-type": "application/json", "x-github-delivery": id, "x-github-event": kind, "x-hub-signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
		}}
	}
	// It claims that the change was merged; only the forge can say so.
	body := fmt.Sprintf(`{"action":"closed","repository":{"full_name":"ledgerworks/platform"},"pull_request":{"number":1,"merged":true,"head":{"ref":%q}}}`, w.opened.Remediation.Branch)
	if _, err := w.desk.Hear(t.Context(), "hub", hook("d1", "pull_request", body, "guess")); err == nil {
		t.Error("a forged webhook was taken")
	}
	for n, want := range []int{1, 0} { // the second is a duplicate
		ids, err := w.desk.Hear(t.Context(), "hub", hook("d1", "pull_request", body, "hush"))
		if err != nil || len(ids) != want {
			t.Errorf("%d: %v, %v", n, ids, err)
		}
	}
	w.expect(remediation.ChangeOpen)
	g.MergePull(1, "ada", false)
	for _, order := range [][]string{{"late", "d1"}, {"d1", "late"}} { // reordered, and an old one again
		for _, id := range order {
			if _, err := w.desk.Hear(t.Context(), "hub", hook(id, "pull_request", body, "hush")); err != nil {
				t.Error(err)
			}
		}
	}
	w.expect(remediation.Merged)
	for name, other := range map[string]string{
		"another repository":   `{"repository":{"full_name":"ledgerworks/ledger"},"pull_request":{"number":1,"head":{"ref":"x"}}}`,
		"another pull request": `{"repository":{"full_name":"ledgerworks/platform"},"pull_request":{"number":9,"head":{"ref":"x"}}}`,
	} {
		if ids, err := w.desk.Hear(t.Context(), "hub", hook(name, "pull_request", other, "hush")); err != nil || len(ids) > 0 {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
}
