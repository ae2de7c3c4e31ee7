package owner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

// Account is what one system knows of somebody: an entry of a directory, a user of a
// forge or of an on-call system, an identity that commits are made under.
type Account struct {
	Source string `json:"source"` // name of the source, "git" for commits
	Key    string `json:"key"`    // of the asset; "Name <address>" of commits
	Name   string `json:"name"`
	// Entry says that the source keeps one entry for each person, so that two of its
	// entries are two people.
	Entry  bool     `json:"entry,omitempty"`
	Emails []string `json:"emails,omitempty"`
	// Logins are accounts at forges that the source vouches for: "github.com/ada".
	Logins  []string `json:"logins,omitempty"`
	ID      string   `json:"id,omitempty"` // what the system calls the person: "scim:2819c223"
	Active  string   `json:"active,omitempty"`
	Left    string   `json:"left,omitempty"`
	Manager string   `json:"manager,omitempty"`
	Bot     bool     `json:"bot,omitempty"`
}

// Human is one person, or bot, with all accounts.
type Human struct {
	ID       string    `json:"id"` // the address that a directory gives first, else the smallest
	Name     string    `json:"name"`
	Emails   []string  `json:"emails"`
	Logins   []string  `json:"logins"`
	Bot      bool      `json:"bot,omitempty"`
	Why      string    `json:"why,omitempty"`  // why it is a bot
	Gone     bool      `json:"gone,omitempty"` // a directory says that the person is not active, or left
	Left     string    `json:"left,omitempty"`
	Manager  string    `json:"manager,omitempty"`
	Accounts []Account `json:"accounts"`
	Links    []string  `json:"links"` // what the accounts were joined by
}

// Namesake is a name that several have: a suggestion to look, and nothing more.
type Namesake struct {
	Name   string   `json:"name"`
	Humans []string `json:"humans"` // their ids
	// Different says that one source keeps several entries of the name, so that these
	// are different people.
	Different bool `json:"different,omitempty"`
}

// Humans are all people that accounts make.
type Humans struct {
	List      []Human    `json:"people"`
	Namesakes []Namesake `json:"namesakes"`
	// Conflicts are addresses and logins that would make one of two people, and
	// directories that contradict each other.
	Conflicts []string `json:"conflicts"`

	forms map[string]int
}

var gitlabNoreply = regexp.MustCompile(`^([0-9]+)-(.+)$`)

// forgeLogin reads the address that a forge gives to those who keep theirs private:
// "7+ada@users.noreply.github.com", "7-ada@users.noreply.gitlab.com",
// "ada@noreply.codeberg.org". The forge vouches for it, so it is as good as a login.
func forgeLogin(email string) (login, number string, ok bool) {
	local, domain, found := strings.Cut(strings.ToLower(email), "@")
	host, users := strings.CutPrefix(domain, "users.noreply.")
	if !users {
		if host, ok = strings.CutPrefix(domain, "noreply."); !ok || !strings.Contains(host, ".") {
			return "", "", false
		}
	}
	if !found || local == "" || host == "" {
		return "", "", false
	}
	if before, after, found := strings.Cut(local, "+"); found && users {
		return host + "/" + after, host + "/" + before, true
	}
	if match := gitlabNoreply.FindStringSubmatch(local); match != nil && users && host != "github.com" {
		return host + "/" + match[2], host + "/" + match[1], true
	}
	return host + "/" + local, "", true
}

// GitAccounts makes accounts of the identities of commits, as a .mailmap maps them.
// An address that the mailmap gives to several people by their names joins none.
func GitAccounts(idents []git.Ident, mailmap []byte) []Account {
	m := parseMailmap(mailmap)
	var list []Account
	for _, i := range idents {
		to := m.apply(i)
		a := Account{Source: "git", Key: i.Name + " <" + i.Email + ">", Name: to.Name, Emails: []string{to.Email}}
		if _, byName := m.byBoth[git.Ident{Name: strings.ToLower(i.Name), Email: strings.ToLower(i.Email)}]; !byName && !strings.EqualFold(i.Email, to.Email) {
			a.Emails = append(a.Emails, i.Email)
		}
		list = append(list, a)
	}
	return list
}

// GraphAccounts makes accounts of the people that sources tell of in the graph: one
// for each source that tells of a person itself.
func GraphAccounts(ctx context.Context, g *graph.Graph) ([]Account, error) {
	var list []Account
	err := g.List(ctx, []string{fact.AssetPerson}, func(one graph.Listed) error {
		for _, said := range one.Said {
			if said.Passing {
				continue
			}
			list = append(list, entryOf(said.By, one.Asset.Key, cmp.Or(said.Name, one.Asset.Name), said.Properties))
		}
		return nil
	})
	return list, err
}

