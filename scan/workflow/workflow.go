// Package workflow judges the workflows of GitHub Actions that a repository holds: what
// their token may do, whose code they run, and whose text reaches a shell. It runs
// nothing and needs no network.
package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

// ID names the scanner in findings and runs.
const ID = "scan/workflow"

// rule is one thing that is judged, with the ids of other tools for the same.
type rule struct {
	id, title string
	severity  fact.Severity
	aliases   string
}

var (
	noPermissions   = rule{"workflow/no-permissions", "The token of a workflow has the rights that are the default", fact.SeverityMedium, "CKV2_GHA_1 TokenPermissionsID excessive-permissions zizmor/excessive-permissions actions/missing-workflow-permissions"}
	writeAll        = rule{"workflow/write-all", "The token of a workflow may write everything", fact.SeverityHigh, "CKV2_GHA_1 TokenPermissionsID excessive-permissions zizmor/excessive-permissions"}
	foreignCheckout = rule{"workflow/foreign-checkout", "A workflow with secrets checks out code of a pull request", fact.SeverityCritical, "DangerousWorkflowID dangerous-triggers zizmor/dangerous-triggers actions/untrusted-checkout/critical actions/untrusted-checkout/high"}
	unpinned        = rule{"workflow/unpinned-action", "An action is used by a name that its makers can move", fact.SeverityMedium, "PinnedDependenciesID unpinned-uses zizmor/unpinned-uses actions/unpinned-tag yaml.github-actions.security.third-party-action-not-pinned-to-commit-sha.third-party-action-not-pinned-to-commit-sha"}
	injection       = rule{"workflow/script-injection", "Text that anybody can write becomes part of a script", fact.SeverityHigh, "CKV_GHA_2 template-injection zizmor/template-injection actions/code-injection/critical actions/code-injection/medium yaml.github-actions.security.run-shell-injection.run-shell-injection"}
	keptCredentials = rule{"workflow/kept-credentials", "A checkout leaves the token in the working copy", fact.SeverityLow, "artipacked zizmor/artipacked"}
	oldCommands     = rule{"workflow/unsecure-commands", "A workflow lets output set its environment", fact.SeverityHigh, "CKV_GHA_1"}
	inheritSecrets  = rule{"workflow/inherited-secrets", "A workflow hands all secrets to another", fact.SeverityMedium, "secrets-inherit zizmor/secrets-inherit"}
)

func allRules() []*rule {
	return []*rule{&noPermissions, &writeAll, &foreignCheckout, &unpinned, &injection, &keptCredentials, &oldCommands, &inheritSecrets}
}

type scanner struct{}

// New makes the scanner.
func New() scan.Scanner { return scanner{} }

// Describe implements scan.Scanner.
func (scanner) Describe() scan.Description {
	sum := sha256.New()
	for _, r := range allRules() {
		fmt.Fprintf(sum, "%s %s %s\n", r.id, r.severity, r.aliases)
	}
	return scan.Description{
		ID: ID, Name: "workflows",
		Docs:  "Judges workflows of GitHub Actions: the rights of their token, checkouts of foreign code, actions that can be moved, and foreign text in scripts.",
		Rules: "sha256:" + hex.EncodeToString(sum.Sum(nil)),
	}
}

// Named says whether a file is a workflow.
func Named(name string) bool {
	if ext := path.Ext(name); ext != ".yml" && ext != ".yaml" {
		return false
	}
	dir := path.Dir(name)
	return dir == ".github/workflows" || dir == ".gitea/workflows" || dir == ".forgejo/workflows"
}

// Concerns implements scan.Selective.
func (scanner) Concerns(kind fact.Kind, name string) bool {
	return kind != fact.Vulnerability && Named(name)
}

