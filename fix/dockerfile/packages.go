package dockerfile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image/advice"
)

const (
	maxPackages = 50
	layerHours  = 7 * 24
)

var (
	packageForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,127}$`)
	debForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+:~_-]{0,127}$`)
)

// manager gives the package manager of an ecosystem, "" for none.
func manager(ecosystem string) string {
	switch family(ecosystem) {
	case "Debian", "Ubuntu":
		return "apt-get"
	case "Alpine", "Wolfi", "Chainguard":
		return "apk"
	case "Red Hat", "Rocky Linux", "AlmaLinux", "Fedora", "Amazon Linux", "Oracle Linux", "openEuler", "Photon OS", "Azure Linux", "Mariner":
		return "dnf"
	}
	return ""
}

// upgrades gives the command that upgrades exactly some packages of the system.
func upgrades(manager, image string, packages []string) string {
	list := strings.Join(packages, " ")
	switch manager {
	case "apt-get":
		return "apt-get update && apt-get install -y --no-install-recommends --only-upgrade " + list + " && rm -rf /var/lib/apt/lists/*"
	case "apk":
		return "apk upgrade --no-cache " + list
	}
	program := "dnf"
	if strings.Contains(image, "minimal") {
		program = "microdnf"
	}
	return program + " -y upgrade " + list + " && " + program + " clean all"
}

// system gives the flaws of packages of one package manager for which a fix was
// released, with the packages' names.
func system(flaws []*fix.Flaw) (manage string, fixed []*fix.Flaw, packages []string) {
	for _, flaw := range flaws {
		one := manager(flaw.Package.Ecosystem)
		if flaw.Kind != fact.Vulnerability || one == "" || manage != "" && one != manage || len(flaw.Fixed) == 0 || !packageForm.MatchString(flaw.Package.Name) {
			continue
		}
		if !slices.Contains(packages, flaw.Package.Name) {
			if len(packages) == maxPackages {
				continue
			}
			packages = append(packages, flaw.Package.Name)
		}
		manage = one
		fixed = append(fixed, flaw)
	}
	slices.Sort(packages)
	return manage, fixed, packages
}

// upgrade offers a line that upgrades packages of the base in the stage that becomes the
// image.
func (p *plan) upgrade(flaws []*fix.Flaw, stage int) {
	manage, fixed, packages := system(flaws)
	if len(fixed) == 0 {
		return
	}
	last := len(p.file.Stages) - 1
	if p.file.Root(last) != stage {
		last = stage // a builder: the upgrade matters while it builds
	}
	root := &p.file.Stages[p.file.Root(last)]
	image := root.Base.Image
	if strings.Contains(image, "distroless") || strings.Contains(image, "nanoserver") || strings.Contains(image, "chiseled") {
		p.site.Block(fmt.Sprintf("%s has no package manager, so that packages cannot be upgraded in the Dockerfile", image))
		return
	}
	path := fix.Path{
		Kind: fix.UpgradePackage, Effort: fix.EffortMedium, Risk: fix.RiskPatch, Closes: ids(fixed),
		Summary: fmt.Sprintf("upgrade %s behind the base image at line %d", strings.Join(packages, ", "), root.Base.Line),
		Reach:   "images of this stage",
	}
	for _, flaw := range fixed {
		if !slices.ContainsFunc(path.Changes, func(c fix.Change) bool { return c.Package == flaw.Package.Name }) {
			path.Changes = append(path.Changes, fix.Change{Package: flaw.Package.Name, From: flaw.Package.Version, To: flaw.Fixed[0]})
		}
	}
	line := "RUN " + upgrades(manage, image, packages)
	if strings.Contains(image, "nonroot") {
		p.site.Block(fmt.Sprintf("%s runs as an account that is not root, so that a line which upgrades packages needs USER root around it", image))
		return
	}
	_, end := p.text.Span(root.Base.Line, root.Base.EndLine)
	path.Edits = []fix.FileEdit{p.edit(end, end, p.text.Ending()+line)}
	path.Steps = []fix.Step{
		{Text: "add " + line, Location: p.at(root.Base.Line, root.Base.EndLine)},
		{Text: "the layer is kept by a cache of builds until the base or the line changes; the base's own newer build makes the line needless"},
		{Text: "build the image and run its tests", Command: p.build()},
	}
	p.offer(path)
}

// rebuild offers a build without any change of lines, which takes what the tag, or the
// packages of the system, have become since.
func (p *plan) rebuild(flaws []*fix.Flaw, image string, pinned bool) {
	if pinned {
		return
	}
	var fixed []*fix.Flaw
	for _, flaw := range flaws {
		if flaw.Kind == fact.Vulnerability && len(flaw.Fixed) > 0 && manager(flaw.Package.Ecosystem) != "" {
			fixed = append(fixed, flaw)
		}
	}
	if len(fixed) == 0 {
		return
	}
	p.offer(fix.Path{
		Kind: fix.Rebuild, Effort: fix.EffortSmall, Risk: fix.RiskPatch, Manual: true, Closes: ids(fixed), Reach: "images of this file",
		Summary: "rebuild without a change of lines, on what " + image + " is by now",
		Steps: []fix.Step{
			{Text: "build anew without cache", Command: strings.Replace(p.build(), "--pull", "--pull --no-cache", 1), Location: p.at(p.site.Location.Line, p.site.Location.EndLine)},
			{Text: "the tag is not pinned: its makers build it anew when packages of the system are fixed; whether they did, the scan of the new image shows"},
			{Text: "deploy the new digest, and scan again"},
		},
	})
}

