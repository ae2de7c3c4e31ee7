// Package images finds vulnerabilities that the last stage of a Dockerfile takes over
// from its base image. It builds nothing and asks no registry: what the base holds is
// told by whoever looked into it, and packages that the file's own commands add or
// remove are left out of account, save those it upgrades or removes by name.
//
// A base whose packages are not known is a problem of the scan, which says what would
// settle it, so that silence is never mistaken for a clean image.
package images

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/dockerfile/practice"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image/advice"
	"github.com/backstitch/backstitch/scan"
)

// ID names the scanner in findings and proofs.
const ID = "scan/images"

// Inventories tells what images hold.
type Inventories interface {
	// Packages gives what an image holds, and false when that is not known.
	Packages(ctx context.Context, reference string) ([]fact.Package, bool, error)
}

type scanner struct {
	inventories Inventories
	advisories  scan.Advisories
}

// New makes the scanner over what is known of images and of flaws.
func New(inventories Inventories, advisories scan.Advisories) scan.Scanner {
	return scanner{inventories, advisories}
}

func (s scanner) Describe() scan.Description {
	return scan.Description{
		ID: ID, Name: "images",
		Docs:  "Finds what the last stage of a Dockerfile takes over from its base, by layer arithmetic over known images, without a build. One finding for each package and advisory.",
		Rules: s.advisories.Digest(),
	}
}

// Concerns implements scan.Selective.
func (scanner) Concerns(kind fact.Kind, name string) bool {
	return kind == fact.Vulnerability && docker.Named(name)
}

// Scan implements scan.Scanner.
func (s scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	names, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	var problems []scan.Problem
	for _, name := range names {
		if ctx.Err() != nil {
			return problems, ctx.Err()
		}
		if !docker.Named(name) || slices.ContainsFunc(strings.Split(path.Dir(name), "/"), code.SkipFolder) {
			continue
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			problems = append(problems, scan.Problem{Path: name, Text: err.Error()})
			continue
		}
		file, err := docker.Parse(name, data)
		if err != nil {
			continue // scan/dockerfile tells of it
		}
		problem, err := s.file(ctx, name, file, docker.NewText(data, file), found)
		if err != nil {
			return problems, err
		}
		problems = append(problems, problem...)
	}
	return problems, nil
}

func (s scanner) file(ctx context.Context, name string, file *docker.File, text *docker.Text, found func(fact.Finding) error) ([]scan.Problem, error) {
	last := len(file.Stages) - 1
	base := &file.Stages[file.Root(last)].Base
	if strings.EqualFold(base.Image, "scratch") {
		return nil, nil
	}
	if len(base.Unknown) > 0 {
		return []scan.Problem{{Path: name, Line: base.Line, Text: fmt.Sprintf("which image %s is depends on %s, which has no default", base.Written, strings.Join(base.Unknown, ", ")), Unknown: true}}, nil
	}
	packages, known, err := s.inventories.Packages(ctx, base.Image)
	if err != nil {
		return []scan.Problem{{Path: name, Line: base.Line, Text: fmt.Sprintf("packages of %s: %v", base.Image, err), Unknown: true}}, ctx.Err()
	}
	if !known {
		return []scan.Problem{{Path: name, Line: base.Line, Text: fmt.Sprintf("what %s holds is not known; triage --image with it or its archive once settles it", base.Image), Unknown: true}}, nil
	}
	changed := changesOf(file, text, last)
	var problems []scan.Problem
	for _, pkg := range packages {
		change, touched := changed.of(pkg.Name)
		if change == removed {
			continue
		}
		if change != newest && touched {
			pkg.Version, pkg.PURL = change, fact.PURL(pkg.Ecosystem, pkg.Name, change)
		}
		advisories, err := s.advisories.Affecting(pkg)
		if err != nil {
			problems = append(problems, scan.Problem{Path: name, Line: base.Line, Text: fmt.Sprintf("%s: %v", pkg.Name, err)})
			continue
		}
		for i := range advisories {
			a := &advisories[i]
			if change == newest && touched && mended(a, pkg) {
				continue // the newest of the distribution's packages has the fix
			}
			object := practice.Object(name, file, last)
			f := fact.Finding{
				Kind: fact.Vulnerability, Rule: a.ID, Aliases: a.Aliases, Title: a.Summary, Severity: a.Severity, SeverityText: a.Severity.String(),
				Score: a.Score, Vector: a.Vector, EPSS: a.EPSS, References: a.URLs, Asset: fact.Asset{Kind: fact.AssetRepository},
				Package: pkg, Path: name, Line: base.Line, EndLine: base.EndLine, Anchor: object,
				Attributes: map[string]string{"object": object, "field": "FROM", "base": base.Image},
			}
			if err := found(f); err != nil {
				return problems, err
			}
		}
	}
	return problems, nil
}

// How a package of the base ends up when a Dockerfile's own commands touch it, beside
// a version that they name.
const (
	removed = "-"
	newest  = ""
)

// changes are the packages of a base that a Dockerfile's own commands change.
type changes struct {
	all   bool // everything is upgraded
	named map[string]string
}

func (c *changes) of(name string) (change string, touched bool) {
	change, touched = c.named[name]
	return change, touched || c.all
}

// mended says whether a version with the fix was released for a package.
func mended(a *fact.Advisory, pkg fact.Package) bool {
	for _, affected := range a.Affected {
		if affected.Name != pkg.Name || affected.Ecosystem != pkg.Ecosystem {
			continue
		}
		for _, r := range affected.Ranges {
			if slices.ContainsFunc(r.Events, func(e fact.RangeEvent) bool { return e.Fixed != "" }) {
				return true
			}
		}
	}
	return false
}

// changesOf gives what the commands of a stage's chain change of its base.
func changesOf(file *docker.File, text *docker.Text, stage int) changes {
	c := changes{named: map[string]string{}}
	for _, step := range file.Chain(stage) {
		for _, command := range text.Commands(step.Instruction) {
			name, _ := command.Program()
			red := name == "yum" || name == "dnf" || name == "microdnf"
			if !red && name != "apt-get" && name != "apt" && name != "apk" {
				continue
			}
			verb, packages := advice.Packages(&command)
			option := slices.ContainsFunc(command.Words, func(w docker.Token) bool {
				return w.Text == "--only-upgrade" || w.Text == "--upgrade" || w.Text == "-u"
			})
			for _, pkg := range packages {
				pkg, pinned := cut(pkg)
				switch verb {
				case "upgrade", "update":
					c.named[pkg] = pinned
				case "remove", "purge", "del", "erase":
					c.named[pkg] = removed
				case "install", "add":
					// apt raises what it is asked to install, the others do so when told.
					if option || pinned != "" || name == "apt-get" || name == "apt" {
						c.named[pkg] = pinned
					}
				}
			}
			whole := verb == "upgrade" || verb == "dist-upgrade" || verb == "full-upgrade" || verb == "update" && red
			c.all = c.all || whole && len(packages) == 0
		}
	}
	return c
}

// cut takes a package as commands name it apart into the name and an exact version, ""
// when none is asked for.
func cut(pkg string) (name, version string) {
	at := strings.IndexAny(pkg, "=<>~@")
	if at <= 0 {
		name, _, _ = strings.Cut(pkg, ":")
		return name, ""
	}
	name, rest := pkg[:at], pkg[at:]
	name, _, _ = strings.Cut(name, ":")
	if version, ok := strings.CutPrefix(rest, "="); ok && !strings.ContainsAny(version, "*$~") {
		return name, version
	}
	return name, ""
}
