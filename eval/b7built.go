package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image"
)

// Images made without a container engine: a recipe says what each instruction
// does; one writer renders it as a Dockerfile and notes the lines, others write
// the histories that builders would. None of them uses the reader under test.

// piece is one instruction of a recipe.
type piece struct {
	kind string
	args string   // one line; parts of a RUN are joined by " && "
	doc  []string // body of a here-document that a RUN feeds to the shell
	from string   // of COPY
	exec []string // exec form of CMD, ENTRYPOINT
	adds string   // package that it installs, "" none
}

// recipeStage is one stage of a recipe.
type recipeStage struct {
	base, name string
	pieces     []piece
}

type recipe struct {
	name   string
	args   []piece // before the first FROM
	stages []recipeStage
}

// render writes a recipe as a Dockerfile; lines[s][p] are the lines of a piece,
// froms[s] the line of a FROM.
func (r *recipe) render(random *rand.Rand) (text string, lines [][][2]int, froms []int) {
	var b strings.Builder
	line := 1
	put := func(s string) {
		b.WriteString(s + "\n")
		line++
	}
	if random.IntN(3) == 0 {
		put("# syntax=docker/dockerfile:1")
	}
	for _, arg := range r.args {
		put("ARG " + arg.args)
	}
	for _, stage := range r.stages {
		if random.IntN(2) == 0 {
			put("")
			put("# " + r.name)
		}
		froms = append(froms, line)
		from := "FROM " + stage.base
		if stage.name != "" {
			from += " AS " + stage.name
		}
		put(from)
		var of [][2]int
		for _, p := range stage.pieces {
			if random.IntN(4) == 0 {
				put("")
			}
			if random.IntN(5) == 0 {
				put("# then")
			}
			start := line
			keyword := p.kind
			if random.IntN(12) == 0 {
				keyword = strings.ToLower(keyword)
			}
			switch {
			case p.doc != nil:
				put(keyword + " <<EOF")
				for _, body := range p.doc {
					put(body)
				}
				put("EOF")
			case p.exec != nil:
				quoted, _ := json.Marshal(p.exec)
				put(keyword + " " + strings.ReplaceAll(string(quoted), `","`, `", "`))
			case p.from != "":
				flags := " --from=" + p.from
				if random.IntN(3) == 0 {
					flags += " --chown=app:app"
				}
				put(keyword + flags + " " + p.args)
			case p.kind == "RUN" && strings.Contains(p.args, " && ") && random.IntN(4) > 0:
				parts := strings.Split(p.args, " && ")
				for i, part := range parts {
					head, tail := "    && ", " \\"
					if i == 0 {
						head = keyword + " "
					}
					if i == len(parts)-1 {
						tail = ""
					}
					if words := strings.Fields(part); len(words) > 5 && random.IntN(2) == 0 {
						put(head + strings.Join(words[:3], " ") + " \\")
						if random.IntN(4) == 0 {
							put("    # the rest")
						}
						head, part = "        ", strings.Join(words[3:], " ")
					}
					put(head + part + tail)
				}
			case p.kind == "ENV" && strings.Contains(p.args, " ") && random.IntN(2) == 0:
				words := strings.Fields(p.args)
				for i, word := range words {
					head, tail := "    ", " \\"
					if i == 0 {
						head = keyword + " "
					}
					if i == len(words)-1 {
						tail = ""
					}
					put(head + word + tail)
				}
			default:
				put(keyword + " " + p.args)
			}
			of = append(of, [2]int{start, line - 1})
		}
		lines = append(lines, of)
	}
	return b.String(), lines, froms
}

// made is one piece in the order in which it was executed.
type made struct {
	stage, piece int
	done         piece
}

// chain lists what makes the last stage, through FROM of earlier stages.
func (r *recipe) chain(stage int) []made {
	var list []made
	for i := range r.stages[:stage] {
		if r.stages[i].name != "" && r.stages[i].name == r.stages[stage].base {
			list = r.chain(i)
		}
	}
	for i, p := range r.stages[stage].pieces {
		list = append(list, made{stage, i, p})
	}
	return list
}

