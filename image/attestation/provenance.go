package attestation

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image"
)

// ErrClaim says that a statement contradicts the certificate that signed it.
var ErrClaim = errors.New("the statement contradicts its certificate")

// Predicate types of provenance.
const (
	provenanceV01 = "https://slsa.dev/provenance/v0.1"
	provenanceV02 = "https://slsa.dev/provenance/v0.2"
	provenanceV1  = "https://slsa.dev/provenance/v1"
)

// Build types of BuildKit.
const (
	buildKitV02 = "https://mobyproject.org/buildkit@v1"
	buildKitV1  = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
)

// material is something that went into a build.
type material struct {
	URI        string            `json:"uri"`
	Repository string            `json:"repository"` // what workflows write for uri
	Digest     map[string]string `json:"digest"`
	// Path is the file in it that told how to build.
	Path       string `json:"path"`
	EntryPoint string `json:"entryPoint"`
}

var commitForm = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// commit gives the commit of a repository; GitLab puts it under sha256.
func (m material) commit() string {
	for _, kind := range []string{"gitCommit", "sha1", "sha256"} {
		if commitForm.MatchString(m.Digest[kind]) {
			return m.Digest[kind]
		}
	}
	return ""
}

// predicate is provenance of SLSA, its versions side by side.
type predicate struct {
	// v0.1 and v0.2
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
	BuildType  string `json:"buildType"`
	Invocation struct {
		ConfigSource material                  `json:"configSource"`
		Parameters   jsontext.Value            `json:"parameters"`
		Environment  map[string]jsontext.Value `json:"environment"`
	} `json:"invocation"`
	BuildConfig jsontext.Value `json:"buildConfig"`
	Materials   []material     `json:"materials"`
	Metadata    struct {
		Invocation string           `json:"buildInvocationId,case:ignore"`
		BuildKit   buildKitMetadata `json:"https://mobyproject.org/buildkit@v1#metadata"`
	} `json:"metadata"`
	// v1
	BuildDefinition struct {
		BuildType    string                    `json:"buildType"`
		External     map[string]jsontext.Value `json:"externalParameters"`
		Internal     map[string]jsontext.Value `json:"internalParameters"`
		Dependencies []material                `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			Invocation string           `json:"invocationId"`
			BuildKit   buildKitMetadata `json:"buildkit_metadata"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// Provenance gives what a statement that was believed says of how an image was
// built; ok is false when it says nothing of that. The image decides which layers
// of a base are its own; nil leaves that open.
func (r *Result) Provenance(of *image.Image) (p image.Provenance, ok bool, err error) {
	s := r.statement
	if s == nil {
		return p, false, nil
	}
	var said predicate
	switch s.PredicateType {
	case provenanceV01, provenanceV02, provenanceV1:
	default:
		return p, false, nil
	}
	if err := decode(s.Predicate, &said); err != nil {
		return p, false, fmt.Errorf("predicate %s: %w", s.PredicateType, err)
	}
	var kit *buildKit
	switch s.PredicateType {
	case provenanceV01:
		for _, m := range said.Materials {
			if uri, commit, ok := strings.Cut(m.URI, "/commit/"); ok {
				m.URI, m.Digest = uri, map[string]string{"sha1": commit}
			}
			if p.Repository = image.CanonicalRepository(m.URI); p.Repository != "" {
				p.Commit = m.commit()
				break
			}
		}
		p.Run = said.Metadata.Invocation
	case provenanceV02:
		source := said.Invocation.ConfigSource
		p.Repository, p.Commit = image.CanonicalRepository(source.URI), source.commit()
		p.Run = said.Metadata.Invocation
		if run := number(said.Invocation.Environment["github_run_id"]); run != "" && strings.HasPrefix(p.Repository, "github.com/") {
			p.Run = "https://" + p.Repository + "/actions/runs/" + run
		}
		if said.BuildType == buildKitV02 {
			kit = &buildKit{said.Metadata.BuildKit, shaped[buildConfig](said.BuildConfig), source, shaped[buildRequest](said.Invocation.Parameters), said.Materials, said.Builder.ID}
		}
	case provenanceV1:
		d := said.BuildDefinition
		p.Run = said.RunDetails.Metadata.Invocation
		said.BuildType, said.Builder.ID = d.BuildType, said.RunDetails.Builder.ID
		source := v1Source(d.External, d.Dependencies)
		p.Repository, p.Commit = image.CanonicalRepository(source.URI), source.commit()
		if d.BuildType == buildKitV1 {
			kit = &buildKit{said.RunDetails.Metadata.BuildKit, shaped[buildConfig](d.Internal["buildConfig"]), shaped[material](d.External["configSource"]),
				shaped[buildRequest](d.External["request"]), d.Dependencies, said.Builder.ID}
		}
	}
	if kit != nil {
		if err := kit.fill(&p, of); err != nil {
			return p, false, err
		}
	} else if err := r.agrees(p, said.Builder.ID); err != nil {
		return p, false, err
	}
	p.Signed = r.Strength == fact.Proven
	p.Source = "attestation " + r.Name
	if r.Signer != "" {
		p.Source += " signed by " + r.Signer
	}
	return p, true, nil
}

// shaped reads a part of provenance whose shape is each builder's own: one of
// another shape says nothing.
func shaped[T any](value jsontext.Value) T {
	var part, none T
	if len(value) == 0 || decode(value, &part) != nil {
		return none
	}
	return part
}

// v1Source finds the repository among what builders put into version 1: a
// workflow or a source that is named, whose commit stands among the
// dependencies; else the only repository among these.
func v1Source(external map[string]jsontext.Value, dependencies []material) material {
	var named material
	for _, name := range []string{"workflow", "configSource", "source", "buildConfigSource"} {
		if named.URI == "" {
			named = shaped[material](external[name])
			named.URI = cmp.Or(named.URI, named.Repository)
		}
	}
	if named.URI == "" {
		named.URI = shaped[string](external["source"]) // as GitLab writes it
	}
	var only []material
	for _, d := range dependencies {
		repository := image.CanonicalRepository(d.URI)
		if repository == "" || d.commit() == "" || strings.HasPrefix(d.URI, "pkg:") {
			continue
		}
		if named.URI != "" && repository == image.CanonicalRepository(named.URI) {
			if named.commit() == "" {
				named.Digest = d.Digest
			}
			return named
		}
		only = append(only, d)
	}
	if named.URI == "" && len(only) == 1 {
		return only[0]
	}
	return named
}

// agrees compares what the statement says of its source with what the identity
// provider told the certificate authority of the workflow that signed. A workflow
// of GitHub that says that it built something else than its own repository is not
// believed.
func (r *Result) agrees(p image.Provenance, builder string) error {
	repository := image.CanonicalRepository(r.claims.SourceRepositoryURI)
	if repository == "" || p.Repository == "" || !strings.HasPrefix(builder, "https://github.com/") {
		return nil
	}
	if !strings.EqualFold(repository, p.Repository) {
		return fmt.Errorf("%w: built from %s, the certificate is of %s", ErrClaim, p.Repository, repository)
	}
	if digest := r.claims.SourceRepositoryDigest; digest != "" && p.Commit != "" && digest != p.Commit {
		return fmt.Errorf("%w: built from commit %s, the certificate is of %s", ErrClaim, p.Commit, cut(digest))
	}
	return nil
}

// number reads a number that some write as a text.
func number(value jsontext.Value) string {
	text := strings.Trim(string(value), `"`)
	for _, r := range text {
		if r < '0' || r > '9' {
			return ""
		}
	}
	return text
}

// within joins folders and a file of a repository, "" for one outside of it.
func within(parts ...string) string {
	joined := path.Join(parts...)
	if joined == ".." || strings.HasPrefix(joined, "../") || strings.HasPrefix(joined, "/") || strings.Contains(joined, "\\") {
		return ""
	}
	return joined
}

// imageOf gives the reference of an image from a package URL as BuildKit writes
// it, "" for anything else.
func imageOf(purl string) string {
	rest, ok := strings.CutPrefix(purl, "pkg:docker/")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "?")
	name, tag, tagged := strings.Cut(rest, "@")
	name, err := url.PathUnescape(name)
	if err != nil {
		return ""
	}
	if tag, err = url.PathUnescape(tag); err != nil {
		return ""
	}
	if tagged {
		name += ":" + tag
	}
	return name
}
