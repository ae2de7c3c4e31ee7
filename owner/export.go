package owner

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/code/codeowners"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/store"
)

// Export is a change of a file that says who owns what, as a diff to be reviewed.
type Export struct {
	Repository string   `json:"repository"`
	Commit     string   `json:"commit"`
	Path       string   `json:"path"`
	Diff       string   `json:"diff"`  // "" when there is nothing to change
	Notes      []string `json:"notes"` // what was found, one a line
}

// Bounds of what an export proposes.
const (
	maxProposals   = 20
	maxAsked       = 30 // files of a folder that are asked about
	leastProposal  = .3
	maxExportNotes = 200
)

func (x *Export) note(format string, args ...any) {
	if len(x.Notes) < maxExportNotes {
		x.Notes = append(x.Notes, fmt.Sprintf(format, args...))
	}
}

// people gives the directory outside of a transaction.
func (e *Estate) people(ctx context.Context) (d *Directory, err error) {
	err = e.db.Read(ctx, func(tx store.Tx) error {
		d, err = e.known(ctx, tx)
		return err
	})
	return d, err
}

// ExportCodeowners repairs the CODEOWNERS file of a commit: owners who left or do not
// exist give way to who answers instead, and paths without any get whom history
// names, in lines before all others, so that these count. No path that has an owner
// who is there gets another one: a repair that would is an error.
func (e *Estate) ExportCodeowners(ctx context.Context, repo *git.Repository, commit, cacheDir string) (Export, error) {
	x := Export{Commit: commit, Notes: []string{}}
	directory, err := e.people(ctx)
	if err != nil {
		return x, err
	}
	r, err := New(ctx, repo, commit, cacheDir, e.now())
	if err != nil {
		return x, err
	}
	x.Repository = r.index.identity
	for _, p := range r.problems {
		x.note("skipped: %s", p)
	}
	dialect, old := codeowners.DialectOf(x.Repository), []byte{}
	rules := r.rules
	if rules == nil {
		if dialect == codeowners.Unknown {
			dialect = codeowners.GitHub
		}
		x.Path = codeowners.Places(dialect)[0]
		rules, _ = codeowners.Parse(dialect, x.Path, nil)
	} else {
		dialect, x.Path = rules.Dialect, rules.Path
		if old, err = r.tree.Read(ctx, x.Path); err != nil {
			return x, fmt.Errorf("%s: %w", x.Path, err)
		}
	}
	paths, err := r.tree.Paths(ctx)
	if err != nil {
		return x, err
	}
	lines := strings.SplitAfter(string(old), "\n")
	repaired := map[int]bool{}
	for _, rule := range rules.Rules {
		for _, name := range rule.Owners {
			why, instead := e.replacement(directory, name)
			if why == "" {
				continue
			}
			if instead == "" && len(rule.Owners) == 1 {
				x.note("%s:%d: %s %s, and nobody is known who answers instead", x.Path, rule.Line, name, why)
				continue
			}
			text, ok := replaceOwner(lines[rule.Line-1], name, instead)
			if !ok { // an owner of the section's header
				x.note("%s:%d: %s %s, named in another line: not changed", x.Path, rule.Line, name, why)
				continue
			}
			lines[rule.Line-1], repaired[rule.Line] = text, true
			if instead == "" {
				x.note("%s:%d: %s %s: taken out", x.Path, rule.Line, name, why)
			} else {
				x.note("%s:%d: %s %s: %s instead", x.Path, rule.Line, name, why, instead)
			}
		}
	}
	added, err := e.unowned(ctx, r, rules, paths, &x)
	if err != nil {
		return x, err
	}
	text := strings.Join(lines, "")
	if len(added) > 0 {
		text = strings.Join(added, "\n") + "\n" + text
	}
	if text == string(old) {
		return x, nil
	}
	fresh, _ := codeowners.Parse(dialect, x.Path, []byte(text))
	for _, name := range paths {
		before, after := rules.Match(name), fresh.Match(name)
		if len(before.Owners) == 0 || slices.ContainsFunc(before.Deciding, func(rule *codeowners.Rule) bool { return repaired[rule.Line] }) {
			continue
		}
		if !slices.Equal(before.Owners, after.Owners) {
			return x, fmt.Errorf("repair of %s: %s would go from %v to %v", x.Path, name, before.Owners, after.Owners)
		}
	}
	x.Diff, err = changed(ctx, repo, commit, x.Path, text, e.now())
	return x, err
}

