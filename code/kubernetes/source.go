package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
)

// Build says that a folder's Dockerfile makes an image, as the repository tells. In
// the answer for an image, Strength is that of the join: declared when the names are
// equal in full, derived when but for the registry, a guess when a part of them is.
type Build struct {
	Image      string // repository part of the name, perhaps without a registry
	Folder     string // build context, or the folder of the Dockerfile when that is the root
	Dockerfile string
	Method     string // skaffold, compose, workflow, script, bake, tilt, goreleaser, label, name
	Strength   fact.Strength
	Place      Place
}

// Source is where an image comes from. Several builds are a tie; none is no answer.
type Source struct {
	Image  string
	Builds []Build
	Reason string // why there is no answer, or a tie
}

// Folder is the one folder of the source, "" for none or a tie.
func (s Source) Folder() string {
	if len(s.Builds) == 1 {
		return s.Builds[0].Folder
	}
	return ""
}

// Builds lists what the repository says that it builds.
func (e *Estate) Builds() []Build { return e.builds }

var dockerfileName = regexp.MustCompile(`^(?i:dockerfile|containerfile)([.\-_].*)?$|(?i)\.dockerfile$`)

func (e *Estate) dockerfiles() []string {
	var all []string
	for _, p := range e.paths {
		if dockerfileName.MatchString(path.Base(p)) && !strings.HasSuffix(p, ".dockerignore") {
			all = append(all, p)
		}
	}
	return all
}

// add notes a build whose Dockerfile stands in the repository.
func (e *Estate) add(image, context, dockerfile, base, method string, at Place) {
	name, _, _ := splitReference(strings.TrimSpace(image))
	name = lastKnown(name)
	if name == "" || strings.ContainsAny(context, "$<{") || strings.Contains(context, "://") {
		return
	}
	folder := path.Join(base, context)
	if folder == ".." || strings.HasPrefix(folder, "../") || path.IsAbs(context) {
		return
	}
	candidates := []string{path.Join(folder, "Dockerfile"), path.Join(folder, "Containerfile")}
	if dockerfile != "" {
		candidates = []string{path.Join(folder, dockerfile), path.Join(base, dockerfile), path.Clean(dockerfile)}
	}
	for _, c := range candidates {
		if e.files[c] {
			if folder == "." || folder == base {
				folder = path.Dir(c)
			}
			e.builds = append(e.builds, Build{name, folder, c, method, fact.Declared, at})
			return
		}
	}
}

var variable = regexp.MustCompile(`\$\{\{[^}]*\}\}|\$\{[^}]*\}|\$\([^)]*\)|\$[A-Za-z_]\w*|\{\{[^}]*\}\}|%[A-Z_]+%`)

// lastKnown keeps the part of a name behind its last variable.
func lastKnown(name string) string {
	if all := variable.FindAllStringIndex(name, -1); all != nil {
		rest := name[all[len(all)-1][1]:]
		if !strings.HasPrefix(rest, "/") {
			return ""
		}
		name = rest[1:]
	}
	if strings.ContainsAny(name, "${}<>\"'` ") {
		return ""
	}
	return strings.Trim(name, "/")
}

