package image

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
)

// maxPackages bounds the packages of one database.
const maxPackages = 200000

// databaseKind says which reader a path is for, "" for none.
func databaseKind(name string) string {
	dir, base := path.Split(name)
	switch name {
	case "etc/os-release", "usr/lib/os-release":
		return "release"
	case "var/lib/dpkg/status":
		return "dpkg"
	case "lib/apk/db/installed", "usr/lib/apk/db/installed":
		return "apk"
	}
	switch dir {
	case "var/lib/dpkg/status.d/":
		if !strings.HasSuffix(base, ".md5sums") {
			return "dpkg"
		}
		return ""
	case "var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/":
		switch base {
		case "rpmdb.sqlite", "Packages", "Packages.db":
			return "rpm"
		}
		return ""
	}
	low := strings.ToLower(base)
	switch {
	case base == "package.json" && strings.Contains(dir, "node_modules/"):
		return "npm"
	case strings.HasSuffix(dir, ".dist-info/") && base == "METADATA", strings.HasSuffix(dir, ".egg-info/") && base == "PKG-INFO", strings.HasSuffix(base, ".egg-info"):
		return "pypi"
	case strings.HasSuffix(base, ".gemspec") && strings.Contains(dir, "specifications/"):
		return "gem"
	case strings.HasSuffix(low, ".jar"), strings.HasSuffix(low, ".war"), strings.HasSuffix(low, ".ear"), strings.HasSuffix(low, ".par"):
		return "maven"
	case name == "vendor/composer/installed.json" || strings.HasSuffix(name, "/vendor/composer/installed.json"):
		return "composer"
	case strings.HasSuffix(base, ".deps.json"):
		return "nuget"
	case !strings.Contains(dir, "node_modules/") && !strings.Contains(dir, "-packages/") && !strings.Contains(dir, "/vendor/") && lockfile.Wants(name):
		return "lockfile"
	}
	return ""
}

func parseDatabase(kind, name string, data []byte) (packages []Installed, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("%s database could not be read: %v", kind, broken)
		}
	}()
	switch kind {
	case "dpkg":
		return parseDpkg(data, strings.Contains(name, "status.d/")), nil
	case "apk":
		return parseAPK(data), nil
	case "rpm":
		return parseRPM(data)
	case "npm":
		return parseNPM(data)
	case "pypi":
		return parsePython(data)
	case "gem":
		return parseGem(path.Base(name), data)
	case "maven":
		j := &jars{left: maxDatabase, entries: 200000}
		err := j.read(name, data, 0)
		return j.packages, err
	case "composer":
		return parseComposer(data)
	case "nuget":
		return parseNuGet(data)
	}
	return nil, fmt.Errorf("no reader for %s", kind)
}

// paragraphs calls yield with the fields of each paragraph of a control file;
// only first lines of fields are given.
func paragraphs(data []byte, yield func(fields map[string]string)) {
	fields := map[string]string{}
	for len(data) > 0 {
		line := data
		if at := bytes.IndexByte(data, '\n'); at >= 0 {
			line, data = data[:at], data[at+1:]
		} else {
			data = nil
		}
		line = bytes.TrimRight(line, "\r \t")
		if len(line) == 0 {
			if len(fields) > 0 {
				yield(fields)
				fields = map[string]string{}
			}
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && len(key) <= 64 {
			switch string(key) {
			case "Package", "Version", "Architecture", "Source", "Status":
				fields[string(key)] = string(bytes.TrimSpace(value))
			}
		}
	}
	if len(fields) > 0 {
		yield(fields)
	}
}

func parseDpkg(data []byte, distroless bool) []Installed {
	var packages []Installed
	paragraphs(data, func(f map[string]string) {
		if f["Package"] == "" || f["Version"] == "" || len(packages) >= maxPackages {
			return
		}
		if state := strings.Fields(f["Status"]); !distroless && (len(state) != 3 || state[2] != "installed" && !strings.HasPrefix(state[2], "trigger") && state[2] != "unpacked" && state[2] != "half-configured") {
			return
		}
		p := Installed{Name: f["Package"], Version: f["Version"], Arch: f["Architecture"]}
		if source := f["Source"]; source != "" {
			name, version, versioned := strings.Cut(source, " (")
			p.Source = strings.TrimSpace(name)
			if versioned {
				p.SourceVer = strings.TrimSuffix(version, ")")
			}
			if p.Source == p.Name && p.SourceVer == "" {
				p.Source = ""
			}
		}
		packages = append(packages, p)
	})
	return packages
}

func parseAPK(data []byte) []Installed {
	var packages []Installed
	var p Installed
	flush := func() {
		if p.Name != "" && p.Version != "" && len(packages) < maxPackages {
			packages = append(packages, p)
		}
		p = Installed{}
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		line = bytes.TrimRight(line, "\r")
		if len(line) == 0 {
			flush()
			continue
		}
		if len(line) < 2 || line[1] != ':' {
			continue
		}
		switch value := line[2:]; line[0] {
		case 'P':
			p.Name = string(value)
		case 'V':
			p.Version = string(value)
		case 'A':
			p.Arch = string(value)
		case 'o':
			if p.Source = string(value); p.Source == p.Name {
				p.Source = ""
			}
		}
	}
	flush()
	return packages
}

func parseRelease(data []byte) Release {
	var r Release
	for line := range strings.SplitSeq(string(data[:min(len(data), 64<<10)]), "\n") {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			r.ID = value
		case "ID_LIKE":
			r.IDLike = value
		case "VERSION_ID":
			r.Version = value
		case "VERSION_CODENAME":
			r.Codename = value
		case "PRETTY_NAME":
			r.Pretty = value
		}
	}
	return r
}

