// Package trivy reads the JSON reports of Trivy: images, file systems,
// repositories, configurations and clusters, of schema version 2 and of the
// array that came before it.
package trivy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/trivy", Name: "Trivy", Formats: "JSON, schema version 2, the older array, and cluster reports",
		Docs: "Produce it with `trivy image|fs|repo|config|k8s --format json`. Vulnerabilities, failed misconfiguration checks and secrets are read; " +
			"licences are not. One finding a row; the value of a secret is never kept.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("SchemaVersion", "ArtifactName"), o.Has("SchemaVersion", "Results"), o.Has("ArtifactName", "ArtifactType"):
		return 95
	case o.Has("ClusterName") && (o.Has("Resources") || o.Has("Vulnerabilities") || o.Has("Misconfigurations")):
		return 90
	case o.Keys["Target"] == report.KindString && (o.Has("Vulnerabilities") || o.Has("Type") || o.Has("Misconfigurations") || o.Has("Class")), o.Has("Vulnerabilities[].VulnerabilityID"):
		return 80
	case o.Kind == report.KindObject && o.Has("Results[].Target") && o.Has("Results[].Class"):
		return 70
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.JSON(ctx, in, func(s *report.Scanner) {
		d := &document{s: s, sink: sink, run: fact.Run{Tool: "trivy", Format: "trivy", Complete: true}, told: map[string]bool{}, known: map[string]*known{}}
		if s.Kind() == report.KindArray { // before schema version 2
			d.start()
			s.Array(func(int) { d.result() })
			return
		}
		d.object()
	})
}

// document is the state of reading one report.
type document struct {
	s       *report.Scanner
	sink    report.Sink
	run     fact.Run
	started bool
	told    map[string]bool // members of the report that came already
	hold    *report.Spool   // where findings wait for what they belong to; nil when that is known
	artifact
	target

	raw   []byte            // what an item says of its advisory
	parts []part            // the same, by member
	known map[string]*known // by id
	size  int

	// What the item before said, read.
	said    [4]string
	saidAs  map[string]string
	purlAs  fact.Package
	fixed   string
	fixedAs []string

	purlText string
	purlOK   bool
}

// artifact is what was scanned.
type artifact struct {
	name, kind string
	digests    []string
	system     string // operating system family and version, for ecosystems
	prefix     string // of targets, in cluster reports
	config     []byte // of the image
}

// target is what in the artifact the results at hand are about.
type target struct{ path, class, format string }

func (d *document) start() {
	if !d.started {
		d.started = true
		d.run.Target = d.name
		if d.config != nil && d.kind == "container_image" {
			d.run.Image = &fact.ImageConfig{Asset: d.asset(), JSON: d.config}
		}
		d.s.Fail(d.sink.Run(d.run))
	}
}

func (d *document) asset() fact.Asset {
	switch d.kind {
	case "container_image":
		return report.ImageAsset(d.name, d.digests...)
	case "vm":
		return fact.Asset{Kind: fact.AssetHost, Key: d.name, Name: d.name}
	case "kubernetes":
		return fact.Asset{Kind: "kubernetes_object", Key: d.prefix, Name: d.prefix}
	}
	return fact.Asset{Kind: fact.AssetRepository, Key: d.name, Name: d.name}
}

// scanned is the folder that targets are relative to, where it is told and not
// the one that the scanner was started in.
func (d *document) scanned() string {
	if d.kind != "filesystem" && d.kind != "repository" {
		return ""
	}
	return report.Folder(d.name)
}

func (d *document) object() {
	s := d.s
	var early report.Spool
	s.Object(func(key string) {
		d.told[key] = true
		switch key {
		case "ArtifactName", "ClusterName":
			d.name = s.Text()
		case "ArtifactType":
			d.kind = s.Text()
		case "CreatedAt":
			d.run.Started = report.Micros(s.Text())
		case "Trivy":
			s.Object(func(key string) {
				if key == "Version" {
					d.run.ToolVersion = s.Text()
				}
			})
		case "Metadata":
			d.metadata()
		case "Results":
			if d.told["SchemaVersion"] && d.told["ArtifactName"] && d.told["ArtifactType"] && (d.told["Metadata"] || d.kind != "container_image") {
				d.start()
				s.Array(func(int) { d.result() })
			} else { // members in another order, as by a tool that sorts them
				d.held(&early, func() { s.Array(func(int) { d.result() }) })
			}
		case "Resources", "Vulnerabilities", "Misconfigurations": // of a cluster
			if d.told["ClusterName"] {
				d.start()
				s.Array(func(int) { d.resource() })
			} else {
				d.held(&early, func() { s.Array(func(int) { d.resource() }) })
			}
		}
	})
	d.start()
	d.release(&early, func(f *fact.Finding) {
		if f.Asset.Kind != "kubernetes_object" {
			f.Asset = d.asset()
			if folder := d.scanned(); folder != "" {
				f.Attributes = maps.Clone(f.Attributes)
				report.Attribute(f, "scanned", folder)
			}
		}
	})
}