// layer offers packages on top of the image that runs, until the next build.
func (p *plan) layer(flaws []*fix.Flaw) {
	manage, fixed, packages := system(flaws)
	if len(fixed) == 0 {
		return
	}
	image := "the image"
	for _, flaw := range fixed {
		for _, asset := range flaw.Assets {
			if asset.Kind == fact.AssetImage && referenceForm.MatchString(asset.Name) {
				image = asset.Name
			}
		}
	}
	p.offer(fix.Path{
		Kind: fix.PatchLayer, Effort: fix.EffortMedium, Risk: fix.RiskPatch, Manual: true, Temporary: true, Expires: layerHours, Closes: ids(fixed),
		Summary: "put a layer with newer " + strings.Join(packages, ", ") + " on top of " + image, Reach: "this image until its next build",
		Steps: []fix.Step{
			{Text: fmt.Sprintf("build an image from %s by its digest whose only instruction, as root, is RUN %s; then set the account back", image, upgrades(manage, image, packages))},
			{Text: "push it under a tag of its own, deploy its digest, and scan it"},
			{Text: "the files of the old packages stay in the layers below, where scanners that read each layer still see them; the next build of the Dockerfile takes the layer away, so that the durable change is needed all the same"},
		},
		Undo: []fix.Step{{Text: "deploy the digest that ran before"}},
	})
}

// installed plans for packages that a RUN of the file installs.
func (p *plan) installed(in *docker.Instruction, flaws []*fix.Flaw) {
	var loose []*fix.Flaw
	commands := p.text.Commands(in)
	for _, flaw := range flaws {
		token, end, pinned := p.named(commands, flaw)
		version := ""
		for _, fixed := range flaw.Fixed {
			if debForm.MatchString(fixed) {
				version = fixed
				break
			}
		}
		if !pinned {
			loose = append(loose, flaw)
			continue
		}
		if version == "" {
			p.site.Block(fmt.Sprintf("no released version of %s is known that closes %s", flaw.Package.Name, flaw.Title))
			continue
		}
		start := end - len(flaw.Package.Version)
		p.offer(fix.Path{
			Kind: fix.UpgradePackage, Effort: fix.EffortSmall, Risk: fix.RiskPatch, Closes: []string{flaw.Issue}, Reach: "this line only",
			Summary: fmt.Sprintf("raise the pinned %s from %s to %s", flaw.Package.Name, flaw.Package.Version, version),
			Changes: []fix.Change{{Package: flaw.Package.Name, From: flaw.Package.Version, To: version, Direct: true}},
			Edits:   []fix.FileEdit{p.edit(start, end, version)},
			Steps: []fix.Step{
				{Text: fmt.Sprintf("write %s instead of %s", version, token.Text), Location: p.at(in.Line, in.EndLine)},
				{Text: "build the image and run its tests", Command: p.build()},
			},
		})
	}
	if len(loose) == 0 {
		return
	}
	p.rebuild(loose, "the distribution's packages", false)
	if manage, fixed, packages := system(loose); len(fixed) > 0 {
		line := "RUN " + upgrades(manage, "", packages)
		_, end := p.text.Span(in.Line, in.EndLine)
		p.offer(fix.Path{
			Kind: fix.UpgradePackage, Effort: fix.EffortMedium, Risk: fix.RiskPatch, Closes: ids(fixed), Reach: "images of this stage",
			Summary: fmt.Sprintf("upgrade %s behind line %d", strings.Join(packages, ", "), in.EndLine),
			Edits:   []fix.FileEdit{p.edit(end, end, p.text.Ending()+line)},
			Steps: []fix.Step{
				{Text: "add " + line, Location: p.at(in.Line, in.EndLine)},
				{Text: "build the image and run its tests", Command: p.build()},
			},
		})
	}
	p.layer(loose)
}

// named finds the word of a command that installs a flaw's package at its version.
func (p *plan) named(commands []docker.Command, flaw *fix.Flaw) (token docker.Token, end int, pinned bool) {
	version := flaw.Package.Version
	for i := range commands {
		if verb, _ := advice.Packages(&commands[i]); verb != "install" && verb != "add" || version == "" {
			continue
		}
		for _, word := range commands[i].Words {
			written := string(p.data[word.Start:word.End])
			bare := strings.Trim(written, `"'`)
			for _, joint := range []string{"=", "-", "==", "=~"} {
				if bare == flaw.Package.Name+joint+version {
					return word, word.Start + strings.LastIndex(written, version) + len(version), true
				}
			}
		}
	}
	return docker.Token{}, 0, false
}