func parseNPM(data []byte) ([]Installed, error) {
	var doc struct {
		Name    string `json:"name"`
		Version any    `json:"version"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &doc); err != nil {
		return nil, err
	}
	version, _ := doc.Version.(string)
	if doc.Name == "" || version == "" {
		return nil, nil
	}
	return []Installed{{Name: doc.Name, Version: version, Ecosystem: "npm"}}, nil
}

func parsePython(data []byte) ([]Installed, error) {
	p := Installed{Ecosystem: "PyPI"}
	for line := range strings.SplitSeq(string(data[:min(len(data), 256<<10)]), "\n") {
		line = strings.TrimRight(line, "\r")
		if line == "" {
			break
		}
		if name, ok := strings.CutPrefix(line, "Name:"); ok && p.Name == "" {
			p.Name = lockfile.PythonName(strings.TrimSpace(name))
		}
		if version, ok := strings.CutPrefix(line, "Version:"); ok && p.Version == "" {
			p.Version = strings.TrimSpace(version)
		}
	}
	if p.Name == "" || p.Version == "" {
		return nil, errors.New("expected the fields Name and Version")
	}
	return []Installed{p}, nil
}

var (
	gemName    = regexp.MustCompile(`\.name\s*=\s*["']([^"'\s]+)["']`)
	gemVersion = regexp.MustCompile(`\.version\s*=\s*(?:Gem::Version\.new\s*\(?\s*)?["']([^"'\s]+)["']`)
	gemFile    = regexp.MustCompile(`^(.+?)-([0-9][0-9A-Za-z.]*)(?:-[A-Za-z0-9_.-]+)?\.gemspec$`)
)

func parseGem(base string, data []byte) ([]Installed, error) {
	name, version := gemName.FindSubmatch(data), gemVersion.FindSubmatch(data)
	if name != nil && version != nil {
		return []Installed{{Name: string(name[1]), Version: string(version[1]), Ecosystem: "RubyGems"}}, nil
	}
	if m := gemFile.FindStringSubmatch(base); m != nil {
		return []Installed{{Name: m[1], Version: m[2], Ecosystem: "RubyGems"}}, nil
	}
	return nil, errors.New("expected a name and a version")
}

func parseComposer(data []byte) ([]Installed, error) {
	type pkg struct{ Name, Version string }
	var doc struct{ Packages []pkg }
	if err := json.Unmarshal(data, &doc); err != nil {
		if err := json.Unmarshal(data, &doc.Packages); err != nil {
			return nil, err
		}
	}
	var packages []Installed
	for _, p := range doc.Packages {
		if p.Name != "" && p.Version != "" {
			packages = append(packages, Installed{Name: strings.ToLower(p.Name), Version: strings.TrimPrefix(p.Version, "v"), Ecosystem: "Packagist"})
		}
	}
	return packages, nil
}

func parseNuGet(data []byte) ([]Installed, error) {
	var doc struct {
		Libraries map[string]struct{ Type string }
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &doc); err != nil {
		return nil, err
	}
	var packages []Installed
	for key, library := range doc.Libraries {
		if name, version, ok := strings.Cut(key, "/"); ok && strings.EqualFold(library.Type, "package") {
			packages = append(packages, Installed{Name: name, Version: version, Ecosystem: "NuGet"})
		}
	}
	sortInstalled(packages)
	return packages, nil
}

// jars reads archives of Java with the archives within them.
type jars struct {
	packages []Installed
	left     int64 // bytes that may still be unpacked
	entries  int
}

const maxJarDepth = 4

func (j *jars) read(name string, data []byte, depth int) error {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	if j.entries -= len(archive.File); j.entries < 0 {
		return fmt.Errorf("%w: too many entries", ErrTooLarge)
	}
	found := false
	var manifest []byte
	for _, file := range archive.File {
		base := path.Base(file.Name)
		switch low := strings.ToLower(base); {
		case base == "pom.properties" && strings.HasPrefix(file.Name, "META-INF/maven/"):
			content, err := j.open(file)
			if err != nil {
				return err
			}
			if p, ok := pomProperties(content); ok {
				j.packages = append(j.packages, p)
				found = true
			}
		case file.Name == "META-INF/MANIFEST.MF":
			if manifest, err = j.open(file); err != nil {
				return err
			}
		case strings.HasSuffix(low, ".jar") || strings.HasSuffix(low, ".war"):
			if depth >= maxJarDepth {
				return fmt.Errorf("archives are nested more than %d deep", maxJarDepth)
			}
			content, err := j.open(file)
			if err != nil {
				return err
			}
			if err := j.read(file.Name, content, depth+1); err != nil && errors.Is(err, ErrTooLarge) {
				return err
			}
		}
	}
	if !found {
		if p, ok := manifestPackage(path.Base(name), manifest); ok {
			j.packages = append(j.packages, p)
		}
	}
	return nil
}

func (j *jars) open(file *zip.File) ([]byte, error) {
	in, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, j.left+1))
	if j.left -= int64(len(data)); j.left < 0 {
		return nil, fmt.Errorf("%w: %s unpacks to too much", ErrTooLarge, short(file.Name))
	}
	return data, err
}

func pomProperties(data []byte) (Installed, bool) {
	values := map[string]string{}
	for line := range strings.SplitSeq(string(data), "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	group, artifact, version := values["groupId"], values["artifactId"], values["version"]
	return Installed{Name: group + ":" + artifact, Version: version, Ecosystem: "Maven"}, group != "" && artifact != "" && version != ""
}

var jarFile = regexp.MustCompile(`^(.+?)-([0-9][0-9A-Za-z.+_-]*)\.[A-Za-z]+$`)

// manifestPackage names an archive without pom.properties by its manifest and
// file name; without a group nothing is claimed.
func manifestPackage(base string, manifest []byte) (Installed, bool) {
	values := map[string]string{}
	for line := range strings.SplitSeq(strings.ReplaceAll(strings.ReplaceAll(string(manifest), "\r\n", "\n"), "\n ", ""), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok {
			values[key] = strings.TrimSpace(value)
		}
	}
	group, version := values["Implementation-Vendor-Id"], values["Implementation-Version"]
	if group == "" {
		symbolic, _, _ := strings.Cut(values["Bundle-SymbolicName"], ";")
		if at := strings.LastIndexByte(symbolic, '.'); at > 0 {
			group = symbolic[:at]
		}
		if version == "" {
			version = values["Bundle-Version"]
		}
	}
	m := jarFile.FindStringSubmatch(base)
	if m == nil || group == "" {
		return Installed{}, false
	}
	if version == "" {
		version = m[2]
	}
	return Installed{Name: group + ":" + m[1], Version: version, Ecosystem: "Maven"}, true
}

// parseBinary reads the modules that a Go program, or the crates that an
// auditable Rust program, says it was built from.
func parseBinary(name string, data []byte) (database Database, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if bytes.Contains(data, []byte("\xff Go buildinf:")) {
		info, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			return Database{}, false
		}
		build := &Build{Main: info.Main.Path, Package: info.Path, Go: info.GoVersion}
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				build.Revision = setting.Value
			case "vcs.modified":
				build.Modified = setting.Value == "true"
			}
		}
		database = Database{Path: name, Kind: "go", Build: build}
		version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
		database.Packages = append(database.Packages, Installed{Name: "stdlib", Version: version, Ecosystem: "Go"})
		if info.Main.Path != "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			database.Packages = append(database.Packages, Installed{Name: info.Main.Path, Version: info.Main.Version, Ecosystem: "Go"})
		}
		for _, dep := range info.Deps {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			if dep.Version != "" && len(database.Packages) < maxPackages {
				database.Packages = append(database.Packages, Installed{Name: dep.Path, Version: dep.Version, Ecosystem: "Go"})
			}
		}
		return database, true
	}
	if bytes.HasPrefix(data, []byte("\x7fELF")) && bytes.Contains(data, []byte(".dep-v0\x00")) {
		file, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			return Database{}, false
		}
		section := file.Section(".dep-v0")
		if section == nil || section.Size > 16<<20 {
			return Database{}, false
		}
		packed, err := section.Data()
		if err != nil {
			return Database{}, false
		}
		unzip, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			return Database{}, false
		}
		plain, err := io.ReadAll(io.LimitReader(unzip, 16<<20))
		if err != nil {
			return Database{}, false
		}
		var doc struct {
			Packages []struct{ Name, Version, Source, Kind string }
		}
		if json.Unmarshal(plain, &doc) != nil {
			return Database{}, false
		}
		database = Database{Path: name, Kind: "cargo"}
		for _, p := range doc.Packages {
			if p.Kind != "build" && p.Kind != "dev" && p.Source != "local" && len(database.Packages) < maxPackages {
				database.Packages = append(database.Packages, Installed{Name: p.Name, Version: p.Version, Ecosystem: "crates.io"})
			}
		}
		return database, true
	}
	return Database{}, false
}
