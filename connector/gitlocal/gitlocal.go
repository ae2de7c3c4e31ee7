// Package gitlocal brings the repositories in a folder of this machine: what
// each is called, its newest commit, and where its Dockerfiles, Terraform
// configurations, charts, manifests, submodules and CODEOWNERS lie.
//
// Repositories are work trees or bare, and are read through code/git: objects
// only, so that nothing a repository brings can run.
package gitlocal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/codeowners"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// ID names the source.
const ID = "connector/gitlocal"

// Bounds of the search.
const (
	maxDepth = 6       // folders below path
	maxTerra = 1 << 20 // bytes of a file that is searched for module sources
)

type source struct{}

// New makes the source of local repositories.
func New() connector.Source { return source{} }

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "local repositories",
		Docs: "The git repositories in a folder of this machine, work trees and bare ones: their canonical name and newest commit, Dockerfiles, Terraform roots, Helm charts, Kustomizations, CODEOWNERS and submodules. Nothing that a repository brings is run.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "path", Kind: connector.SettingPath, Required: true, Help: "a repository, or a folder with repositories below it"},
		{Name: "revision", Kind: connector.SettingText, Default: "HEAD", Help: "branch, tag or commit that is looked at"},
	}
}

// Sync implements connector.Source. Each repository is a scope, named by its
// folder below path.
func (source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := repositories(ctx, values["path"], sink)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		sink.Progress("reading repositories", i, len(names))
		if sink.Done(name) {
			continue
		}
		t := &teller{sink: sink, scope: name}
		err := t.repository(ctx, filepath.Join(values["path"], filepath.FromSlash(name)), values["revision"])
		switch {
		case t.err != nil:
			return t.err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			sink.Gap(name, err)
		default:
			if err := sink.Covered(name); err != nil {
				return err
			}
		}
	}
	sink.Progress("reading repositories", len(names), len(names))
	return nil
}

// repositories lists the repositories at and below a folder, sorted. Below a
// repository none is looked for: submodules are named by the one above.
func repositories(ctx context.Context, root string, sink connector.Sink) ([]string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("setting path: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("setting path: %s is a file; expected a folder", root)
	}
	var names []string
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		below, fault := filepath.Rel(root, name)
		if fault != nil {
			return fault
		}
		below = filepath.ToSlash(below)
		if err != nil {
			sink.Gap(below, errors.New("the folder cannot be listed"))
			return fs.SkipDir
		}
		if !entry.IsDir() {
			return nil
		}
		if holdsRepository(name) {
			names = append(names, below)
			return fs.SkipDir
		}
		if code.SkipFolder(entry.Name()) || below != "." && strings.Count(below, "/") >= maxDepth {
			return fs.SkipDir
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("setting path: %s holds no git repository down to %d folders below it", root, maxDepth)
	}
	slices.Sort(names)
	return names, err
}

// holdsRepository says whether a folder is the top of a work tree or bare.
func holdsRepository(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		return true
	}
	for _, part := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Lstat(filepath.Join(dir, part)); err != nil {
			return false
		}
	}
	return true
}

// teller tells of one repository. The first error of the sink stays.
type teller struct {
	sink     connector.Sink
	scope    string
	home     fact.Asset
	commit   string
	evidence fact.Evidence
	err      error
}

func (t *teller) node(asset fact.Asset, properties map[string]string) {
	if t.err == nil {
		t.err = t.sink.Node(t.scope, fact.Node{Asset: asset, Properties: properties})
	}
}

func (t *teller) relate(from fact.Asset, kind fact.RelationKind, to fact.Asset, file string) {
	if t.err != nil {
		return
	}
	relation := fact.Relation{From: from, Kind: kind, To: to, Evidence: t.evidence}
	if file != "" {
		relation.Location = &fact.Location{Repository: t.home.Key, Commit: t.commit, Path: file}
	}
	t.err = t.sink.Relation(t.scope, relation)
}

// within names a thing of the repository by its path.
func (t *teller) within(kind, name string) fact.Asset {
	return fact.Asset{Kind: kind, Key: t.home.Key + "//" + name, Name: name}
}

func (t *teller) repository(ctx context.Context, dir, revision string) error {
	repository, err := git.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer repository.Close()
	commit, err := repository.Resolve(ctx, revision)
	if err != nil {
		return err
	}
	identity, err := repository.Identity(ctx)
	if err != nil {
		return err
	}
	t.home, t.commit = fact.Asset{Kind: fact.AssetRepository, Key: identity, Name: identity}, commit
	t.evidence = fact.Evidence{Method: "git tree", Source: identity + "@" + commit, Strength: fact.Proven}
	tree := repository.Tree(commit)
	paths, err := tree.Paths(ctx)
	if err != nil {
		return err
	}
	said := map[string]string{"commit": commit, "revision": revision, "files": fmt.Sprint(len(paths))}
	if repository.Bare() {
		said["bare"] = "true"
	}
	if repository.Shallow() {
		said["shallow"] = "true"
	}
	for _, dialect := range []struct {
		name    string
		dialect codeowners.Dialect
	}{{"github", codeowners.GitHub}, {"gitlab", codeowners.GitLab}, {"gitea", codeowners.Gitea}} {
		rules, _, err := codeowners.Find(ctx, tree, dialect.dialect)
		if err != nil {
			return fmt.Errorf("CODEOWNERS: %w", err)
		}
		if rules != nil {
			said["codeowners:"+dialect.name] = rules.Path
		}
	}
	t.node(t.home, said)
	if err := t.files(ctx, tree, paths); err != nil {
		return err
	}
	return t.submodules(ctx, tree, paths)
}

