// Package demo makes a demonstration estate: three small git repositories with
// real history by several authors, really vulnerable versions of real packages,
// advisories about them written as facts, reports in the scanners' own formats,
// and what was exported from the cloud and the cluster where they run. Everything comes from readable text archives in the folder estate;
// the same archives give the same commit ids on any machine.
package demo

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
)

//go:embed estate/*.txtar
var estate embed.FS

// Repository is one repository of the estate.
type Repository struct {
	Name    string
	Dir     string   // a clone, as a developer has it
	Remote  string   // the bare repository that the clone's changes are pushed to
	Reports []string // files of scanners' reports about it
	Later   []string // the reports of the day after a change of it was merged
}

// Source is a source of facts that reads an exported file.
type Source struct {
	Name, Type string
	Settings   map[string]string
}

// Estate is the whole of what Build wrote.
type Estate struct {
	Repositories []Repository
	Sources      []Source  // what was exported from where it runs
	Advisories   string    // folder of advisories in OSV form
	Now          time.Time // the day on which the estate is looked at
}

// host is where the repositories of the estate live.
const host = "git.ledgerworks.example/ledgerworks"

// Build writes the estate into dir, which must be empty or absent.
func Build(ctx context.Context, dir string) (Estate, error) {
	built := Estate{Advisories: filepath.Join(dir, "advisories"), Now: time.Date(2024, 7, 1, 9, 0, 0, 0, time.UTC)}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return built, fmt.Errorf("%s is not empty: the estate is written into an empty folder", dir)
	}
	for _, name := range []string{"ledger", "storefront", "platform"} {
		repository := Repository{
			Name:   name,
			Dir:    filepath.Join(dir, "repositories", name),
			Remote: filepath.Join(dir, "remotes", name+".git"),
		}
		if err := build(ctx, repository); err != nil {
			return built, fmt.Errorf("repository %s: %w", name, err)
		}
		built.Repositories = append(built.Repositories, repository)
	}
	if _, err := extract("advisories.txtar", built.Advisories); err != nil {
		return built, err
	}
	exports := filepath.Join(dir, "exports")
	if _, err := extract("exports.txtar", exports); err != nil {
		return built, err
	}
	built.Sources = []Source{
		{"state", "terraformstate", map[string]string{"path": filepath.Join(exports, "terraform.tfstate"), "repository": host + "/platform", "root": "storage"}},
		{"cluster", "kubernetes", map[string]string{"path": filepath.Join(exports, "cluster.json"), "cluster": "north"}},
		{"projects", "project", map[string]string{"path": filepath.Join(exports, "projects.yaml")}},
	}
	reports, err := extract("reports.txtar", filepath.Join(dir, "reports"))
	if err != nil {
		return built, err
	}
	later, err := extract("later.txtar", filepath.Join(dir, "later"))
	if err != nil {
		return built, err
	}
	for i := range built.Repositories {
		repository := &built.Repositories[i]
		repository.Reports = of(*repository, reports)
		repository.Later = of(*repository, later)
	}
	return built, nil
}

// of picks the files that stand in a repository's folder.
func of(repository Repository, files []string) (own []string) {
	for _, file := range files {
		if filepath.Base(filepath.Dir(file)) == repository.Name {
			own = append(own, file)
		}
	}
	return own
}

// Merge takes a branch into main of the bare remote, as people do who agree with it, and
// brings the clone there.
func Merge(ctx context.Context, repository Repository, branch string) error {
	for _, args := range [][]string{
		{"--git-dir=" + repository.Remote, "fetch", "--quiet", repository.Remote, "refs/heads/" + branch + ":refs/heads/main"},
		{"-C", repository.Dir, "pull", "--quiet", "--ff-only", repository.Remote, "main"},
	} {
		if err := git(ctx, nil, args...); err != nil {
			return fmt.Errorf("merge %s: %w", branch, err)
		}
	}
	return nil
}

// extract writes the files of an archive below dir and lists them in order.
func extract(archive, dir string) ([]string, error) {
	text, err := estate.ReadFile("estate/" + archive)
	if err != nil {
		return nil, err
	}
	var written []string
	for _, file := range txtar.Parse(text).Files {
		name := filepath.Join(dir, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, file.Data, 0o644); err != nil {
			return nil, err
		}
		written = append(written, name)
	}
	return written, nil
}

// build makes the remote of a repository from its archive, and a clone of it.
func build(ctx context.Context, repository Repository) error {
	text, err := estate.ReadFile("estate/" + repository.Name + ".txtar")
	if err != nil {
		return err
	}
	stream, err := history(txtar.Parse(text))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(repository.Remote), 0o755); err != nil {
		return err
	}
	for _, step := range []struct {
		input []byte
		args  []string
	}{
		{nil, []string{"init", "--quiet", "--bare", "--initial-branch=main", repository.Remote}},
		{stream, []string{"--git-dir=" + repository.Remote, "fast-import", "--quiet"}},
		{nil, []string{"clone", "--quiet", repository.Remote, repository.Dir}},
		{nil, []string{"--git-dir=" + filepath.Join(repository.Dir, ".git"), "config", "remote.origin.url", "https://" + host + "/" + repository.Name + ".git"}},
	} {
		if err := git(ctx, step.input, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// git runs git with nothing of whoever runs the demonstration.
func git(ctx context.Context, input []byte, args ...string) error {
	command := exec.CommandContext(ctx, "git", args...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull}
	command.Stdin = bytes.NewReader(input)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(output))
	}
	return nil
}

// commit is one line of an archive's comment.
type commit struct {
	number  int
	when    time.Time
	author  string // Name <address>
	subject string
}

// history writes the commits of an archive as a stream for git fast-import.
func history(archive *txtar.Archive) ([]byte, error) {
	var commits []commit
	for i, line := range strings.Split(string(archive.Comment), "\n") {
		fields := strings.SplitN(line, " ", 3)
		number, err := strconv.Atoi(fields[0])
		if err != nil {
			continue // prose
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %d: expected number, time, author, subject", i+1)
		}
		when, err := time.Parse(time.RFC3339, fields[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		end := strings.Index(fields[2], "> ")
		if end < 0 {
			return nil, fmt.Errorf("line %d: expected Name <address> and a subject", i+1)
		}
		commits = append(commits, commit{number, when, fields[2][:end+1], fields[2][end+2:]})
	}
	slices.SortFunc(commits, func(a, b commit) int { return a.number - b.number })
	var stream bytes.Buffer
	for _, c := range commits {
		fmt.Fprintf(&stream, "commit refs/heads/main\nauthor %s %d +0000\ncommitter %s %d +0000\ndata %d\n%s\n",
			c.author, c.when.Unix(), c.author, c.when.Unix(), len(c.subject)+1, c.subject)
		for _, file := range archive.Files {
			number, name, _ := strings.Cut(file.Name, "/")
			if number != strconv.Itoa(c.number) {
				continue
			}
			mode := "100644"
			if path.Ext(name) == ".sh" {
				mode = "100755"
			}
			fmt.Fprintf(&stream, "M %s inline %s\ndata %d\n%s\n", mode, name, len(file.Data), file.Data)
		}
	}
	return stream.Bytes(), nil
}
