package maven

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fix"
)

// Repository is a registry over a folder in the layout of a Maven repository: a
// mirror, or the local repository that mvn keeps. Versions are those that its
// metadata lists; without metadata nobody can say which exist. It is safe for
// concurrent use.
type Repository struct {
	root *os.Root

	mu   sync.Mutex
	read map[string]*artifactPOM // by group:artifact:version; nil for none
}

// artifactPOM is a pom of the repository with its parents.
type artifactPOM struct {
	project *project
	own     *pom
}

// NewRegistry opens the operator's local repository: the folder that
// BACKSTITCH_MAVEN_REPOSITORY names, else .m2/repository in the home folder.
func NewRegistry(context.Context) (*Repository, error) {
	dir := os.Getenv("BACKSTITCH_MAVEN_REPOSITORY")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("local repository of Maven: %w", err)
		}
		dir = filepath.Join(home, ".m2", "repository")
	}
	return OpenRepository(dir)
}

// OpenRepository opens a folder in the layout of a repository.
func OpenRepository(dir string) (*Repository, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("repository of Maven: %w", err)
	}
	return &Repository{root: root, read: map[string]*artifactPOM{}}, nil
}

// Close releases the folder.
func (r *Repository) Close() error { return r.root.Close() }

// Partial says that the repository may lack what exists elsewhere.
func (*Repository) Partial() bool { return true }

// folder is where an artifact's versions lie.
func folder(name string) (dir, artifact string, err error) {
	if !fix.IsMavenName(name) || strings.Contains(name, "..") {
		return "", "", fmt.Errorf("%q: expected group:artifact", name)
	}
	group, artifact, _ := strings.Cut(name, ":")
	return path.Join(strings.ReplaceAll(group, ".", "/"), artifact), artifact, nil
}

// Bounds of what is read from a repository.
const (
	maxMetadata = 4 << 20
	maxPOMFile  = 4 << 20
)

func (r *Repository) file(name string, most int64) ([]byte, error) {
	file, err := r.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: larger than %d bytes", name, most)
	}
	return data, err
}

// Versions implements fix.Registry. It is nil where no metadata is kept.
func (r *Repository) Versions(ctx context.Context, name string) ([]string, error) {
	dir, _, err := folder(name)
	if err != nil {
		return nil, err
	}
	opened, err := r.root.Open(filepath.FromSlash(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("versions of %s: %w", name, err)
	}
	entries, err := opened.ReadDir(-1)
	if err := errors.Join(err, opened.Close()); err != nil {
		return nil, fmt.Errorf("versions of %s: %w", name, err)
	}
	var versions []string
	for _, entry := range entries {
		base := entry.Name()
		if !strings.HasPrefix(base, "maven-metadata") || path.Ext(base) != ".xml" || base == "maven-metadata-local.xml" {
			continue
		}
		data, err := r.file(path.Join(dir, base), maxMetadata)
		if err != nil {
			return nil, fmt.Errorf("versions of %s: %w", name, err)
		}
		var metadata struct {
			Versions []string `xml:"versioning>versions>version"`
		}
		if err := xml.Unmarshal(data, &metadata); err != nil {
			return nil, fmt.Errorf("versions of %s: %s: %w", name, base, err)
		}
		for _, v := range metadata.Versions {
			if v = strings.TrimSpace(v); fix.IsMavenVersion(v) && !slices.Contains(versions, v) {
				versions = append(versions, v)
			}
		}
	}
	return versions, ctx.Err()
}

// pom reads an artifact's pom with its parents; nil when the repository has none.
func (r *Repository) pom(ctx context.Context, name, version string) (*artifactPOM, error) {
	if !fix.IsMavenVersion(version) || strings.Contains(version, "..") {
		return nil, fmt.Errorf("%s: %q: expected a version", name, version)
	}
	key := name + ":" + version
	r.mu.Lock()
	found, known := r.read[key]
	r.mu.Unlock()
	if known {
		return found, nil
	}
	// The chain of parents is laid as a tree of its own, each in the folder below.
	files := code.Files{}
	at := "pom.xml"
	for n := range maxParents {
		dir, artifact, err := folder(name)
		if err != nil {
			return nil, err
		}
		data, err := r.file(path.Join(dir, version, artifact+"-"+version+".pom"), maxPOMFile)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("pom of %s %s: %w", name, version, err)
		}
		files[at] = data
		p, err := parsePOM(at, data)
		if err != nil {
			return nil, fmt.Errorf("pom of %s %s: %w", name, version, err)
		}
		parent := p.root.child("parent")
		if parent == nil {
			break
		}
		name, version = parent.value("groupId")+":"+parent.value("artifactId"), parent.value("version")
		if !fix.IsMavenName(name) || !fix.IsMavenVersion(version) {
			break
		}
		at = fmt.Sprintf("parent%d/pom.xml", n)
	}
	if files["pom.xml"] != nil {
		names, err := files.Paths(ctx)
		if err != nil {
			return nil, err
		}
		project, err := load(ctx, files, names, parsePOM)
		if err != nil {
			return nil, err
		}
		found = &artifactPOM{project, project.poms["pom.xml"]}
	}
	r.mu.Lock()
	r.read[key] = found
	r.mu.Unlock()
	return found, nil
}

