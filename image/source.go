package image

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
)

// Provenance is what an attestation says about how an image was built, filled
// by who reads and verifies it.
type Provenance struct {
	Repository string // canonical, "github.com/acme/shop"
	Commit     string
	Path       string // of the Dockerfile in the repository, "" unknown
	Dockerfile []byte // its content, when the attestation holds it
	// Layers leads from a layer's DiffID or digest to lines of the Dockerfile.
	Layers map[string]Lines
	// Bases are images that were built on, named by the annotation
	// org.opencontainers.image.ref.name.
	Bases []Descriptor
	// BaseLayers is how many layers of the image are those of the first base, 0
	// unknown.
	BaseLayers int
	Signed     bool   // the signature was verified
	Run        string // URL or id of the pipeline run
	Source     string // what was read: "attestation sha256:..."
}

func (p Provenance) evidence() fact.Evidence {
	strength := fact.Attested
	if p.Signed {
		strength = fact.Proven
	}
	return fact.Evidence{Method: "provenance", Source: p.Source, Strength: strength}
}

// Lines is a range of lines, 1-based and inclusive.
type Lines struct{ Line, EndLine int }

// BlobSource is a place in a repository that had a content.
type BlobSource struct {
	Repository string
	Path       string
	First      string // first and last commit that had it there
	Last       string
}

// BlobIndex answers which files of which repositories had a content, by git
// object id (SHA-1 or SHA-256).
type BlobIndex interface {
	Sources(ctx context.Context, blob string) ([]BlobSource, error)
}

// Repository is a repository that may be an image's source.
type Repository struct {
	Name        string // canonical identity
	Commit      string // that was looked at
	Dockerfiles []Candidate
	// Order numbers the commits of the first-parent history, oldest first.
	order map[string]int
	blobs map[string][]BlobSource
	// Module paths of go.mod files with their folders.
	Modules map[string]string
	// Problems are Dockerfiles that could not be read.
	Problems []string
}

// Sources implements BlobIndex.
func (r *Repository) Sources(_ context.Context, blob string) ([]BlobSource, error) {
	return r.blobs[blob], nil
}

const maxDockerfiles = 5000

// ReadRepository reads what a repository offers as the source of images: its
// Dockerfiles at a commit, its Go modules, and the contents its files had.
func ReadRepository(ctx context.Context, repo *git.Repository, commit string) (*Repository, error) {
	name, err := repo.Identity(ctx)
	if err != nil {
		return nil, err
	}
	r := &Repository{Name: name, Commit: commit, order: map[string]int{}, blobs: map[string][]BlobSource{}, Modules: map[string]string{}}
	tree := repo.Tree(commit)
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range paths {
		switch {
		case path.Base(name) == "go.mod":
			data, err := tree.Read(ctx, name)
			if err != nil {
				return nil, err
			}
			for line := range strings.SplitSeq(string(data), "\n") {
				if module, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
					r.Modules[strings.Trim(strings.TrimSpace(module), `"`)] = path.Dir(name)
					break
				}
			}
		case dockerfile.Named(name):
			if len(r.Dockerfiles) == maxDockerfiles {
				r.Problems = append(r.Problems, fmt.Sprintf("more than %d Dockerfiles; the rest was not read", maxDockerfiles))
				continue
			}
			data, err := tree.Read(ctx, name)
			if err != nil {
				return nil, err
			}
			file, err := dockerfile.Parse(name, data)
			if err != nil {
				r.Problems = append(r.Problems, err.Error())
				continue
			}
			r.Dockerfiles = append(r.Dockerfiles, Candidate{r.Name, commit, name, file})
		}
	}
	versions, err := repo.Versions(ctx, commit, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		r.blobs[v.Blob] = append(r.blobs[v.Blob], BlobSource{r.Name, v.Path, v.First, v.Last})
	}
	order, err := repo.FirstParents(ctx, commit)
	if err != nil {
		return nil, err
	}
	for i, id := range order {
		r.order[id] = i
	}
	return r, nil
}

// Source is a repository, and where it is known a commit, that an image was
// built from.
type Source struct {
	Repository string `json:"repository"`
	Commit     string `json:"commit,omitempty"`
	// Until is the last commit that fits when Commit is only the first.
	Until      string          `json:"until,omitempty"`
	Dockerfile string          `json:"dockerfile,omitempty"`
	Evidence   []fact.Evidence `json:"evidence"`
	Strength   fact.Strength   `json:"strength"` // of the strongest evidence
	weight     float64
}

