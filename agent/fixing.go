package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/verify"
)

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("agent", queryText)

// Queries lists the queries of this package, for the conformance suite.
func Queries() *store.Queries { return queries }

var (
	rememberCheckout = queries.Named("remember")
	recallCheckout   = queries.Named("recall")
	anyCheckout      = queries.Named("looked")
	lastLook         = queries.Named("last_look")
)

// FixRequest names a fix path of an issue.
type FixRequest struct {
	Issue  string // issue id
	Path   string // fix path id, "" for the recommended one
	Repo   string // folder of the repository, "" for where it was last looked at
	Commit string // to work on, "" for the repository's head
	Remote string // where a change is pushed, "" for the repository's own remote
	Target string // branch that the change is meant for, "" for the remote's default

	// Unproven offers a change as a draft that could not be proven; one that was
	// shown to be wrong is never offered.
	Unproven bool
	// Again offers a change that people closed without merging it.
	Again bool
	// TakeOver writes over commits that others put on the branch.
	TakeOver bool
	By       string // who asks, "" for nobody that is known
}

// Proof is a fix path with its verification.
type Proof struct {
	Path     fix.Path
	Envelope []byte // DSSE envelope of the in-toto statement
}

// Opened is a change that was offered, or the proof that failed.
type Opened struct {
	Path         fix.Path                `json:"path"`
	Verification fact.Verification       `json:"verification"`
	Commit       string                  `json:"commit,omitempty"`
	Receipt      connector.Receipt       `json:"receipt"`
	PullRequest  PullRequest             `json:"pull_request"`
	Remediation  remediation.Remediation `json:"remediation"`
}

// ErrManual says that people carry a path out, so that nothing can prove or push it.
var ErrManual = errors.New("it is carried out by people")

// ErrNoPath says that an issue has no such fix path.
var ErrNoPath = errors.New("there is no such fix path")

// Issues lists issues, worst first; without all only those that still ask for
// something.
func (d *Desk) Issues(ctx context.Context, all bool) ([]issue.Issue, error) {
	filter := issue.Filter{States: []issue.State{issue.Open, issue.InProgress, issue.Unconfirmed}}
	if all {
		filter.States = nil
	}
	return issue.List(ctx, d.DB, filter)
}

// Looked says whether any repository was triaged, so that no issue means none.
func (d *Desk) Looked(ctx context.Context) (looked bool, err error) {
	err = d.DB.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, anyCheckout, func(store.Row) error { looked = true; return nil })
	})
	if err != nil {
		return false, fmt.Errorf("triaged repositories: %w", err)
	}
	return looked, nil
}

// Issue gives one issue as it was last investigated.
func (d *Desk) Issue(ctx context.Context, id string) (issue.Issue, error) {
	it, err := issue.Load(ctx, d.DB, id)
	if errors.Is(err, store.ErrNotFound) {
		return it, fmt.Errorf("%w; backstitch issue list --all names those that are known", err)
	}
	return it, err
}

// Reject decides that an issue is not to be fixed. The note is the decision's
// evidence and cannot be blank.
func (d *Desk) Reject(ctx context.Context, id, reason, note string) error {
	if strings.TrimSpace(note) == "" {
		return fmt.Errorf("reject issue %s: expected a note that says why", id)
	}
	it, err := d.Issue(ctx, id)
	if err != nil {
		return err
	}
	_, err = issue.SetState(ctx, d.DB, it.ID, issue.Move{
		To: issue.Rejected, Reason: reason, Actor: "person",
		Evidence: []fact.Evidence{{Method: "decision", Source: "command line", Strength: fact.Declared, Detail: note}},
		Key:      fmt.Sprintf("reject %s %s %d", it.ID, reason, d.Now().UnixMicro()),
	}, d.Now())
	return err
}

// remember keeps where a repository was looked at.
func (d *Desk) remember(ctx context.Context, s *scene) error {
	dir, err := filepath.Abs(s.repository.Root())
	if err != nil {
		return err
	}
	return d.DB.Write(ctx, store.Replayable, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, rememberCheckout, store.Text(s.identity), store.Text(dir), store.Text(s.commit), store.Int(d.Now().UnixMicro()))
		return err
	})
}

