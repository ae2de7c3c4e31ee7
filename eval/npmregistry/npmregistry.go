// Package npmregistry serves packages of npm on the loopback interface, so that
// npm, pnpm and yarn can resolve and install without a network: in tests of
// fixers, and where accuracy and performance are measured.
package npmregistry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/google/osv-scalibr/semantic"
)

// Registry is a running server. It is safe for concurrent use.
type Registry struct {
	// URL is the address to set as the registry, with a slash at its end.
	URL string

	server   *httptest.Server
	versions map[string]map[string]map[string]string // name -> version -> dependencies

	mu          sync.Mutex
	archives    map[string][]byte // name@version -> archive
	credentials bool
}

// New serves packages: "name@version" to its dependencies, name to constraint.
// Close it when done.
func New(packages map[string]map[string]string) *Registry {
	r := &Registry{versions: map[string]map[string]map[string]string{}, archives: map[string][]byte{}}
	for key, dependencies := range packages {
		at := strings.LastIndex(key, "@")
		name, version := key[:at], key[at+1:]
		if r.versions[name] == nil {
			r.versions[name] = map[string]map[string]string{}
		}
		r.versions[name][version] = dependencies
	}
	r.server = httptest.NewServer(r)
	r.URL = r.server.URL + "/"
	return r
}

// Close stops the server.
func (r *Registry) Close() { r.server.Close() }

// Credentials says whether any request carried an authorization.
func (r *Registry) Credentials() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.credentials
}

type manifest struct {
	Name         string            `json:"name"`
	Version      string            `json:"version"`
	Dependencies map[string]string `json:"dependencies,omitempty"`
	Dist         map[string]string `json:"dist,omitempty"`
}

// ServeHTTP answers for what a package's versions are, and with archives.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Header.Get("Authorization") != "" {
		r.mu.Lock()
		r.credentials = true
		r.mu.Unlock()
	}
	what := strings.TrimPrefix(request.URL.Path, "/")
	if name, file, ok := strings.Cut(what, "/-/"); ok {
		version := strings.TrimSuffix(strings.TrimPrefix(file, base(name)+"-"), ".tgz")
		if _, known := r.versions[name][version]; !known {
			http.NotFound(w, request)
			return
		}
		archive, err := r.archive(name, version)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(archive)
		return
	}
	document, err := r.document(what)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if document == nil {
		http.NotFound(w, request)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document)
}

// base is the name of a package without its scope.
func base(name string) string { return name[strings.LastIndex(name, "/")+1:] }

// released is when every version was released: long ago.
const released = "2020-01-02T03:04:05.000Z"

func (r *Registry) document(name string) (map[string]any, error) {
	if len(r.versions[name]) == 0 {
		return nil, nil
	}
	versions, times, latest := map[string]manifest{}, map[string]string{"created": released, "modified": released}, ""
	for version, dependencies := range r.versions[name] {
		archive, err := r.archive(name, version)
		if err != nil {
			return nil, err
		}
		sum, old := sha512.Sum512(archive), sha1.Sum(archive)
		versions[version] = manifest{name, version, dependencies, map[string]string{
			"tarball":   r.URL + name + "/-/" + base(name) + "-" + version + ".tgz",
			"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
			"shasum":    hex.EncodeToString(old[:]),
		}}
		times[version] = released
		if order, err := semantic.ParseSemverVersion(version).CompareStr(latest); latest == "" || err == nil && order > 0 {
			latest = version
		}
	}
	return map[string]any{"name": name, "versions": versions, "time": times, "modified": released, "dist-tags": map[string]string{"latest": latest}}, nil
}

// archive makes what a version is installed from: its package.json alone.
func (r *Registry) archive(name, version string) ([]byte, error) {
	key := name + "@" + version
	r.mu.Lock()
	defer r.mu.Unlock()
	if made := r.archives[key]; made != nil {
		return made, nil
	}
	text, err := json.Marshal(manifest{Name: name, Version: version, Dependencies: r.versions[name][version]})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	files := tar.NewWriter(zipped)
	err = files.WriteHeader(&tar.Header{Name: "package/package.json", Mode: 0o644, Size: int64(len(text))})
	if err == nil {
		_, err = files.Write(text)
	}
	if err == nil {
		err = files.Close()
	}
	if err == nil {
		err = zipped.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	r.archives[key] = packed.Bytes()
	return r.archives[key], nil
}
