package cause

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/image"
)

// Running is what is known of what runs, beside the repository itself. Every field
// may be empty: then less is traced, and what is missing says so.
type Running struct {
	Graph *graph.Graph
	// Images are those that were looked into.
	Images []*image.Image
	// Provenance is what attestations say of them, by digest.
	Provenance map[string][]image.Provenance
	Cache      image.Cache
	Bases      image.BaseIndex
	// Repository is this one as the source of images; nil takes its Dockerfiles only.
	Repository *image.Repository
	// Renderer renders charts.
	Renderer kubernetes.Renderer
	// Packages are those that findings tell of, by kind and key of their image.
	Packages map[string][]fact.Package
}

// estate is what the repository says of Kubernetes and of the images that it
// builds, read when it is first asked for. Rendering its charts takes seconds, and
// is left out where only the images that are built matter.
func (t *Tracer) estate(ctx context.Context, rendered bool) (*kubernetes.Estate, error) {
	at := 0
	options := kubernetes.Options{Names: []string{path.Base(t.Repository)}, Repository: t.Repository}
	if rendered {
		at, options.Renderer = 1, t.Running.Renderer
	}
	if t.estates[at] == nil {
		estate, err := kubernetes.Load(ctx, t.Tree, options)
		if err != nil {
			return nil, fmt.Errorf("manifests of %s: %w", t.Repository, err)
		}
		t.estates[at] = estate
	}
	return t.estates[at], nil
}

// tagWords are the last words of the keys under which values hold what of an image
// changes from version to version.
var tagWords = regexp.MustCompile(`(?i)(?:tag|digest|version|sha)$`)

// tagged chooses, of the lines that an image's name is put together from, the one
// that gives its tag or digest: a line that states it, else one whose key says so,
// else the first.
func (t *Tracer) tagged(ctx context.Context, cause *fact.Cause, name string) (fact.Location, bool, error) {
	if len(cause.Locations) == 0 {
		return fact.Location{}, false, nil
	}
	ref, _ := kubernetes.ParseReference(name)
	if stated := cmp.Or(ref.Digest, ref.Tag); stated != "" {
		for _, l := range cause.Locations {
			data, err := t.Tree.Read(ctx, l.Path)
			if ctx.Err() != nil {
				return fact.Location{}, false, ctx.Err()
			}
			lines := strings.Split(string(data), "\n")
			if err != nil || l.Line < 1 || l.Line > len(lines) {
				continue
			}
			if slices.ContainsFunc(lines[l.Line-1:min(len(lines), max(l.Line, l.EndLine))], func(line string) bool { return strings.Contains(line, stated) }) {
				return l, true, nil
			}
		}
	}
	for _, link := range cause.Chain {
		if tagWords.MatchString(link.Key) && slices.Contains(cause.Locations, link.Location) {
			return link.Location, true, nil
		}
	}
	return cause.Locations[0], true, nil
}

// composed adds the lines of Compose files that name an image which they do not build.
func (t *Tracer) composed(ctx context.Context, cause *fact.Cause, same func(string) bool) error {
	for _, name := range t.paths {
		base := strings.ToLower(path.Base(name))
		if ext := path.Ext(base); ext != ".yaml" && ext != ".yml" || !strings.Contains(base, "compose") {
			continue
		}
		data, err := t.Tree.Read(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			continue // one that is too large; that it is left out is told where builds are read
		}
		docs, _ := kubernetes.Documents(name, data)
		for _, doc := range docs {
			for _, service := range doc.Entries("services") {
				image := service.Value.Get("image")
				if image == nil || service.Value.Get("build") != nil || !same(image.Text) {
					continue
				}
				location := t.at(name, image.Place.Line, image.Place.EndLine)
				t.locate(cause, location)
				t.link(cause, fact.Link{Kind: "compose", Key: service.Key, Location: location, Evidence: fact.Evidence{Method: "names the image", Source: name, Strength: fact.Declared, Detail: image.Text}})
			}
		}
	}
	return nil
}

// mentions says whether what the repository deploys may name something: every word
// of the name stands in one of its YAML files, in a template, or in a path. Charts
// that cannot name it need not be rendered, which takes seconds.
func (t *Tracer) mentions(ctx context.Context, name string) (bool, error) {
	if t.words == nil {
		t.words = map[string]bool{}
		for _, file := range t.paths {
			take(t.words, file)
			switch path.Ext(file) {
			case ".yaml", ".yml", ".tpl", ".json", ".txt", ".env", ".properties", ".toml":
			case ".tgz":
				t.words[packed] = true // a chart may lie in it
				continue
			default:
				continue
			}
			if path.Base(file) == "package-lock.json" {
				continue
			}
			data, err := t.Tree.Read(ctx, file)
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if err != nil || len(data) > maxMentions {
				continue // neither is it read as a manifest
			}
			take(t.words, string(data))
		}
	}
	if t.words[packed] {
		return true, nil
	}
	for word := range strings.FieldsFuncSeq(strings.ToLower(name), apartFrom) {
		if !t.words[strings.TrimPrefix(word, "v")] && !t.words[word] {
			return false, nil
		}
	}
	return true, nil
}

