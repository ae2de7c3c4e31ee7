package owner

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("owner", queryText)

// Queries lists the queries of this package, for the conformance suite.
func Queries() *store.Queries { return queries }

var (
	insertRuling     = queries.Named("insert_ruling")
	selectRulings    = queries.Named("rulings_of")
	selectOfIssue    = queries.Named("rulings_of_issue")
	everyRuling      = queries.Named("every_ruling")
	selectTeachings  = queries.Named("teachings")
	projectsStated   = queries.Named("projects_stated")
	lastRuling       = queries.Named("last_ruling")
	selectParties    = queries.Named("parties")
	selectPartyLinks = queries.Named("party_links")
	selectVouched    = queries.Named("vouched")
	selectGeneration = queries.Named("generation")
	selectStated     = queries.Named("stated")
	everyAsset       = queries.Named("every_asset")
	everyAffected    = queries.Named("every_affected")
	statedOften      = queries.Named("stated_often")
	everyStated      = queries.Named("every_stated")
	scopeSources     = queries.Named("scope_sources")
	everyClaim       = queries.Named("every_claim")
	everyLink        = queries.Named("every_link")
	everyEvidence    = queries.Named("every_evidence")
	linkKinds        = queries.Named("link_kinds")
	assetID          = queries.Named("asset_id")
	assetThere       = queries.Named("asset_there")
	assetOf          = queries.Named("asset_of")
	linksOut         = queries.Named("links_out")
	linksIn          = queries.Named("links_in")
	claimsOn         = queries.Named("claims_on")
	ownedBy          = queries.Named("owned_by")
	assetsFrom       = queries.Named("assets_from")
	everyCheckout    = queries.Named("every_checkout")
)

// Verb is what a person says of an owner.
type Verb string

// The verbs. An assignment takes the place of earlier ones of its role; a pin is one
// that holds against every other and against bulk work until it is taken off.
const (
	Assign Verb = "assign"
	Accept Verb = "accept"
	Reject Verb = "reject"
	Pin    Verb = "pin"
	Unpin  Verb = "unpin"
)

// SubjectIssue is the kind of a subject that is an issue, by its id.
const SubjectIssue = "issue"

// Answer is one thing that a person said, as it is kept.
type Answer struct {
	At      int64      `json:"at"` // microseconds since 1970 UTC
	By      string     `json:"by"`
	Subject fact.Asset `json:"subject"` // kind "issue" for issues
	Verb    Verb       `json:"verb"`
	Owner   fact.Party `json:"owner"`
	Role    string     `json:"role"`
	Reason  string     `json:"reason"`
	// Bulk says that it was one of many accepted at once, which nobody looked at.
	Bulk bool `json:"bulk,omitempty"`
	// Right and Wrong are the kinds of evidence that the answer spoke for and against.
	Right []string `json:"right,omitempty"`
	Wrong []string `json:"wrong,omitempty"`
	// First is the confidence that the first suggestion had before, 0 when the answer
	// says nothing of it, and Agreed whether it was the same.
	First  float64 `json:"first,omitempty"`
	Agreed bool    `json:"agreed,omitempty"`
}

// Errors of answers.
var (
	ErrPinned   = errors.New("the owner is pinned")
	ErrNoReason = errors.New("expected a reason")
	ErrNobody   = errors.New("nobody of this name was accepted or pinned")
)

// Bounds of what a person says.
const (
	maxReason = 4000
	maxName   = 1000
)

// renewAfter is after how many days the same word again is kept, as a confirmation.
const renewAfter = 30

// roles are what an owner may be to a subject.
var roles = []string{RoleOwner, RolePrimary, RoleReviewer, "creator", RoleLastAuthor, "on_call", "security_champion"}