// ofCode says whether a source is CODEOWNERS and history, which name people and teams and
// keep no entries of them: two names may be one person's.
func ofCode(source string) bool {
	kind, _, _ := strings.Cut(source, ":")
	return kind == SourceCode
}

// entryOf makes an account of what a source tells of a person.
func entryOf(source, key, name string, p map[string]string) Account {
	a := Account{Source: source, Key: key, Name: name, Entry: !ofCode(source), ID: p["id"], Active: p["active"], Left: p["left"], Manager: p["manager"], Bot: p["bot"] == saidTrue}
	a.Emails = slices.DeleteFunc(append(strings.Split(p["emails"], ","), p["email"], key), func(text string) bool { return !strings.Contains(text, "@") })
	for login := range strings.SplitSeq(p["logins"], ",") {
		if strings.Contains(login, "/") { // others say nothing outside their system
			a.Logins = append(a.Logins, login)
		}
	}
	return a
}

// token is something by which accounts are joined, with the words for it.
type token struct{ form, text string }

// tokens lists what may join an account with others: addresses, whole and whatever
// their case; logins that a forge or a directory vouches for. Names are none.
func (a *Account) tokens() []token {
	var list []token
	add := func(form, text string) {
		if !slices.ContainsFunc(list, func(t token) bool { return t.form == form }) {
			list = append(list, token{form, text})
		}
	}
	if a.Entry {
		add("key "+strings.ToLower(a.Key), a.Key)
	}
	for _, email := range a.Emails {
		email = strings.ToLower(strings.TrimSpace(email))
		if neutral(email) || !strings.Contains(email, "@") || strings.HasSuffix(email, "@localhost") {
			continue
		}
		login, number, forge := forgeLogin(email)
		switch {
		case !forge:
			add("mail "+email, email)
		case number != "":
			add("number "+number, "the forge's number "+number)
			add("login "+login, "the login "+login)
		default:
			add("login "+login, "the login "+login)
		}
	}
	for _, login := range a.Logins {
		login = strings.ToLower(login)
		add("login "+login, "the login "+login)
	}
	return list
}

