package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image/advice"
)

// benchmarkB12 measures advice on base images.
//
// A case is one image that a real commit changed in the FROM lines of one file; scratch is
// none, since it holds nothing that a report could name. Given
// are the file as it was before and the image as a report names it. What exists is what
// the data tells apart from the case: tags in the Dockerfiles of other commits up to
// that day, and releases and cycles of products that were out by then. No registry is
// asked, so that most tags that existed are not known.
//
//	line       share of images for which every line that people changed is edited by
//	           a path or named in its steps, and no line that names another image
//	family     share of the images with a recommended tag whose tag is of the family
//	           (variant and distribution) that people chose; images whose repository
//	           people changed are counted in moved and told by -v
//	answered   share of images for which a newer tag was known at all
//	moved      share of images whose repository people changed
//	converted  share of the conversions to hardened images, of a peer's test data, whose
//	           result has the same instructions as the peer's
//	converted_bytes  the same, byte for byte
var benchmarkB12 = Benchmark{
	ID:      "B12",
	Title:   "base image advice",
	Needs:   "fixes/dockerfile-base",
	Targets: map[string]float64{"line": 1, "family": .9, "converted": .7},
	Run:     runB12,
}

// rebase is one changed image of a commit.
type rebase struct {
	File, From, To string
	Lines          []int
}

// rebasing is one commit.
type rebasing struct {
	Dir     string
	Date    string
	Changes []struct {
		File     string
		Line     int
		From, To string
	}
}

// images are those of a commit, by file and image.
func (c *rebasing) images() []rebase {
	var list []rebase
	for _, change := range c.Changes {
		at := slices.IndexFunc(list, func(r rebase) bool { return r.File == change.File && r.From == change.From })
		if at < 0 {
			list = append(list, rebase{File: change.File, From: change.From, To: change.To})
			at = len(list) - 1
		}
		list[at].Lines = append(list[at].Lines, change.Line)
	}
	return list
}

func runB12(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{"line": 0, "family": 0, "answered": 0, "moved": 0}}
	commits, err := b12Commits(data)
	if err != nil {
		return result, err
	}
	lives, err := b12Releases(data)
	if err != nil {
		return result, err
	}
	fixer, err := b12Fixer()
	if err != nil {
		return result, err
	}
	answered, kept := 0, 0.
	for _, c := range commits {
		for _, image := range c.images() {
			if ctx.Err() != nil {
				return result, ctx.Err()
			}
			text, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(c.Dir), "before", strings.ReplaceAll(image.File, "/", "__")))
			if err != nil {
				return result, err
			}
			if image.From == "scratch" {
				continue
			}
			result.Cases++
			name := fmt.Sprintf("%s %s %s", filepath.Base(c.Dir), image.File, image.From)
			lines, others, err := b12Lines(ctx, fixer, image, text)
			if err != nil {
				return result, fmt.Errorf("%s: %w", name, err)
			}
			right := !others && !slices.ContainsFunc(image.Lines, func(line int) bool { return !slices.Contains(lines, line) })
			if right {
				result.Metrics["line"]++
			} else {
				result.Notes = append(result.Notes, fmt.Sprintf("%s: people changed lines %v, we name %v", name, image.Lines, lines))
			}
			from, okFrom := kubernetes.ParseReference(image.From)
			to, okTo := kubernetes.ParseReference(image.To)
			if !okFrom || !okTo || b12Repository(from) != b12Repository(to) {
				result.Metrics["moved"]++
				result.Notes = append(result.Notes, fmt.Sprintf("%s: people moved to %s", name, image.To))
				continue
			}
			known := b12Known(commits, &c, from, lives)
			chosen, err := b12Tag(ctx, fixer, image, text, known)
			if err != nil {
				return result, fmt.Errorf("%s: %w", name, err)
			}
			if chosen == "" {
				result.Notes = append(result.Notes, fmt.Sprintf("%s: no newer tag is known that day", name))
				continue
			}
			answered++
			if advice.SameFamily(advice.ParseTag(chosen), advice.ParseTag(to.Tag)) {
				kept++
			} else {
				result.Notes = append(result.Notes, fmt.Sprintf("%s: people chose %s, we %s", name, to.Tag, chosen))
			}
		}
	}
	judged := float64(result.Cases) - result.Metrics["moved"]
	if answered > 0 {
		result.Metrics["family"] = kept / float64(answered)
	}
	if result.Cases > 0 && judged > 0 {
		result.Metrics["answered"] = float64(answered) / judged
		result.Metrics["line"] /= float64(result.Cases)
		result.Metrics["moved"] /= float64(result.Cases)
	}
	return result, b12Converted(data, &result)
}