// check says what is wrong with an answer.
func (a *Answer) check() error {
	switch {
	case !slices.Contains([]Verb{Assign, Accept, Reject, Pin, Unpin}, a.Verb):
		return fmt.Errorf("verb %q: expected assign, accept, reject, pin or unpin", a.Verb)
	case a.Owner.ID == "" || a.Owner.Kind != fact.AssetTeam && a.Owner.Kind != fact.AssetPerson:
		return fmt.Errorf("owner %s %q: expected a team or a person", a.Owner.Kind, a.Owner.ID)
	case a.By == "":
		return errors.New("expected who says it")
	case strings.TrimSpace(a.Reason) == "" && a.Verb == Reject:
		return fmt.Errorf("reject %s: %w", a.Owner.ID, ErrNoReason)
	case len(a.Owner.ID) > maxName || len(a.Owner.Name) > maxName || strings.ContainsFunc(a.Owner.ID+a.Owner.Name, unicode.IsControl):
		return fmt.Errorf("owner %q: expected at most %d bytes without control characters", a.Owner.ID[:min(len(a.Owner.ID), 80)], maxName)
	case !slices.Contains(roles, a.Role):
		return fmt.Errorf("role %q: expected one of %s", a.Role, strings.Join(roles, ", "))
	case len(a.Reason) > maxReason:
		return fmt.Errorf("reason: %d bytes, expected at most %d", len(a.Reason), maxReason)
	}
	return nil
}

// Record keeps answers, all or none. One that changes nothing is not kept. What an
// answer teaches is that of Right and Wrong, once: saying it again teaches nothing.
func Record(ctx context.Context, db store.Engine, answers []Answer) (kept int, err error) {
	return record(ctx, db, answers, false)
}

// record keeps answers; in bulk those are left out on whose subject somebody has
// spoken in the meantime.
func record(ctx context.Context, db store.Engine, answers []Answer, bulk bool) (kept int, err error) {
	err = db.Write(ctx, store.Durable, func(tx store.Tx) error {
		kept = 0
		for i := range answers {
			a := &answers[i]
			a.Role = cmp.Or(a.Role, RoleOwner)
			a.Owner.Name = cmp.Or(a.Owner.Name, a.Owner.ID)
			if err := a.check(); err != nil {
				return fmt.Errorf("%s:%s: %w", a.Subject.Kind, a.Subject.Key, err)
			}
			before, err := history(ctx, tx, a.Subject)
			if err != nil {
				return err
			}
			if bulk && len(before) > 0 {
				continue
			}
			changes, err := stands(before, a)
			if err != nil {
				return fmt.Errorf("%s:%s: %w", a.Subject.Kind, a.Subject.Key, err)
			}
			if !changes {
				continue
			}
			lesson, err := json.Marshal(taught{a.Right, a.Wrong, a.First, a.Agreed, a.Bulk})
			if err != nil {
				return err
			}
			id, err := store.ReserveIDs(ctx, tx, "ruling", 1)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, insertRuling, store.Int(id), store.Int(a.At), store.Text(a.By), store.Text(a.Subject.Kind), store.Text(a.Subject.Key), store.Text(string(a.Verb)),
				store.Text(a.Owner.Kind), store.Text(a.Owner.ID), store.Text(a.Owner.Name), store.Text(a.Role), store.Text(a.Reason), store.Text(string(lesson))); err != nil {
				return err
			}
			kept++
		}
		return nil
	})
	return kept, err
}

// stands says whether an answer changes what stands, and refuses one against a pin.
func stands(before []Answer, a *Answer) (bool, error) {
	now := Standing(before)
	at := slices.IndexFunc(now, func(r Ruling) bool { return sameParty(r.Owner, a.Owner) })
	pinned := slices.IndexFunc(now, func(r Ruling) bool { return r.Pinned && r.Role == a.Role })
	switch {
	case a.Verb == Unpin:
		if at < 0 || !now[at].Pinned {
			return false, fmt.Errorf("unpin %s: %w", a.Owner.ID, ErrNobody)
		}
		return true, nil
	case pinned >= 0 && !sameParty(now[pinned].Owner, a.Owner) && (a.Verb == Assign || a.Verb == Accept || a.Verb == Pin),
		a.Verb == Reject && at >= 0 && now[at].Pinned:
		by := now[max(pinned, 0)]
		if a.Verb == Reject {
			by = now[at]
		}
		return false, fmt.Errorf("%w: %s %s pinned %s as %s; unpin it first", ErrPinned, by.By, time.UnixMicro(by.At).UTC().Format(time.DateOnly), by.Owner.Name, by.Role)
	case at < 0, float64(a.At-now[at].At) >= renewAfter*dayMicros:
		return true, nil
	case a.Verb == Reject:
		return now[at].Accept, nil
	case a.Verb == Pin:
		return !now[at].Pinned || now[at].Role != a.Role, nil
	}
	return !now[at].Accept || now[at].Role != a.Role || now[at].Bulk && !a.Bulk, nil
}