const (
	maxMentions = 8 << 20
	packed      = "*" // no word
)

// take puts the words of a text into a set, those with dots in whole and in parts.
func take(words map[string]bool, text string) {
	put := func(word string) {
		if !words[word] {
			words[strings.Clone(word)] = true // the text is let go
		}
	}
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), apartFrom) {
		put(word)
		put(strings.TrimPrefix(word, "v"))
		if strings.Contains(word, ".") {
			for part := range strings.SplitSeq(word, ".") {
				put(part)
			}
		}
	}
}

func apartFrom(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' }

// source is the repository as one that images are built from.
func (t *Tracer) source(ctx context.Context) (*image.Repository, error) {
	if t.Running.Repository != nil {
		return t.Running.Repository, nil
	}
	if t.files == nil {
		r := &image.Repository{Name: t.Repository, Commit: t.Commit}
		for _, name := range t.paths {
			if !dockerfile.Named(name) || len(r.Dockerfiles) == maxDockerfiles {
				continue
			}
			data, err := t.Tree.Read(ctx, name)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			var file *dockerfile.File
			if err == nil {
				file, err = dockerfile.Parse(name, data)
			}
			if err != nil {
				r.Problems = append(r.Problems, err.Error())
				continue
			}
			r.Dockerfiles = append(r.Dockerfiles, image.Candidate{Repository: t.Repository, Commit: t.Commit, Path: name, File: file})
		}
		t.files = r
	}
	return t.files, nil
}

const maxDockerfiles = 5000

// lookedInto finds the image of an asset among those that were looked into.
func (t *Tracer) lookedInto(asset fact.Asset) *image.Image {
	for _, one := range t.Running.Images {
		if asset.Key == one.Digest || asset.Key == one.ConfigID || asset.Name == one.Reference || slices.Contains(one.Tags, asset.Name) {
			return one
		}
	}
	return nil
}

// investigate leads the layers of an image to lines; nil when neither the image nor
// its history is known.
func (t *Tracer) investigate(ctx context.Context, asset fact.Asset) (*image.Trace, error) {
	key := asset.Kind + ":" + asset.Key
	if trace, ok := t.images[key]; ok {
		return trace, nil
	}
	repository, err := t.source(ctx)
	if err != nil {
		return nil, err
	}
	inputs := image.Inputs{Cache: t.Running.Cache, Bases: t.Running.Bases, Repositories: []*image.Repository{repository}}
	var trace *image.Trace
	if one := t.lookedInto(asset); one != nil {
		inputs.Provenance = t.Running.Provenance[one.Digest]
		if trace, err = image.Investigate(ctx, one, inputs); err != nil {
			return nil, err
		}
	} else if properties, err := t.properties(ctx, asset); err != nil {
		return nil, err
	} else if one, ok := image.FromFacts(asset, properties); ok {
		trace = image.InvestigateHistory(one, inputs)
		if len(trace.Dockerfile.Best) > 1 {
			// Files alike are told apart by what the repository says that it builds.
			source, err := t.builds(ctx, asset)
			if err != nil {
				return nil, err
			}
			narrow := *repository
			narrow.Dockerfiles = slices.DeleteFunc(slices.Clone(repository.Dockerfiles), func(c image.Candidate) bool {
				return !slices.ContainsFunc(source.Builds, func(b kubernetes.Build) bool { return b.Dockerfile == c.Path })
			})
			inputs.Repositories = []*image.Repository{&narrow}
			if told := image.InvestigateHistory(one, inputs); told.Dockerfile.Answered {
				trace = told
			}
		}
	}
	t.images[key] = trace
	return trace, nil
}

// properties are what the graph knows of an asset, none when it does not know it.
func (t *Tracer) properties(ctx context.Context, asset fact.Asset) (map[string]string, error) {
	view, err := t.view(ctx, asset)
	return view.Properties, err
}

func (t *Tracer) view(ctx context.Context, asset fact.Asset) (graph.View, error) {
	if t.Running.Graph == nil || asset.Key == "" {
		return graph.View{}, nil
	}
	view, err := t.Running.Graph.Asset(ctx, asset.Kind, asset.Key, time.Time{})
	if errors.Is(err, graph.ErrNotFound) {
		return graph.View{}, nil
	}
	return view, err
}

// builds are the folders that the repository says it builds an image in, with what
// is to say when there is none or a tie.
func (t *Tracer) builds(ctx context.Context, asset fact.Asset) (kubernetes.Source, error) {
	key := asset.Kind + ":" + asset.Key
	if known, ok := t.sources[key]; ok {
		return known, nil
	}
	estate, err := t.estate(ctx, false)
	if err != nil {
		return kubernetes.Source{}, err
	}
	found := kubernetes.Source{Reason: "the image has no name"}
	for _, name := range t.names(ctx, asset) {
		source := estate.Source(name)
		if len(source.Builds) > 0 && (len(found.Builds) == 0 || len(source.Builds) < len(found.Builds)) {
			found = source
		} else if len(found.Builds) == 0 {
			found.Reason = source.Reason
		}
	}
	t.sources[key] = found
	return found, nil
}

// names are what an image is called: by the report, and by who knows its digest.
func (t *Tracer) names(ctx context.Context, asset fact.Asset) []string {
	var names []string
	add := func(name string) {
		if _, ok := kubernetes.ParseReference(name); ok && !strings.HasPrefix(name, "sha256:") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(asset.Name)
	add(asset.Key)
	if one := t.lookedInto(asset); one != nil {
		for _, tag := range one.Tags {
			add(tag)
		}
	}
	if properties, err := t.properties(ctx, asset); err == nil {
		for tag := range strings.SplitSeq(properties["tags"], ",") {
			add(strings.TrimSpace(tag))
		}
		add(properties["reference"])
	}
	return names
}

// image leads a finding of an image to the line that brought what was found: in a
// lockfile of the folder that the image is built from, in the Dockerfile, or where
// an image of another maker is named.
func (t *Tracer) image(ctx context.Context, f *fact.Finding) (fact.Cause, error) {
	if f.Kind == fact.Misconfiguration && f.Path != "" {
		return t.file(ctx, f)
	}
	source, err := t.builds(ctx, f.Asset)
	if err != nil {
		return fact.Cause{}, err
	}
	layered, part, err := t.layered(ctx, f)
	if err != nil {
		return fact.Cause{}, err
	}
	if source.Builds, err = t.fitting(ctx, f.Asset, source.Builds); err != nil {
		return fact.Cause{}, err
	}
	flaw := f.Kind == fact.Vulnerability && f.Package.Name != ""
	chain := []fact.Link{t.observed(f, "reported", fact.Declared)}
	told := unknown(chain)
	builds := t.aligned(source, layered)
	if !flaw && f.Path != "" && part != image.PartBase {
		if copied, err := t.copied(ctx, f, builds); err != nil || copied.Status != fact.CauseUnknown {
			return copied, err
		}
	}
	if flaw && (part == image.PartOwn || part == image.PartUnknown && !systemPath(clean(f.Path))) {
		// What the base brings no manifest of the repository decides, though it
		// may lock the same version.
		if f.Package.Name == lockfile.Stdlib && ecosystem(f) == "Go" {
			if told, err = t.toolchain(ctx, f, builds); err != nil || told.Status != fact.CauseUnknown || len(told.Missing) > 0 {
				return told, err
			}
		}
		if len(builds) > 0 {
			near, err := t.reach(ctx, builds)
			if err != nil {
				return fact.Cause{}, err
			}
			told = t.packageCause(f, near)
		} else {
			told = t.unbound(f)
		}
		if told.Status != fact.CauseUnknown {
			if len(builds) == 1 && builds[0].Place.Path != "" {
				told.Chain = slices.Insert(told.Chain, 1, t.built(f.Asset, builds[0]))
			}
			return told, nil
		}
	}
	if layered.Status == fact.CauseFound || layered.Status == fact.CauseAmbiguous {
		return layered, nil
	}
	if len(source.Builds) > 0 {
		cause, err := t.byDockerfile(ctx, f, source)
		if err != nil || cause.Status != fact.CauseUnknown {
			cause.Missing = append(cause.Missing, layered.Missing...)
			return cause, err
		}
	}
	named, err := t.imageNamed(ctx, f)
	if err != nil || named.Status != fact.CauseUnknown {
		return named, err
	}
	if flaw {
		if len(told.Missing) == 0 {
			told.Missing = append(told.Missing, fmt.Sprintf("what brings %s to the image is not in %s", f.Package.Name, t.Repository))
		}
		return unknown(chain, append(slices.Clone(told.Missing), layered.Missing...)...), nil
	}
	return unknown(chain, append(layered.Missing, source.Reason)...), nil
}

// fitting leaves out builds that names alone suggest and that the history of the image
// speaks against.
func (t *Tracer) fitting(ctx context.Context, asset fact.Asset, builds []kubernetes.Build) ([]kubernetes.Build, error) {
	if !slices.ContainsFunc(builds, func(b kubernetes.Build) bool { return b.Strength == fact.Guess }) {
		return builds, nil
	}
	trace, err := t.investigate(ctx, asset)
	if err != nil || trace == nil || len(trace.Image.Steps) == 0 {
		return builds, err
	}
	repository, err := t.source(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(builds), func(b kubernetes.Build) bool {
		at := slices.IndexFunc(repository.Dockerfiles, func(c image.Candidate) bool { return c.Path == b.Dockerfile })
		if b.Strength != fact.Guess || at < 0 {
			return false
		}
		best := image.Rank(trace.Image.Steps, repository.Dockerfiles[at:at+1], "").Best
		return len(best) == 0 || best[0].Alignment.Score < minAlike
	}), nil
}

// minAlike is the score of an alignment below which an image is not built by a
// Dockerfile, not even by an older one.
const minAlike = .4

// copied leads a file in an image, such as one with a secret, to the file of the
// repository that a Dockerfile copies there.
func (t *Tracer) copied(ctx context.Context, f *fact.Finding, builds []kubernetes.Build) (fact.Cause, error) {
	cause := unknown([]fact.Link{t.observed(f, "reported", fact.Declared)})
	repository, err := t.source(ctx)
	if err != nil {
		return cause, err
	}
	inside := "/" + clean(f.Path)
	for _, b := range builds {
		at := slices.IndexFunc(repository.Dockerfiles, func(c image.Candidate) bool { return c.Path == b.Dockerfile })
		if at < 0 {
			continue
		}
		file := repository.Dockerfiles[at].File
		for _, step := range slices.Backward(file.Chain(len(file.Stages) - 1)) {
			if step.Kind != "COPY" && step.Kind != "ADD" || step.From != "" {
				continue
			}
			own := t.origin(step.Instruction, b.Folder, inside)
			if own == "" {
				continue
			}
			lines, err := t.count(ctx, own)
			if err != nil {
				return cause, err
			}
			location := t.at(own, f.Line, f.EndLine)
			if f.Line <= 0 || f.Line > lines {
				location.Line, location.EndLine = 0, 0
			}
			if b.Place.Path != "" {
				t.link(&cause, t.built(f.Asset, b))
			}
			t.link(&cause, fact.Link{Kind: "dockerfile", Key: file.Path, Location: t.at(file.Path, step.Line, step.EndLine), Evidence: fact.Evidence{Method: "copies the file", Source: file.Path, Strength: fact.Derived, Detail: own}})
			t.locate(&cause, location)
			break // a later instruction writes over what earlier ones copy
		}
	}
	switch len(cause.Locations) {
	case 0:
	case 1:
		cause.Status = fact.CauseFound
	default:
		cause.Status = fact.CauseAmbiguous
		cause.Missing = append(cause.Missing, "several images of this name hold the file: the history of the one that was scanned would tell which")
	}
	return cause, nil
}

// origin is the file of the repository that an instruction copies to a path of the
// image, "" when it copies none there.
func (t *Tracer) origin(in *dockerfile.Instruction, folder, inside string) string {
	is := func(name string) bool {
		_, found := slices.BinarySearch(t.paths, name)
		return found
	}
	dest := path.Clean("/" + in.Dest)
	for _, from := range in.Sources {
		from = path.Clean(strings.TrimLeft(from, "/"))
		for _, context := range []string{folder, ""} { // the build context may be the root
			whole := path.Join(context, from)
			below, isBelow := strings.CutPrefix(inside, strings.TrimSuffix(dest, "/")+"/")
			switch {
			case inside == dest && is(whole):
				return whole // one file, renamed
			case !isBelow:
			case is(path.Join(whole, below)):
				return path.Join(whole, below) // a folder with what is in it
			case below == path.Base(from) && is(whole):
				return whole // one file, into a folder
			case strings.ContainsAny(from, "*?[") && !strings.Contains(below, "/") && is(path.Join(path.Dir(whole), below)):
				if ok, err := path.Match(path.Base(from), below); err == nil && ok {
					return path.Join(path.Dir(whole), below)
				}
			}
		}
	}
	return ""
}

// aligned are the builds of an image: those that the repository tells, unless the
// history of its layers fits other Dockerfiles.
func (t *Tracer) aligned(source kubernetes.Source, layered fact.Cause) []kubernetes.Build {
	var fits []kubernetes.Build
	for _, l := range layered.Locations {
		b := kubernetes.Build{Folder: path.Dir(l.Path), Dockerfile: l.Path}
		if at := slices.IndexFunc(source.Builds, func(b kubernetes.Build) bool { return b.Dockerfile == l.Path }); at >= 0 {
			b = source.Builds[at]
		}
		if !slices.Contains(fits, b) {
			fits = append(fits, b)
		}
	}
	if len(fits) > 0 {
		return fits
	}
	return source.Builds
}

// reach tells which modules are built into an image: those in the folder of a build,
// those that its Dockerfile copies, and those of folders above, whose lockfiles hold
// for all below.
func (t *Tracer) reach(ctx context.Context, builds []kubernetes.Build) (reach, error) {
	repository, err := t.source(ctx)
	if err != nil {
		return nil, err
	}
	var folders, copied []string
	for _, b := range builds {
		folders = append(folders, b.Folder)
		at := slices.IndexFunc(repository.Dockerfiles, func(c image.Candidate) bool { return c.Path == b.Dockerfile })
		if at < 0 {
			continue
		}
		for _, stage := range repository.Dockerfiles[at].File.Stages {
			for _, in := range stage.Instructions {
				if in.Kind != "COPY" && in.Kind != "ADD" || in.From != "" {
					continue
				}
				for _, from := range in.Sources {
					// What is not in the folder is taken from the root of the
					// repository, which is the build context then.
					if from = path.Clean(strings.TrimLeft(from, "/")); !t.holds(path.Join(b.Folder, from)) && t.holds(from) {
						copied = append(copied, from)
					}
				}
			}
		}
	}
	below := func(dir, folder string) bool { return folder == "." || folder == "" || within(dir, folder) }
	return func(dir string) int {
		dir = cmp.Or(dir, ".")
		switch {
		case slices.ContainsFunc(folders, func(folder string) bool { return below(dir, folder) }):
			return 3
		case slices.ContainsFunc(copied, func(name string) bool { return below(dir, name) || path.Dir(name) == dir }):
			return 2
		case slices.ContainsFunc(folders, func(folder string) bool { return below(folder, dir) }):
			return 1
		}
		return 0
	}, nil
}

// toolchain leads a flaw of Go's standard library to the FROM that names the
// toolchain, whose version the binary has whatever go.mod asks for at least.
func (t *Tracer) toolchain(ctx context.Context, f *fact.Finding, builds []kubernetes.Build) (fact.Cause, error) {
	cause := unknown([]fact.Link{t.observed(f, "reported", fact.Declared)})
	repository, err := t.source(ctx)
	if err != nil {
		return cause, err
	}
	version := strings.Split(strings.TrimLeft(f.Package.Version, "vgo"), ".")
	for _, b := range builds {
		at := slices.IndexFunc(repository.Dockerfiles, func(c image.Candidate) bool { return c.Path == b.Dockerfile })
		if at < 0 {
			continue
		}
		for _, stage := range repository.Dockerfiles[at].File.Stages {
			ref, ok := kubernetes.ParseReference(stage.Base.Image)
			if stage.Parent >= 0 || !ok || path.Base(ref.Repository) != "golang" {
				continue
			}
			tag, _, _ := strings.Cut(ref.Tag, "-")
			parts := strings.Split(tag, ".")
			if tag != "" && tag[0] >= '0' && tag[0] <= '9' && (len(parts) > len(version) || !slices.Equal(parts, version[:len(parts)])) {
				if cause.Status == fact.CauseUnknown {
					cause.Missing = append(cause.Missing, fmt.Sprintf("%s:%d builds with %s, the binary has %s: name the commit that the image was built from", b.Dockerfile, stage.Base.Line, stage.Base.Image, f.Package.Version))
				}
				continue
			}
			for _, lines := range baseLines(stage.Base) {
				location := t.at(b.Dockerfile, lines[0], lines[1])
				t.locate(&cause, location)
				t.link(&cause, fact.Link{Kind: "dockerfile", Key: b.Dockerfile, Location: location, Evidence: fact.Evidence{Method: "names the toolchain that builds the binary", Source: b.Dockerfile, Strength: fact.Derived, Detail: stage.Base.Image}})
			}
			cause.Status, cause.Missing = fact.CauseFound, []string{}
		}
	}
	return cause, nil
}

// holds says whether the repository has a file or folder; of a pattern, whether it
// has the folder that the pattern is in.
func (t *Tracer) holds(name string) bool {
	if strings.ContainsAny(name, "*?[") {
		name = path.Dir(name)
	}
	if name == "." {
		return true
	}
	at, found := slices.BinarySearch(t.paths, name)
	if !found {
		at, _ = slices.BinarySearch(t.paths, name+"/")
	}
	return found || at < len(t.paths) && strings.HasPrefix(t.paths[at], name+"/")
}

// Enough packages that an image and a lockfile have in common, version by version,
// tell that the image is built with it.
const (
	commonPackages = 3
	commonShare    = .5 // of those that are found in the image
)

// unbound leads a package of an image of which nothing tells that it is built here:
// only to a lockfile that has more in common with it, since any image may hold the
// same version of one package.
func (t *Tracer) unbound(f *fact.Finding) fact.Cause {
	guess := t.packageCause(f, nil)
	if guess.Status == fact.CauseUnknown || guess.Chain[0].Evidence.Strength != fact.Guess {
		return guess
	}
	common, found := t.common(f.Asset, ecosystem(f))
	told := t.packageCause(f, func(dir string) int {
		if n := common[dir]; n >= commonPackages && float64(n) >= commonShare*float64(found) {
			return n
		}
		return 0
	})
	if told.Status != fact.CauseUnknown {
		told.Chain[0].Evidence = fact.Evidence{Method: "packages of the image are locked here at the same versions", Source: told.Chain[0].Evidence.Source, Strength: fact.Derived}
		return told
	}
	first := guess.Locations[0]
	return unknown(guess.Chain[:1], fmt.Sprintf("%s:%d asks for the same version of %s, yet nothing tells that the image is built here: a build file that names it, its label or its configuration would",
		first.Path, first.Line, f.Package.Name))
}

// shared is how many packages of an image are locked in each folder at the same
// version, of all that are found in it.
type shared struct {
	folders map[string]int
	found   int
}

// common counts the packages that an image has in common with the lockfiles.
func (t *Tracer) common(asset fact.Asset, ecosystem string) (folders map[string]int, found int) {
	key := asset.Kind + ":" + asset.Key
	if known, ok := t.shared[ecosystem+" "+key]; ok {
		return known.folders, known.found
	}
	folders = map[string]int{}
	seen := map[string]bool{}
	for _, p := range t.Running.Packages[key] {
		same := p.Name + "@" + p.Version
		if p.Ecosystem != ecosystem || seen[same] {
			continue
		}
		seen[same] = true
		found++
		var dirs []string
		for _, s := range t.packages[t.key(p.Ecosystem, p.Name)] {
			m := &t.Modules[s.module]
			if m.Ecosystem == p.Ecosystem && lockfile.SameVersion(p.Ecosystem, m.Packages[s.index].Version, p.Version) && !slices.Contains(dirs, m.Dir) {
				dirs = append(dirs, m.Dir)
				folders[m.Dir]++
			}
		}
	}
	t.shared[ecosystem+" "+key] = shared{folders, found}
	return folders, found
}

// ecosystem is that of a finding's package, also of one that only its URL tells.
func ecosystem(f *fact.Finding) string {
	if f.Package.Ecosystem == "" {
		named, _ := fact.ParsePURL(f.Package.PURL)
		return named.Ecosystem
	}
	return f.Package.Ecosystem
}

// systemPath says whether a file is in a folder that by convention only packages of
// the distribution and tools of the base image use.
func systemPath(name string) bool {
	return slices.ContainsFunc([]string{"usr/lib/", "usr/lib64/", "usr/share/", "usr/local/lib/node_modules/", "opt/java/", "opt/yarn"}, func(folder string) bool { return strings.HasPrefix(name, folder) })
}

// reach is how near modules are to an image: 0 for one that is not built into it, the
// nearest highest.
type reach func(dir string) int

// built is the link from an image to the folder that it is built from.
func (t *Tracer) built(asset fact.Asset, b kubernetes.Build) fact.Link {
	return fact.Link{
		Kind: "image", Key: cmp.Or(asset.Name, asset.Key), Location: t.at(b.Place.Path, b.Place.Line, b.Place.EndLine),
		Evidence: fact.Evidence{Method: "built by " + b.Method, Source: b.Place.Path, Strength: b.Strength, Detail: "from " + cmp.Or(b.Dockerfile, b.Folder)},
	}
}

// layered leads a finding through the layer that holds it, and says whose that is.
func (t *Tracer) layered(ctx context.Context, f *fact.Finding) (fact.Cause, image.Part, error) {
	chain := []fact.Link{t.observed(f, "reported", fact.Declared)}
	trace, err := t.investigate(ctx, f.Asset)
	if err != nil {
		return fact.Cause{}, image.PartUnknown, err
	}
	if trace == nil {
		return unknown(chain, "the layers of the image are not known: give the image itself, or a report that holds its configuration"), image.PartUnknown, nil
	}
	var cause fact.Cause
	part := image.PartUnknown
	if p := installed(trace, f); p != nil {
		told := trace.Package(*p)
		cause, part = told.Cause, told.Part
	} else {
		id := f.Attributes["layer_diff_id"]
		layer := slices.IndexFunc(trace.Layers, func(l image.LayerTrace) bool { return id != "" && l.DiffID == id })
		if layer < 0 {
			return unknown(chain, "the report does not say which layer holds it"), part, nil
		}
		part = trace.Layers[layer].Part
		cause = trace.Layer(layer, fact.Evidence{Method: "the report names the layer", Source: "layer " + strconv.Itoa(layer+1) + " of " + strconv.Itoa(len(trace.Layers)), Strength: fact.Attested})
	}
	cause.Chain = append(chain, cause.Chain...)
	cause.Locations = slices.DeleteFunc(slices.Clone(cause.Locations), func(l fact.Location) bool { return l.Repository != t.Repository })
	if len(cause.Locations) == 0 && cause.Status != fact.CauseUnknown {
		cause.Status = fact.CauseUnknown
	}
	return cause, part, nil
}

// installed finds a finding's package in an image that was looked into.
func installed(trace *image.Trace, f *fact.Finding) *image.Package {
	for i := range trace.Inventory.Packages {
		p := &trace.Inventory.Packages[i]
		if !p.Declared && (p.Name == f.Package.Name || p.Source == f.Package.Name) && (f.Package.Version == "" || p.Version == f.Package.Version) {
			return p
		}
	}
	return nil
}

// installs finds what a RUN installs by the package managers of distributions, and
// brings what it installs by those of languages.
var (
	installs = regexp.MustCompile(`\b(?:apt-get|apt|aptitude|apk|yum|dnf|microdnf|tdnf|zypper)\b[^&|;]*\b(?:install|add|in)\b([^&|;]*)`)
	brings   = regexp.MustCompile(`\b(?:npm|pnpm|yarn|bun|pip3?|pipx|uv|poetry|pipenv|conda|mamba|gem|bundle|cargo|go|composer|dotnet|mvnw?|gradlew?)\b([^&|;]*)`)
)

// byDockerfile leads a finding of an image to the Dockerfile that the repository
// builds it from, when nothing tells its layers: to the instruction that installs
// the package by name, else to the base image and to whatever installs anything.
func (t *Tracer) byDockerfile(ctx context.Context, f *fact.Finding, source kubernetes.Source) (fact.Cause, error) {
	cause := fact.Cause{Status: fact.CauseUnknown, Locations: []fact.Location{}, Chain: []fact.Link{t.observed(f, "reported", fact.Declared)}, Missing: []string{}}
	repository, err := t.source(ctx)
	if err != nil {
		return cause, err
	}
	tie := false
	for _, b := range source.Builds {
		at := slices.IndexFunc(repository.Dockerfiles, func(c image.Candidate) bool { return c.Path == b.Dockerfile })
		if at < 0 {
			continue
		}
		t.link(&cause, t.built(f.Asset, b))
		file := repository.Dockerfiles[at].File
		put := func(line, end int, method, detail string) {
			location := t.at(file.Path, line, end)
			t.locate(&cause, location)
			t.link(&cause, fact.Link{Kind: "dockerfile", Key: file.Path, Location: location, Evidence: fact.Evidence{Method: method, Source: file.Path, Strength: fact.Derived, Detail: detail}})
		}
		stage := len(file.Stages) - 1        // what is built when no other is asked for
		if f.Kind == fact.Misconfiguration { // what it lacks belongs into its last stage
			put(file.Stages[stage].Line, file.Stages[stage].Line, "its last stage makes the image", f.Rule)
			continue
		}
		exact, some := bringing(file.Chain(stage), f)
		if len(exact) > 0 {
			for _, step := range exact {
				put(step.Line, step.EndLine, "installs the package by name", f.Package.Name)
			}
			continue
		}
		if base := file.Stages[file.Root(stage)].Base; base.Image != "scratch" && (f.Package.Name != "" || f.Kind == fact.EndOfLife) {
			for _, lines := range baseLines(base) {
				put(lines[0], lines[1], "names the base image", base.Image)
			}
		}
		for _, step := range some {
			put(step.Line, step.EndLine, "may bring it", "")
			tie = true
		}
	}
	switch {
	case len(cause.Locations) == 0:
		cause.Missing = append(cause.Missing, cmp.Or(source.Reason, "the Dockerfile that builds the image is not in the repository"))
		return cause, nil
	case len(cause.Locations) > 1 && (tie || len(source.Builds) > 1):
		cause.Status = fact.CauseAmbiguous
	default:
		cause.Status = fact.CauseFound
	}
	return cause, nil
}

// bringing sorts the steps of a stage: those that install a finding's package by name,
// and those that may bring it unnamed.
func bringing(chain []dockerfile.Step, f *fact.Finding) (exact, some []dockerfile.Step) {
	system := f.Kind == fact.Vulnerability && !slices.Contains(languages, ecosystem(f))
	for _, step := range chain {
		switch {
		case step.Kind == "RUN":
			managers := []*regexp.Regexp{installs}
			if !system {
				managers = append(managers, brings)
			}
			for _, manager := range managers {
				for _, m := range manager.FindAllStringSubmatch(step.Text, -1) {
					if slices.ContainsFunc(strings.Fields(m[1]), func(word string) bool { return plainName(word) == f.Package.Name }) {
						exact = append(exact, step)
					} else {
						some = append(some, step)
					}
				}
			}
		case (step.Kind == "COPY" || step.Kind == "ADD") && (!system || step.From != ""):
			some = append(some, step)
		}
	}
	return exact, some
}

// languages are the ecosystems whose packages are built into an image, or copied.
var languages = []string{"npm", "PyPI", "Go", "Maven", "crates.io", "RubyGems", "Packagist", "NuGet", "Hex", "Pub", "SwiftURL", "ConanCenter", "Hackage", "CRAN"}

// baseLines are the lines that name a base image: those of the arguments that decide
// it, then that of the FROM.
func baseLines(base dockerfile.Reference) (lines [][2]int) {
	for _, arg := range base.Args {
		lines = append(lines, [2]int{arg.Line, arg.Line})
	}
	return append(lines, [2]int{base.Line, base.EndLine})
}

// plainName cuts the version off a package as a package manager is given it.
func plainName(word string) string {
	if at := strings.IndexAny(word, "=<>~@"); at >= 0 {
		word = word[:at]
	}
	return strings.Trim(word, `"'\`)
}

// imageNamed finds where the repository names an image that it does not build: in
// a manifest, overlay or chart, or as the base of a Dockerfile.
func (t *Tracer) imageNamed(ctx context.Context, f *fact.Finding) (fact.Cause, error) {
	cause := fact.Cause{Status: fact.CauseUnknown, Locations: []fact.Location{}, Chain: []fact.Link{t.observed(f, "reported", fact.Declared)}, Missing: []string{}}
	wanted := map[string]bool{}
	for _, name := range t.names(ctx, f.Asset) {
		if ref, ok := kubernetes.ParseReference(name); ok {
			if ref.Tag == "" && ref.Digest == "" {
				ref.Tag = "latest"
			}
			wanted[ref.String()] = true
		}
	}
	same := func(name string) bool {
		ref, ok := kubernetes.ParseReference(name)
		if ok && ref.Tag == "" && ref.Digest == "" {
			ref.Tag = "latest"
		}
		return ok && wanted[ref.String()]
	}
	named := false
	for name := range wanted {
		ref, _ := kubernetes.ParseReference(name)
		// A tag of "latest" and a registry may be left out, a repository hardly.
		said := path.Base(ref.Repository) + " " + strings.TrimPrefix(ref.Digest, "sha256:")
		if ref.Tag != "latest" {
			said += " " + ref.Tag
		}
		may, err := t.mentions(ctx, said)
		if err != nil {
			return cause, err
		}
		named = named || may
	}
	estate := &kubernetes.Estate{}
	if named {
		var err error
		if estate, err = t.estate(ctx, true); err != nil {
			return cause, err
		}
	}
	for _, workload := range estate.Workloads() {
		for _, c := range workload.Containers() {
			if !same(c.Image) {
				continue
			}
			answer, err := estate.Trace(ctx, kubernetes.Request{Kind: workload.Kind, Name: workload.Name, Namespace: workload.Namespace, Field: c.Path, Repository: t.Repository, Commit: t.Commit})
			if err != nil {
				return cause, err
			}
			for _, link := range answer.Cause.Chain {
				t.link(&cause, link)
			}
			if location, ok, err := t.tagged(ctx, &answer.Cause, c.Image); err != nil {
				return cause, err
			} else if ok {
				t.locate(&cause, location)
			}
		}
	}
	if named {
		if err := t.composed(ctx, &cause, same); err != nil {
			return cause, err
		}
	}
	repository, err := t.source(ctx)
	if err != nil {
		return cause, err
	}
	for _, c := range repository.Dockerfiles {
		for _, stage := range c.File.Stages {
			if stage.Parent >= 0 || !same(stage.Base.Image) {
				continue
			}
			for _, lines := range baseLines(stage.Base) {
				location := t.at(c.Path, lines[0], lines[1])
				t.locate(&cause, location)
				t.link(&cause, fact.Link{Kind: "dockerfile", Key: c.Path, Location: location, Evidence: fact.Evidence{Method: "names the image as its base", Source: c.Path, Strength: fact.Declared, Detail: stage.Base.Image}})
			}
		}
	}
	if len(cause.Locations) > 0 {
		cause.Status = fact.CauseFound // each of them must change
	}
	return cause, nil
}
