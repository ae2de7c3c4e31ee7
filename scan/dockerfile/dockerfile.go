// Package dockerfile judges Dockerfiles by rules of good practice. It reads text only
// and needs no network; what an image of somebody else holds it does not know.
package dockerfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/backstitch/backstitch/code"
	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/dockerfile/practice"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

// ID names the scanner in findings and runs.
const ID = "scan/dockerfile"

type scanner struct{}

// New makes the scanner.
func New() scan.Scanner { return scanner{} }

func (scanner) Describe() scan.Description {
	sum := sha256.New()
	for _, rule := range practice.Rules() {
		fmt.Fprintf(sum, "%s %q %s\n", rule.ID, rule.Aliases, rule.Severity)
	}
	return scan.Description{
		ID: ID, Name: "dockerfile",
		Docs:  "Judges Dockerfiles by rules of good practice, known to hadolint, checkov, trivy and dockle by ids of their own. One finding for each rule and instruction.",
		Rules: "sha256:" + hex.EncodeToString(sum.Sum(nil)),
	}
}

// Concerns implements scan.Selective.
func (scanner) Concerns(kind fact.Kind, name string) bool {
	return kind != fact.Vulnerability && docker.Named(name)
}

// Scan implements scan.Scanner.
func (scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	names, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	var problems []scan.Problem
	for _, name := range names {
		if ctx.Err() != nil {
			return problems, ctx.Err()
		}
		if !docker.Named(name) || installed(name) {
			continue
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			problems = append(problems, scan.Problem{Path: name, Text: err.Error()})
			continue
		}
		if template.Match(data) {
			problems = append(problems, scan.Problem{Path: name, Text: "a template of a Dockerfile is not judged; what it becomes is"})
			continue
		}
		file, err := docker.Parse(name, data)
		if err != nil {
			problems = append(problems, scan.Problem{Path: name, Text: err.Error()})
			continue
		}
		for _, p := range file.Problems {
			problems = append(problems, scan.Problem{Path: name, Line: p.Line, Text: p.Text})
		}
		for _, v := range practice.Judge(file, docker.NewText(data, file)) {
			if err := found(finding(name, file, &v)); err != nil {
				return problems, err
			}
		}
	}
	return problems, nil
}

// template is a line that something fills in first.
var template = regexp.MustCompile(`(?im)^[ \t]*(?:from[ \t].*)?(?:\{\{|\{%)`)

// installed says whether a file lies in a folder of installed things.
func installed(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if code.SkipFolder(path.Base(dir)) {
			return true
		}
	}
	return false
}

func finding(name string, file *docker.File, v *practice.Verdict) fact.Finding {
	object := practice.Object(name, file, v.Stage)
	// The names are those of fix.Attribute*: a scanner does not know fixers.
	attributes := map[string]string{"object": object, "field": v.Field}
	switch {
	case strings.HasPrefix(v.Wanted, "?"):
		attributes["wanted"] = v.Wanted
	case v.Wanted != "":
		if text, err := json.Marshal(v.Wanted); err == nil {
			attributes["wanted"] = string(text)
		}
	}
	return fact.Finding{
		Kind: kind(v), Rule: v.Rule.ID, Aliases: v.Rule.Aliases, Title: v.Rule.Title, Description: v.Detail, Mitigation: v.Rule.Do,
		Severity: v.Rule.Severity, SeverityText: v.Rule.Severity.String(), Asset: fact.Asset{Kind: fact.AssetRepository},
		Path: name, Line: v.Line, EndLine: v.EndLine, Anchor: object + " " + v.Field, Attributes: attributes,
	}
}

func kind(v *practice.Verdict) fact.Kind {
	if v.Rule.Secret() {
		return fact.Secret
	}
	return fact.Misconfiguration
}