// recall finds where the repository of an issue was last looked at.
func (d *Desk) recall(ctx context.Context, it issue.Issue) (string, error) {
	if len(it.Cause.Locations) == 0 {
		return "", fmt.Errorf("issue %s: its cause is unknown, so no repository can be changed", it.ID)
	}
	dir := ""
	err := d.DB.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, recallCheckout, func(row store.Row) error {
			dir = row.Text(0)
			return nil
		}, store.Text(it.Cause.Locations[0].Repository))
	})
	if err == nil && dir == "" {
		err = fmt.Errorf("issue %s: no checkout of %s is known, name one with --repo", it.ID, it.Cause.Locations[0].Repository)
	}
	return dir, err
}

// proveAll proves the recommended path of every issue, each path once. When it does not
// hold, another may be recommended, which is tried then.
func (d *Desk) proveAll(ctx context.Context, s *scene, issues []issue.Issue) error {
	type answer struct {
		verification fact.Verification
		diff         string
	}
	proved := map[string]answer{}
	for i := range issues {
		d.Progress("proving fixes", i, len(issues))
		for range maxTried {
			at := slices.IndexFunc(issues[i].FixPaths, func(p fix.Path) bool { return p.Recommended })
			if at < 0 {
				break
			}
			path := &issues[i].FixPaths[at]
			if path.Manual || path.Verification != nil {
				break
			}
			known, ok := proved[path.ID]
			if !ok {
				record, diff, err := d.prove(ctx, s, *path, closedBy(issues, path))
				if err != nil {
					return err
				}
				known = answer{record.Verification, diff}
				proved[path.ID] = known
			}
			path.Verification, path.Diff = &known.verification, known.diff
			issues[i].FixPaths = fix.Compare(issues[i].FixPaths)
		}
	}
	return nil
}

// maxTried bounds the paths of an issue that are tried until one holds.
const maxTried = 3

// closedBy lists the issues that a path says it closes.
func closedBy(issues []issue.Issue, path *fix.Path) []issue.Issue {
	var closed []issue.Issue
	for _, it := range issues {
		if slices.Contains(path.Closes, it.ID) {
			closed = append(closed, it)
		}
	}
	return closed
}

// prove runs the negative control of a path over the issues that it closes and
// gives the record with the change as a diff.
func (d *Desk) prove(ctx context.Context, s *scene, path fix.Path, issues []issue.Issue) (verify.Record, string, error) {
	var fixer fix.Fixer
	for _, f := range d.Fixers {
		if f.Describe().ID == path.Fixer {
			fixer = f
		}
	}
	if fixer == nil {
		return verify.Record{}, "", fmt.Errorf("fixer %q of path %s is not built in", path.Fixer, path.ID)
	}
	record, err := d.proveWith(ctx, s, fixer, path, issues)
	if err != nil || len(record.Files) == 0 {
		return record, "", err
	}
	commit, err := s.repository.Commit(ctx, s.commit, record.Files, "change of "+path.ID, d.author())
	if err != nil {
		return record, "", err
	}
	diff, err := s.repository.Diff(ctx, s.commit, commit)
	return record, s.secretsOf(ctx).hide(diff), err
}

// proveWith runs the negative control of a path that a fixer carries out.
func (d *Desk) proveWith(ctx context.Context, s *scene, fixer fix.Fixer, path fix.Path, issues []issue.Issue) (verify.Record, error) {
	scanner, closes, err := d.detector(ctx, s, fixer, issues)
	if err != nil {
		return verify.Record{}, err
	}
	record, err := verify.Prove(ctx, verify.Request{
		Repo: s.repository, Repository: s.identity, Commit: s.commit,
		Scanner: scanner, Fixer: fixer, Path: path, Closes: closes, Reported: s.reported,
		Class: s.known.Class, Advisories: s.known.Digest(), Tool: "backstitch " + d.Version,
		Build: true, Consent: d.Consent, Cache: filepath.Join(d.Cache, "build", changeKey(s.identity, path)),
		Now: d.Now(), Signer: d.Signer,
	})
	if err != nil {
		return record, fmt.Errorf("proof of %s: %w", path.ID, err)
	}
	return record, nil
}