// Scan implements scan.Scanner.
func (scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	var problems []scan.Problem
	for _, name := range paths {
		if ctx.Err() != nil {
			return problems, ctx.Err()
		}
		if !Named(name) {
			continue
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			problems = append(problems, scan.Problem{Path: name, Text: err.Error()})
			continue
		}
		docs, unread := kubernetes.Documents(name, data)
		for _, p := range unread {
			problems = append(problems, scan.Problem{Path: name, Line: p.Place.Line, Text: p.Text})
		}
		if len(docs) == 0 {
			continue
		}
		l := &look{found: found, path: name, root: docs[0]}
		if l.workflow(); l.err != nil {
			return problems, l.err
		}
	}
	return problems, nil
}

// look is the look at one workflow.
type look struct {
	found func(fact.Finding) error
	path  string
	root  *kubernetes.Node
	err   error
}

// tell gives a finding at a field; wanted is JSON, "?..." for what people choose, "" for
// what has to go.
func (l *look) tell(r *rule, at, field string, n *kubernetes.Node, detail, wanted string) {
	if l.err != nil {
		return
	}
	object := l.path
	if at != "" {
		object += "#" + at
	}
	attributes := map[string]string{"object": object, "field": field}
	if wanted == "" {
		attributes["remove"] = "true"
	} else {
		attributes["wanted"] = wanted
	}
	if detail != "" {
		attributes["expression"] = detail
	}
	l.err = l.found(fact.Finding{
		Kind: fact.Misconfiguration, Rule: r.id, Aliases: strings.Fields(r.aliases), Title: r.title, Severity: r.severity, SeverityText: r.severity.String(), Description: detail,
		Asset: fact.Asset{Kind: fact.AssetRepository}, Path: l.path, Line: n.Place.Line, EndLine: n.Place.EndLine, Anchor: object, Attributes: attributes,
	})
}

// foreign are the values of an event that anybody can write.
var foreign = regexp.MustCompile(`\$\{\{\s*(github\.head_ref|github\.event\.(?:issue\.(?:title|body)|pull_request\.(?:title|body|head\.(?:ref|label|repo\.default_branch|repo\.description|repo\.homepage))|comment\.body|review\.body|review_comment\.body|` +
	`discussion\.(?:title|body)|pages(?:\[\d+\]|\.\*)?\.page_name|commits(?:\[\d+\]|\.\*)?\.(?:message|author\.(?:email|name))|head_commit\.(?:message|author\.(?:email|name)|committer\.(?:email|name))|` +
	`workflow_run\.(?:head_branch|head_commit\.(?:message|author\.(?:email|name))|head_repository\.description|pull_requests(?:\[\d+\]|\.\*)?\.head\.ref)))\s*\}\}`)

var headOf = regexp.MustCompile(`github\.event\.pull_request\.head\.|github\.head_ref|github\.event\.workflow_run\.head|refs/pull/`)

var commit = regexp.MustCompile(`^[0-9a-f]{40}$|^sha256:[0-9a-f]{64}$`)

// triggers says whether the workflow runs on an event.
func (l *look) triggers(event string) bool {
	on := l.root.Get("on")
	if on == nil {
		on = l.root.Get("true") // as YAML 1.1 reads the word
	}
	if on == nil {
		return false
	}
	switch on.Shape {
	case kubernetes.Map:
		return on.Get(event) != nil
	case kubernetes.List:
		for _, item := range on.Items {
			if item.Text == event {
				return true
			}
		}
		return false
	}
	return on.Text == event
}

func (l *look) workflow() {
	jobs := l.root.Entries("jobs")
	if len(jobs) == 0 {
		return
	}
	const readOnly = `{"contents": "read"}`
	top := l.root.Get("permissions")
	if top != nil && top.Text == "write-all" {
		l.tell(&writeAll, "", "permissions", top, "", readOnly)
	}
	missing := false
	for _, job := range jobs {
		own := job.Value.Get("permissions")
		missing = missing || own == nil
		at := `jobs["` + job.Key + `"]`
		if own != nil && own.Text == "write-all" {
			l.tell(&writeAll, "jobs."+job.Key, at+".permissions", own, "", readOnly)
		}
		if secrets := job.Value.Get("secrets"); secrets != nil && secrets.Text == "inherit" {
			l.tell(&inheritSecrets, "jobs."+job.Key, at+".secrets", secrets, "", "?the secrets that the called workflow needs, by name")
		}
		l.uses(job.Value, "jobs."+job.Key, at)
		l.job(job.Key, job.Value, at)
	}
	if top == nil && missing {
		l.tell(&noPermissions, "", "permissions", jobs[0].Value, "", readOnly)
	}
	l.environment(l.root, "", "")
}