// replaced puts values in the place of variables, in texts that a builder
// expands itself.
func replaced(text string, vars [][2]string) string {
	for _, v := range vars {
		text = strings.ReplaceAll(text, "${"+v[0]+"}", v[1])
		text = strings.ReplaceAll(text, "$"+v[0], v[1])
	}
	return text
}

// history writes what a builder would; at[i] is the index in the chain of what
// entry i is of, -1 for the base.
func (r *recipe) history(dialect string, random *rand.Rand) (entries []image.HistoryEntry, at []int) {
	add := func(i int, text string, empty bool) {
		entry := image.HistoryEntry{CreatedBy: text, EmptyLayer: empty}
		if i >= 0 && dialect == "buildkit" || i < 0 && !strings.HasPrefix(text, "/bin/sh") {
			entry.Comment = "buildkit.dockerfile.v0"
		}
		entries, at = append(entries, entry), append(at, i)
	}
	nop := "/bin/sh -c #(nop) "
	add(-1, nop+"ADD file:"+hash(random, 32)+" in / ", false)
	add(-1, nop+` CMD ["bash"]`, true)
	add(-1, "RUN /bin/sh -c apt-get update && apt-get install -y ca-certificates # buildkit", false)
	add(-1, `CMD ["sh"]`, true)
	var vars [][2]string
	var args []string
	dir, shell := "/", "/bin/sh -c "
	for i, m := range r.chain(len(r.stages) - 1) {
		p := m.done
		expanded := replaced(p.args, vars)
		empty := p.kind != "RUN" && p.kind != "COPY" && p.kind != "ADD"
		suffix := " # buildkit"
		text := p.kind + " " + expanded
		switch p.kind {
		case "ENV":
			for _, word := range strings.Fields(expanded) {
				key, value, _ := strings.Cut(word, "=")
				vars = append(vars, [2]string{key, value})
			}
		case "ARG":
			key, value, set := strings.Cut(expanded, "=")
			if set {
				vars = append(vars, [2]string{key, value})
			}
			args = append(args, key+"="+value)
		case "WORKDIR":
			if !strings.HasPrefix(expanded, "/") {
				expanded = strings.TrimSuffix(dir, "/") + "/" + expanded
			}
			dir = expanded
			text = "WORKDIR " + expanded
		case "RUN":
			command := p.args
			if p.doc != nil {
				command = strings.Join(p.doc, "\n") + "\n"
			}
			head := ""
			if len(args) > 0 {
				head = fmt.Sprintf("|%d %s ", len(args), strings.Join(args, " "))
			}
			switch dialect {
			case "legacy":
				text = head + shell + command
			case "kaniko":
				text = "RUN " + command
			default:
				text = "RUN " + head + shell + command
			}
		case "CMD", "ENTRYPOINT":
			words := p.exec
			if words == nil {
				words = []string{"/bin/sh", "-c", expanded}
			}
			text = fmt.Sprintf("%s %q", p.kind, words)
		case "EXPOSE":
			ports := strings.Fields(expanded)
			for i := range ports {
				ports[i] += "/tcp"
			}
			switch random.IntN(2) {
			case 0:
				text = "EXPOSE [" + strings.Join(ports, " ") + "]"
			default:
				text = "EXPOSE map[" + strings.Join(ports, ":{} ") + ":{}]"
			}
		case "VOLUME":
			text = "VOLUME [" + expanded + "]"
		case "HEALTHCHECK":
			test := strings.TrimPrefix(expanded, "CMD ")
			text = fmt.Sprintf(`HEALTHCHECK {Test:[CMD-SHELL %s] Interval:30s Timeout:3s StartPeriod:0s StartInterval:0s Retries:3}`, test)
			if random.IntN(2) == 0 {
				text = fmt.Sprintf(`HEALTHCHECK &{["CMD-SHELL" %q] "30s" "3s" "0s" '\x03'}`, test)
			}
		}
		switch dialect {
		case "legacy":
			switch p.kind {
			case "RUN":
				add(i, text, false)
			case "COPY", "ADD":
				words := strings.Fields(expanded)
				dest := words[len(words)-1]
				what := "file:"
				if len(words) > 2 {
					what = "multi:"
				}
				if !strings.HasPrefix(dest, "/") && random.IntN(2) == 0 {
					dest = strings.TrimSuffix(dir, "/") + "/" + strings.TrimPrefix(strings.TrimPrefix(dest, "."), "/")
				}
				add(i, nop+p.kind+" "+what+hash(random, 32)+" in "+dest+" ", false)
			case "EXPOSE":
				add(i, nop+" EXPOSE "+expanded, true)
			default:
				add(i, nop+" "+text, true)
			}
		case "kaniko":
			if !empty {
				add(i, text, false)
			}
		default:
			if empty {
				suffix = ""
			}
			// A WORKDIR makes a layer there and has no mark.
			if p.kind == "WORKDIR" {
				empty = false
			}
			add(i, text+suffix, empty)
		}
	}
	return entries, at
}