// held sets findings aside while they are read, before what they belong to.
func (d *document) held(spool *report.Spool, read func()) {
	outer := d.hold
	d.hold = spool
	read()
	d.hold = outer
}

// Attributes that only live until a finding is released: from what its
// ecosystem follows.
const (
	heldClass = "\x00class"
	heldType  = "\x00type"
)

// release gives findings that were set aside on, each with what is known now.
func (d *document) release(spool *report.Spool, amend func(*fact.Finding)) {
	err := spool.Replay(func(f fact.Finding) error {
		amend(&f)
		return d.give(&f)
	})
	d.s.Fail(errors.Join(err, spool.Close()))
}

// give sends a finding to the sink, or to where findings wait.
func (d *document) give(f *fact.Finding) error {
	if d.hold != nil {
		return d.hold.Add(*f)
	}
	if f.Attributes[heldClass] != "" || f.Attributes[heldType] != "" {
		if f.Package.Ecosystem == "" {
			f.Package.Ecosystem = ecosystem(f.Attributes[heldClass], f.Attributes[heldType], d.system)
			if f.Package.PURL == "" {
				f.Package.PURL = fact.PURL(f.Package.Ecosystem, f.Package.Name, f.Package.Version)
			}
		}
		f.Attributes = maps.Clone(f.Attributes)
		delete(f.Attributes, heldClass)
		delete(f.Attributes, heldType)
		if len(f.Attributes) == 0 {
			f.Attributes = nil
		}
	}
	return d.sink.Finding(*f)
}

func (d *document) metadata() {
	s := d.s
	s.Object(func(key string) {
		switch key {
		case "OS":
			family, name := "", ""
			s.Object(func(key string) {
				switch key {
				case "Family":
					family = s.Text()
				case "Name":
					name = s.Text()
				}
			})
			d.system = report.Distribution(family, name)
		case "RepoDigests":
			d.digests = append(s.Texts(), d.digests...)
		case "ImageID":
			d.digests = append(d.digests, s.Text())
		case "ImageConfig":
			d.config = slices.Clone(s.Raw())
		}
	})
}

// resource is one object of a cluster with its results.
func (d *document) resource() {
	s := d.s
	outer := d.artifact
	var early report.Spool
	namespace, kind, name := "", "", ""
	d.kind, d.digests, d.system = "kubernetes", nil, ""
	s.Object(func(key string) {
		switch key {
		case "Namespace":
			namespace = s.Text()
		case "Kind":
			kind = s.Text()
		case "Name":
			name = s.Text()
		case "Metadata":
			if s.Kind() == report.KindArray {
				s.Array(func(int) { d.metadata() })
			} else {
				d.metadata()
			}
		case "Results":
			d.prefix = strings.Join([]string{namespace, kind, name}, "/")
			if kind != "" && name != "" {
				s.Array(func(int) { d.result() })
			} else {
				d.held(&early, func() { s.Array(func(int) { d.result() }) })
			}
		}
	})
	d.prefix = strings.Join([]string{namespace, kind, name}, "/")
	d.release(&early, func(f *fact.Finding) { f.Asset = d.asset() })
	d.artifact = outer
}