func (e *Estate) readBuilds(ctx context.Context) {
	for _, p := range e.paths {
		if ctx.Err() != nil {
			return
		}
		base, ext := strings.ToLower(path.Base(p)), path.Ext(p)
		dir := path.Dir(p)
		isYAML := ext == ".yaml" || ext == ".yml"
		switch {
		case strings.HasPrefix(base, "skaffold") && isYAML:
			e.skaffold(ctx, p, dir)
		case isYAML && (strings.Contains(base, "compose")):
			e.compose(ctx, p, dir)
		case isYAML && (strings.Contains(p, ".github/workflows/") || strings.HasPrefix(base, "action.")):
			e.workflow(ctx, p)
		case isYAML && (strings.HasPrefix(base, "cloudbuild") || strings.HasPrefix(base, "azure-pipelines") || strings.HasPrefix(base, ".gitlab-ci") || strings.HasPrefix(base, ".travis") ||
			strings.HasPrefix(base, ".drone") || strings.HasPrefix(base, "bitbucket-pipelines") || strings.HasPrefix(base, "buildspec") || strings.HasPrefix(base, "taskfile") || strings.Contains(p, ".circleci/") || strings.Contains(p, ".gitlab/")):
			e.pipeline(ctx, p)
		case strings.HasPrefix(base, ".goreleaser"):
			e.goreleaser(ctx, p, dir)
		case base == "makefile" || ext == ".mk" || ext == ".sh" || ext == ".bash" || base == "justfile" || base == "jenkinsfile" || base == "magefile.go" || ext == ".ps1":
			e.script(p, dir, string(e.bytes(ctx, p)), 1, nil)
		case base == "tiltfile":
			e.tilt(p, dir, string(e.bytes(ctx, p)))
		case strings.HasPrefix(base, "docker-bake") && ext == ".hcl":
			e.bake(p, dir, string(e.bytes(ctx, p)))
		case base == "package.json":
			var pkg struct {
				Name    string            `json:"name"`
				Scripts map[string]string `json:"scripts"`
			}
			if json.Unmarshal(e.bytes(ctx, p), &pkg) == nil {
				for _, name := range sorted(pkg.Scripts) {
					e.script(p, dir, pkg.Scripts[name], 0, nil)
				}
			}
		}
	}
	e.repositoryNames(ctx)
	e.titles = map[string][]string{}
	for _, file := range e.dockerfiles() {
		e.titles[file] = titles(file, e.bytes(ctx, file))
	}
}

// titles are what the labels of a Dockerfile call its image.
func titles(name string, data []byte) []string {
	if !bytes.Contains(bytes.ToLower(data), []byte("label")) {
		return nil
	}
	file, err := dockerfile.Parse(name, data)
	if err != nil {
		return nil // told where Dockerfiles are read for their own sake
	}
	var all []string
	for _, stage := range file.Stages {
		for _, in := range stage.Instructions {
			if in.Kind != "LABEL" {
				continue
			}
			for _, word := range dockerfile.Words(in.Text) {
				key, value, _ := strings.Cut(word, "=")
				switch strings.ToLower(key) {
				case "org.opencontainers.image.title", "org.label-schema.name", "name":
					if value = lastKnown(strings.Trim(value, `"'`)); value != "" {
						all = append(all, value)
					}
				}
			}
		}
	}
	return all
}