// JoinAccounts joins accounts into people: by exact address and by verified login.
// Two entries of one directory never become one person: what would join them is a
// conflict. Who has the same name is suggested and not joined. The answer depends on
// the accounts and not on their order. Now says whose day of leaving has passed.
func JoinAccounts(accounts []Account, now time.Time) *Humans {
	accounts = slices.Clone(accounts)
	slices.SortFunc(accounts, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
	j := &joining{now: now, accounts: accounts, root: make([]int, len(accounts)), entries: make([]map[string]string, len(accounts)), links: map[int][]string{}}
	byForm := map[string][]int{}
	texts := map[string]string{}
	for i := range accounts {
		j.root[i] = i
		if accounts[i].Entry {
			j.entries[i] = map[string]string{accounts[i].Source: accounts[i].Key}
		}
		for _, t := range accounts[i].tokens() {
			byForm[t.form] = append(byForm[t.form], i)
			texts[t.form] = t.text
		}
	}
	// A number outlives a login that was renamed and taken by somebody else.
	for form := range byForm {
		if login, ok := strings.CutPrefix(form, "login "); ok && len(j.numbers(byForm[form], login)) > 1 {
			j.conflicts = append(j.conflicts, fmt.Sprintf("the login %s had several numbers at the forge: it joins nobody", login))
			delete(byForm, form)
		}
	}
	for form, list := range byForm {
		if len(list) < 2 {
			delete(byForm, form)
		}
	}
	for _, form := range sortedForms(byForm) {
		list := byForm[form]
		for _, i := range list[1:] {
			j.union(list[0], i, texts[form])
		}
	}
	return j.humans()
}

// sortedForms puts keys and addresses first, then logins and numbers.
func sortedForms(byForm map[string][]int) []string {
	rank := func(form string) int {
		kind, _, _ := strings.Cut(form, " ")
		return slices.Index([]string{"key", "mail", "number", "login"}, kind)
	}
	forms := make([]string, 0, len(byForm))
	for form := range byForm {
		forms = append(forms, form)
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	return forms
}

// joining is the state of JoinAccounts.
type joining struct {
	now       time.Time
	accounts  []Account
	root      []int
	entries   []map[string]string // of a root: source to the key of its entry
	links     map[int][]string    // of a root
	conflicts []string
}

// numbers lists the numbers at a forge that accounts give with a login.
func (j *joining) numbers(accounts []int, login string) []string {
	var list []string
	for _, i := range accounts {
		for _, email := range j.accounts[i].Emails {
			if its, number, ok := forgeLogin(email); ok && its == login && number != "" && !slices.Contains(list, number) {
				list = append(list, number)
			}
		}
	}
	return list
}

func (j *joining) find(i int) int {
	for j.root[i] != i {
		j.root[i] = j.root[j.root[i]]
		i = j.root[i]
	}
	return i
}

// union makes two accounts one person's, unless a directory keeps them apart.
func (j *joining) union(a, b int, by string) {
	a, b = j.find(a), j.find(b)
	if a == b {
		return
	}
	if b < a {
		a, b = b, a
	}
	for _, source := range slices.Sorted(maps.Keys(j.entries[b])) {
		key := j.entries[b][source]
		if other, both := j.entries[a][source]; both && other != key {
			j.conflicts = append(j.conflicts, fmt.Sprintf("%s would make one of %s and %s, which are two entries of %s: they stay two", by, min(key, other), max(key, other), source))
			return
		}
	}
	j.root[b] = a
	if j.entries[a] == nil {
		j.entries[a] = map[string]string{}
	}
	maps.Copy(j.entries[a], j.entries[b])
	j.links[a] = append(append(j.links[a], j.links[b]...), by)
	delete(j.links, b)
}

// humans makes the answer.
func (j *joining) humans() *Humans {
	h := &Humans{List: []Human{}, Namesakes: []Namesake{}, forms: map[string]int{}}
	at := map[int]int{}
	for i := range j.accounts {
		root := j.find(i)
		n, known := at[root]
		if !known {
			n = len(h.List)
			at[root] = n
			links := slices.Clone(j.links[root])
			slices.Sort(links)
			h.List = append(h.List, Human{Links: append([]string{}, slices.Compact(links)...), Emails: []string{}, Logins: []string{}})
		}
		h.List[n].Accounts = append(h.List[n].Accounts, j.accounts[i])
	}
	for i := range h.List {
		j.conflicts = append(j.conflicts, h.List[i].complete(j.now)...)
	}
	slices.SortStableFunc(h.List, func(a, b Human) int { return cmp.Compare(a.ID, b.ID) })
	for i := range h.List {
		for _, form := range h.List[i].forms() {
			if _, taken := h.forms[form]; taken {
				h.forms[form] = -1
				continue
			}
			h.forms[form] = i
		}
	}
	h.namesakes()
	slices.Sort(j.conflicts)
	h.Conflicts = append([]string{}, slices.Compact(j.conflicts)...)
	return h
}

// gone says whether the account is not active, or its day of leaving has passed.
func (a *Account) gone(now time.Time) bool {
	if a.Active == "false" {
		return true
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, a.Left); err == nil {
			return !at.After(now)
		}
	}
	return false
}

// directory says whether the account is of a system that knows who works here, and
// not only who may use it. One that does not say what it calls people says what it
// means.
func (a *Account) directory() bool {
	return a.Entry && a.ID == "" || strings.HasPrefix(a.ID, "scim:") || strings.HasPrefix(a.ID, "people:")
}

// rank puts directories first, which say what a person is called, then other systems
// with entries, then commits.
func (a *Account) rank() int {
	switch {
	case a.directory():
		return 0
	case a.Entry:
		return 1
	}
	return 2
}

// complete fills what follows from a person's accounts; it returns what contradicts.
func (h *Human) complete(now time.Time) []string {
	var conflicts, here, gone []string
	var humans, bots [2]int // by commits, by entries: whose word counts before that of commits
	emails, logins := map[string]bool{}, map[string]bool{}
	for i := range h.Accounts {
		a := &h.Accounts[i]
		if h.Name == "" || !strings.Contains(h.Name, " ") && strings.Contains(a.Name, " ") {
			h.Name = cmp.Or(a.Name, h.Name)
		}
		h.Manager = cmp.Or(h.Manager, a.Manager)
		for _, email := range a.Emails {
			email = strings.ToLower(strings.TrimSpace(email))
			if login, _, forge := forgeLogin(email); forge {
				logins[login] = true
			}
			if !neutral(email) {
				emails[email] = true
			}
		}
		for _, login := range a.Logins {
			logins[strings.ToLower(login)] = true
		}
		by := min(1, 2-a.rank())
		if why := a.bot(); why != "" {
			bots[by]++
			h.Why = cmp.Or(h.Why, why)
		} else {
			humans[by]++
		}
		switch {
		case !a.directory():
		case a.gone(now):
			gone = append(gone, a.Source)
			h.Left = cmp.Or(h.Left, a.Left)
		case a.Active != "":
			here = append(here, a.Source)
		}
	}
	h.Emails, h.Logins = append(h.Emails, slices.Sorted(maps.Keys(emails))...), append(h.Logins, slices.Sorted(maps.Keys(logins))...)
	by := min(1, bots[1]+humans[1])
	if h.Bot = bots[by] > 0 && humans[by] == 0; !h.Bot {
		h.Why = ""
	}
	h.Gone = len(gone) > 0
	if len(here) > 0 && len(gone) > 0 {
		conflicts = append(conflicts, fmt.Sprintf("%s: %s says active, %s says not: counted as gone", h.Accounts[0].Key, strings.Join(here, ", "), strings.Join(gone, ", ")))
	}
	switch first := h.Accounts[0]; {
	case first.Entry && strings.Contains(first.Key, "@"):
		h.ID = strings.ToLower(first.Key)
	case len(h.Emails) > 0:
		h.ID = slices.Min(h.Emails)
		for _, email := range h.Emails { // an own address before one of a forge
			if _, _, forge := forgeLogin(email); !forge && (strings.Contains(h.ID, "noreply.") || email < h.ID) {
				h.ID = email
			}
		}
	default:
		h.ID = first.Key
	}
	return conflicts
}

// bot says why an account is a bot's, "" when it is not.
func (a *Account) bot() string {
	if a.Bot {
		return a.Source + " says so"
	}
	if why := botIdent(git.Ident{Name: a.Name}); why != "" {
		return why
	}
	for _, email := range a.Emails {
		ident := git.Ident{Email: email} // the name was looked at
		if neutral(email) {
			ident.Name = a.Name
		}
		if why := botIdent(ident); why != "" {
			return why
		}
	}
	for _, login := range a.Logins {
		if strings.HasSuffix(login, "[bot]") {
			return "its login is that of a bot"
		}
	}
	return ""
}

// forms are the ways in which a person may be named.
func (h *Human) forms() []string {
	list := []string{strings.ToLower(h.ID)}
	list = append(list, h.Emails...)
	list = append(list, h.Logins...)
	for i := range h.Accounts {
		list = append(list, strings.ToLower(h.Accounts[i].Key))
		if id := h.Accounts[i].ID; id != "" {
			list = append(list, strings.ToLower(id))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Find gives the one person whom a text names: an address, a login with its forge, a
// key or an id. A name finds nobody.
func (h *Humans) Find(text string) (*Human, bool) {
	form := strings.ToLower(strings.TrimSpace(text))
	if login, _, forge := forgeLogin(form); forge {
		if i, known := h.forms[login]; known && i >= 0 {
			return &h.List[i], true
		}
	}
	i, known := h.forms[form]
	if !known || i < 0 {
		return nil, false
	}
	return &h.List[i], true
}

// namesakes lists the full names that several people have.
func (h *Humans) namesakes() {
	byName := map[string][]int{}
	for i := range h.List {
		seen := map[string]bool{}
		for _, a := range h.List[i].Accounts {
			name := strings.Join(strings.Fields(strings.ToLower(a.Name)), " ")
			if strings.Contains(name, " ") && !h.List[i].Bot && !seen[name] {
				seen[name] = true
				byName[name] = append(byName[name], i)
			}
		}
	}
	for name, list := range byName {
		if len(list) < 2 {
			continue
		}
		n := Namesake{Name: name}
		sources := map[string]bool{}
		for _, i := range list {
			n.Humans = append(n.Humans, h.List[i].ID)
			of := map[string]bool{}
			for _, a := range h.List[i].Accounts {
				if a.Entry {
					of[a.Source] = true
				}
			}
			for source := range of {
				n.Different = n.Different || sources[source]
				sources[source] = true
			}
		}
		h.Namesakes = append(h.Namesakes, n)
	}
	slices.SortFunc(h.Namesakes, func(a, b Namesake) int { return cmp.Compare(a.Name, b.Name) })
}

// RepositoryAccounts makes accounts of everybody in the known history of the repository
// around a folder, with the .mailmap of a revision.
func RepositoryAccounts(ctx context.Context, dir, at, cacheDir string) ([]Account, error) {
	repo, err := git.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	commit, err := repo.Resolve(ctx, at)
	if err != nil {
		return nil, err
	}
	history, err := repo.History(ctx, commit, cacheDir)
	if err != nil {
		return nil, err
	}
	mailmap, err := repo.Tree(commit).Read(ctx, ".mailmap")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	idents := make([]git.Ident, history.Idents())
	for i := range idents {
		idents[i] = history.Ident(int32(i))
	}
	return GitAccounts(idents, mailmap), nil
}