func hash(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return hex.EncodeToString(b)
}

// recipes makes the known ones; siblings of each are decoys.
func recipes(random *rand.Rand) []*recipe {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	apt := func(packages ...string) piece {
		return piece{kind: "RUN", args: "apt-get update && apt-get install -y --no-install-recommends " + strings.Join(packages, " ") + " && rm -rf /var/lib/apt/lists/*", adds: packages[0]}
	}
	tools := []string{"curl", "git", "make", "libpq-dev", "imagemagick", "ffmpeg", "unzip", "gnupg", "tini", "jq", "vim-tiny", "libxml2-dev", "ghostscript", "rsync", "socat", "graphviz"}
	some := func(n int) []string {
		shuffled := slices.Clone(tools)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		return shuffled[:n]
	}
	names := []string{"shop", "billing", "mailer", "search", "gateway", "reports", "portal", "worker"}
	var list []*recipe
	for i := range 40 {
		service := names[i%len(names)] + fmt.Sprint(i/len(names))
		r := &recipe{name: service}
		label := piece{kind: "LABEL", args: "service=" + service}
		port := fmt.Sprint(3000 + i)
		switch i % 8 {
		case 0:
			r.args = []piece{{kind: "ARG", args: "PYTHON=3." + fmt.Sprint(9+i%5)}}
			r.stages = []recipeStage{{base: "python:${PYTHON}-slim", pieces: []piece{
				{kind: "ENV", args: "PYTHONUNBUFFERED=1 APP_HOME=/srv/" + service}, apt(some(3)...), {kind: "WORKDIR", args: "${APP_HOME}"},
				{kind: "COPY", args: "requirements.txt ./"}, {kind: "RUN", args: "pip install --no-cache-dir -r requirements.txt", adds: "python3-" + service},
				{kind: "COPY", args: ". ."}, {kind: "EXPOSE", args: port}, {kind: "CMD", exec: []string{"gunicorn", service + ".wsgi"}},
			}}}
		case 1:
			r.stages = []recipeStage{
				{base: "node:20", name: "deps", pieces: []piece{{kind: "WORKDIR", args: "/app"}, {kind: "COPY", args: "package.json package-lock.json ./"}, {kind: "RUN", args: "npm ci"}}},
				{base: "deps", name: "build", pieces: []piece{{kind: "COPY", args: ". ."}, {kind: "RUN", args: "npm run build:" + service}}},
				{base: "nginx:1.27", pieces: []piece{apt(some(2)...), {kind: "COPY", args: "/app/dist /usr/share/nginx/" + service, from: "build"}, {kind: "COPY", args: "nginx.conf /etc/nginx/conf.d/default.conf"},
					{kind: "RUN", args: "chown -R nginx /usr/share/nginx && apt-get install -y libnginx-mod-" + service, adds: "libnginx-mod-" + service}, {kind: "USER", args: "nginx"}, {kind: "EXPOSE", args: "80 " + port}}},
			}
		case 2:
			r.stages = []recipeStage{
				{base: "golang:1.26", name: "builder", pieces: []piece{{kind: "WORKDIR", args: "/src"}, {kind: "COPY", args: "go.mod go.sum ./"}, {kind: "RUN", args: "go mod download"}, {kind: "COPY", args: ". ."}, {kind: "RUN", args: "CGO_ENABLED=0 go build -o /out/" + service + " ./cmd/" + service}}},
				{base: "debian:bookworm-slim", pieces: []piece{{kind: "ARG", args: "UID=10" + fmt.Sprint(10+i)}, apt(some(2)...), {kind: "RUN", args: "useradd -u $UID " + service + " && apt-get install -y tzdata", adds: "tzdata"},
					{kind: "COPY", args: "/out/" + service + " /usr/local/bin/" + service, from: "builder"}, {kind: "USER", args: service}, {kind: "ENTRYPOINT", exec: []string{"/usr/local/bin/" + service}}}},
			}
		case 3:
			r.stages = []recipeStage{{base: "debian:12", pieces: []piece{
				label, {kind: "RUN", doc: []string{"set -eux", "apt-get update", "apt-get install -y " + strings.Join(some(3), " "), "apt-get clean"}, adds: "heredoc-" + service},
				{kind: "COPY", args: "conf/ /etc/" + service + "/"}, {kind: "VOLUME", args: "/var/lib/" + service}, {kind: "HEALTHCHECK", args: "CMD curl -f http://localhost:" + port + "/health || exit 1"}, {kind: "CMD", args: service + " --serve"},
			}}}
		case 4:
			r.args = []piece{{kind: "ARG", args: "JDK=" + pick("17", "21")}}
			r.stages = []recipeStage{
				{base: "maven:3.9-eclipse-temurin-${JDK}", name: "build", pieces: []piece{{kind: "WORKDIR", args: "/build"}, {kind: "COPY", args: "pom.xml ."}, {kind: "RUN", args: "mvn -q dependency:go-offline"}, {kind: "COPY", args: "src src"}, {kind: "RUN", args: "mvn -q package -DskipTests"}}},
				{base: "eclipse-temurin:${JDK}-jre", pieces: []piece{{kind: "ENV", args: "JAVA_OPTS=-Xmx" + fmt.Sprint(256+i) + "m"}, apt(some(1)...), {kind: "COPY", args: "/build/target/" + service + ".jar /app/app.jar", from: "build"}, apt("fontconfig", "locales"), {kind: "EXPOSE", args: port}, {kind: "ENTRYPOINT", args: "java $JAVA_OPTS -jar /app/app.jar"}}},
			}
		case 5:
			r.stages = []recipeStage{
				{base: "ruby:3.3", name: "base", pieces: []piece{apt(some(3)...), {kind: "WORKDIR", args: "/rails/" + service}}},
				{base: "base", pieces: []piece{{kind: "COPY", args: "Gemfile Gemfile.lock ./"}, {kind: "RUN", args: "bundle install --jobs 4 && apt-get install -y ruby-" + service, adds: "ruby-" + service}, {kind: "COPY", args: ". ."}, {kind: "RUN", args: "SECRET_KEY_BASE=x bundle exec rake assets:precompile"}, {kind: "CMD", exec: []string{"rails", "server", "-p", port}}}},
			}
		case 6:
			r.stages = []recipeStage{{base: "php:8.3-apache", pieces: []piece{
				{kind: "ARG", args: "EXTENSIONS=" + pick("gd", "intl", "zip")}, {kind: "RUN", args: "docker-php-ext-install $EXTENSIONS pdo_mysql && apt-get install -y lib" + service, adds: "lib" + service}, apt(some(2)...),
				{kind: "WORKDIR", args: "/var/www"}, {kind: "WORKDIR", args: service}, {kind: "ADD", args: "https://example.org/" + service + ".tar.gz /tmp/"}, {kind: "COPY", args: "--chown=www-data composer.json ./"}, {kind: "COPY", args: "public/ html/"}, {kind: "STOPSIGNAL", args: "SIGWINCH"},
			}}}
		case 7:
			r.stages = []recipeStage{
				{base: "rust:1.80", name: "planner", pieces: []piece{{kind: "RUN", args: "cargo install cargo-chef"}, {kind: "COPY", args: ". /p"}, {kind: "RUN", args: "cargo chef prepare"}}},
				{base: "debian:bookworm", name: "runtime", pieces: []piece{apt(some(2)...), {kind: "ENV", args: "RUST_LOG=info"}}},
				{base: "runtime", pieces: []piece{{kind: "COPY", args: "/p/target/" + service + " /usr/bin/", from: "planner"}, {kind: "RUN", doc: []string{"adduser --system " + service, "apt-get install -y " + some(1)[0]}, adds: "late-" + service}, label, {kind: "ENTRYPOINT", exec: []string{service}}}},
			}
		}
		for s := range r.stages {
			for p := range r.stages[s].pieces {
				if r.stages[s].pieces[p].adds != "" {
					r.stages[s].pieces[p].adds += fmt.Sprintf("-%d-%d", s, p)
				}
			}
		}
		list = append(list, r)
	}
	return list
}