// repositoryNames are what the root's own manifests call the repository.
func (e *Estate) repositoryNames(ctx context.Context) {
	e.names = slices.Clone(e.options.Names)
	for _, m := range regexp.MustCompile(`(?m)^module\s+(\S+)`).FindAllStringSubmatch(string(e.bytes(ctx, "go.mod")), 1) {
		e.names = append(e.names, strings.TrimSuffix(m[1], "/v2"))
	}
	var pkg struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(e.bytes(ctx, "package.json"), &pkg) == nil && pkg.Name != "" {
		e.names = append(e.names, strings.TrimPrefix(pkg.Name, "@"))
	}
	for _, file := range []string{"pyproject.toml", "Cargo.toml"} {
		for _, m := range regexp.MustCompile(`(?m)^name\s*=\s*"([^"]+)"`).FindAllStringSubmatch(string(e.bytes(ctx, file)), 1) {
			e.names = append(e.names, m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?s)</parent>.*?<artifactId>([^<]+)<|^(?:[^<]|<[^p])*?<artifactId>([^<]+)<`).FindAllStringSubmatch(string(e.bytes(ctx, "pom.xml")), 1) {
		e.names = append(e.names, m[1]+m[2])
	}
}

func (e *Estate) docs(ctx context.Context, p string) []*Node {
	docs, problems := Documents(p, e.bytes(ctx, p))
	e.problems = append(e.problems, problems...)
	return docs
}

func (e *Estate) skaffold(ctx context.Context, p, dir string) {
	for _, doc := range e.docs(ctx, p) {
		builds := []*Node{doc.Get("build")}
		for _, profile := range doc.List("profiles") {
			builds = append(builds, profile.Get("build"))
		}
		for _, build := range builds {
			for _, a := range build.List("artifacts") {
				at := a.String("context")
				if at == "" {
					at = a.String("workspace")
				}
				file := a.String("docker", "dockerfile")
				if file == "" {
					file = a.String("kaniko", "dockerfile")
				}
				e.add(a.String("image"), at, file, dir, "skaffold", a.Place)
			}
		}
	}
}

func (e *Estate) compose(ctx context.Context, p, dir string) {
	for _, doc := range e.docs(ctx, p) {
		for _, service := range doc.Entries("services") {
			build := service.Value.Get("build")
			if build == nil {
				continue
			}
			at, file := build.String(), ""
			if build.Shape == Map {
				at, file = build.String("context"), build.String("dockerfile")
			}
			image := service.Value.String("image")
			if image == "" {
				image = service.Key
			}
			image = regexp.MustCompile(`\$\{[^}]*:?-([^}]*)\}`).ReplaceAllString(image, "$1")
			e.add(image, at, file, dir, "compose", service.Value.Place)
		}
	}
}

// workflow reads the steps of GitHub Actions: docker/build-push-action and commands.
func (e *Estate) workflow(ctx context.Context, p string) {
	for _, doc := range e.docs(ctx, p) {
		env := variables(doc.Get("env"))
		jobs := doc.Entries("jobs")
		if runs := doc.Get("runs"); runs != nil {
			jobs = append(jobs, Field{"runs", 0, runs})
		}
		for _, job := range jobs {
			scope := join(env, variables(job.Value.Get("env")))
			for _, matrix := range matrices(job.Value.Get("strategy", "matrix")) {
				all := join(scope, matrix)
				tags := map[string][]string{}
				for _, step := range job.Value.List("steps") {
					all := join(all, variables(step.Get("env")))
					with := step.Get("with")
					uses := step.String("uses")
					if strings.Contains(uses, "metadata-action") {
						tags[step.String("id")] = strings.Fields(expand(with.String("images"), all))
					}
					if strings.Contains(uses, "build-push-action") || strings.Contains(uses, "build-and-push") {
						images := strings.FieldsFunc(expand(with.String("tags")+"\n"+with.String("images")+"\n"+with.String("image"), all), func(r rune) bool { return r == '\n' || r == ',' || r == ' ' })
						for id, named := range tags {
							if id != "" && strings.Contains(with.String("tags"), "steps."+id+".") {
								images = append(images, named...)
							}
						}
						if len(images) == 0 || strings.Contains(with.String("tags"), "steps.") {
							for _, id := range sorted(tags) {
								images = append(images, tags[id]...)
							}
						}
						at := with.String("context")
						if strings.Contains(at, "github.workspace") {
							at = strings.TrimPrefix(variable.ReplaceAllString(at, "."), "/")
						}
						for _, image := range images {
							if strings.HasPrefix(image, "steps.") || strings.HasPrefix(image, "type=") {
								continue
							}
							e.add(image, expand(at, all), expand(with.String("file"), all), ".", "workflow", step.Place)
						}
					}
					if run := step.Get("run"); run != nil && run.Shape == Scalar {
						base := expand(step.String("working-directory"), all)
						if base == "" {
							base = expand(job.Value.String("defaults", "run", "working-directory"), all)
						}
						line := run.Place.Line
						if run.block {
							line++
						}
						e.script(p, path.Clean(base), run.Text, line, all)
					}
				}
			}
		}
	}
}

func variables(n *Node) map[string]string {
	out := map[string]string{}
	if n != nil {
		for _, f := range n.Fields {
			if f.Value.Shape == Scalar {
				out[f.Key] = f.Value.Text
			}
		}
	}
	return out
}

func join(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

// matrices gives the variables of each element of a matrix, at most 100.
func matrices(n *Node) []map[string]string {
	all := []map[string]string{{}}
	for _, f := range n.Entries() {
		if f.Key == "include" || f.Key == "exclude" || f.Value.Shape != List || len(all)*len(f.Value.Items) > 100 {
			continue
		}
		var next []map[string]string
		for _, have := range all {
			for _, item := range f.Value.Items {
				next = append(next, join(have, element("matrix."+f.Key, item)))
			}
		}
		all = next
	}
	var included []map[string]string
	for _, item := range n.List("include") {
		included = append(included, element("matrix", item))
	}
	if len(included) > 0 {
		if len(all) == 1 && len(all[0]) == 0 {
			return included
		}
		return append(all, included...)
	}
	return all
}

func element(prefix string, item *Node) map[string]string {
	out := map[string]string{}
	if item.Shape == Scalar {
		out[prefix] = item.Text
	}
	for _, f := range item.Fields {
		if f.Value.Shape == Scalar {
			out[prefix+"."+f.Key] = f.Value.Text
		}
	}
	return out
}

// expand puts in the variables that are known.
func expand(s string, known map[string]string) string {
	for range 4 {
		before := s
		s = variable.ReplaceAllStringFunc(s, func(v string) string {
			name := strings.TrimSpace(strings.Trim(v, "${}()% "))
			name = strings.TrimPrefix(name, "env.")
			fallback := ""
			if n, f, ok := strings.Cut(name, ":-"); ok {
				name, fallback = n, f
			}
			if value, ok := known[name]; ok {
				return value
			}
			if fallback != "" {
				return fallback
			}
			return v
		})
		if s == before || len(s) > 10_000 {
			break
		}
	}
	return s
}

// pipeline reads the commands of other CI systems: every scalar that builds, and
// argument lists.
func (e *Estate) pipeline(ctx context.Context, p string) {
	var walk func(n *Node, dir string)
	walk = func(n *Node, dir string) {
		switch n.Shape {
		case Scalar:
			if strings.Contains(n.Text, "build") || strings.Contains(n.Text, "kaniko") {
				e.script(p, dir, n.Text, n.Place.Line, nil)
			}
		case List:
			var words []string
			for _, item := range n.Items {
				if item.Shape == Scalar {
					words = append(words, item.Text)
				}
				walk(item, dir)
			}
			if i := slices.Index(words, "build"); i >= 0 && i < 3 && slices.Contains(words, "-t") {
				e.command(p, dir, words[i+1:], n.Place.Line)
			}
		case Map:
			if at := n.String("dir"); at != "" {
				dir = path.Join(dir, at)
			}
			for _, f := range n.Fields {
				walk(f.Value, dir)
			}
		}
	}
	for _, doc := range e.docs(ctx, p) {
		walk(doc, ".")
	}
}

func (e *Estate) goreleaser(ctx context.Context, p, dir string) {
	for _, doc := range e.docs(ctx, p) {
		for _, d := range append(doc.List("dockers"), doc.List("dockers_v2")...) {
			file := d.String("dockerfile")
			if file == "" {
				file = "Dockerfile"
			}
			for _, image := range append(d.List("image_templates"), d.List("images")...) {
				name, _, _ := strings.Cut(image.Text, ":{{")
				e.add(name, ".", file, dir, "goreleaser", d.Place)
			}
		}
	}
}

var tiltBuild = regexp.MustCompile(`(?s)(?:docker_build|custom_build|docker_build_with_restart)\(\s*['"]([^'"]+)['"]\s*,\s*(?:context\s*=\s*)?['"]([^'"]+)['"]([^)]*)\)`)
var tiltFile = regexp.MustCompile(`dockerfile\s*=\s*['"]([^'"]+)['"]`)

func (e *Estate) tilt(p, dir, s string) {
	for _, m := range tiltBuild.FindAllStringSubmatchIndex(s, 1000) {
		file := ""
		if f := tiltFile.FindStringSubmatch(s[m[6]:m[7]]); f != nil {
			file = f[1]
		}
		e.add(s[m[2]:m[3]], s[m[4]:m[5]], file, dir, "tilt", Place{Path: p, Line: 1 + strings.Count(s[:m[0]], "\n")})
	}
}

var (
	bakeTarget = regexp.MustCompile(`(?s)target\s+"([^"]+)"\s*\{(.*?)\n\}`)
	bakeField  = regexp.MustCompile(`(?m)^\s*(context|dockerfile)\s*=\s*"([^"]*)"`)
	bakeTags   = regexp.MustCompile(`(?s)tags\s*=\s*\[(.*?)\]`)
	quoted     = regexp.MustCompile(`"([^"]*)"`)
)