func sameParty(a, b fact.Party) bool { return a.Kind == b.Kind && strings.EqualFold(a.ID, b.ID) }

// Standing gives what stands after answers about one subject in their order: pinned
// first, then the newest.
func Standing(answers []Answer) []Ruling {
	var list []Ruling
	for _, a := range answers {
		at := slices.IndexFunc(list, func(r Ruling) bool { return sameParty(r.Owner, a.Owner) })
		r := Ruling{Owner: a.Owner, Role: a.Role, Accept: a.Verb != Reject, Pinned: a.Verb == Pin, Bulk: a.Bulk, By: a.By, Reason: a.Reason, At: a.At}
		switch {
		case a.Verb == Unpin && at >= 0:
			list[at].Pinned = false
			continue
		case a.Verb == Unpin:
			continue
		case at >= 0:
			r.Pinned = r.Pinned || list[at].Pinned && r.Accept
			list = slices.Delete(list, at, at+1)
		}
		if a.Verb == Assign || a.Verb == Pin {
			list = slices.DeleteFunc(list, func(other Ruling) bool { return other.Accept && !other.Pinned && other.Role == a.Role })
		}
		list = append(list, r)
	}
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b Ruling) int {
		switch {
		case a.Pinned == b.Pinned:
			return 0
		case a.Pinned:
			return -1
		}
		return 1
	})
	return list
}

// History lists what people said of a subject, in its order: an asset, or an issue
// with those that were merged into it.
func History(ctx context.Context, db store.Engine, subject fact.Asset) ([]Answer, error) {
	var list []Answer
	err := db.Read(ctx, func(tx store.Tx) error {
		var err error
		list, err = history(ctx, tx, subject)
		return err
	})
	return list, err
}

func history(ctx context.Context, tx store.Tx, subject fact.Asset) ([]Answer, error) {
	list := []Answer{}
	take := answerRow(&list)
	if subject.Kind == SubjectIssue {
		return list, tx.Query(ctx, selectOfIssue, take, store.Text(subject.Key))
	}
	err := tx.Query(ctx, selectRulings, take, store.Text(subject.Kind), store.Text(subject.Key))
	return list, err
}

func answerRow(into *[]Answer) func(store.Row) error {
	return func(row store.Row) error {
		a := Answer{
			At: row.Int(1), By: row.Text(2), Subject: fact.Asset{Kind: row.Text(3), Key: row.Text(4)}, Verb: Verb(row.Text(5)),
			Owner: fact.Party{Kind: row.Text(6), ID: row.Text(7), Name: row.Text(8)}, Role: row.Text(9), Reason: row.Text(10),
		}
		var t taught
		if err := json.Unmarshal([]byte(row.Text(11)), &t); err != nil {
			return fmt.Errorf("what an answer taught: %w", err)
		}
		a.Right, a.Wrong, a.First, a.Agreed, a.Bulk = t.Right, t.Wrong, t.First, t.Agreed, t.Bulk
		*into = append(*into, a)
		return nil
	}
}

// allSaid gives what stands of every subject that people spoke of.
func allSaid(ctx context.Context, tx store.Tx) (map[fact.Asset][]Ruling, error) {
	var all []Answer
	if err := tx.Query(ctx, everyRuling, answerRow(&all)); err != nil {
		return nil, err
	}
	bySubject := map[fact.Asset][]Answer{}
	for _, a := range all {
		bySubject[a.Subject] = append(bySubject[a.Subject], a)
	}
	said := make(map[fact.Asset][]Ruling, len(bySubject))
	for subject, answers := range bySubject {
		said[subject] = Standing(answers)
	}
	return said, nil
}
