package codeowners

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// expression is the part of a regular expression that matching needs.
type expression interface{ MatchString(string) bool }

// maxProblems bounds the list of problems; the last one says so.
const maxProblems = 1000

// maxExpression bounds one regular expression of a Gitea file, in bytes.
const maxExpression = 1000

type parser struct {
	dialect  Dialect
	file     string
	line     int
	rules    []*Rule
	patterns []pattern // of rules, same order; unused for Gitea
	problems []Problem

	sections []*Section
	byName   map[string]*Section // folded name
	section  *Section
}

// Parse reads a file's content; file is its path, used in problems. A line
// that cannot be understood is skipped and reported, the rest counts.
func Parse(dialect Dialect, file string, data []byte) (*Rules, []Problem) {
	if len(data) > MaxFile {
		return build(dialect, file, nil), []Problem{tooLarge(file)}
	}
	nameless := &Section{Approvals: 1}
	p := &parser{
		dialect: dialect, file: file, section: nameless,
		sections: []*Section{nameless}, byName: map[string]*Section{"": nameless},
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	for line := range strings.SplitSeq(text, "\n") {
		p.line++
		line = strings.Trim(line, " \t\r\v\f")
		if line == "" || line[0] == '#' {
			continue
		}
		if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
			p.problem("not UTF-8 text: line skipped")
			continue
		}
		switch dialect {
		case GitLab:
			p.gitlab(line)
		case Gitea:
			p.gitea(line)
		default:
			p.github(line)
		}
	}
	return build(dialect, file, p), p.problems
}

func build(dialect Dialect, file string, p *parser) *Rules {
	r := &Rules{Path: file, Dialect: dialect}
	if p == nil {
		r.index = newIndex(nil, nil)
		return r
	}
	r.Rules, r.Sections = p.rules, p.sections
	if dialect != Gitea {
		r.index = newIndex(p.rules, p.patterns)
	}
	return r
}

func (p *parser) problem(format string, args ...any) {
	switch {
	case len(p.problems) < maxProblems:
		p.problems = append(p.problems, Problem{p.file, p.line, fmt.Sprintf(format, args...)})
	case len(p.problems) == maxProblems:
		p.problems = append(p.problems, Problem{p.file, p.line, "more problems follow and are not listed"})
	}
}

func (p *parser) add(rule *Rule, pat pattern) {
	rule.Line, rule.Section = p.line, p.section
	p.rules = append(p.rules, rule)
	p.patterns = append(p.patterns, pat)
}

// cutPattern splits a line at the first white space that no backslash
// escapes, and cuts a comment. When everywhere is set a "#" begins a comment
// at any place, else only after white space.
func cutPattern(line string, everywhere bool) (pattern, rest string) {
	end := len(line)
	for i := 0; i < end; i++ {
		switch line[i] {
		case '\\':
			i++
		case '#':
			if everywhere {
				return line[:i], ""
			}
		case ' ', '\t':
			pattern, rest = line[:i], line[i:]
			for j := range len(rest) {
				if rest[j] == '#' && (everywhere || rest[j-1] == ' ' || rest[j-1] == '\t') {
					rest = rest[:j]
					break
				}
			}
			return pattern, rest
		}
	}
	return line, ""
}

func (p *parser) github(line string) {
	text, rest := cutPattern(line, true)
	switch {
	case strings.HasPrefix(text, "!"):
		p.problem("GitHub has no negation with !: line skipped")
		return
	case strings.HasPrefix(text, `\#`):
		p.problem(`GitHub reads a pattern that begins with \# as a comment: line skipped`)
		return
	case strings.Contains(text, "***"):
		p.problem("three asterisks in a row: line skipped")
		return
	}
	rule := &Rule{Pattern: text}
	for owner := range strings.FieldsSeq(rest) {
		if !validOwner(owner, GitHub) {
			p.problem("owner %q is no @user, @organisation/team or e-mail address: line skipped", owner)
			return
		}
		rule.Owners = append(rule.Owners, owner)
	}
	pat, note := githubPattern(text)
	if note != "" {
		p.problem("%s", note)
	}
	p.add(rule, pat)
}

// header is a section line of GitLab: ^[Name][2] @default.
var header = regexp.MustCompile(`^(\^)?\[([^\[\]]*)\](?:\[(-?[0-9]+)\])?(?:\s+(.*))?$`)

func (p *parser) gitlab(line string) {
	if strings.HasPrefix(line, "[") || strings.HasPrefix(line, "^[") {
		p.header(line)
		return
	}
	exclude := strings.HasPrefix(line, "!")
	text, rest := cutPattern(line, false)
	rule := &Rule{Pattern: text, Exclude: exclude}
	for owner := range strings.FieldsSeq(rest) {
		if !validOwner(owner, GitLab) {
			p.problem("owner %q is no @user, @group, @@role or e-mail address and is ignored", owner)
			continue
		}
		rule.Owners = append(rule.Owners, owner)
	}
	switch {
	case exclude && len(rule.Owners) > 0:
		p.problem("an exclusion has no owners: they are ignored")
		rule.Owners = nil
	case !exclude && len(rule.Owners) == 0:
		rule.Owners = p.section.Defaults
		if len(rule.Owners) == 0 {
			p.problem("no owner here and no default of the section: nobody owns what %s matches", text)
		}
	}
	p.add(rule, gitlabPattern(strings.TrimPrefix(text, "!")))
}