func (e *Estate) bake(p, dir, s string) {
	for _, m := range bakeTarget.FindAllStringSubmatchIndex(s, 1000) {
		body := s[m[4]:m[5]]
		at, file := ".", ""
		for _, f := range bakeField.FindAllStringSubmatch(body, -1) {
			if f[1] == "context" {
				at = f[2]
			} else {
				file = f[2]
			}
		}
		for _, tags := range bakeTags.FindAllStringSubmatch(body, -1) {
			for _, tag := range quoted.FindAllStringSubmatch(tags[1], -1) {
				e.add(tag[1], at, file, dir, "bake", Place{Path: p, Line: 1 + strings.Count(s[:m[0]], "\n")})
			}
		}
	}
}

var (
	assignment = regexp.MustCompile(`^\s*(?:export\s+|local\s+|override\s+)?([A-Za-z_]\w*)\s*(?:\?|:{1,3})?=\s*(.*)$`)
	changeDir  = regexp.MustCompile(`(?:^|[;&(]\s*)(?:cd|pushd)\s+([^\s;&)]+)`)
	building   = regexp.MustCompile(`\b(?:docker|podman|nerdctl|buildah|finch|img)\b.*?\b(?:build|bud)\b|kaniko|/executor\b|\baz\s+acr\s+build\b|\bgcloud\s+builds\s+submit\b`)
)

