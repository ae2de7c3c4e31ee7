package runtime

import (
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// issuer is who gave a kind of secret out, and how one is taken back and given anew.
type issuer struct {
	name  string
	words []string // in a rule's id or title that name it
	steps []fix.Step
}

func say(text, command string) fix.Step { return fix.Step{Text: text, Command: command} }

// issuers lists who is known, the more particular first.
var issuers = []issuer{
	{"AWS", []string{"aws", "amazon", "akia"}, []fix.Step{
		say("find whose key it is", "aws iam get-access-key-last-used --access-key-id KEY-ID"),
		say("make a second key for the same user and put it where the first is used; better: take a role in its place", ""),
		say("turn the leaked key off, watch for a day what breaks, then delete it", ""),
		say("look in CloudTrail for what the key did since it leaked, also in other regions: new users, roles and instances", ""),
	}},
	{"GitHub", []string{"github", "ghp_", "ghs_"}, []fix.Step{
		say("revoke the token in the settings of its owner or app; a token in a public repository is revoked by GitHub itself", ""),
		say("make a new one with the least permissions and an end; better: the token of the workflow run or an app", ""),
		say("look in the audit log of the organisation for what the token did", ""),
	}},
	{"GitLab", []string{"gitlab", "glpat"}, []fix.Step{
		say("revoke the token where it was made: user, project or group settings", ""),
		say("make a new one with the least scope and an end", ""),
		say("look in the audit events for what the token did", ""),
	}},
	{"Google Cloud", []string{"gcp", "google", "service-account"}, []fix.Step{
		say("see the keys of the service account", "gcloud iam service-accounts keys list --iam-account SERVICE-ACCOUNT"),
		say("make a new key only where workload identity cannot take its place; then put it where the old one is used", ""),
		say("disable the leaked key, watch what breaks, then delete it; of an API key, restrict or delete it", ""),
		say("look in the audit logs for what was done with it", ""),
	}},
	{"Azure", []string{"azure", "microsoft"}, []fix.Step{
		say("add a second credential to the application or regenerate the second key of the account, and put it where the first is used", ""),
		say("delete the leaked credential or regenerate the first key", ""),
		say("look in the sign-in and activity logs for what was done with it", ""),
	}},
	{"Slack", []string{"slack", "xox"}, []fix.Step{
		say("revoke the token or delete the webhook in the settings of the app", ""),
		say("install the app anew for a new one", ""),
		say("look in the access log for who used it", ""),
	}},
	{"Stripe", []string{"stripe", "sk_live"}, []fix.Step{
		say("roll the key in the dashboard; let the old one end at once where it leaked in public", ""),
		say("put the new key, restricted to what is needed, where the old one is used", ""),
		say("look in the request log for what was done with it", ""),
	}},
	{"npm", []string{"npm"}, []fix.Step{
		say("see the tokens and revoke the leaked one", "npm token list"),
		say("publish by trusted publishing from the pipeline, or make a granular token with an end", ""),
		say("look whether versions were published that nobody here made", ""),
	}},
	{"PyPI", []string{"pypi"}, []fix.Step{
		say("revoke the token in the account's settings", ""),
		say("publish by trusted publishing from the pipeline, or make a token for one project", ""),
		say("look in the project's security history for releases that nobody here made", ""),
	}},
	{"whoever trusts the key", []string{"private", "rsa", "ssh", "pgp", "certificate"}, []fix.Step{
		say("make a new pair of keys; the old one cannot be made secret again", ""),
		say("take the public key out wherever it is trusted: authorized_keys, deploy keys, signing; have a certificate revoked", ""),
		say("put the new key where the old one is used", ""),
		say("look in the logs for logins by the old key", ""),
	}},
	{"the database", []string{"postgres", "mysql", "mongo", "redis", "database", "connection", "jdbc"}, []fix.Step{
		say("make a second user with the same rights, put it where the first is used, then take the first one's rights away", ""),
		say("see whether the database can be reached from where the secret could be read", ""),
		say("look in the database's log for sessions that are not yours", ""),
	}},
}

// unknownIssuer is for what no word tells.
var unknownIssuer = issuer{"whoever gave it out", nil, []fix.Step{
	say("find what the secret opens, and who runs that", ""),
	say("have a new one made, put it where the old one is used, then have the old one revoked", ""),
	say("look in that system's log for what was done with the old one", ""),
}}

func issuerOf(flaw *fix.Flaw) issuer {
	for _, texts := range [][]string{flaw.Rules, {flaw.Title}} {
		text := strings.ToLower(strings.Join(texts, " "))
		for _, one := range issuers {
			for _, word := range one.words {
				if strings.Contains(text, word) {
					return one
				}
			}
		}
	}
	return unknownIssuer
}

// rotation is the path for a secret. What leaked is changed first: removing its line
// takes nothing back.
func rotation(site *fix.Site, flaw *fix.Flaw) fix.Path {
	who := issuerOf(flaw)
	p := fix.Path{
		Kind: fix.Rotate, Summary: "rotate the secret at " + who.name + ", then remove it", Effort: fix.EffortMedium, Risk: "unknown",
		Reach: "everything that uses the secret", Steps: []fix.Step{},
	}
	p.Steps = append(p.Steps, who.steps...)
	seen := map[fact.Location]bool{}
	locations := append([]fact.Location{site.Location}, flaw.Cause.Locations...)
	for _, told := range flaw.Told {
		if name := code.CleanPath(told.Path); name != "" {
			locations = append(locations, fact.Location{Path: name, Line: told.Line, EndLine: max(told.Line, told.EndLine)})
		}
	}
	for _, l := range locations {
		at := fact.Location{Path: l.Path, Line: l.Line}
		if l.Path == "" || seen[at] {
			continue
		}
		seen[at] = true
		p.Steps = append(p.Steps, fix.Step{Text: "remove it and read it from the environment or a secret store", Location: fix.At(l.Path, l.Line, l.EndLine)})
	}
	p.Steps = append(p.Steps,
		fix.Step{Text: "it stays in the history, in clones, forks and caches: that is why it is changed first. Rewriting the history is optional, breaks every clone, and is no rotation"},
		fix.Step{Text: "let a hook refuse such a secret at the next commit"},
	)
	return finish(p, flaw)
}