func (p *parser) header(line string) {
	if i := strings.Index(line, " #"); i >= 0 {
		line = strings.TrimRight(line[:i], " \t")
	}
	parts := header.FindStringSubmatch(line)
	if parts == nil {
		p.problem("section header is not [Name], [Name][approvals] or ^[Name], with default owners: line skipped")
		return
	}
	name := strings.TrimSpace(parts[2])
	if name == "" {
		p.problem("section without a name: line skipped")
		return
	}
	optional, approvals := parts[1] != "", 1
	if parts[3] != "" {
		n, err := strconv.Atoi(parts[3])
		switch {
		case err != nil || n < 1:
			p.problem("section %q asks for %s approvals: 1 is used", name, parts[3])
		case optional:
			p.problem("section %q is optional: its %d approvals are ignored", name, n)
		default:
			approvals = n
		}
	}
	var defaults []string
	for owner := range strings.FieldsSeq(parts[4]) {
		if !validOwner(owner, GitLab) {
			p.problem("default owner %q is no @user, @group, @@role or e-mail address and is ignored", owner)
			continue
		}
		defaults = append(defaults, owner)
	}
	folded := strings.ToLower(name)
	section := p.byName[folded]
	if section == nil {
		section = &Section{Name: name, Line: p.line, Approvals: approvals, Optional: optional}
		p.byName[folded] = section
		p.sections = append(p.sections, section)
	}
	section.Approvals = max(section.Approvals, approvals)
	section.Optional = section.Optional && optional
	section.Defaults = defaults
	p.section = section
}

func (p *parser) gitea(line string) {
	tokens := giteaTokens(line)
	if len(tokens) == 0 {
		return
	}
	if len(tokens) == 1 {
		p.problem("no owner: line skipped")
		return
	}
	rule := &Rule{Pattern: tokens[0]}
	source, negated := strings.CutPrefix(tokens[0], "!")
	if len(source) > maxExpression {
		p.problem("regular expression of more than %d characters: line skipped", maxExpression)
		return
	}
	// The forge adds the anchors without a group, so "a|b" is "^a" or "b$".
	regex, err := regexp.Compile("^" + source + "$")
	if err != nil {
		p.problem("not a regular expression of RE2: %v: line skipped", err)
		return
	}
	rule.regex, rule.negated = regex, negated
	for _, owner := range tokens[1:] {
		if !strings.HasPrefix(owner, "@") && !strings.Contains(owner, "@") {
			owner = "@" + owner // the forge takes names without the sign as well
		}
		if !validOwner(owner, Gitea) {
			p.problem("owner %q is no @user, @organisation/team or e-mail address and is ignored", owner)
			continue
		}
		rule.Owners = append(rule.Owners, owner)
	}
	if len(rule.Owners) == 0 {
		p.problem("no owner that could exist: line skipped")
		return
	}
	p.add(rule, pattern{})
}

// giteaTokens splits a line as the forge does: a backslash takes the next
// character as it is and goes away, so that a regular expression's own
// backslash is written twice.
func giteaTokens(line string) []string {
	var tokens []string
	var token strings.Builder
	flush := func() {
		if token.Len() > 0 {
			tokens = append(tokens, token.String())
			token.Reset()
		}
	}
	escaped := false
	for _, char := range line {
		switch {
		case escaped:
			token.WriteRune(char)
			escaped = false
		case char == '\\':
			escaped = true
		case char == '#':
			flush()
			return tokens
		case char == ' ' || char == '\t':
			flush()
		default:
			token.WriteRune(char)
		}
	}
	flush()
	return tokens
}

// validOwner says whether a forge could know an owner of this spelling.
func validOwner(owner string, dialect Dialect) bool {
	name, at := strings.CutPrefix(owner, "@")
	if !at {
		local, host, ok := strings.Cut(owner, "@")
		return ok && local != "" && mailText(local) && strings.Contains(host, ".") && nameText(host) && !strings.HasPrefix(host, ".") && !strings.HasSuffix(host, ".")
	}
	if role, ok := strings.CutPrefix(name, "@"); ok {
		switch strings.TrimSuffix(strings.ToLower(role), "s") {
		case "developer", "maintainer", "owner":
			return dialect == GitLab
		}
		return false
	}
	parts := strings.Split(name, "/")
	if dialect != GitLab && len(parts) > 2 {
		return false
	}
	for _, part := range parts {
		if part == "" || !nameText(part) {
			return false
		}
	}
	return true
}

func nameText(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != ""
}

func mailText(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && strings.IndexByte(".!#$%&'*+/=?^_`{|}~-", c) < 0 {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
