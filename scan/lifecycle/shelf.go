package lifecycle

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
)

// shelf finds products by what things are called.
type shelf struct {
	now       time.Time
	byName    map[string]*fact.Product
	byImage   map[string]*fact.Product // "docker.io/library/python"
	byPackage map[string]*fact.Product
	codenames map[string]use // of distributions, by their first word
}

// use is a cycle of a product that something is of.
type use struct {
	product *fact.Product
	cycle   int    // in the product's list
	told    string // the text that tells it, small letters
}

func packageKey(ecosystem, name string) string {
	if ecosystem == "PyPI" {
		return ecosystem + " " + lockfile.PythonName(name)
	}
	return ecosystem + " " + strings.ToLower(name)
}

func newShelf(products []fact.Product, now time.Time) *shelf {
	s := &shelf{now: now, byName: map[string]*fact.Product{}, byImage: map[string]*fact.Product{}, byPackage: map[string]*fact.Product{}, codenames: map[string]use{}}
	for i := range products {
		p := &products[i]
		s.byName[p.Name] = p
		for _, purl := range p.PURLs {
			if image := imageOf(purl); image != "" {
				s.byImage[image] = p
			} else if pkg, ok := fact.ParsePURL(purl); ok && pkg.Ecosystem != "" {
				s.byPackage[packageKey(pkg.Ecosystem, pkg.Name)] = p
			}
		}
	}
	for image, name := range knownImages {
		if p := s.byName[name]; p != nil && s.byImage[image] == nil {
			s.byImage[image] = p
		}
	}
	for _, name := range []string{"debian", "ubuntu"} { // tags name their releases by these words
		p := s.byName[name]
		if p == nil {
			continue
		}
		for i := range p.Cycles {
			if word, _, _ := strings.Cut(strings.ToLower(p.Cycles[i].Codename), " "); word != "" {
				s.codenames[word] = use{p, i, word}
			}
		}
	}
	return s
}