// changed gives the diff of one file.
func changed(ctx context.Context, repo *git.Repository, commit, path, text string, now time.Time) (string, error) {
	id, err := repo.Commit(ctx, commit, map[string][]byte{path: []byte(text)}, "Owners", git.Signature{Name: "Backstitch", Email: "backstitch@localhost", When: now})
	if err != nil {
		return "", err
	}
	return repo.Diff(ctx, commit, id)
}

// replacement says why an owner of CODEOWNERS does not answer, "" when it does or
// nothing is known of it, and who does instead, "" when nobody is known.
func (e *Estate) replacement(d *Directory, name string) (why, instead string) {
	party := fact.Party{Kind: fact.AssetPerson, ID: name}
	if isTeam(name) {
		party.Kind = fact.AssetTeam
	}
	n, ok := d.find(party)
	if !ok {
		if org, _, _ := strings.Cut(strings.ToLower(name), "/"); party.Kind == fact.AssetTeam && d.orgs[org] {
			return "does not exist", ""
		}
		return "", ""
	}
	who := &d.list[n]
	if !who.known || who.absence() == "" {
		return "", ""
	}
	why = strings.TrimPrefix(strings.TrimPrefix(who.absence(), "who "), "which ")
	for _, s := range d.standIns(n, &e.precedence) {
		if handle := d.list[s.who].handle(); handle != "" {
			return why, handle
		}
	}
	return why, ""
}

// handle is how CODEOWNERS writes somebody, "" when that is not known.
func (i *identity) handle() string {
	text := ""
	switch {
	case strings.HasPrefix(i.asset.Key, "@"):
		text = i.asset.Key
	case i.login != "":
		text = "@" + strings.TrimPrefix(i.login, "@")
	case i.party.Kind == fact.AssetPerson && strings.Contains(i.party.ID, "@"):
		text = i.party.ID
	}
	if !written(text) {
		return ""
	}
	return text
}

// written says whether a name from outside is one word in CODEOWNERS and in YAML,
// whatever stands around it.
func written(text string) bool {
	return text != "" && len(text) <= maxName && !strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@/:._+-", r))
	})
}

// replaceOwner changes an owner in a line, behind its pattern; "" takes it out.
func replaceOwner(line, name, instead string) (string, bool) {
	from := len(line) - len(strings.TrimLeft(line, " \t"))
	for i := from; i < len(line); i++ { // past the pattern, in which a backslash escapes
		if line[i] == '\\' {
			i++
		} else if line[i] == ' ' || line[i] == '\t' {
			from = i
			break
		}
	}
	end := len(line)
	if at := strings.Index(line[from:], " #"); at >= 0 {
		end = from + at
	}
	for at := from; at < end; {
		found := strings.Index(line[at:end], name)
		if found < 0 {
			return line, false
		}
		start, stop := at+found, at+found+len(name)
		whole := strings.ContainsRune(" \t", rune(line[start-1])) && (stop == len(line) || strings.ContainsRune(" \t\r\n#", rune(line[stop])))
		if !whole {
			at = stop
			continue
		}
		if instead == "" || strings.Contains(line[from:start]+line[stop:end], instead) {
			return strings.TrimRight(line[:start], " \t") + line[stop:], true
		}
		return line[:start] + instead + line[stop:], true
	}
	return line, false
}