func b12Fixer() (fix.SiteFixer, error) {
	for _, one := range builtin.Fixers(nil) {
		if site, ok := one.(fix.SiteFixer); ok && one.Describe().ID == "fix/dockerfile" {
			return site, nil
		}
	}
	return nil, errors.New("no fixer of Dockerfiles is built in")
}

func b12Repository(ref kubernetes.Reference) string {
	if name, ok := advice.Official(ref.Registry + "/" + ref.Repository); ok {
		return "docker.io/library/" + name
	}
	return ref.Registry + "/" + ref.Repository
}

// b12Images answers as a registry that lists what is known.
type b12Images struct {
	tags     []fix.ImageTag
	releases []advice.Known
	digest   string
}

func (b *b12Images) Tags(context.Context, string) ([]fix.ImageTag, error) { return b.tags, nil }

func (b *b12Images) Releases(context.Context, string) ([]advice.Known, error) {
	return b.releases, nil
}

func (b *b12Images) Packages(context.Context, string) ([]fact.Package, bool, error) {
	return nil, false, nil
}

func (b *b12Images) Digest(context.Context, string) (string, error) { return b.digest, nil }

// b12Plan asks for the paths at the first FROM that names an image.
func b12Plan(ctx context.Context, fixer fix.SiteFixer, image rebase, text []byte, known fix.Images) ([]fix.Path, *dockerfile.File, error) {
	file, err := dockerfile.Parse(image.File, text)
	if err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(file.Stages, func(s dockerfile.Stage) bool { return s.Base.Image == image.From || s.Base.Written == image.From })
	if at < 0 {
		return nil, file, nil
	}
	site := &fix.Site{
		Location: fact.Location{Path: image.File, Line: file.Stages[at].Base.Line, EndLine: file.Stages[at].Base.EndLine},
		Tree:     code.Files{image.File: text}, Images: known,
		Flaws: []fix.Flaw{{Issue: "i", Kind: fact.Vulnerability, Rules: []string{"CVE-0"}, Package: fact.Package{Ecosystem: "Debian:12", Name: "openssl", Version: "1"}, Fixed: []string{"2"}, Findings: 1}},
	}
	paths, err := fixer.PlanSite(ctx, site)
	return fix.Compare(paths), file, err
}

