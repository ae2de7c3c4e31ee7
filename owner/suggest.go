package owner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/codeowners"
	"github.com/backstitch/backstitch/fact"
)

// Roles of suggestions.
const (
	RoleOwner      = "owner"       // named in CODEOWNERS
	RoleLastAuthor = "last_author" // wrote the newest of the lines asked about
	RolePrimary    = "primary"     // most commits to the file, with decay
	RoleReviewer   = "reviewer"    // works around the file, so can judge a change of it
)

// Weights of the model; see the package's doc for their origin.
var weights = [signals]float64{
	lines: 0.245, linesNew: 0.205, lineLast: 0.280,
	fileAll: 0.184, fileNew: 0.232, fileLast: 0.382, filePrev: 0.287,
	folderNew: 0.161, aboveNew: 0.237, topNew: 0.410, typeNew: 0.420, pairNew: 0.207,
	repoMonth: 0.319, repoYear: 0.266, latest: 0.438, latest3: 0.594, latest20: 0.580,
	repoWeek: 0.104, fileWeek: 0.345, pairWeek: 0.467,
}

const (
	idleWeight    = -2.128
	shareScale    = 0.05
	codeOwnerLift = 1.0
)

// Bounds of a list of suggestions.
const (
	maxPersons    = 8
	minPersons    = 3
	minConfidence = 0.02
	maxEvidence   = 5
)

// leftAfter is how long somebody was idle before an explanation says so, in days.
const leftAfter = 180

// feature is how much a share says: from 0 for none to 1 for all.
func feature(share float64) float64 { return math.Log1p(share/shareScale) / math.Log1p(1/shareScale) }

// utility is what a person's share in a signal adds to their rank.
func (r *Resolver) utility(signal int, share float64) float64 {
	return r.model[signal] * feature(share)
}

// candidate is a person with what speaks for them.
type candidate struct {
	who        int32
	utility    float64
	confidence float64
	claim      *claim
}

// claim is one owner that CODEOWNERS names for the files.
type claim struct {
	owner    string
	evidence fact.OwnerEvidence
	files    int
	catchAll bool
	taken    bool
}

// Suggest ranks who should act on the subject: teams of CODEOWNERS first, then
// persons by confidence. Equal questions get equal answers. A subject whose
// files are unknown to the history is answered from what is around them.
func (r *Resolver) Suggest(ctx context.Context, s Subject) ([]fact.Owner, error) {
	owners, _, err := r.suggest(ctx, s)
	return owners, err
}