// files tells where images, infrastructure and deployments are described.
func (t *teller) files(ctx context.Context, tree code.Tree, paths []string) error {
	var terraform []string
	for _, name := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		base := path.Base(name)
		switch {
		case dockerfile(base):
			t.thing(t.within(fact.AssetDockerfile, name), "dockerfile", name)
		case base == "Chart.yaml":
			t.thing(t.within(fact.AssetFile, name), "helm_chart", name)
		case base == "kustomization.yaml" || base == "kustomization.yml" || base == "Kustomization":
			t.thing(t.within(fact.AssetFile, name), "kustomization", name)
		case path.Ext(name) == ".tf" || strings.HasSuffix(name, ".tf.json"):
			terraform = append(terraform, name)
		}
	}
	return t.roots(ctx, tree, terraform)
}

func (t *teller) thing(asset fact.Asset, kind, file string) {
	t.node(asset, map[string]string{"type": kind, "path": file, "repository": t.home.Key})
	t.relate(asset, fact.PartOf, t.home, file)
	if asset.Kind != fact.AssetFile {
		t.relate(asset, fact.DeclaredAt, t.within(fact.AssetFile, file), file)
	}
}

// dockerfile says whether a name is that of a Dockerfile by its usual forms.
func dockerfile(base string) bool {
	lower := strings.ToLower(base)
	return lower == "dockerfile" || lower == "containerfile" || strings.HasPrefix(lower, "dockerfile.") && path.Ext(lower) != ".dockerignore" || strings.HasSuffix(lower, ".dockerfile")
}

// moduleSource finds the local folders that module calls name.
var moduleSource = regexp.MustCompile(`(?m)^\s*"?source"?\s*[=:]\s*"(\.{1,2}/[^"\n]*)"`)

// roots tells the folders of Terraform files that no module call of the
// repository leads to.
func (t *teller) roots(ctx context.Context, tree code.Tree, files []string) error {
	folders, called := map[string]bool{}, map[string]bool{}
	for _, name := range files {
		folders[path.Dir(name)] = true
		data, err := tree.Read(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, found := range moduleSource.FindAllSubmatch(data[:min(len(data), maxTerra)], -1) {
			called[path.Join(path.Dir(name), string(found[1]))] = true
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if !called[folder] {
			asset := t.within(fact.AssetFile, strings.TrimPrefix(folder, "."))
			if folder == "." {
				asset.Name = "."
			}
			t.node(asset, map[string]string{"type": "terraform_root", "path": folder, "repository": t.home.Key})
			t.relate(asset, fact.PartOf, t.home, "")
		}
	}
	return nil
}

// submodules tells which repositories this one holds at which path.
func (t *teller) submodules(ctx context.Context, tree code.Tree, paths []string) error {
	if !slices.Contains(paths, ".gitmodules") {
		return nil
	}
	data, err := tree.Read(ctx, ".gitmodules")
	if err != nil {
		return fmt.Errorf(".gitmodules: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for number := 1; lines.Scan(); number++ {
		key, value, found := strings.Cut(lines.Text(), "=")
		if !found || strings.ToLower(strings.TrimSpace(key)) != "url" {
			continue
		}
		address := strings.Trim(strings.TrimSpace(value), `"`)
		relative := strings.HasPrefix(address, "./") || strings.HasPrefix(address, "../")
		switch {
		case relative && strings.HasPrefix(t.home.Key, "local/"):
			address = "" // relative to a remote that is not known
		case relative:
			address = path.Join(t.home.Key, address)
		default:
			address = git.Canonical(address)
		}
		if address == "" {
			t.sink.Note(t.scope, fmt.Sprintf(".gitmodules:%d: the address of the submodule names no repository", number))
			continue
		}
		to := fact.Asset{Kind: fact.AssetRepository, Key: strings.TrimSuffix(address, ".git"), Name: strings.TrimSuffix(address, ".git")}
		if t.err == nil {
			t.err = t.sink.Relation(t.scope, fact.Relation{From: t.home, Kind: fact.DependsOn, To: to, Evidence: t.evidence,
				Properties: map[string]string{"as": "submodule"}, Location: &fact.Location{Repository: t.home.Key, Commit: t.commit, Path: ".gitmodules", Line: number}})
		}
	}
	return lines.Err()
}
