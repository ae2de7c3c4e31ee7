// Package spdx reads SPDX documents: versions 2.2 and 2.3 as JSON and as tag-value
// text, and version 3.0 as JSON-LD. They are inventories: packages, with what they
// depend on.
package spdx

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/spdx", Name: "SPDX", Formats: "2.2 and 2.3 as JSON or tag-value, 3.0 as JSON-LD",
		Docs: "Produce it with `syft IMAGE -o spdx-json` or any other maker of SPDX. Packages become the inventory, relationships of dependency their " +
			"dependencies; links, files and snippets are not read. It may also stand in the answer of GitHub's dependency graph (`gh api repos/OWNER/REPO/dependency-graph/sbom`), " +
			"in what `docker buildx imagetools inspect` gives, or in an in-toto statement, whose signature is not looked at. An external reference of the type advisory becomes a finding of its package; of the security profile of 3.0, associated vulnerabilities are findings and assessments statements. " +
			"A document without an SPDX identifier, or of a version that is not known, is refused.",
	}
}

func (reader) Detect(head []byte) int {
	if tagValue(head) {
		return 97
	}
	o := report.OutlineOf(head)
	switch {
	case strings.HasPrefix(o.Texts["spdxVersion"], "SPDX-"), strings.Contains(o.Texts["@context"], "spdx.org/rdf/3"):
		return 97
	case o.Has("sbom.SPDXID"), o.Has("SPDX.SPDXID"), strings.HasPrefix(o.Texts["predicateType"], "https://spdx.dev/Document"):
		return 95
	case o.Has("SPDXID") && (o.Has("creationInfo") || o.Has("dataLicense") || o.Has("documentNamespace")):
		return 90
	case o.Has("@context", "@graph") && strings.Contains(string(head), "spdx.org/rdf/3"):
		return 85 // several contexts
	}
	return 0
}

// tagValue says whether a line of the first bytes is the tag that each such document
// holds. Only comments and other tags may come before it.
func tagValue(head []byte) bool {
	for line := range bytes.Lines(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		tag, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || bytes.ContainsAny(tag, " \t{<\"") {
			return false
		}
		if string(tag) == "SPDXVersion" {
			return bytes.HasPrefix(bytes.TrimSpace(value), []byte("SPDX-"))
		}
	}
	return false
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	buffered := bufio.NewReaderSize(in, 64<<10)
	text, err := beginsTagValue(buffered)
	if err != nil {
		return &report.Error{Offset: 0, Expected: "an SPDX document", Err: err}
	}
	d := &document{Inventory: report.NewInventory(sink, fact.Run{Tool: "spdx", Format: "spdx", Complete: true})}
	defer d.Close()
	if text {
		err = d.readTags(ctx, buffered)
	} else {
		err = report.JSON(ctx, buffered, d.readJSON)
	}
	d.describe()
	return d.End(err)
}

// beginsTagValue says whether a document is no JSON.
func beginsTagValue(in *bufio.Reader) (bool, error) {
	for n := 1; n <= 4096; n++ {
		head, err := in.Peek(n)
		if len(head) < n {
			if errors.Is(err, io.EOF) {
				err = errors.New("the document is empty")
			}
			return false, err
		}
		if c := head[n-1]; c > ' ' && c != 0xef && c != 0xbb && c != 0xbf {
			return c != '{' && c != '[' && c != '"' && (c < '0' || c > '9') && c != '-', nil
		}
	}
	return false, nil
}

// maxDescribed bounds the packages that a document is about.
const maxDescribed = 1000

// document is the state of reading one document.
type document struct {
	*report.Inventory
	id, version, name string
	described         []string
}

// check refuses a document that does not say what it is. at gives the fault.
func (d *document) check(at func(expected string, cause error)) {
	switch {
	case d.version == "":
		at("the version of SPDX (spdxVersion)", nil)
	case !strings.HasPrefix(d.version, "SPDX-2."):
		at("version SPDX-2.2 or SPDX-2.3", fmt.Errorf("the document is %.40q", d.version))
	case d.id == "":
		at("the document's SPDX identifier (SPDXID)", nil)
	}
}

// creator takes the first tool that made the document: "Tool: syft-1.50.0".
func (d *document) creator(text string) {
	tool, ok := strings.CutPrefix(strings.TrimSpace(text), "Tool:")
	if tool = strings.TrimSpace(tool); ok && tool != "" {
		d.tool(tool)
	}
}

// tool splits the version off a name: "syft-1.50.0", "apko (v0.14)", "Plugin 0.7".
func (d *document) tool(name string) {
	if d.Run.Tool != "spdx" {
		return
	}
	d.Run.Tool = name
	if match := versioned.FindStringSubmatch(name); match != nil {
		d.Run.Tool, d.Run.ToolVersion = match[1], cmp.Or(match[2], match[3])
	}
}