// b12Lines gives the lines that paths edit or name, and whether one of them is a FROM of
// another image. That something newer exists is given: the question is where.
func b12Lines(ctx context.Context, fixer fix.SiteFixer, image rebase, text []byte) (lines []int, others bool, err error) {
	given := &b12Images{digest: "sha256:" + strings.Repeat("0", 64)}
	if ref, ok := kubernetes.ParseReference(image.From); ok {
		tag := advice.ParseTag(ref.Tag)
		if n := len(tag.Numbers); n > 0 && tag.Version != "" {
			written := strconv.Itoa(tag.Numbers[n-1])
			if i := strings.LastIndex(tag.Version, written); i >= 0 {
				next := tag.Version[:i] + strconv.Itoa(tag.Numbers[n-1]+1) + tag.Version[i+len(written):]
				given.tags = []fix.ImageTag{{Name: strings.Replace(ref.Tag, tag.Version, next, 1), Source: "given"}}
			}
		}
	}
	paths, file, err := b12Plan(ctx, fixer, image, text, given)
	if err != nil {
		return nil, false, err
	}
	for _, path := range paths {
		if path.Kind == fix.UpgradePackage || path.Kind == fix.PatchLayer {
			continue // they leave the image as it is
		}
		for _, edit := range path.Edits {
			lines = append(lines, edit.Line)
		}
		for _, step := range path.Steps {
			if step.Location != nil {
				lines = append(lines, step.Location.Line)
			}
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	for i := range file.Stages {
		base := &file.Stages[i].Base
		others = others || slices.Contains(lines, base.Line) && base.Image != image.From && base.Written != image.From
		// A changed default decides about the FROM lines that use it.
		if slices.ContainsFunc(base.Args, func(v dockerfile.Variable) bool { return slices.Contains(lines, v.Line) }) {
			lines = append(lines, base.Line)
		}
	}
	return lines, others, nil
}

// b12Tag gives the tag of the recommended path that changes the base, "" for none.
func b12Tag(ctx context.Context, fixer fix.SiteFixer, image rebase, text []byte, known *b12Images) (string, error) {
	paths, _, err := b12Plan(ctx, fixer, image, text, known)
	if err != nil {
		return "", err
	}
	// Compare puts the recommended one first; ways without another tag are left out.
	for _, path := range paths {
		if path.Kind == fix.ChangeBase && len(path.Changes) == 1 {
			tag, _, _ := strings.Cut(path.Changes[0].To, "@")
			return tag, nil
		}
	}
	return "", nil
}

// b12Known gathers the tags of a repository that other commits name up to a commit's day,
// and the releases that were out.
func b12Known(commits []rebasing, c *rebasing, ref kubernetes.Reference, lives map[string][]b12Release) *b12Images {
	known := &b12Images{}
	for _, other := range commits {
		if other.Dir == c.Dir || other.Date > c.Date {
			continue
		}
		for _, change := range other.Changes {
			for _, written := range []string{change.From, change.To} {
				named, ok := kubernetes.ParseReference(written)
				if !ok || b12Repository(named) != b12Repository(ref) || named.Tag == "" {
					continue
				}
				tag := fix.ImageTag{Name: named.Tag, Digest: named.Digest, Source: other.Dir}
				if !slices.ContainsFunc(known.tags, func(t fix.ImageTag) bool { return t.Name == tag.Name }) {
					known.tags = append(known.tags, tag)
				}
			}
		}
	}
	for _, release := range lives[advice.Product(b12Repository(ref))] {
		if release.date != "" && release.date <= c.Date {
			known.releases = append(known.releases, advice.Known{Name: release.name, Source: "endoflife.date", Release: true})
		}
	}
	return known
}

func b12Commits(data string) ([]rebasing, error) {
	folder := filepath.Join(data, "fixes", "dockerfile-base")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var commits []rebasing
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(folder, entry.Name(), "metadata.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var c rebasing
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		c.Dir = "fixes/dockerfile-base/" + entry.Name()
		commits = append(commits, c)
	}
	return commits, nil
}

// b12Release is a release, or the first of a cycle, with its day.
type b12Release struct{ name, date string }

// b12Releases reads which releases of products came when, by product.
func b12Releases(data string) (map[string][]b12Release, error) {
	packed, err := os.Open(filepath.Join(data, "advisories", "endoflife.jsonl.zst"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	text, err := zstd.NewReader(packed)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	found := map[string][]b12Release{}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var product struct {
			Permalink string
			Releases  []struct {
				ReleaseCycle, ReleaseDate, Latest, LatestReleaseDate string
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &product); err != nil {
			continue // a product of another form
		}
		name := strings.Trim(product.Permalink, "/")
		for _, r := range product.Releases {
			found[name] = append(found[name], b12Release{r.ReleaseCycle, r.ReleaseDate}, b12Release{r.Latest, r.LatestReleaseDate})
		}
	}
	return found, lines.Err()
}

// b12Converted compares conversions with a peer's. The peer's catalogue is named by the
// setting that its results were made with.
func b12Converted(data string, result *Result) error {
	folder := filepath.Join(data, "hardened-images", "dfc", "testdata")
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	catalogue := &advice.Catalogue{Prefix: "cgr.dev/ORG", Names: map[string]string{"base": "chainguard-base"}}
	cases, equal, same := 0, 0., 0.
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".before.Dockerfile")
		if !ok {
			continue
		}
		before, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		after, err := os.ReadFile(filepath.Join(folder, name+".after.Dockerfile"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		cases++
		file, err := dockerfile.Parse(entry.Name(), before)
		if err != nil {
			result.Notes = append(result.Notes, fmt.Sprintf("%s: %v", name, err))
			continue
		}
		var got []byte
		last := 0
		for _, e := range advice.Convert(file, dockerfile.NewText(before, file), catalogue).Edits {
			got = append(append(got, before[last:e.Start]...), e.New...)
			last = e.End
		}
		got = append(got, before[last:]...)
		if bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(after)) {
			same++
		}
		if difference := b12Difference(got, after); difference == "" {
			equal++
		} else {
			result.Notes = append(result.Notes, fmt.Sprintf("conversion of %s: %s", name, difference))
		}
	}
	if cases > 0 {
		result.Metrics["converted"], result.Metrics["converted_bytes"] = equal/float64(cases), same/float64(cases)
	}
	return nil
}

// b12Difference gives the first instruction that differs between two Dockerfiles, ""
// when they have the same ones.
func b12Difference(got, want []byte) string {
	list := func(data []byte) ([]string, error) {
		file, err := dockerfile.Parse("Dockerfile", data)
		if err != nil {
			return nil, err
		}
		var texts []string
		for i := range file.Stages {
			s := &file.Stages[i]
			texts = append(texts, strings.TrimSpace(fmt.Sprintf("FROM %s %s %s", s.Base.Written, s.Base.Platform, s.Name)))
			for _, in := range s.Instructions {
				texts = append(texts, strings.TrimSpace(in.Kind+" "+strings.Join(in.Flags, " ")+" "+in.Text))
			}
		}
		return texts, nil
	}
	a, err := list(got)
	if err != nil {
		return err.Error()
	}
	b, err := list(want)
	if err != nil {
		return err.Error()
	}
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("instruction %d of %d differs from that of %d", i+1, len(a), len(b))
		}
	}
	return ""
}