// result reads one target. What its lists hold waits for its name, class and
// type, where these come after.
func (d *document) result() {
	s := d.s
	var early report.Spool
	d.target = target{}
	told := map[string]bool{}
	list := func(each func()) {
		if told["Target"] && (told["Type"] || d.class == "secret") {
			s.Array(func(int) { each() })
		} else {
			d.held(&early, func() { s.Array(func(int) { each() }) })
		}
	}
	s.Object(func(key string) {
		told[key] = true
		switch key {
		case "Target":
			d.path = s.Text()
		case "Class":
			d.class = s.Text()
		case "Type":
			d.format = s.Text()
		case "Vulnerabilities":
			list(d.vulnerability)
		case "Misconfigurations":
			list(d.misconfiguration)
		case "Secrets":
			list(d.secret)
		}
	})
	d.release(&early, func(f *fact.Finding) {
		if f.Path == "" {
			f.Path = d.path
		}
		if f.Kind == fact.Misconfiguration {
			report.Attribute(f, "type", d.format)
		}
		d.mark(f)
	})
}

func (d *document) emit(f *fact.Finding, from int64, item string) {
	f.Position = fact.Position{Offset: from, Length: d.s.Offset() - from, Item: item}
	f.Asset = d.asset()
	if f.Line < 0 || f.EndLine < f.Line {
		f.Line, f.EndLine = max(0, f.Line), max(0, f.Line)
	}
	if d.s.Err() == nil {
		if d.hold != nil {
			d.mark(f)
		}
		d.s.Fail(d.give(f))
	}
}

// mark notes on a vulnerability that waits what its ecosystem follows from.
func (d *document) mark(f *fact.Finding) {
	if f.Kind == fact.Vulnerability {
		f.Attributes = maps.Clone(f.Attributes) // shared between findings
		report.Attribute(f, heldClass, d.class)
		report.Attribute(f, heldType, d.format)
	}
}

func (d *document) vulnerability() {
	s := d.s
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Path: d.path}
	if d.hold == nil {
		f.Package.Ecosystem = ecosystem(d.class, d.format, d.system)
	}
	name, version, purl, packagePath := "", "", "", ""
	var status, diffID, digest string
	d.raw, d.parts = d.raw[:0], d.parts[:0]
	var before *known // what the rule meant last, as long as it says the same
	same := 0         // parts of it that were met again
	s.Object(func(key string) {
		switch key {
		case "VulnerabilityID":
			f.Rule = s.Text()
			if before != nil {
				d.keep(before, same) // the id stands there twice
			}
			if before = nil; len(d.parts) == 0 {
				before = d.known[f.Rule]
			}
		case "VendorIDs", "SeveritySource", "PrimaryURL", "Title", "Description", "Severity", "CweIDs", "CVSS", "References", "VendorSeverity", "DataSource":
			if before != nil && same < len(before.parts) && before.parts[same].key == key && s.Same(before.raw[before.parts[same].from:before.parts[same].end]) {
				same++
				return
			}
			if before != nil {
				// It says something else from here on.
				d.keep(before, same)
				before = nil
			}
			d.part(key, s.Raw())
		case "PkgName":
			name = s.Text()
		case "PkgPath":
			packagePath = s.Text()
		case "PkgIdentifier":
			s.Object(func(key string) {
				if key == "PURL" {
					purl = s.Text()
				}
			})
		case "InstalledVersion":
			version = s.Text()
		case "FixedVersion":
			f.FixedVersions = d.versions(s.Text())
		case "Status":
			status = s.Text()
		case "Layer":
			s.Object(func(key string) {
				switch key {
				case "DiffID":
					diffID = s.Text()
				case "Digest":
					digest = s.Text()
				}
			})
		case "Locations":
			s.Array(func(i int) {
				s.Object(func(key string) {
					switch {
					case i > 0:
					case key == "StartLine":
						f.Line = s.Int()
					case key == "EndLine":
						f.EndLine = s.Int()
					}
				})
			})
		}
	})
	if s.Err() != nil {
		return
	}
	a := before
	if a == nil || same < len(a.parts) {
		if a != nil {
			d.keep(a, same)
		}
		if a = d.advisory(f.Rule); s.Err() != nil {
			return
		}
	}
	f.Aliases, f.Title, f.Description, f.Severity, f.SeverityText = a.Aliases, a.Title, a.Description, a.Severity, a.SeverityText
	f.CWE, f.References, f.Score, f.Vector = a.CWE, a.References, a.Score, a.Vector
	f.Attributes = d.attributes(status, diffID, digest)
	f.Package.Name, f.Package.Version = name, version
	if packagePath != "" {
		f.Path = packagePath
	}
	if parsed, ok := d.purl(purl); ok {
		if parsed.Ecosystem == "" { // of a distribution that the URL writes in another way
			parsed.Ecosystem = f.Package.Ecosystem
		}
		f.Package = parsed
		if f.Package.Version == "" {
			f.Package.Version = version
		}
	} else {
		f.Package.PURL = fact.PURL(f.Package.Ecosystem, name, version)
	}
	if f.Title == "" {
		f.Title = f.Rule + " in " + name
	}
	d.emit(&f, from, item)
}