var versioned = regexp.MustCompile(`^(.*[^\s-])(?:\s+\((\S+)\)|[\s-]+(v?\d\S*))$`)

func (d *document) about(ref string) {
	if ref != "" && len(d.described) < maxDescribed {
		d.described = append(d.described, ref)
	}
}

// relate notes what one relationship says. Words of version 3.0 are those of 2.3
// in another spelling.
func (d *document) relate(from, kind, to string) {
	switch kind = strings.ToUpper(strings.ReplaceAll(kind, "_", "")); kind {
	case "DESCRIBES":
		if d.id == "" || from == d.id {
			d.about(to)
		}
	case "DESCRIBEDBY":
		if d.id == "" || to == d.id {
			d.about(from)
		}
	// Links are no part of these: documents write them in both directions.
	case "DEPENDSON", "HASPREREQUISITE", "HASOPTIONALDEPENDENCY", "HASPROVIDEDDEPENDENCY":
		d.Requires(from, to)
	case "DEPENDENCYOF", "RUNTIMEDEPENDENCYOF", "BUILDDEPENDENCYOF", "DEVDEPENDENCYOF", "OPTIONALDEPENDENCYOF", "PROVIDEDDEPENDENCYOF",
		"TESTDEPENDENCYOF", "PREREQUISITEFOR":
		d.Requires(to, from)
	}
}

// describe settles what the document is about.
func (d *document) describe() {
	d.Run.Target = d.name
	var root *fact.Component
	for _, ref := range d.described {
		if c := d.Find(ref); c != nil && c != root {
			if root != nil {
				return // about several
			}
			root = c
		}
	}
	if root == nil {
		return
	}
	d.Run.Target = root.Package.Name
	switch kind, _, _ := strings.Cut(strings.TrimPrefix(root.Package.PURL, "pkg:"), "/"); {
	case root.Type == "container", kind == "oci", kind == "docker":
		digest := ""
		if sum := root.Hashes["SHA256"]; sum != "" {
			digest = "sha256:" + sum
		}
		d.Subject = report.ImageAsset(root.Package.Name, root.Package.Version, digest)
	default:
		d.Subject = fact.Asset{Kind: fact.AssetRepository, Key: root.Package.Name, Name: root.Package.Name}
	}
}

// entry is a package while it is read.
type entry struct {
	component           fact.Component
	purl                string
	concluded, declared string
	advisories          []string // addresses
	references          []string
}

// external takes an external reference. A type may be written as an address.
func (e *entry) external(kind, locator string) {
	switch kind[strings.LastIndexByte(kind, '/')+1:] {
	case "purl":
		e.purl = cmp.Or(e.purl, locator)
	case "advisory":
		e.advisories = append(e.advisories, locator)
	case "fix", "url":
		e.references = append(e.references, locator)
	}
}

// add gives a package that was read to the inventory, and a finding for each
// advisory that it names.
func (d *document) add(e *entry) error {
	c := e.component
	c.Package = report.PackageOf(c.Package.Name, c.Package.Version, e.purl)
	if known := cmp.Or(stated(e.concluded), stated(e.declared)); known != "" {
		c.Licenses = []string{known}
	}
	if err := d.Component(c); err != nil {
		return err
	}
	for i, address := range e.advisories {
		f := fact.Finding{Kind: fact.Vulnerability, Rule: cmp.Or(report.AdvisoryID(address), address), Package: c.Package, Position: c.Position}
		f.Title = f.Rule + " in " + c.Package.Name + ":" + c.Package.Version
		f.References = append([]string{address}, e.references...)
		if i > 0 {
			f.Position.Item += fmt.Sprintf(" advisory %d", i)
		}
		if err := d.Finding(f); err != nil {
			return err
		}
	}
	return nil
}

// stated gives a text, or "" for the words that say that nobody knows.
func stated(text string) string {
	if text == "NOASSERTION" || text == "NONE" {
		return ""
	}
	return text
}

// purpose writes a package's purpose as other inventories write it:
// OPERATING_SYSTEM and operatingSystem are operating-system.
func purpose(text string) string {
	if strings.EqualFold(strings.ReplaceAll(text, "_", ""), "operatingsystem") {
		return "operating-system"
	}
	return strings.ToLower(strings.ReplaceAll(text, "_", "-"))
}

func hash(c *fact.Component, algorithm, value string) {
	if value == "" {
		return
	}
	if c.Hashes == nil {
		c.Hashes = map[string]string{}
	}
	c.Hashes[strings.ToUpper(algorithm)] = value
}
