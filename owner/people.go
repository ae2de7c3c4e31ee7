package owner

import (
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/git"
)

// person is one human or bot as of a commit, after joining their identities.
type person struct {
	name, email string
	bot         bool
	why         string // why it is a bot
	commits     int
	machine     int // commits with a subject that only tools write
	last        int64
}

func (p *person) id() string {
	if p.email != "" {
		return strings.ToLower(p.email)
	}
	return p.name
}

// maxMailmap bounds the lines of a .mailmap that count.
const maxMailmap = 100_000

// mailmap maps identities as commits write them to those a .mailmap names.
type mailmap struct {
	byEmail map[string]git.Ident // lower-case commit address
	byBoth  map[git.Ident]git.Ident
}

// parseMailmap reads the four forms of git's mailmap. Lines it cannot read are
// skipped, as git does. A mapping is applied once, so that loops end.
func parseMailmap(data []byte) mailmap {
	m := mailmap{map[string]git.Ident{}, map[git.Ident]git.Ident{}}
	for n, line := range strings.Split(string(data), "\n") {
		if n >= maxMailmap {
			break
		}
		line, _, _ = strings.Cut(line, "#")
		name, rest, ok := strings.Cut(line, "<")
		email, rest, closed := strings.Cut(rest, ">")
		if !ok || !closed {
			continue
		}
		to := git.Ident{Name: strings.TrimSpace(name), Email: strings.TrimSpace(email)}
		oldName, rest, two := strings.Cut(rest, "<")
		oldEmail, _, closed := strings.Cut(rest, ">")
		switch {
		case !two:
			if to.Name != "" {
				m.byEmail[strings.ToLower(to.Email)] = to
			}
		case !closed:
		case strings.TrimSpace(oldName) == "":
			m.byEmail[strings.ToLower(strings.TrimSpace(oldEmail))] = to
		default:
			from := git.Ident{Name: strings.ToLower(strings.TrimSpace(oldName)), Email: strings.ToLower(strings.TrimSpace(oldEmail))}
			m.byBoth[from] = to
		}
	}
	return m
}

func (m mailmap) apply(i git.Ident) git.Ident {
	key := git.Ident{Name: strings.ToLower(i.Name), Email: strings.ToLower(i.Email)}
	to, ok := m.byBoth[key]
	if !ok {
		to, ok = m.byEmail[key.Email]
	}
	if !ok {
		return i
	}
	if to.Name == "" {
		to.Name = i.Name
	}
	if to.Email == "" {
		to.Email = i.Email
	}
	return to
}

var (
	botWord     = regexp.MustCompile(`(?i)(\[bot\]|^(dependabot|renovate|greenkeeper|snyk|mergify|codecov|imgbot|pre-commit-ci|github[- ]actions?|semantic-release|allcontributors|whitesource|mend|pyup|depfu|copybara|gerrit|jenkins|travis|circleci|gitlab|weblate|crowdin|transifex|stale|kodiak|bors|homu|rustbot|k8s-ci|openshift|step-security|deepsource|restyled|sonarcloud|web-flow)([-_ .](bot|robot|preview|ci|user|service|security|release|merge|update|core))*$|(^|[-_ .])(bot|robot|automation|autobot|ci-bot|ci|svc)$)`)
	machineText = regexp.MustCompile(`(?i)(\bbump\b.+\bfrom\b.+\bto\b|\bbump the .+ group\b|\bbump .+ with \d+ updates?\b|^(\S+ )?(\S+: )?update (dependency|module|docker tag|helm release|all|github-tags?|terraform|dependencies|.+ digest|.+ action|.+ to v?\d)|^\S+\(deps(-dev)?\)!?:|^\[snyk\]|^(\S+ )?\S*:? ?pin dependencies|^(\S+ )?\S*:? ?lock file maintenance)`)
)

// Somebody with at least machineCommits commits, of which at least machineShare
// have a subject that only tools write, is a bot under a human's name.
const (
	machineCommits = 10
	machineShare   = 0.8
)

// machineSubject says whether a subject is one that only tools write. The words
// are looked for first because the expression is slow.
func machineSubject(subject string) bool {
	lower := strings.ToLower(subject)
	for _, word := range [...]string{"bump", "update", "deps", "snyk", "pin dep", "lock file"} {
		if strings.Contains(lower, word) {
			return machineText.MatchString(subject)
		}
	}
	return false
}

// neutral are addresses that forges and tools put on everybody's commits.
func neutral(email string) bool {
	switch strings.ToLower(email) {
	case "", "noreply@github.com", "noreply@gitlab.com", "root@localhost", "you@example.com", "none@none":
		return true
	}
	return false
}