// attributes gives what a vulnerability says beyond the fields of a finding. It
// repeats from one to the next, and the map is then the same.
func (d *document) attributes(status, diffID, digest string) map[string]string {
	same := [4]string{status, diffID, digest, d.scanned()}
	if d.said != same {
		var f fact.Finding
		report.Attribute(&f, "scanned", d.scanned())
		report.Attribute(&f, "status", status)
		report.Attribute(&f, "layer_diff_id", diffID)
		report.Attribute(&f, "layer_digest", digest)
		d.said, d.saidAs = same, f.Attributes
	}
	return d.saidAs
}

// purl reads a package URL, which repeats for the advisories of one package.
func (d *document) purl(text string) (fact.Package, bool) {
	if text != d.purlText {
		d.purlText = text
		d.purlAs, d.purlOK = fact.ParsePURL(text)
	}
	return d.purlAs, d.purlOK
}

// versions gives the versions of a list, which repeats for the packages of one
// advisory.
func (d *document) versions(text string) []string {
	if text == "" {
		return nil
	}
	if text != d.fixed {
		d.fixed, d.fixedAs = text, versions(text)
	}
	return d.fixedAs
}

// maxKnown bounds the text of advisories that are kept, in bytes.
const maxKnown = 32 << 20

// known is an advisory as it was read last. Reports repeat it for each package;
// equal bytes need not be read again.
type known struct {
	raw   []byte // its parts as the members of an object
	parts []part
	fact.Finding
}

// part is one member of an item that is about its advisory: where its value
// stands in raw.
type part struct {
	key       string
	from, end int
}

// keep takes the first parts of an advisory that was read before.
func (d *document) keep(k *known, parts int) {
	for _, p := range k.parts[:parts] {
		d.part(p.key, k.raw[p.from:p.end])
	}
}

// part adds one member; its key is one of those that are known.
func (d *document) part(key string, value []byte) {
	d.raw = append(d.raw, '{')
	if len(d.parts) > 0 {
		d.raw[len(d.raw)-1] = ','
	}
	d.raw = append(append(append(d.raw, '"'), key...), '"', ':')
	from := len(d.raw)
	d.raw = append(d.raw, value...)
	d.parts = append(d.parts, part{key, from, len(d.raw)})
}

// advisory reads what the parts say of a flaw apart from the package.
func (d *document) advisory(rule string) *known {
	if len(d.parts) == 0 {
		return &known{}
	}
	d.raw = append(d.raw, '}')
	if k := d.known[rule]; k != nil && bytes.Equal(k.raw, d.raw) {
		return k
	}
	k := &known{raw: bytes.Clone(d.raw), parts: slices.Clone(d.parts)}
	s := d.s.Over(k.raw)
	var ids []string
	source := ""
	scores := map[string]rating{}
	s.Object(func(key string) {
		switch key {
		case "VendorIDs":
			ids = append(ids, s.Texts()...)
		case "SeveritySource":
			source = s.Text()
		case "PrimaryURL":
			if url := s.Text(); url != "" {
				k.References = append([]string{url}, k.References...)
			}
		case "Title":
			k.Title = s.Text()
		case "Description":
			k.Description = s.Text()
		case "Severity":
			report.Rate(&k.Finding, s.Text())
		case "CweIDs":
			k.CWE = report.CWEs(s.Texts()...)
		case "CVSS":
			s.Object(func(vendor string) { scores[vendor] = cvss(s) })
		case "References":
			k.References = append(k.References, s.Texts()...)
		}
	})
	d.s.Fail(s.Err())
	k.Aliases = report.Aliases(rule, ids...)
	best := scores[source]
	for _, vendor := range []string{"nvd", "ghsa", "redhat"} {
		if best.score == 0 && best.vector == "" {
			best = scores[vendor]
		}
	}
	k.Score, k.Vector = best.score, best.vector
	if d.size += len(d.raw) + 512; d.size > maxKnown {
		clear(d.known)
		d.size = len(d.raw) + 512
	}
	d.known[rule] = k
	return k
}