func (r *Resolver) suggest(ctx context.Context, s Subject) ([]fact.Owner, []fact.OwnerEvidence, error) {
	files := s.files()
	if len(files) == 0 {
		return nil, nil, errors.New("owner of nothing: expected at least one file")
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for i := range files {
		if len(files[i].Lines) == 0 {
			count, err := r.lineCount(ctx, files[i].Path)
			if err != nil {
				return nil, nil, err
			}
			if count > 0 {
				files[i].Lines = [][2]int{{1, count}}
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	t := r.measure(files)
	claims, shadowed := r.claims(files)
	persons := r.rank(t, claims)
	overruled := r.overruled(t, files, persons)
	overruled = append(overruled, shadowed...)

	var owners []fact.Owner
	for _, c := range claims {
		if isTeam(c.owner) {
			owners = append(owners, claimRow(c, "team", claimConfidence(c, len(files))))
		}
	}
	// Persons of CODEOWNERS whom history does not know take their part of the
	// certainty from the others.
	unknown := 0
	part := 0.0
	for _, c := range claims {
		if !isTeam(c.owner) && !c.taken {
			unknown++
			part = max(part, strangerPart(c)*float64(min(c.files, len(files)))/float64(len(files)))
		}
	}
	var rows []fact.Owner
	for _, c := range claims {
		if !isTeam(c.owner) && !c.taken {
			rows = append(rows, claimRow(c, "person", round(part/float64(unknown))))
		}
	}
	for i := range persons {
		row := r.personRow(t, files, &persons[i], part)
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b fact.Owner) int { return cmp.Compare(b.Confidence, a.Confidence) })
	if len(rows) > 0 {
		rows[0].Evidence = append(rows[0].Evidence, overruled...)
	}
	return append(owners, rows...), overruled, nil
}

func (r *Resolver) lineCount(ctx context.Context, name string) (int, error) {
	data, err := r.read(ctx, name)
	if err != nil || len(data) == 0 {
		return 0, err
	}
	return strings.Count(strings.TrimSuffix(string(data), "\n"), "\n") + 1, nil
}

// features describes every human of the view who ever did anything, for the model.
func (r *Resolver) features(t *table, claims []*claim) (list []model, people []int32) {
	lift := 0
	for _, k := range claims {
		if !isTeam(k.owner) && !k.catchAll {
			lift++
		}
	}
	taken := map[*claim]bool{}
	for i := range r.people.list {
		if r.people.list[i].bot || t.active[i] == 0 {
			continue
		}
		who := int32(i)
		var f model
		for s := range t.share {
			f[s] = feature(t.share[s][i])
		}
		f[awake] = -r.asleep(t, who)
		for _, k := range claims {
			if !isTeam(k.owner) && !taken[k] && r.isPerson(k.owner, who) {
				taken[k] = true
				if !k.catchAll {
					f[named] += 1 / float64(lift)
				}
			}
		}
		list, people = append(list, f), append(people, who)
	}
	return list, people
}

// rank orders the humans of the view by the model.
func (r *Resolver) rank(t *table, claims []*claim) []candidate {
	features, people := r.features(t, claims)
	var all []candidate
	for i, who := range people {
		c := candidate{who: who, utility: features[i].dot(&r.model)}
		for _, k := range claims {
			if !isTeam(k.owner) && !k.taken && r.isPerson(k.owner, who) {
				k.taken, c.claim = true, k
			}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if c := cmp.Compare(b.utility, a.utility); c != 0 {
			return c
		}
		if c := cmp.Compare(t.active[b.who], t.active[a.who]); c != 0 {
			return c
		}
		return strings.Compare(r.people.list[a.who].id(), r.people.list[b.who].id())
	})
	total := 0.0
	for i := range all {
		all[i].confidence = math.Exp(all[i].utility - all[0].utility)
		total += all[i].confidence
	}
	for i := range all {
		all[i].confidence /= total
	}
	calibrate(all)
	for i := range all {
		if i >= maxPersons || i >= minPersons && all[i].confidence < minConfidence {
			for j := i; j < len(all); j++ {
				if all[j].claim != nil {
					all[j].claim.taken = false
				}
			}
			return all[:i]
		}
	}
	return all
}

// idle is how long a person did nothing, in days.
func (r *Resolver) idle(t *table, who int32) float64 {
	return math.Max(0, float64(r.now-t.active[who])/day)
}

// sleep is how long after its last commit a repository counts as in use, in
// seconds. Past it nobody gets any more idle: where nobody works, nobody left.
const sleep = 7 * 86400

// asleep is how much a person's idle time says.
func (r *Resolver) asleep(t *table, who int32) float64 {
	newest := r.view.History().Entry(r.view.Commit()).Committed
	days := math.Max(0, float64(min(r.now, newest+sleep)-t.active[who])/day)
	return math.Log1p(days) / 5
}

// calibration maps the model's probability of the first person to how often such
// firsts were right, over commits that the model had not seen (package doc).
var calibration = [...][2]float64{{0, .05}, {.2, .3}, {.35, .42}, {.5, .45}, {.6, .55}, {.66, .8}, {.9, .83}, {1, .98}}

// calibrate turns probabilities, the highest first, into confidences; the others
// share what the first leaves as they did before.
func calibrate(all []candidate) {
	if len(all) == 0 {
		return
	}
	before := all[0].confidence
	after := before
	for i := 1; i < len(calibration); i++ {
		from, to := calibration[i-1], calibration[i]
		if before <= to[0] {
			after = from[1] + (before-from[0])/(to[0]-from[0])*(to[1]-from[1])
			break
		}
	}
	all[0].confidence = after
	for i := 1; i < len(all); i++ {
		all[i].confidence = min(all[i].confidence*(1-after)/max(1e-9, 1-before), after)
	}
}

// isPerson matches an owner of CODEOWNERS with a person of the history: by
// address, or by a login that the person's address or name carries.
func (r *Resolver) isPerson(owner string, who int32) bool {
	p := &r.people.list[who]
	login, ok := strings.CutPrefix(owner, "@")
	if !ok {
		return strings.EqualFold(owner, p.email)
	}
	local, host, _ := strings.Cut(p.email, "@")
	if strings.HasSuffix(host, "noreply.github.com") || strings.HasPrefix(host, "users.noreply.") {
		if at := strings.LastIndexByte(local, '+'); at >= 0 {
			local = local[at+1:]
		}
	}
	return login != "" && (strings.EqualFold(login, local) || strings.EqualFold(login, p.name))
}

// isTeam says whether an owner of CODEOWNERS is a team: "@org/team", or a role
// of GitLab.
func isTeam(owner string) bool {
	return strings.HasPrefix(owner, "@@") || strings.HasPrefix(owner, "@") && strings.Contains(owner, "/")
}

// claims reads what CODEOWNERS says about the files, in its order.
func (r *Resolver) claims(files []File) (claims []*claim, shadowed []fact.OwnerEvidence) {
	if r.rules == nil {
		return nil, nil
	}
	byOwner := map[string]*claim{}
	for _, f := range files {
		m := r.rules.Match(f.Path)
		for _, rule := range m.Deciding {
			owners := rule.Owners
			if len(owners) == 0 && rule.Section != nil {
				owners = rule.Section.Defaults
			}
			for _, o := range owners {
				c := byOwner[strings.ToLower(o)]
				if c == nil {
					c = &claim{owner: o, catchAll: catchAll(rule), evidence: fact.OwnerEvidence{
						Kind:   "codeowners",
						Source: r.rules.Path + ":" + strconv.Itoa(rule.Line) + " " + short(r.commit),
						Detail: fmt.Sprintf("%q owns %s", rule.Pattern, f.Path),
						Weight: 1,
					}}
					byOwner[strings.ToLower(o)] = c
					claims = append(claims, c)
				}
				c.files++
			}
		}
		for i, rule := range m.Shadowed {
			if i >= 3 || len(shadowed) >= 3 || len(rule.Owners) == 0 {
				break
			}
			shadowed = append(shadowed, fact.OwnerEvidence{
				Kind:   "codeowners",
				Source: r.rules.Path + ":" + strconv.Itoa(rule.Line) + " " + short(r.commit),
				Detail: fmt.Sprintf("overruled: %q names %s, line %d counts for %s", rule.Pattern, strings.Join(rule.Owners, " "), m.Line, f.Path),
			})
		}
	}
	return claims, shadowed
}

func catchAll(rule *codeowners.Rule) bool {
	switch strings.TrimPrefix(rule.Pattern, "/") {
	case "*", "**", "**/*", "", ".*":
		return true
	}
	return false
}

// claimConfidence is how sure a claim of CODEOWNERS is: a rule for the place
// says more than one for everything, and less when it covers some files only.
func claimConfidence(c *claim, files int) float64 {
	sure := .9
	if c.catchAll {
		sure = .7
	}
	return round(sure * float64(min(c.files, files)) / float64(files))
}

// strangerPart is how much of the certainty goes to persons whom CODEOWNERS
// names and history does not know.
func strangerPart(c *claim) float64 {
	if c.catchAll {
		return .15
	}
	return .5
}

func claimRow(c *claim, kind string, confidence float64) fact.Owner {
	return fact.Owner{Kind: kind, ID: c.owner, Name: strings.TrimLeft(c.owner, "@"), Role: RoleOwner, Confidence: confidence, Evidence: []fact.OwnerEvidence{c.evidence}}
}

func round(x float64) float64 { return math.Floor(x*1000) / 1000 }

func short(id string) string { return id[:min(len(id), 12)] }

// personRow writes a suggestion; reserved is what others took of certainty.
func (r *Resolver) personRow(t *table, files []File, c *candidate, reserved float64) fact.Owner {
	p := &r.people.list[c.who]
	row := fact.Owner{Kind: "person", ID: p.id(), Name: p.name, Role: RoleReviewer, Confidence: round(c.confidence * (1 - reserved))}
	switch {
	case c.claim != nil:
		row.Role = RoleOwner
		row.Evidence = append(row.Evidence, c.claim.evidence)
	case t.share[lineLast][c.who] > 0:
		row.Role = RoleLastAuthor
	case t.share[fileAll][c.who] > 0 && t.share[fileAll][c.who] == slices.Max(t.share[fileAll]):
		row.Role = RolePrimary
	}
	order := make([]int, signals)
	for s := range order {
		order[s] = s
	}
	// What was asked about comes before what lies around it.
	asked := func(s int) int {
		if (s == lines || s == lineLast) && t.share[s][c.who] > 0 {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if c := cmp.Compare(asked(a), asked(b)); c != 0 {
			return c
		}
		return cmp.Compare(r.utility(b, t.share[b][c.who]), r.utility(a, t.share[a][c.who]))
	})
	for _, s := range order {
		share := t.share[s][c.who]
		if len(row.Evidence) >= maxEvidence || share < .005 {
			break
		}
		row.Evidence = append(row.Evidence, fact.OwnerEvidence{
			Kind: signalNames[s], Source: r.source(t, files, s, c.who), Detail: r.detail(s, share), Weight: round(r.utility(s, share)),
		})
	}
	if days := r.idle(t, c.who); days >= leftAfter {
		row.Evidence = append(row.Evidence, fact.OwnerEvidence{
			Kind: "inactive", Source: "history " + short(r.commit), Detail: fmt.Sprintf("did nothing here for %.0f days", days),
			Weight: -round(r.model[awake] * r.asleep(t, c.who)),
		})
	}
	return row
}

// source says where a signal was read: "path:line commit" for lines, "path
// commit" for files, the commit for the rest.
func (r *Resolver) source(t *table, files []File, signal int, who int32) string {
	at := t.proof[signal][who]
	id := short(r.view.History().Entry(at.entry).ID)
	switch signal {
	case lines, linesNew, lineLast:
		return files[at.file].Path + ":" + strconv.Itoa(at.line) + " " + id
	case fileAll, fileNew, fileLast, filePrev, fileWeek:
		return files[at.file].Path + " " + id
	}
	return id
}

func (r *Resolver) detail(signal int, share float64) string {
	text := map[int]string{
		lines: "of the lines", linesNew: "of the lines, newer ones counting more", lineLast: "the newest of the lines",
		fileAll: "of the file's commits", fileNew: "of the file's recent commits", fileLast: "the last commit to the file",
		filePrev: "the author before the last", folderNew: "of the folder's recent commits", aboveNew: "of recent commits below the folder above",
		topNew: "of recent commits to the subsystem", typeNew: "of recent commits to files of this type",
		pairNew: "of commits to files that change along", repoMonth: "of the last weeks' commits", repoYear: "of the last months' commits",
		latest: "the last commit", latest3: "of the last few commits", latest20: "of the last twenty commits",
		repoWeek: "of this week's commits", fileWeek: "of the file's commits of the last weeks", pairWeek: "of recent commits to files that change along",
	}[signal]
	if share >= .9995 && (signal == lineLast || signal == fileLast || signal == filePrev || signal == latest) {
		return text
	}
	return fmt.Sprintf("%.0f %% %s", share*100, text)
}

// overruled names whom a single signal would have named, and why not them.
func (r *Resolver) overruled(t *table, files []File, persons []candidate) []fact.OwnerEvidence {
	if len(persons) == 0 {
		return nil
	}
	var list []fact.OwnerEvidence
	said := map[int32]bool{persons[0].who: true}
	for _, s := range [...]int{lines, fileLast, fileAll} {
		best := int32(-1)
		for i := range t.share[s] {
			if t.share[s][i] > 0 && (best < 0 || t.share[s][i] > t.share[s][best]) {
				best = int32(i)
			}
		}
		if best < 0 || said[best] {
			continue
		}
		said[best] = true
		why := "other signals weigh more"
		if days := r.idle(t, best); days >= leftAfter {
			why = fmt.Sprintf("idle for %.0f days", days)
		}
		list = append(list, fact.OwnerEvidence{
			Kind: signalNames[s], Source: r.source(t, files, s, best),
			Detail: fmt.Sprintf("overruled: %s with %s; %s", r.people.list[best].name, r.detail(s, t.share[s][best]), why),
		})
	}
	h := r.view.History()
	for _, f := range files {
		touched := r.view.Touched(f.Path)
		if len(touched) == 0 || len(list) >= 6 {
			continue
		}
		last := touched[len(touched)-1]
		e := h.Entry(last)
		source := f.Path + " " + short(e.ID)
		author := &r.people.list[r.people.of[e.Author]]
		switch {
		case r.ignored(last):
			list = append(list, fact.OwnerEvidence{Kind: "ignored_revision", Source: source, Detail: "overruled: " + author.name + "; .git-blame-ignore-revs lists the last commit"})
		case e.Bulk:
			list = append(list, fact.OwnerEvidence{Kind: "bulk_rewrite", Source: source, Detail: fmt.Sprintf("overruled: %s; the last commit made one change in %d files", author.name, len(e.Touches))})
		case author.bot:
			list = append(list, fact.OwnerEvidence{Kind: "bot", Source: source, Detail: fmt.Sprintf("overruled: %s; %s", author.name, author.why)})
		}
	}
	return list
}