// script reads the build commands of a shell text, without running any: variables
// that the text itself sets, cd, flags.
func (e *Estate) script(p, dir, s string, first int, known map[string]string) {
	if len(s) > 4<<20 || !building.MatchString(s) {
		return
	}
	known = join(known, nil)
	lines := strings.Split(s, "\n")
	at := dir
	for i := 0; i < len(lines); i++ {
		line, start := lines[i], i
		for strings.HasSuffix(strings.TrimRight(line, " \t\r"), "\\") && i+1 < len(lines) && i-start < 100 {
			i++
			line = strings.TrimSuffix(strings.TrimRight(line, " \t\r"), "\\") + " " + strings.TrimSpace(lines[i])
		}
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "#") {
			continue
		}
		if m := assignment.FindStringSubmatch(line); m != nil && !strings.HasPrefix(m[2], "$(shell") && !strings.Contains(m[2], "`") {
			if _, set := known[m[1]]; !set {
				known[m[1]] = strings.Trim(strings.TrimSpace(m[2]), `"'`)
			}
		}
		local := at
		for _, m := range changeDir.FindAllStringSubmatch(trimmed, -1) {
			to := expand(strings.Trim(m[1], `"'`), known)
			switch {
			case strings.ContainsAny(to, "$`"), path.IsAbs(to), to == "-":
				local = dir
			default:
				local = path.Join(local, to)
			}
		}
		if building.MatchString(trimmed) {
			for _, command := range regexp.MustCompile(`&&|\|\||;|\|`).Split(trimmed, -1) {
				if building.MatchString(command) {
					words := shellWords(expand(command, known))
					n := 0
					if first > 0 {
						n = first + start
					}
					if b := slices.IndexFunc(words, func(w string) bool {
						return w == "build" || w == "bud" || w == "submit" || strings.HasSuffix(w, "executor")
					}); b >= 0 {
						e.command(p, local, words[b+1:], n)
					}
				}
			}
		}
		// In a script a folder stays; in a Makefile each line starts again.
		if strings.HasPrefix(trimmed, "cd ") && !strings.HasPrefix(line, "\t") && !strings.Contains(trimmed, "&&") {
			at = local
		}
	}
}

func shellWords(s string) []string {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			in, quote = true, c
		case quote == 0 && (c == ' ' || c == '\t'):
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}

