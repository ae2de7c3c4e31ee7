package lockfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// GitHub Actions: one module for each folder with workflows or actions. An action
// that is used at several places with one ref is one package, declared at each.

const actionsEcosystem = "GitHub Actions"

// wantsActions takes workflows at the root of a repository, where forges look for
// them, and actions anywhere.
func wantsActions(name string) bool {
	switch path.Ext(name) {
	case ".yml", ".yaml":
	default:
		return false
	}
	switch path.Dir(name) {
	case ".github/workflows", ".gitea/workflows", ".forgejo/workflows":
		return true
	}
	base := path.Base(name)
	return base == "action.yml" || base == "action.yaml"
}

// ActionUse is one place that uses an action or a reusable workflow of another
// repository.
type ActionUse struct {
	Name string // owner/repository
	Path string // below the repository, "" for its root
	Ref  string // tag, branch or commit
	Line int
	// Start and End are the bytes of the ref in the file; both are 0 where it does
	// not stand on the line as it is, and cannot be edited.
	Start, End int
	// Comment is what follows "#" on the line; CommentStart is where the "#" is, the
	// end of the value where there is none.
	Comment      string
	HasComment   bool
	CommentStart int
	CommentEnd   int
}

var (
	actionRef   = regexp.MustCompile(`^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)((?:/[^@\s]*)?)@([^@\s]+)$`)
	commitRef   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	versionRef  = regexp.MustCompile(`^v?\d+(?:\.\d+){0,2}$`)
	versionWord = regexp.MustCompile(`(?:^|[\s=@:#/])(v\d+(?:\.\d+){0,2}|\d+(?:\.\d+){1,2})(?:$|[\s:,;)])`)
)

// Pinned says whether the ref is a full commit, which nobody can move.
func (u *ActionUse) Pinned() bool { return commitRef.MatchString(u.Ref) }

// Version is the version that the ref names, or the comment behind a commit: one, two
// or three numbers as written; "" when neither names one. What has fewer than three
// moves with the newest of them, unless it stands behind a commit.
func (u *ActionUse) Version() string {
	if versionRef.MatchString(u.Ref) {
		return u.Ref
	}
	if u.Pinned() {
		if start, end := u.CommentVersion(); end > 0 {
			return u.Comment[start:end]
		}
	}
	return ""
}

// CommentVersion gives the place of the first version in the comment; end is 0 when
// there is none.
func (u *ActionUse) CommentVersion() (start, end int) {
	m := versionWord.FindStringSubmatchIndex(u.Comment)
	if m == nil {
		return 0, 0
	}
	return m[2], m[3]
}

// ActionUses lists what a workflow or a composite action uses, in file order.
// Containers and actions of the repository itself are left out. Errors say the line.
func ActionUses(data []byte) ([]ActionUse, error) {
	root, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	var found []ActionUse
	lines := newLines(data)
	add := func(at *node) {
		uses := at.get("uses")
		if uses == nil || uses.kind != nodeText {
			return
		}
		m := actionRef.FindStringSubmatch(strings.TrimSpace(uses.text))
		if m == nil {
			return
		}
		u := ActionUse{Name: m[1], Path: strings.Trim(m[2], "/"), Ref: m[3], Line: uses.line}
		lines.place(&u, m[0])
		found = append(found, u)
	}
	for _, job := range root.get("jobs").fields() {
		add(job.value)
		for _, step := range job.value.get("steps").list() {
			add(step)
		}
	}
	for _, step := range root.at("runs", "steps").list() {
		add(step)
	}
	slices.SortStableFunc(found, func(a, b ActionUse) int { return a.Line - b.Line })
	return found, nil
}

// textLines finds bytes by line.
type textLines struct {
	data   []byte
	starts []int
}

func newLines(data []byte) *textLines {
	l := &textLines{data: data, starts: []int{0}}
	for i, c := range data {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

// place finds a value and the comment behind it on the line of a use.
func (l *textLines) place(u *ActionUse, value string) {
	if u.Line < 1 || u.Line > len(l.starts) {
		return
	}
	start := l.starts[u.Line-1]
	end := len(l.data)
	if u.Line < len(l.starts) {
		end = l.starts[u.Line] - 1
	}
	text := strings.TrimSuffix(string(l.data[start:end]), "\r")
	at := strings.Index(text, value)
	if at < 0 || strings.Count(text, value) > 1 || strings.ContainsAny(text[:at], "#&*|>") {
		return
	}
	after := at + len(value)
	u.Start, u.End = start+after-len(u.Ref), start+after
	if after < len(text) && (text[after] == '"' || text[after] == '\'') {
		after++
	}
	rest := text[after:]
	u.CommentStart = start + after
	u.CommentEnd = u.CommentStart
	lead := len(rest) - len(strings.TrimLeft(rest, " \t"))
	if lead < len(rest) && rest[lead] == '#' && lead > 0 {
		u.HasComment = true
		u.Comment = rest[lead+1:]
		u.CommentStart += lead
		u.CommentEnd = start + len(text)
	}
}

func readActions(s *source, files []string) []Module {
	var modules []Module
	folders, in := byFolder(files)
	for _, dir := range folders {
		m := Module{Dir: dir, Ecosystem: actionsEcosystem, Tool: "actions"}
		at := map[string]int{}
		for _, file := range in[dir] {
			data, err := s.text(file)
			var uses []ActionUse
			if err == nil {
				uses, err = ActionUses(data)
			}
			if err != nil {
				m.Manifests = append(m.Manifests, file)
				m.fail(file, err)
				continue
			}
			if len(uses) > 0 {
				m.Manifests = append(m.Manifests, file)
			}
			for _, u := range uses {
				m.action(at, file, &u)
			}
		}
		if len(m.Manifests) > 0 {
			modules = append(modules, m)
		}
	}
	return modules
}

// action adds one use to a module. A ref that names no version is a commit or a
// branch: its source is git.
func (m *Module) action(at map[string]int, file string, u *ActionUse) {
	d := Declaration{Name: u.Name, Constraint: u.Ref, Group: "build", Path: file, Line: u.Line, EndLine: u.Line}
	if u.Path != "" {
		d.Alias = u.Name + "/" + u.Path
	}
	key := u.Name + "@" + u.Ref
	p := Package{Name: u.Name, Version: u.Version(), Path: file, Line: u.Line, EndLine: u.Line, Direct: true}
	if p.Version == "" {
		p.Source, p.Version = "git", "git:"+u.Ref
	} else if p.Version != u.Ref {
		key += " " + p.Version
	}
	p.Key = key
	m.Declared = append(m.Declared, d)
	i, known := at[key]
	if !known {
		i = len(m.Packages)
		at[key] = i
		m.Packages = append(m.Packages, p)
	}
	m.Packages[i].Declared = append(m.Packages[i].Declared, len(m.Declared)-1)
}