// SourceAnswer ranks sources; several in Best are a tie.
type SourceAnswer struct {
	Best  []Source `json:"best"`
	Other []Source `json:"other,omitempty"`
	// Disputed says that evidence of one strength names different repositories.
	Disputed bool     `json:"disputed,omitempty"`
	Missing  []string `json:"missing,omitempty"`
}

var strengthRank = map[fact.Strength]int{fact.Proven: 5, fact.Attested: 4, fact.Declared: 3, fact.Derived: 2, fact.Guess: 1}

// FindSource asks every kind of evidence for the repository that an image was
// built from.
func FindSource(ctx context.Context, inventory *Inventory, parts []BasePart, provenance []Provenance, repositories []*Repository) (SourceAnswer, error) {
	var sources []Source
	add := func(repository, commit, until, file string, weight float64, evidence fact.Evidence) {
		if repository = CanonicalRepository(repository); repository == "" {
			return
		}
		for i := range sources {
			s := &sources[i]
			if s.Repository != repository || s.Dockerfile != "" && file != "" && s.Dockerfile != file {
				continue
			}
			s.Evidence = append(s.Evidence, evidence)
			if s.Commit == "" || commit != "" && until == "" && s.Until != "" {
				s.Commit, s.Until = commit, until
			}
			if s.Dockerfile == "" {
				s.Dockerfile = file
			}
			if strengthRank[evidence.Strength] > strengthRank[s.Strength] {
				s.Strength, s.weight = evidence.Strength, weight
			} else if evidence.Strength == s.Strength {
				s.weight = max(s.weight, weight)
			}
			return
		}
		sources = append(sources, Source{repository, commit, until, file, []fact.Evidence{evidence}, evidence.Strength, weight})
	}
	for _, p := range provenance {
		evidence := p.evidence()
		if p.Run != "" {
			evidence.Detail = "built by run " + p.Run
		}
		add(p.Repository, p.Commit, "", p.Path, 2, evidence)
	}
	if err := contentEquality(ctx, inventory, parts, repositories, add); err != nil {
		return SourceAnswer{}, err
	}
	image := inventory.Image
	base := 0
	for _, part := range parts {
		base = max(base, part.Layers)
	}
	for _, build := range inventory.Builds {
		if build.Layer < base || build.Revision == "" && build.Main == "" {
			continue
		}
		repository, known := "", false
		for _, r := range repositories {
			if _, ok := r.Modules[build.Main]; ok && build.Main != "" {
				repository, known = r.Name, true
				_, here := r.order[build.Revision]
				detail := "module " + build.Main
				if here {
					detail += ", its commit is in the history"
				}
				if build.Modified {
					detail += ", built from a changed work tree"
				}
				add(repository, build.Revision, "", "", 1, fact.Evidence{Method: "Go build info", Source: build.Path, Strength: fact.Attested, Detail: detail})
			}
		}
		if !known && build.Revision != "" && strings.Count(build.Main, "/") >= 2 {
			parts := strings.SplitN(build.Main, "/", 4)
			add(strings.Join(parts[:3], "/"), build.Revision, "", "", 1, fact.Evidence{Method: "Go build info", Source: build.Path, Strength: fact.Attested, Detail: "module " + build.Main})
		}
	}
	if source, ok := OwnLabel(image, parts, "org.opencontainers.image.source"); ok {
		revision, _ := OwnLabel(image, parts, "org.opencontainers.image.revision")
		add(source, revision, "", "", 1, fact.Evidence{Method: "label org.opencontainers.image.source", Source: "image configuration", Strength: fact.Declared})
	}
	var candidates []Candidate
	for _, r := range repositories {
		candidates = append(candidates, r.Dockerfiles...)
	}
	if ranking := Rank(image.Steps, candidates, baseName(parts)); ranking.Answered {
		for _, fit := range ranking.Best {
			c := candidates[fit.Candidate]
			add(c.Repository, "", "", c.Path, fit.Alignment.Score, fact.Evidence{Method: "aligned history", Source: c.Path, Strength: fact.Derived,
				Detail: fmt.Sprintf("fits %.0f %%, margin to the next %.2f", 100*fit.Alignment.Score, ranking.Margin)})
		}
	}
	return rankSources(sources, inventory, repositories), nil
}

// CanonicalRepository gives a repository's identity from an address as builders write it,
// from an identity or from a module path.
func CanonicalRepository(repository string) string {
	repository = strings.TrimPrefix(strings.TrimSpace(repository), "git+")
	repository, _, _ = strings.Cut(repository, "#")
	repository, _, _ = strings.Cut(repository, "@refs/")
	if name := git.Canonical(repository); name != "" {
		return name
	}
	host, _, ok := strings.Cut(repository, "/")
	if !ok || strings.Contains(repository, ":") || host != "local" && !strings.Contains(host, ".") || strings.Contains(repository, "..") {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(repository, "/"), ".git")
}