// Requirements implements fix.Registry: what whoever depends on the version gets
// too. Versions that the artifact's poms and bills do not tell are left out. It is
// fs.ErrNotExist for a pom that the repository does not hold.
func (r *Repository) Requirements(ctx context.Context, name, version string) (map[string]string, error) {
	p, err := r.pom(ctx, name, version)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fmt.Errorf("pom of %s %s: %w", name, version, fs.ErrNotExist)
	}
	manages, err := r.managed(ctx, p, 0)
	if err != nil {
		return nil, err
	}
	requires := map[string]string{}
	for _, in := range p.own.chain() {
		for _, e := range in.root.at("dependencies").all("dependency") {
			scope := e.value("scope")
			if scope != "" && scope != "compile" && scope != "runtime" || e.value("optional") == "true" || e.value("classifier") != "" {
				continue
			}
			c := p.own.coordinates(e)
			text := p.own.expand(e.value("version"))
			if text == "" {
				text = manages[c.name]
			}
			if _, nearer := requires[c.name]; !nearer && text != "" && !strings.Contains(text, "${") {
				requires[c.name] = text
			}
		}
	}
	return requires, nil
}

// Managed implements Managing: group:artifact to version, bills that are imported
// included. It is empty for a pom that the repository does not hold.
func (r *Repository) Managed(ctx context.Context, name, version string) (map[string]string, error) {
	p, err := r.pom(ctx, name, version)
	if err != nil || p == nil {
		return nil, err
	}
	return r.managed(ctx, p, 0)
}

// maxBills bounds how deep bills import bills.
const maxBills = 8

func (r *Repository) managed(ctx context.Context, p *artifactPOM, depth int) (map[string]string, error) {
	manages := map[string]string{}
	var bills []place
	for _, in := range p.own.chain() {
		for _, at := range in.places() {
			switch {
			case at.role == roleBill:
				bills = append(bills, at)
			case at.role == roleManaged && at.at.value("classifier") == "":
				name := p.own.coordinates(at.at).name
				if text := p.own.expand(at.at.value("version")); manages[name] == "" && !strings.Contains(text, "${") {
					manages[name] = text
				}
			}
		}
	}
	for _, at := range bills {
		name, version := p.own.coordinates(at.at).name, p.own.expand(at.at.value("version"))
		if depth >= maxBills || !fix.IsMavenName(name) || !fix.IsMavenVersion(version) {
			continue
		}
		bill, err := r.pom(ctx, name, version)
		if err != nil || bill == nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		more, err := r.managed(ctx, bill, depth+1)
		if err != nil {
			return nil, err
		}
		for name, text := range more {
			if manages[name] == "" {
				manages[name] = text
			}
		}
	}
	return manages, nil
}