// unowned proposes lines for the folders with most paths that nobody owns.
func (e *Estate) unowned(ctx context.Context, r *Resolver, rules *codeowners.Rules, paths []string, x *Export) ([]string, error) {
	free := map[string][]string{}
	owned := map[string]bool{}
	for _, name := range paths {
		folder, _, nested := strings.Cut(name, "/")
		if !nested {
			folder = ""
		}
		if m := rules.Match(name); len(m.Deciding) == 0 {
			free[folder] = append(free[folder], name)
		} else {
			owned[folder] = true
		}
	}
	folders := slices.SortedFunc(maps.Keys(free), func(a, b string) int { return cmp.Or(cmp.Compare(len(free[b]), len(free[a])), cmp.Compare(a, b)) })
	var added, names []string
	for i, folder := range folders {
		place := "the files at the root"
		if folder != "" {
			place = folder + "/"
		}
		if i >= maxProposals {
			x.note("%d more folders have paths that nobody owns", len(folders)-i)
			break
		}
		if rules.Dialect == codeowners.Gitea && owned[folder] {
			x.note("%d paths in %s have no owner; a line for all of it would add owners to the others", len(free[folder]), place)
			continue
		}
		subject := Subject{}
		for _, name := range free[folder][:min(len(free[folder]), maxAsked)] {
			subject.Files = append(subject.Files, File{Path: name})
		}
		owners, err := r.Suggest(ctx, subject)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(owners, func(o fact.Owner) bool {
			return o.Kind == fact.AssetPerson && strings.Contains(o.ID, "@") && written(o.ID)
		})
		if at < 0 || owners[at].Confidence < leastProposal {
			x.note("%d paths in %s have no owner, and nobody is clear by history", len(free[folder]), place)
			continue
		}
		pattern, ok := folderPattern(folder, rules.Dialect)
		if !ok {
			x.note("%d paths in %s have no owner, and its name cannot be written in a pattern", len(free[folder]), place)
			continue
		}
		x.note("%d paths in %s have no owner: %s by history, %.2f", len(free[folder]), place, owners[at].ID, owners[at].Confidence)
		added = append(added, pattern+" "+owners[at].ID)
		names = append(names, owners[at].ID)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 1 && len(owned) == 0 && len(added) > 1 && rules.Dialect != codeowners.Gitea {
		return []string{"* " + names[0]}, nil
	}
	return added, nil
}

// folderPattern writes a folder of the root, or the files at the root, as a pattern.
func folderPattern(folder string, dialect codeowners.Dialect) (string, bool) {
	if strings.ContainsAny(folder, " \t\\*?[]!#()+^$|{}\r\n") {
		return "", false
	}
	switch {
	case dialect == codeowners.Gitea && folder == "":
		return "[^/]*", true
	case dialect == codeowners.Gitea:
		return strings.ReplaceAll(folder, ".", `\.`) + "/.*", true
	case folder == "":
		return "/*", true
	}
	return "/" + folder + "/", true
}

// catalogFile is where Backstage looks for a repository's entities.
const catalogFile = "catalog-info.yaml"

// ExportBackstage writes who owns a repository into its catalog-info.yaml: the owner
// of entities that have none, or one that is not there any longer, and where the
// source is.
func (e *Estate) ExportBackstage(ctx context.Context, repo *git.Repository, commit, cacheDir string) (Export, error) {
	x := Export{Commit: commit, Path: catalogFile, Notes: []string{}}
	directory, err := e.people(ctx)
	if err != nil {
		return x, err
	}
	if x.Repository, err = repo.Identity(ctx); err != nil {
		return x, err
	}
	suggested, err := e.ofRepository(ctx, repo, commit, cacheDir, x.Repository)
	if err != nil {
		return x, err
	}
	ref := ""
	if suggested.Clear {
		o := suggested.Owners[0]
		ref = directory.reference(fact.Party{Kind: o.Kind, ID: o.ID, Name: o.Name})
		x.note("the owner is %s %s, %.2f", o.Kind, cmp.Or(o.Name, o.ID), o.Confidence)
	} else {
		x.note("%s", suggested.Why)
	}
	if ref != "" && !written(ref) {
		x.note("%q cannot be written as an owner", ref)
		ref = ""
	}
	old, err := repo.Tree(commit).Read(ctx, catalogFile)
	var text string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if ref == "" {
			return x, nil
		}
		name := slug(x.Repository[strings.LastIndexByte(x.Repository, '/')+1:])
		text = fmt.Sprintf("apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: %s\n%sspec:\n  type: service\n  lifecycle: production\n  owner: %s\n", name, annotations(x.Repository, "  "), ref)
		x.note("there is no %s: type and lifecycle are to be looked at", catalogFile)
	case err != nil:
		return x, fmt.Errorf("%s: %w", catalogFile, err)
	default:
		if text, err = e.catalogText(directory, old, ref, &x); err != nil {
			return x, err
		}
	}
	if text == string(old) {
		return x, nil
	}
	x.Diff, err = changed(ctx, repo, commit, catalogFile, text, e.now())
	return x, err
}

// ofRepository is who owns a repository by the graph, else by its own code.
func (e *Estate) ofRepository(ctx context.Context, repo *git.Repository, commit, cacheDir, identity string) (Suggested, error) {
	subject := fact.Asset{Kind: fact.AssetRepository, Key: identity}
	x, err := e.Explain(ctx, subject)
	if err == nil && len(x.Owners) > 0 {
		return x.Suggested, nil
	}
	if err != nil && !errors.Is(err, graph.ErrNotFound) {
		return Suggested{}, err
	}
	r, err := New(ctx, repo, commit, cacheDir, e.now())
	if err != nil {
		return Suggested{}, err
	}
	owners, err := r.Suggest(ctx, Subject{Path: anywhere})
	if err != nil {
		return Suggested{}, err
	}
	var claims []Claimed
	for _, o := range owners {
		claims = append(claims, Claimed{Claim: fact.Claim{Subject: subject, Owner: fact.Party{Kind: o.Kind, ID: o.ID, Name: o.Name}, Role: o.Role, Source: SourceCode, Confidence: o.Confidence}})
	}
	if x, err = e.ExplainWith(ctx, subject, claims, nil); err != nil {
		return Suggested{}, err
	}
	return x.Suggested, nil
}