func botIdent(i git.Ident) string {
	local, _, _ := strings.Cut(i.Email, "@")
	if at := strings.LastIndexByte(local, '+'); at >= 0 && strings.HasSuffix(strings.ToLower(i.Email), "@users.noreply.github.com") {
		local = local[at+1:]
	}
	switch {
	case botWord.MatchString(strings.TrimSpace(i.Name)):
		return "its name is that of a bot"
	case botWord.MatchString(local):
		return "its address is that of a bot"
	case neutral(i.Email) && (strings.EqualFold(i.Name, "GitHub") || strings.EqualFold(i.Name, "GitLab")):
		return "it is the forge"
	}
	return ""
}

// people joins the identities that a view's commits name.
type people struct {
	list []person
	of   []int32 // per ident of the history; -1 when the view does not name it
}

// joinPeople gives the persons of a view: identities are one person when the
// mailmap says so, when their address is the same, or when their full name is.
func joinPeople(v *git.View, m mailmap, machine []bool) *people {
	h := v.History()
	p := &people{of: make([]int32, h.Idents())}
	for i := range p.of {
		p.of[i] = -1
	}
	byEmail, byName := map[string]int32{}, map[string]int32{}
	add := func(i int32) int32 {
		if p.of[i] >= 0 {
			return p.of[i]
		}
		ident := m.apply(h.Ident(i))
		email, name := strings.ToLower(ident.Email), strings.ToLower(ident.Name)
		id, ok := int32(-1), false
		if !neutral(email) {
			id, ok = byEmail[email]
		}
		full := len(name) >= 6 && strings.Contains(name, " ")
		if !ok && full {
			id, ok = byName[name]
		}
		if !ok && neutral(email) {
			id, ok = byName[name+"\x00"+email]
		}
		if !ok {
			id = int32(len(p.list))
			why := botIdent(ident)
			if why == "" {
				why = botIdent(h.Ident(i))
			}
			p.list = append(p.list, person{name: ident.Name, email: ident.Email, bot: why != "", why: why})
		}
		if !neutral(email) {
			byEmail[email] = id
		} else {
			byName[name+"\x00"+email] = id
		}
		if full {
			byName[name] = id
		}
		p.of[i] = id
		return id
	}
	for i := int32(0); i <= v.Commit(); i++ {
		if !v.Sees(i) {
			continue
		}
		e := h.Entry(i)
		who := &p.list[add(e.Author)]
		who.last = max(who.last, e.Committed)
		if len(e.Parents) < 2 {
			who.commits++
			if machine[i] {
				who.machine++
			}
		}
		add(e.Committer)
		for _, j := range e.CoAuthors {
			co := &p.list[add(j)]
			co.last = max(co.last, e.Committed)
		}
		for _, j := range e.Approvers {
			add(j)
		}
	}
	for i := range p.list {
		if who := &p.list[i]; !who.bot && who.commits >= machineCommits && float64(who.machine) >= machineShare*float64(who.commits) {
			who.bot, who.why = true, "nearly all of its commits are version updates as tools write them"
		}
	}
	return p
}

// credit is a person's part in a commit.
type credit struct {
	who    int32
	weight float64
	via    string // how a person stands for a bot
}

// coAuthorWeight is the part of a co-author, approverWeight that of the human
// who let a bot's commit in, relative to an author.
const (
	coAuthorWeight = 0.5
	approverWeight = 0.5
)

// credits says who a commit counts for: its author and co-authors; for a bot's
// commit the human whom a trailer or the committer field names.
func (p *people) credits(e *git.Entry, into []credit) []credit {
	into = into[:0]
	if a := p.of[e.Author]; !p.list[a].bot {
		into = append(into, credit{a, 1, ""})
	}
	for _, i := range e.CoAuthors {
		c := p.of[i]
		if c >= 0 && !p.list[c].bot && !slices.ContainsFunc(into, func(k credit) bool { return k.who == c }) {
			into = append(into, credit{c, coAuthorWeight, ""})
		}
	}
	if len(into) > 0 {
		return into
	}
	for _, i := range e.Approvers {
		if c := p.of[i]; c >= 0 && !p.list[c].bot {
			return append(into, credit{c, approverWeight, "approved what a bot wrote"})
		}
	}
	if c := p.of[e.Committer]; c >= 0 && !p.list[c].bot && !neutral(p.list[c].email) {
		return append(into, credit{c, approverWeight, "merged what a bot wrote"})
	}
	return into
}

// human gives the author of a commit, -1 when it is a bot.
func (p *people) human(e *git.Entry) int32 {
	if a := p.of[e.Author]; a >= 0 && !p.list[a].bot {
		return a
	}
	return -1
}