// detector gives the scanner that judges a proof, and what it must no longer see: of a
// module's package the dependency scanner, of anything else those scanners of ours that
// see the issues' flaws now.
func (d *Desk) detector(ctx context.Context, s *scene, fixer fix.Fixer, issues []issue.Issue) (scan.Scanner, []verify.Closes, error) {
	closes := make([]verify.Closes, 0, len(issues))
	packaged := !slices.ContainsFunc(issues, func(it issue.Issue) bool { return it.Package == nil || it.Kind != fact.Vulnerability })
	if _, modular := fixer.(fix.ModuleFixer); modular && packaged { // a fixer may be one of sites, too
		for _, it := range issues {
			pkg, _ := fact.ParsePURL(it.Package.PURL)
			closes = append(closes, verify.Closes{Issue: it.ID, Advisories: it.Class, Package: pkg.Name, Severity: it.Severity})
		}
		return d.Scanner(s.known, s.reported...), closes, nil
	}
	asked := make([]*issue.Issue, len(issues))
	for i := range issues {
		asked[i] = &issues[i]
	}
	looks, err := d.ownLooks(ctx, s, asked, func(string) {})
	if err != nil {
		return nil, nil, err
	}
	var scanners []scan.Scanner
	for i := range issues {
		flaw, used := s.flaw(&issues[i], looks)
		one := verify.Closes{Issue: flaw.Issue, Advisories: flaw.Rules, Severity: flaw.Severity}
		for _, f := range flaw.Seen {
			if object := f.Attributes[fix.AttributeObject]; object != "" && !slices.Contains(one.Objects, object) {
				one.Objects = append(one.Objects, object)
			}
		}
		if flaw.Kind == fact.Vulnerability {
			one.Package = flaw.Package.Name
			if len(used) == 0 {
				used = []scan.Scanner{d.Scanner(s.known, s.reported...)} // a package of a module, in a change that somebody else made
			}
		}
		closes = append(closes, one)
		for _, scanner := range used {
			if !slices.ContainsFunc(scanners, func(known scan.Scanner) bool { return known.Describe().ID == scanner.Describe().ID }) {
				scanners = append(scanners, scanner)
			}
		}
	}
	return scan.Several(scanners...), closes, nil
}

// author is who signs changes.
func (d *Desk) author() git.Signature {
	return git.Signature{Name: "Backstitch", Email: "backstitch@localhost", When: d.Now()}
}

// chosen loads an issue and one of its paths, with the repository at its head
// and everything known about it.
func (d *Desk) chosen(ctx context.Context, request FixRequest) (*scene, issue.Issue, fix.Path, []issue.Issue, error) {
	it, err := d.Issue(ctx, request.Issue)
	if err != nil {
		return nil, it, fix.Path{}, nil, err
	}
	at := slices.IndexFunc(it.FixPaths, func(p fix.Path) bool {
		return request.Path == p.ID || request.Path == "" && p.Recommended
	})
	if at < 0 && request.Path == "" {
		return nil, it, fix.Path{}, nil, fmt.Errorf("issue %s: %w that is recommended; backstitch fix plan %s tells why", it.ID, ErrNoPath, it.ID)
	}
	if at < 0 {
		return nil, it, fix.Path{}, nil, fmt.Errorf("issue %s, path %q: %w; backstitch fix plan %s lists them", it.ID, request.Path, ErrNoPath, it.ID)
	}
	path := it.FixPaths[at]
	if path.Manual {
		return nil, it, path, nil, fmt.Errorf("path %s of issue %s: %w; backstitch fix plan %s lists its steps", path.ID, it.ID, ErrManual, it.ID)
	}
	repo := request.Repo
	if repo == "" {
		if repo, err = d.recall(ctx, it); err != nil {
			return nil, it, path, nil, err
		}
	}
	s := &scene{}
	if err := d.open(ctx, s, repo, cmp.Or(request.Commit, "HEAD")); err != nil {
		return nil, it, path, nil, err
	}
	if home := it.Cause.Locations[0].Repository; home != s.identity {
		return nil, it, path, nil, fmt.Errorf("issue %s is in %s, but %s is %s", it.ID, home, repo, s.identity)
	}
	closed := []issue.Issue{it}
	for _, id := range path.Closes {
		if id == it.ID {
			continue
		}
		other, err := d.Issue(ctx, id)
		if err != nil {
			return nil, it, path, nil, err
		}
		if other.State == issue.Resolved {
			continue // it went another way meanwhile, so that there is nothing to show of it
		}
		closed = append(closed, other)
	}
	issue.Sort(closed)
	return s, it, path, closed, d.knowing(ctx, s, closed)
}