// sibling is a recipe with one difference that a real variant has. twin keeps
// the last stage's chain as it is: its history cannot be told from the other's.
func (r *recipe) sibling(random *rand.Rand, twin bool) *recipe {
	s := &recipe{name: r.name + "-variant", args: slices.Clone(r.args)}
	for _, stage := range r.stages {
		stage.pieces = slices.Clone(stage.pieces)
		s.stages = append(s.stages, stage)
	}
	if twin {
		s.stages[0].base += "-alpine"
		if len(s.args) == 0 {
			s.args = []piece{{kind: "ARG", args: "UNUSED=1"}}
		}
		return s
	}
	last := &s.stages[len(s.stages)-1]
	for {
		i := random.IntN(len(last.pieces))
		p := &last.pieces[i]
		switch {
		case p.kind == "RUN" && p.doc == nil:
			p.args = strings.Replace(p.args, "apt-get install -y", "apt-get install -y strace", 1)
			if !strings.Contains(p.args, "strace") {
				p.args += " && true"
			}
			return s
		case p.kind == "RUN":
			p.doc = append(slices.Clone(p.doc), "ldconfig")
			return s
		case (p.kind == "COPY" || p.kind == "ADD") && len(last.pieces) > 2:
			last.pieces = slices.Delete(last.pieces, i, i+1)
			return s
		}
	}
}