type rating struct {
	score  float64
	vector string
}

// cvss reads one vendor's rating, of the newest version that it gives.
func cvss(s *report.Scanner) rating {
	var two, three, four rating
	s.Object(func(key string) {
		switch key {
		case "V2Vector":
			two.vector = s.Text()
		case "V2Score":
			two.score = s.Float()
		case "V3Vector":
			three.vector = s.Text()
		case "V3Score":
			three.score = s.Float()
		case "V40Vector":
			four.vector = s.Text()
		case "V40Score":
			four.score = s.Float()
		}
	})
	for _, r := range []rating{three, four} {
		if r.score > 0 || r.vector != "" {
			return r
		}
	}
	return two
}

func (d *document) misconfiguration() {
	s := d.s
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Misconfiguration, Path: d.path}
	status, message, avd := "", "", ""
	s.Object(func(key string) {
		switch key {
		case "ID":
			f.Rule = s.Text()
		case "AVDID":
			avd = s.Text()
		case "Title":
			f.Title = s.Text()
		case "Description":
			f.Description = s.Text()
		case "Message":
			message = s.Text()
		case "Resolution":
			f.Mitigation = s.Text()
		case "Severity":
			report.Rate(&f, s.Text())
		case "PrimaryURL":
			if url := s.Text(); url != "" {
				f.References = append([]string{url}, f.References...)
			}
		case "References":
			f.References = append(f.References, s.Texts()...)
		case "Status":
			status = s.Text()
		case "CauseMetadata":
			s.Object(func(key string) {
				switch key {
				case "Resource":
					f.Anchor = s.Text()
				case "StartLine":
					f.Line = s.Int()
				case "EndLine":
					f.EndLine = s.Int()
				case "Service", "Provider":
					report.Attribute(&f, strings.ToLower(key), s.Text())
				}
			})
		}
	})
	report.Attribute(&f, "message", message)
	report.Attribute(&f, "type", d.format)
	report.Attribute(&f, "scanned", d.scanned())
	f.Aliases = report.Aliases(f.Rule, avd)
	if f.Anchor == "" {
		f.Anchor = message
	}
	switch strings.ToUpper(status) {
	case "PASS":
		return
	case "EXCEPTION":
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: "excepted in Trivy", Source: "trivy"}
	}
	d.emit(&f, from, item)
}

func (d *document) secret() {
	s := d.s
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Secret, Path: d.path}
	s.Object(func(key string) {
		switch key {
		case "RuleID":
			f.Rule = s.Text()
		case "Category":
			report.Attribute(&f, "category", s.Text())
		case "Severity":
			report.Rate(&f, s.Text())
		case "Title":
			f.Title = s.Text()
		case "StartLine":
			f.Line = s.Int()
		case "EndLine":
			f.EndLine = s.Int()
		case "Layer":
			s.Object(func(key string) {
				if key == "DiffID" {
					report.Attribute(&f, "layer_diff_id", s.Text())
				}
			})
		}
	})
	report.Attribute(&f, "scanned", d.scanned())
	d.emit(&f, from, item)
}

// versions splits "1.2.3, 2.0.1".
func versions(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

var languages = map[string]string{
	"gomod": "Go", "gobinary": "Go", "npm": "npm", "yarn": "npm", "pnpm": "npm", "node-pkg": "npm", "bun": "npm",
	"pip": "PyPI", "pipenv": "PyPI", "poetry": "PyPI", "uv": "PyPI", "python-pkg": "PyPI", "pom": "Maven", "jar": "Maven",
	"gradle": "Maven", "sbt": "Maven", "cargo": "crates.io", "rustbinary": "crates.io", "rust-binary": "crates.io", "bundler": "RubyGems",
	"gemspec": "RubyGems", "composer": "Packagist", "composer-vendor": "Packagist", "nuget": "NuGet", "dotnet-core": "NuGet",
	"packages-props": "NuGet", "pub": "Pub", "hex": "Hex", "mix-lock": "Hex", "conan": "ConanCenter", "swift": "SwiftURL", "cocoapods": "CocoaPods",
}

func ecosystem(class, kind, system string) string {
	if name := languages[kind]; name != "" {
		return name
	}
	if name := report.Distribution(kind, ""); name != "" && class == "os-pkgs" && system == "" {
		return name
	}
	return system
}