func baseName(parts []BasePart) string {
	for _, part := range parts {
		if len(part.Names) > 0 {
			return part.Names[0]
		}
	}
	return ""
}

func rankSources(sources []Source, inventory *Inventory, repositories []*Repository) SourceAnswer {
	slices.SortStableFunc(sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(strengthRank[b.Strength], strengthRank[a.Strength]), cmp.Compare(b.weight, a.weight), strings.Compare(a.Repository+a.Dockerfile, b.Repository+b.Dockerfile))
	})
	var answer SourceAnswer
	for _, s := range sources {
		if len(answer.Best) == 0 || s.Strength == answer.Best[0].Strength && near(s.weight, answer.Best[0].weight) {
			answer.Best = append(answer.Best, s)
		} else {
			answer.Other = append(answer.Other, s)
		}
	}
	for _, s := range answer.Best {
		if s.Repository != answer.Best[0].Repository {
			answer.Disputed = true
		}
	}
	if len(answer.Best) == 0 || strengthRank[answer.Best[0].Strength] < strengthRank[fact.Attested] {
		if len(inventory.Image.Attestations) == 0 {
			answer.Missing = append(answer.Missing, "provenance: build with attestations (mode=max) to have the source proven")
		}
		if len(repositories) == 0 {
			answer.Missing = append(answer.Missing, "repositories: name them to compare files and Dockerfiles with the image")
		}
		if len(inventory.Unread) > 0 {
			answer.Missing = append(answer.Missing, fmt.Sprintf("%d layers could not be read", len(inventory.Unread)))
		}
	}
	return answer
}

// tinyBlob is the size in bytes below which equality of contents proves
// nothing, but for manifests.
const tinyBlob = 64

// contentEquality compares the files of the image's own layers with contents
// that the repositories had.
func contentEquality(ctx context.Context, inventory *Inventory, parts []BasePart, repositories []*Repository,
	add func(repository, commit, until, file string, weight float64, evidence fact.Evidence)) error {
	base := 0
	for _, part := range parts {
		if part.Evidence.Method == "layer chain" {
			base = max(base, part.Layers)
		}
	}
	type tally struct {
		files       []string
		first, last int
		manifest    bool
	}
	tallies := make([]tally, len(repositories))
	ids := make([][]string, len(repositories))
	for i, r := range repositories {
		tallies[i] = tally{first: 0, last: len(r.order) - 1}
		ids[i] = make([]string, len(r.order))
		for id, at := range r.order {
			ids[i][at] = id
		}
	}
	for _, blob := range inventory.Blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		manifest := databaseKind(blob.Path) == "lockfile" || dockerfile.Named(blob.Path)
		if blob.Layer < base || blob.Size < tinyBlob && !manifest {
			continue
		}
		type hit struct {
			repository int
			sources    []BlobSource
		}
		var hits []hit
		for i, r := range repositories {
			found := r.blobs[blob.SHA1]
			if len(found) == 0 && blob.SHA256 != "" {
				found = r.blobs[blob.SHA256]
			}
			if len(found) > 0 {
				hits = append(hits, hit{i, found})
			}
		}
		// A content that several repositories hold tells none of them apart.
		if len(hits) != 1 {
			continue
		}
		t := &tallies[hits[0].repository]
		order := repositories[hits[0].repository].order
		same := slices.ContainsFunc(hits[0].sources, func(s BlobSource) bool { return path.Base(s.Path) == path.Base(blob.Path) })
		if !same && !manifest {
			continue
		}
		t.files = append(t.files, blob.Path)
		t.manifest = t.manifest || manifest
		// The window of commits that had all of them.
		first, last := len(order), -1
		for _, s := range hits[0].sources {
			first, last = min(first, order[s.First]), max(last, order[s.Last])
		}
		if max(t.first, first) <= min(t.last, last) {
			t.first, t.last = max(t.first, first), min(t.last, last)
		}
	}
	for i, t := range tallies {
		if len(t.files) == 0 || len(ids[i]) == 0 {
			continue
		}
		strength := fact.Proven
		if !t.manifest && len(t.files) < 3 {
			strength = fact.Derived
		}
		until := ids[i][t.last]
		if t.first == t.last {
			until = ""
		}
		add(repositories[i].Name, ids[i][t.first], until, "", 1+float64(len(t.files))/1e6, fact.Evidence{Method: "content equality", Source: strings.Join(t.files[:min(len(t.files), 5)], ", "), Strength: strength,
			Detail: fmt.Sprintf("%d files of the image are contents of this repository only", len(t.files))})
	}
	return nil
}