// builtScore counts packages: all, those that got an answer, and right answers;
// strangers are images of which no candidate is the source.
type builtScore struct{ cases, answered, right, strangers, abstained int }

func tracedImages(ctx context.Context, notes *[]string) (score builtScore, err error) {
	dir, err := os.MkdirTemp("", "backstitch-eval-")
	if err != nil {
		return score, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	random := rand.New(rand.NewPCG(7, 7))
	known := recipes(random)
	for i, r := range known {
		for _, dialect := range []string{"buildkit", "legacy", "kaniko"} {
			if err := score.trace(ctx, filepath.Join(dir, "image.tar"), known, i, r, dialect, random, notes); err != nil {
				return score, fmt.Errorf("%s by %s: %w", r.name, dialect, err)
			}
		}
	}
	return score, nil
}

// truth is where a package's instruction stands.
type truth struct{ line, end int }

func (score *builtScore) trace(ctx context.Context, file string, known []*recipe, at int, r *recipe, dialect string, random *rand.Rand, notes *[]string) error {
	text, lines, _ := r.render(random)
	entries, made := r.history(dialect, random)
	chain := r.chain(len(r.stages) - 1)
	want := map[string]truth{}
	var layers [][]byte
	var installed []string
	for i, entry := range entries {
		if entry.EmptyLayer {
			continue
		}
		content := fmt.Sprintf("layer %d of %s", i, r.name)
		if made[i] >= 0 {
			m := chain[made[i]]
			if name := m.done.adds; name != "" {
				installed = append(installed, name)
				l := lines[m.stage][m.piece]
				want[name] = truth{l[0], l[1]}
			}
		} else {
			installed = append(installed, fmt.Sprintf("base-%d", i))
		}
		layer, err := simulatedLayer(installed, content)
		if err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	if err := saveImage(file, entries, layers); err != nil {
		return err
	}

	candidates := []struct {
		path, text string
		same       bool
	}{{"services/" + r.name + "/Dockerfile", text, true}}
	twin := random.IntN(6) == 0
	for i := range 2 {
		decoy := r.sibling(random, twin && i == 0)
		text, _, _ := decoy.render(random)
		candidates = append(candidates, struct {
			path, text string
			same       bool
		}{fmt.Sprintf("services/%s/Dockerfile.%d", r.name, i), text, twin && i == 0})
	}
	var strangers []image.Candidate
	for step := range 12 {
		other := known[(at+step+1)%len(known)]
		text, _, _ := other.render(random)
		path := "services/" + other.name + "/Dockerfile"
		parsed, err := dockerfile.Parse(path, []byte(text))
		if err != nil {
			return err
		}
		strangers = append(strangers, image.Candidate{Repository: "example.org/mono", Path: path, File: parsed})
	}
	all := slices.Clone(strangers)
	same := map[string]bool{}
	for _, c := range candidates {
		parsed, err := dockerfile.Parse(c.path, []byte(c.text))
		if err != nil {
			return err
		}
		if len(parsed.Problems) > 0 {
			return fmt.Errorf("%v", parsed.Problems)
		}
		same[c.path] = c.same
		all = append(all, image.Candidate{Repository: "example.org/mono", Path: c.path, File: parsed})
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })

	set, err := image.Open(ctx, file)
	if err != nil {
		return err
	}
	defer set.Close()
	traced, err := image.Investigate(ctx, set.Images[0], image.Inputs{Repositories: []*image.Repository{{Name: "example.org/mono", Dockerfiles: all}}})
	if err != nil {
		return err
	}
	for _, p := range traced.Inventory.Packages {
		where, ours := want[p.Name]
		if !ours {
			continue
		}
		score.cases++
		answer := traced.Package(p)
		if answer.Cause.Status == fact.CauseUnknown {
			continue
		}
		score.answered++
		hit, wrong := false, false
		for _, l := range answer.Cause.Locations {
			if l.Path == candidates[0].path && l.Line == where.line && l.EndLine == where.end {
				hit = true
			} else if l.Path == candidates[0].path || !same[l.Path] {
				wrong = true
			}
		}
		if hit && !wrong {
			score.right++
		} else if len(*notes) < 80 {
			*notes = append(*notes, fmt.Sprintf("%s by %s: %s at %d-%d, answered %v", r.name, dialect, p.Name, where.line, where.end, answer.Cause.Locations))
		}
	}
	// The same image where its Dockerfile is not among the candidates.
	score.strangers++
	if !image.Rank(traced.Image.Steps, strangers, "").Answered {
		score.abstained++
	} else if len(*notes) < 80 {
		*notes = append(*notes, fmt.Sprintf("%s by %s: a stranger's file was named", r.name, dialect))
	}
	return nil
}

// simulatedLayer has a dpkg database of everything installed so far, as every
// run of the package manager writes it again.
func simulatedLayer(installed []string, content string) ([]byte, error) {
	var status strings.Builder
	for _, name := range installed {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\n", name)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range [][2]string{{"etc/os-release", "ID=debian\nVERSION_ID=12\n"}, {"var/lib/dpkg/status", status.String()}, {"opt/content", content}} {
		if err := w.WriteHeader(&tar.Header{Name: f[0], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f[1]))}); err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// saveImage writes an archive as docker save does.
func saveImage(name string, history []image.HistoryEntry, layers [][]byte) (err error) {
	config := image.Config{OS: "linux", Architecture: "amd64", History: history}
	for _, layer := range layers {
		sum := sha256.Sum256(layer)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, "sha256:"+hex.EncodeToString(sum[:]))
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := tar.NewWriter(file)
	put := func(name string, data []byte) {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))})
		}
		if err == nil {
			_, err = w.Write(data)
		}
	}
	sum := sha256.Sum256(data)
	configName := hex.EncodeToString(sum[:]) + ".json"
	put(configName, data)
	names := []string{}
	for i, layer := range layers {
		names = append(names, fmt.Sprintf("%d/layer.tar", i))
		put(names[i], layer)
	}
	manifest, marshalErr := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{}, "Layers": names}})
	if err == nil {
		err = marshalErr
	}
	put("manifest.json", manifest)
	return errors.Join(err, w.Close())
}