// imageOf gives the image that a package URL names, "" when it names none.
func imageOf(purl string) string {
	rest, query, _ := strings.Cut(purl, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	at := values.Get("repository_url")
	if name, ok := strings.CutPrefix(rest, "pkg:oci/"); ok && at != "" {
		return strings.ToLower(strings.Replace(at, "quay.io/repository/", "quay.io/", 1) + "/" + name)
	}
	if name, ok := strings.CutPrefix(rest, "pkg:docker/"); ok {
		if at == "" {
			at = "docker.io"
		}
		return strings.ToLower(at + "/" + name)
	}
	return ""
}

// imagePackage writes an image as a package. Its name leaves the tag out, so that the
// finding is the same one when the tag moves within a cycle.
func imagePackage(ref kubernetes.Reference) fact.Package {
	p := fact.Package{Name: ref.Repository, Version: ref.Tag, PURL: "pkg:docker/" + ref.Repository}
	if ref.Tag != "" {
		p.PURL += "@" + ref.Tag
	}
	if ref.Registry != "docker.io" {
		p.Name = ref.Registry + "/" + ref.Repository
		p.PURL += "?repository_url=" + url.QueryEscape(ref.Registry)
	}
	return p
}

// knownImages are images whose product is known by another name and by no package URL.
var knownImages = map[string]string{
	"docker.io/library/alpine":      "alpine-linux",
	"docker.io/library/rockylinux":  "rocky-linux",
	"docker.io/library/httpd":       "apache-http-server",
	"docker.io/library/mongo":       "mongodb",
	"docker.io/library/cassandra":   "apache-cassandra",
	"docker.io/library/maven":       "apache-maven",
	"docker.io/library/groovy":      "apache-groovy",
	"docker.io/library/spark":       "apache-spark",
	"docker.io/library/jetty":       "eclipse-jetty",
	"docker.io/library/kong":        "kong-gateway",
	"docker.io/library/vault":       "hashicorp-vault",
	"docker.io/hashicorp/vault":     "hashicorp-vault",
	"docker.io/hashicorp/terraform": "terraform",
	"docker.io/hashicorp/consul":    "consul",
	"docker.io/hashicorp/packer":    "hashicorp-packer",
	"docker.io/library/haskell":     "ghc",
	"docker.io/azul/zulu-openjdk":   "azul-zulu",
	"docker.io/opensuse/leap":       "opensuse",
	"docker.io/apache/kafka":        "apache-kafka",

	"docker.io/jaegertracing/all-in-one":       "jaeger",
	"quay.io/jetstack/cert-manager-controller": "cert-manager",
	"registry.k8s.io/kube-apiserver":           "kubernetes",
	"registry.k8s.io/kube-controller-manager":  "kubernetes",
	"registry.k8s.io/kube-proxy":               "kubernetes",
	"registry.k8s.io/kube-scheduler":           "kubernetes",

	"docker.io/rockylinux/rockylinux":          "rocky-linux",
	"docker.io/azul/zulu-openjdk-alpine":       "azul-zulu",
	"mcr.microsoft.com/dotnet/sdk":             "dotnet",
	"mcr.microsoft.com/dotnet/aspnet":          "dotnet",
	"mcr.microsoft.com/dotnet/runtime":         "dotnet",
	"mcr.microsoft.com/dotnet/runtime-deps":    "dotnet",
	"mcr.microsoft.com/dotnet/core/sdk":        "dotnet",
	"mcr.microsoft.com/dotnet/core/aspnet":     "dotnet",
	"mcr.microsoft.com/dotnet/core/runtime":    "dotnet",
	"mcr.microsoft.com/dotnet/monitor":         "dotnet",
	"mcr.microsoft.com/dotnet/nightly/sdk":     "dotnet",
	"mcr.microsoft.com/dotnet/nightly/aspnet":  "dotnet",
	"mcr.microsoft.com/dotnet/nightly/runtime": "dotnet",
}

// productOf finds the product that an image is of. An official image, and one whose
// maker and name are alike, is of the product that it is called.
func (s *shelf) productOf(registry, repository string) *fact.Product {
	if name, ok := strings.CutPrefix(repository, "docker/library/"); ok && registry == "public.ecr.aws" {
		registry, repository = "docker.io", "library/"+name
	}
	if p := s.byImage[registry+"/"+repository]; p != nil {
		return p
	}
	dir, name, ok := cutLast(repository)
	if ok && (registry == "docker.io" && (dir == "library" || dir == "bitnami") || dir == name || strings.HasSuffix(dir, "/"+name)) {
		return s.byName[name]
	}
	return nil
}

func cutLast(repository string) (dir, name string, ok bool) {
	at := strings.LastIndexByte(repository, '/')
	if at < 0 {
		return "", repository, false
	}
	return repository[:at], repository[at+1:], true
}

var (
	version  = regexp.MustCompile(`^v?([0-9]+(?:\.[0-9]+)*)`)
	release  = regexp.MustCompile(`^(alpine|debian|ubuntu|centos|fedora|oraclelinux|rockylinux|amazonlinux|ubi)-?([0-9]+(?:\.[0-9]+)*)$`)
	redhat   = regexp.MustCompile(`(?:^|/)ubi([0-9]+)(?:-|/|$)`)
	releases = map[string]string{
		"alpine": "alpine-linux", "debian": "debian", "ubuntu": "ubuntu", "centos": "centos", "fedora": "fedora",
		"oraclelinux": "oracle-linux", "rockylinux": "rocky-linux", "amazonlinux": "amazon-linux", "ubi": "rhel",
	}
)

// image lists what an image's name tells of cycles: of its own product by the version
// in front of its tag or a codename, and of the distribution that the rest names.
func (s *shelf) image(ref kubernetes.Reference) []use {
	repository, tag := strings.ToLower(ref.Repository), strings.ToLower(ref.Tag)
	product := s.productOf(strings.ToLower(ref.Registry), repository)
	var found []use
	words := strings.FieldsFunc(tag, func(r rune) bool { return r == '-' || r == '_' })
	numbered := len(words) > 0 && version.MatchString(words[0])
	if product != nil {
		if numbered {
			if at := cycleOf(product, tag, true); at >= 0 {
				found = append(found, use{product, at, version.FindStringSubmatch(tag)[1]})
			}
		} else if named, ok := s.codenames[first(words)]; ok && named.product == product {
			return []use{named}
		} else if m := release.FindStringSubmatch(first(words)); m != nil && releases[m[1]] == product.Name {
			if at := cycleOf(product, m[2], true); at >= 0 { // centos:centos7
				return []use{{product, at, words[0]}}
			}
		}
		if slices.Contains(distributions, product.Name) {
			return found
		}
	}
	if m := redhat.FindStringSubmatch(repository); m != nil && strings.Contains(ref.Registry, "redhat") {
		if p := s.byName["rhel"]; p != nil {
			if at := cycleOf(p, m[1], true); at >= 0 {
				return append(found, use{p, at, "ubi" + m[1]})
			}
		}
	}
	if ref.Registry == "gcr.io" && strings.HasPrefix(repository, "distroless/") {
		_, name, _ := cutLast(repository)
		parts := strings.Split(name, "-")
		if told, ok := strings.CutPrefix(parts[0], "nodejs"); ok && s.byName["nodejs"] != nil {
			if at := cycleOf(s.byName["nodejs"], told, false); at >= 0 {
				found = append(found, use{s.byName["nodejs"], at, parts[0]})
			}
		}
		return append(found, s.distribution(parts)...)
	}
	switch {
	case numbered:
		words = words[1:]
	case product == nil:
		return found // a word such as "stretch" may mean anything here
	}
	return append(found, s.distribution(words)...)
}

func first(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// distributions are products that a tag's other words say nothing more of.
var distributions = []string{"alpine-linux", "debian", "ubuntu", "centos", "centos-stream", "fedora", "oracle-linux", "rocky-linux", "almalinux", "amazon-linux", "opensuse", "rhel"}

// distribution finds the release of a distribution among the words of a tag: bullseye,
// alpine3.12, debian-10.
func (s *shelf) distribution(words []string) []use {
	for i, word := range words {
		if named, ok := s.codenames[word]; ok {
			return []use{named}
		}
		m := release.FindStringSubmatch(word)
		if m == nil && i+1 < len(words) {
			m = release.FindStringSubmatch(word + "-" + words[i+1])
		}
		if m == nil {
			continue
		}
		if p := s.byName[releases[m[1]]]; p != nil {
			if at := cycleOf(p, m[2], false); at >= 0 {
				return []use{{p, at, m[0]}}
			}
		}
	}
	return nil
}

// cycleOf finds the cycle that a version belongs to, -1 for none: the one with the
// longest name that the version begins with. A version that names less than a cycle
// does, such as 3 of Python, floats: it means the newest cycle that begins with it.
func cycleOf(p *fact.Product, told string, floats bool) int {
	told = strings.TrimPrefix(strings.ToLower(told), "v")
	best := -1
	for i := range p.Cycles {
		if name := strings.ToLower(p.Cycles[i].Name); begins(told, name) && (best < 0 || len(name) > len(p.Cycles[best].Name)) {
			best = i
		}
	}
	if best >= 0 || !floats {
		return best
	}
	m := version.FindStringSubmatch(told)
	if m == nil {
		return -1
	}
	return slices.IndexFunc(p.Cycles, func(c fact.Cycle) bool { return strings.HasPrefix(c.Name, m[1]+".") })
}

// goesOn is how a version goes on from the name of its cycle: 3.7.1, 3.7-slim, 8u352,
// 1.22rc1; not 3.70 and not 3.7x.
var goesOn = regexp.MustCompile(`^(?:[^a-z0-9]|[a-z]+[0-9]|$)`)

// begins says whether a version is a name or goes on from it.
func begins(told, name string) bool {
	rest, ok := strings.CutPrefix(told, name)
	return ok && name != "" && goesOn.MatchString(rest)
}

// next is the oldest cycle after one that is still supported, nil when none is known.
func (s *shelf) next(u use) *fact.Cycle {
	now := s.now.UnixMicro()
	for i := u.cycle - 1; i >= 0; i-- {
		if c := &u.product.Cycles[i]; !c.Over(now) && c.Released <= now {
			return c
		}
	}
	return nil
}