// reference is how Backstage writes somebody.
func (d *Directory) reference(p fact.Party) string {
	if n, ok := d.find(p); ok {
		if ref, is := strings.CutPrefix(d.list[n].asset.Key, "backstage:"); is {
			return ref
		}
	}
	kind := "group"
	name := p.ID
	if p.Kind == fact.AssetPerson {
		kind = "user"
		name, _, _ = strings.Cut(name, "@")
	}
	return kind + ":default/" + slug(name[strings.LastIndexAny(name, "/:")+1:])
}

// slug makes a name that Backstage accepts.
func slug(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '-'
	}, strings.ToLower(text))
	return cmp.Or(strings.Trim(clean[:min(len(clean), 63)], "-_."), "unnamed")
}

func annotations(identity, indent string) string {
	if strings.HasPrefix(identity, "local/") {
		return "" // it has no address
	}
	return indent + "annotations:\n" + indent + "  " + locationAnnotation + ": url:https://" + identity + "/\n"
}

const locationAnnotation = "backstage.io/source-location"

// catalogText repairs the owners of entities, line by line, and reads the result again.
func (e *Estate) catalogText(d *Directory, old []byte, ref string, x *Export) (string, error) {
	lines := strings.SplitAfter(string(old), "\n")
	decoder := yaml.NewDecoder(bytes.NewReader(old))
	inserted := map[int]string{} // behind the line of this number
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", catalogFile, err)
		}
		entity := document.Content[0]
		version, metadata, spec := valueOf(entity, "apiVersion"), valueOf(entity, "metadata"), valueOf(entity, "spec")
		if version == nil || !strings.HasPrefix(version.Value, "backstage.io/") || spec == nil || spec.Kind != yaml.MappingNode || spec.Style&yaml.FlowStyle != 0 || len(spec.Content) == 0 {
			continue
		}
		if metadata != nil && metadata.Kind == yaml.MappingNode && metadata.Style&yaml.FlowStyle == 0 && len(metadata.Content) > 0 && valueOf(metadata, "annotations") == nil {
			first := metadata.Content[0]
			inserted[first.Line-1] = annotations(x.Repository, strings.Repeat(" ", first.Column-1))
		}
		if ref == "" {
			continue
		}
		named := valueOf(spec, "owner")
		if named == nil {
			first := spec.Content[0]
			inserted[first.Line-1] += strings.Repeat(" ", first.Column-1) + "owner: " + ref + "\n"
			x.note("%s:%d: no owner: %s", catalogFile, entity.Line, ref)
			continue
		}
		kind := fact.AssetTeam
		if strings.HasPrefix(strings.ToLower(named.Value), "user:") {
			kind = fact.AssetPerson
		}
		n, ok := d.find(fact.Party{Kind: kind, ID: named.Value})
		if !ok || d.list[n].absence() == "" || named.Kind != yaml.ScalarNode || named.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			continue
		}
		line := lines[named.Line-1]
		at := strings.Index(line[named.Column-1:], named.Value)
		if at < 0 {
			continue // written over several lines
		}
		at += named.Column - 1
		lines[named.Line-1] = line[:at] + ref + line[at+len(named.Value):]
		x.note("%s:%d: %s, %s: %s instead", catalogFile, named.Line, named.Value, d.list[n].absence(), ref)
	}
	var text strings.Builder
	for i, line := range lines {
		text.WriteString(line)
		if more := inserted[i+1]; more != "" {
			if !strings.HasSuffix(line, "\n") {
				text.WriteByte('\n')
			}
			text.WriteString(more)
		}
	}
	if err := yaml.NewDecoder(strings.NewReader(text.String())).Decode(&yaml.Node{}); err != nil {
		return "", fmt.Errorf("%s after the change: %w", catalogFile, err)
	}
	return text.String(), nil
}

// valueOf gives the value of a name in a mapping, nil when there is none.
func valueOf(node *yaml.Node, name string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}