var buildSwitches = []string{"--push", "--load", "--no-cache", "--pull", "--rm", "-q", "--quiet", "--squash", "--force-rm", "--debug", "-D"}

// command reads the arguments of one build.
func (e *Estate) command(p, dir string, words []string, line int) {
	var images, rest []string
	file, at := "", ""
	for i := 0; i < len(words); i++ {
		w := words[i]
		name, value, eq := strings.Cut(w, "=")
		if !strings.HasPrefix(w, "-") {
			rest = append(rest, w)
			continue
		}
		if slices.Contains(buildSwitches, w) {
			continue
		}
		if !eq && i+1 < len(words) {
			i++
			value = words[i]
		}
		switch name {
		case "-t", "--tag", "--destination", "-d", "--image":
			images = append(images, value)
		case "-f", "--file", "--dockerfile":
			file = value
		case "--context":
			at = strings.TrimPrefix(value, "dir://")
		}
	}
	if at == "" && len(rest) > 0 {
		at = rest[len(rest)-1]
	}
	if strings.HasPrefix(at, "-") || at == "" {
		at = "."
	}
	at = strings.TrimRight(at, ")\"'")
	for _, image := range images {
		e.add(strings.Trim(image, `"'`), at, file, dir, "script", Place{Path: p, Line: line})
	}
}

// vendors are namespaces and registries whose images are built elsewhere, so that
// a likeness of names says nothing.
var vendors = regexp.MustCompile(`^(docker\.io/(library|bitnami\w*|grafana|prom|otel|jaegertracing|curlimages|hashicorp|istio|envoyproxy|rancher|aquasec|datadog|elastic|confluentinc|minio|nginxinc|openpolicyagent|fluxcd|weaveworks|amazon|google|kindest|openzipkin|timberio|victoriametrics|cloudflare)|quay\.io/(prometheus\S*|jetstack|coreos|argoproj|cilium|kiwigrid|brancz|strimzi)|registry\.k8s\.io|k8s\.gcr\.io|gcr\.io/(google[-_]containers|distroless|kubebuilder|google-samples|cloudsql-docker)|mcr\.microsoft\.com|public\.ecr\.aws/(docker|nginx|eks-distro|aws-observability|bitnami)|docker\.elastic\.co|nvcr\.io|cr\.fluentbit\.io|ghcr\.io/(fluxcd|dexidp|kyverno|argoproj))(/|$)`)

// generic are folder names that say nothing about what is built in them.
var generic = map[string]bool{"src": true, "app": true, "docker": true, "build": true, "code": true, "container": true, "image": true, "images": true, "deploy": true, "server": false, ".": true, "source": true, "main": true, "package": true, "dockerfiles": true}

// Source leads an image to the folder that it is built from.
func (e *Estate) Source(image string) Source {
	s := Source{Image: image}
	ref, ok := ParseReference(image)
	if !ok {
		s.Reason = "not an image reference"
		return s
	}
	full := ref.Registry + "/" + ref.Repository
	short := strings.TrimPrefix(ref.Repository, "library/")
	var best []Build
	score := 0
	for _, b := range e.builds {
		n := nameScore(full, short, ref.Registry, b.Image)
		switch {
		case n < sameName:
			b.Strength = fact.Guess // alike by a part of the name only
		case n < fullName:
			b.Strength = fact.Derived
		}
		if n > score {
			best, score = []Build{b}, n
		} else if n == score && n > 0 {
			best = append(best, b)
		}
	}
	if score > 0 {
		s.Builds = distinct(best)
		if len(s.Builds) > 1 {
			s.Reason = "several folders build an image of this name"
		}
		return s
	}
	if vendors.MatchString(full) {
		s.Reason = "an image of another maker"
		return s
	}
	return e.guess(s, ref)
}

// Scores of names that are equal in full, and equal but for the registry.
const (
	fullName = 1000
	sameName = 900
)