func (l *look) environment(n *kubernetes.Node, object, at string) {
	const name = "ACTIONS_ALLOW_UNSECURE_COMMANDS"
	if v := n.Get("env", name); v != nil && (v.Value() == true || v.Text == "true") {
		l.tell(&oldCommands, object, strings.TrimPrefix(at+".env."+name, "."), v, "", "")
	}
}

// uses judges the ref by which an action or a workflow is used.
func (l *look) uses(n *kubernetes.Node, object, at string) {
	uses := n.Get("uses")
	name, ref, ok := strings.Cut(n.String("uses"), "@")
	if uses == nil || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "docker://") || !strings.Contains(name, "/") || ok && commit.MatchString(ref) {
		return
	}
	l.tell(&unpinned, object, at+".uses", uses, uses.Text, "?the commit that "+uses.Text+" is")
}

func (l *look) job(name string, job *kubernetes.Node, at string) {
	l.environment(job, "jobs."+name, at)
	foreignEvent := l.triggers("pull_request_target") || l.triggers("workflow_run")
	pushes := false
	for _, step := range job.List("steps") {
		run := step.String("run")
		pushes = pushes || strings.Contains(run, "git push") || strings.Contains(run, "git fetch") || strings.Contains(run, "git pull") || strings.Contains(run, "submodule")
	}
	for i, step := range job.List("steps") {
		if step.Shape != kubernetes.Map {
			continue
		}
		object, field := fmt.Sprintf("jobs.%s.steps[%d]", name, i), fmt.Sprintf("%s.steps[%d]", at, i)
		l.uses(step, object, field)
		l.environment(step, object, field)
		if action, _, _ := strings.Cut(step.String("uses"), "@"); action == "actions/checkout" {
			if ref := step.Get("with", "ref"); foreignEvent && ref != nil && headOf.MatchString(ref.Text) {
				l.tell(&foreignCheckout, object, field+".with.ref", ref, ref.Text, "?how foreign code is kept from secrets: the event pull_request, or a second workflow that gets only results")
			}
			if kept := step.Get("with", "persist-credentials"); kept == nil || kept.Value() != false && kept.Text != "false" {
				wanted := "false"
				if pushes {
					wanted = "?whether later steps need the token that the checkout leaves"
				}
				near := kept
				if near == nil {
					near = step.Get("uses")
				}
				l.tell(&keptCredentials, object, field+".with.persist-credentials", near, "", wanted)
			}
			continue
		}
		for _, script := range [][]string{{"run"}, {"with", "script"}} {
			n := step.Get(script...)
			if n == nil || n.Shape != kubernetes.Scalar {
				continue
			}
			if m := foreign.FindStringSubmatch(n.Text); m != nil {
				wanted := `"the expression in env, its name in the script"`
				if script[0] == "with" || !shell(l.root, job, step) {
					wanted = "?how the script gets " + m[1] + " without it becoming code, by an environment variable for example"
				}
				l.tell(&injection, object, field+"."+strings.Join(script, "."), n, m[1], wanted)
			}
		}
	}
}

// shell says whether a step runs in a shell of the kind of sh.
func shell(root, job, step *kubernetes.Node) bool {
	for _, n := range []*kubernetes.Node{step.Get("shell"), job.Get("defaults", "run", "shell"), root.Get("defaults", "run", "shell")} {
		if n != nil {
			return n.Text == "bash" || n.Text == "sh"
		}
	}
	return !strings.Contains(strings.ToLower(job.String("runs-on")), "windows") && !strings.Contains(job.String("runs-on"), "${{")
}