// knowing loads what was found in the assets of issues, and with it what is known of
// their flaws.
func (d *Desk) knowing(ctx context.Context, s *scene, issues []issue.Issue) (err error) {
	assets := []fact.Asset{}
	for _, one := range issues {
		assets = append(assets, one.Assets...)
	}
	if s.findings, err = intake.Load(ctx, d.DB, assets); err != nil {
		return err
	}
	findings := make([]fact.Finding, len(s.findings))
	for i := range s.findings {
		findings[i] = s.findings[i].Finding
	}
	if err := s.complete(ctx); err != nil {
		return err
	}
	if s.known, err = newKnown(d.Advisories, findings); err == nil && d.Images == nil {
		s.outside, err = d.outsideImages(ctx, s, cause.Running{}, false)
	}
	return err
}

// VerifyFix proves a fix path against the head of the repository and keeps the
// outcome with the issue.
func (d *Desk) VerifyFix(ctx context.Context, request FixRequest) (Proof, error) {
	s, _, path, closed, err := d.chosen(ctx, request)
	if err != nil {
		return Proof{}, err
	}
	d.Progress("proving the fix", 0, 0)
	record, diff, err := d.prove(ctx, s, path, closed)
	if err != nil {
		return Proof{}, err
	}
	path.Verification, path.Diff = &record.Verification, diff
	for i := range closed {
		for j := range closed[i].FixPaths {
			if closed[i].FixPaths[j].ID == path.ID {
				closed[i].FixPaths[j].Verification, closed[i].FixPaths[j].Diff = path.Verification, diff
			}
		}
		if compared(closed[i].FixPaths) {
			closed[i].FixPaths = fix.Compare(closed[i].FixPaths)
		}
	}
	d.Progress("", 0, 0)
	return Proof{Path: path, Envelope: record.Envelope}, issue.Save(ctx, d.DB, closed, d.Now())
}

// changeKey names a change by value: the same path in the same repository is the
// same change.
func changeKey(identity string, path fix.Path) string {
	sum := sha256.Sum256([]byte(identity + "\x00" + path.Fixer + "\x00" + path.Module + "\x00" + path.Kind + "\x00" + subject(path)))
	return "bs-" + hex.EncodeToString(sum[:8])
}

// subject is what a path changes: the package that moves, or the places that are edited.
func subject(path fix.Path) string {
	if len(path.Changes) > 0 {
		return path.Changes[0].Package
	}
	var places []string
	for _, edit := range path.Edits {
		places = append(places, edit.Path+" "+strings.TrimSpace(edit.Context))
	}
	return strings.Join(places, "\x00")
}

// branch names the branch of a change: readable, and found again by its key.
func branch(key string, path fix.Path) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, cut(cmp.Or(subjectName(path), path.Kind), 40))
	return "backstitch/" + cmp.Or(strings.Trim(name, "-"), "change") + "-" + strings.TrimPrefix(key, "bs-")
}

// subjectName names what a path changes for people.
func subjectName(path fix.Path) string {
	if len(path.Changes) > 0 {
		return path.Changes[0].Package
	}
	if len(path.Edits) > 0 {
		return path.Edits[0].Path
	}
	return ""
}

// payload identifies what a change holds: the commit it is made on and the
// files as they are after it.
func payload(base string, files map[string][]byte) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", base)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%q %t %x\n", name, files[name] == nil, sha256.Sum256(files[name]))
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// withoutUser takes credentials out of a remote's URL.
func withoutUser(remote string) string {
	if u, err := url.Parse(remote); err == nil && u.User != nil {
		u.User = nil
		return u.String()
	}
	return remote
}