// nameScore tells how well the name of a build fits an image: equal names, then a
// build without a registry that ends the image's name at a slash, and the other way.
func nameScore(full, short, registry, build string) int {
	if b, ok := ParseReference(build); ok && b.Registry+"/"+b.Repository == full && (registry != "docker.io" || strings.Contains(build, "/")) {
		return fullName
	}
	if build == short {
		return sameName
	}
	official := registry == "docker.io" && !strings.Contains(short, "/")
	if strings.HasSuffix(full, "/"+build) && !vendors.MatchString(full) {
		return 100 + strings.Count(build, "/")*10
	}
	if strings.HasSuffix(build, "/"+short) && !official {
		return 90
	}
	if official && path.Base(build) == short && !vendors.MatchString(full) {
		return 80
	}
	return 0
}

func distinct(builds []Build) []Build {
	var out []Build
	for _, b := range builds {
		if !slices.ContainsFunc(out, func(o Build) bool { return o.Folder == b.Folder }) {
			out = append(out, b)
		}
	}
	return out
}

// guess compares names only: the last part of the image's name with the folders
// that hold a Dockerfile, allowing a prefix or suffix at a dash, and with what the
// Dockerfile's labels call the image.
func (e *Estate) guess(s Source, ref Reference) Source {
	last := normal(path.Base(ref.Repository))
	namespace := path.Dir(ref.Repository)
	var best []Build
	score := 0
	for _, file := range e.dockerfiles() {
		folder := path.Dir(file)
		for _, name := range e.folderNames(folder, file) {
			n := likeness(last, normal(path.Base(name)))
			if n > 0 && strings.Contains(name, "/") && folder == "." && path.Base(path.Dir(name)) != path.Base(namespace) && namespace != "library" {
				n = 0 // somebody else's image of the same name
			}
			if n == 0 {
				continue
			}
			b := Build{name, folder, file, "name", fact.Guess, Place{Path: file, Line: 1}}
			if n > score {
				best, score = []Build{b}, n
			} else if n == score {
				best = append(best, b)
			}
		}
		for _, title := range e.titles[file] {
			if normal(path.Base(title)) != last || score > likeName {
				continue
			}
			b := Build{title, folder, file, "label", fact.Guess, Place{Path: file, Line: 1}}
			if score < likeName {
				best, score = nil, likeName
			}
			best = append(best, b)
		}
	}
	s.Builds = distinct(best)
	switch {
	case len(s.Builds) == 0:
		s.Reason = "nothing in the repository builds an image of this name"
	case len(s.Builds) > 1:
		s.Reason = "several folders have this name"
	}
	return s
}

func normal(s string) string {
	return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(s))
}

// folderNames are what a folder with a Dockerfile may be called: by its own name,
// by the nearest folder above whose name says something, at the root by the
// repository's.
func (e *Estate) folderNames(folder, file string) []string {
	base := path.Base(file)
	if _, suffix, ok := strings.Cut(base, "."); ok && strings.HasPrefix(strings.ToLower(base), "dockerfile.") && generic[path.Base(folder)] {
		return []string{suffix}
	}
	if strings.HasSuffix(strings.ToLower(base), ".dockerfile") {
		return []string{base[:len(base)-len(".dockerfile")]}
	}
	for at := folder; at != "."; at = path.Dir(at) {
		if !generic[path.Base(at)] {
			return []string{path.Base(at)}
		}
	}
	return e.names
}

// likeName is the likeness of equal names.
const likeName = 10_000

// likeness of an image's last part and a folder's name: equal, else how long the
// name is that the other ends or begins with at a dash.
func likeness(image, folder string) int {
	if image == "" || folder == "" {
		return 0
	}
	if image == folder {
		return likeName
	}
	if strings.ReplaceAll(image, "-", "") == strings.ReplaceAll(folder, "-", "") {
		return 9_000
	}
	if len(folder) >= 4 && strings.HasSuffix(image, "-"+folder) {
		return 1_000 + len(folder)
	}
	for _, suffix := range []string{"-service", "-svc", "-app", "-server", "-api", "-image", "-frontend", "-backend", "service"} {
		if image == folder+suffix || folder == image+suffix {
			return 500
		}
	}
	if len(image) >= 4 && strings.HasSuffix(folder, "-"+image) {
		return 300 + len(image)
	}
	return 0
}
