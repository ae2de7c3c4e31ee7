// Package people brings a directory of people from files: CSV as directories and
// personnel systems export it, or YAML that somebody keeps and reviews.
//
// A row that cannot be read is named by its line, and the rest goes on. Columns
// that are not known are passed over. Managers are named by address or login, and
// found wherever in the files they stand; by name alone nobody is found.
package people

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// ID names the source.
const ID = "connector/people"

type source struct{}

// New makes the source of people.
func New() connector.Source { return source{} }

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "people",
		Docs: "People from a CSV or YAML file: name, addresses, logins at forges, team, manager, whether they are active and when they left. " +
			"Columns may be called as directories call them (mail, userPrincipalName, department, manager ...); a bad row is named by its line and the rest is read.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{{Name: "path", Kind: connector.SettingPath, Required: true, Help: "a file of people (.csv, .tsv, .yaml, .yml), or a folder of them; managers may stand in another file"}}
}

// row is a person as a file has them.
type row struct {
	name, id               string
	emails, logins, teams  []string
	manager, active, left  string
	title, department, bot string
	status                 string
	file                   string
	line                   int
}

func (r *row) place() string { return fmt.Sprintf("%s:%d", r.file, r.line) }

// person makes a person of a row, or says what is wrong with it.
func (r *row) person() (connector.Person, error) {
	p := connector.Person{Name: r.name, ID: "people:" + r.id, Said: map[string]string{}}
	for _, text := range r.emails {
		email := connector.Address(text)
		if email == "" {
			return p, fmt.Errorf("%s: email %.80q: expected a mail address", r.place(), text)
		}
		p.Emails = append(p.Emails, email)
	}
	for _, login := range r.logins {
		p.Logins = append(p.Logins, strings.ToLower(strings.TrimPrefix(login, "@")))
	}
	if r.id == "" {
		switch {
		case len(p.Logins) > 0:
			p.ID = "people:" + p.Logins[0]
		case len(p.Emails) == 0:
			return p, fmt.Errorf("%s: expected an email, a login or an id: a name alone is nobody", r.place())
		default:
			p.ID = "people:" + p.Emails[0]
		}
	}
	if p.Name == "" {
		p.Name = p.Asset().Key
	}
	active, known := truth(r.active)
	if !known && r.active != "" {
		return p, fmt.Errorf("%s: active %.40q: expected true or false", r.place(), r.active)
	}
	if r.left != "" {
		day, err := dayOf(r.left)
		if err != nil {
			return p, fmt.Errorf("%s: %w", r.place(), err)
		}
		p.Left = day
	}
	if r.active == "" { // a status may be anything, such as on leave
		active, known = truth(r.status)
	}
	if known {
		p.Active = &active
	}
	bot, known := truth(r.bot)
	if !known && r.bot != "" {
		return p, fmt.Errorf("%s: bot %.40q: expected true or false", r.place(), r.bot)
	}
	p.Bot = bot
	if r.title != "" {
		p.Said["title"] = r.title
	}
	if r.status != "" {
		p.Said["status"] = r.status
	}
	if r.department != "" {
		p.Said["department"] = r.department
	}
	return p, nil
}

// truth reads the words that directories use for yes and no.
func truth(text string) (value, known bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "y", "1", "active", "enabled", "employed", "staged":
		return true, true
	case "false", "no", "n", "0", "inactive", "disabled", "deactivated", "deprovisioned", "suspended", "terminated", "left":
		return false, true
	}
	return false, false
}

// dayOf reads a day; days that could be two different ones are refused.
func dayOf(text string) (string, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339, time.DateTime, "2006-01-02T15:04:05", "20060102", "2006/01/02", "2.1.2006", "2 Jan 2006", "Jan 2, 2006"} {
		if day, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return day.Format(time.DateOnly), nil
		}
	}
	return "", fmt.Errorf("left %.40q: expected a day like 2006-01-02", text)
}

// directory joins the rows of all files.
type directory struct {
	sink     connector.Sink
	keys     map[string]string // of persons, by address and login
	managers map[string]wanted // by the person's key
	order    []string          // of managers
	told     map[string]string // where a person was told of, by key
	teams    map[string]bool   // scope and key
}

type wanted struct{ scope, text, place string }

// Sync implements connector.Source. Each file is a scope.
func (source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	folder, names, err := files(values["path"])
	if err != nil {
		return err
	}
	d := &directory{sink: sink, keys: map[string]string{}, managers: map[string]wanted{}, told: map[string]string{}, teams: map[string]bool{}}
	bad := map[string]bool{}
	for i, name := range names {
		sink.Progress("reading people", i, len(names))
		err := read(ctx, folder, name, func(r *row, problem error) error {
			if problem == nil {
				var p connector.Person
				if p, problem = r.person(); problem == nil {
					return d.take(name, r, &p)
				}
			}
			bad[name] = true
			if !sink.Done(name) {
				sink.Gap(name, problem)
			}
			return nil
		})
		var refused *sinkError
		switch {
		case errors.As(err, &refused):
			return refused.err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			bad[name] = true
			if !sink.Done(name) {
				sink.Gap(name, err)
			}
		}
	}
	if err := d.tellManagers(); err != nil {
		return err
	}
	for _, name := range names {
		if !bad[name] && !sink.Done(name) {
			if err := sink.Covered(name); err != nil {
				return err
			}
		}
	}
	sink.Progress("reading people", len(names), len(names))
	return nil
}

// sinkError is an error of the sink, which ends the run.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

func files(at string) (folder string, names []string, err error) {
	info, err := os.Stat(at)
	if err != nil {
		return "", nil, fmt.Errorf("setting path: %w", err)
	}
	if !info.IsDir() {
		if !known(at) {
			return "", nil, fmt.Errorf("setting path: %s: expected a file .csv, .tsv, .yaml or .yml", filepath.Base(at))
		}
		return filepath.Dir(at), []string{filepath.Base(at)}, nil
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return "", nil, fmt.Errorf("setting path: %w", err)
	}
	for _, entry := range entries {
		if entry.Type().IsRegular() && known(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		return "", nil, fmt.Errorf("setting path: %s holds no .csv, .tsv, .yaml or .yml file", at)
	}
	return at, names, nil
}

func known(name string) bool {
	return slices.Contains([]string{".csv", ".tsv", ".yaml", ".yml"}, strings.ToLower(filepath.Ext(name)))
}

func read(ctx context.Context, folder, name string, give func(*row, error) error) error {
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		var fault *fs.PathError
		if errors.As(err, &fault) {
			err = fault.Err
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	defer file.Close()
	if ext := strings.ToLower(filepath.Ext(name)); ext == ".yaml" || ext == ".yml" {
		return readYAML(ctx, name, file, give)
	}
	return readCSV(ctx, name, file, give)
}

// take tells of one person.
func (d *directory) take(scope string, r *row, p *connector.Person) error {
	done := d.sink.Done(scope)
	key := p.Asset().Key
	if before := d.told[key]; before != "" {
		if !done {
			d.sink.Note(scope, fmt.Sprintf("%s: %s is there already, in %s; what both say is joined", r.place(), key, before))
		}
	} else {
		d.told[key] = r.place()
	}
	for _, form := range append(slices.Clone(p.Emails), append(p.Logins, r.id)...) {
		if form = strings.ToLower(form); form == "" {
			continue
		}
		if other, taken := d.keys[form]; taken && other != key {
			if !done {
				d.sink.Note(scope, fmt.Sprintf("%s: %s is said of %s and of %s", r.place(), form, other, key))
			}
			continue
		}
		d.keys[form] = key
	}
	if r.manager != "" {
		if _, there := d.managers[key]; !there {
			d.order = append(d.order, key)
		}
		d.managers[key] = wanted{scope, r.manager, r.place()}
	}
	if done {
		return nil // only for those of other files whose manager this is
	}
	if err := d.sink.Node(scope, p.Node()); err != nil {
		return &sinkError{err}
	}
	for _, name := range r.teams {
		team := fact.Asset{Kind: fact.AssetTeam, Key: "people:" + strings.ToLower(name), Name: name}
		if at := scope + "\x00" + team.Key; !d.teams[at] {
			d.teams[at] = true
			if err := d.sink.Node(scope, fact.Node{Asset: team}); err != nil {
				return &sinkError{err}
			}
		}
		err := d.sink.Relation(scope, fact.Relation{From: p.Asset(), Kind: fact.MemberOf, To: team, Evidence: fact.Evidence{Method: "team of the person", Source: r.place(), Strength: fact.Declared}})
		if err != nil {
			return &sinkError{err}
		}
	}
	return nil
}

// tellManagers tells who is whose manager, once everybody is known. A manager who is
// in no file and is named by address counts: the address is a person's key.
func (d *directory) tellManagers() error {
	for _, key := range d.order {
		w := d.managers[key]
		if d.sink.Done(w.scope) {
			continue
		}
		form := strings.ToLower(strings.TrimSpace(w.text))
		manager, found := d.keys[form]
		if !found {
			manager = connector.Address(form)
			d.sink.Note(w.scope, fmt.Sprintf("%s: the manager %.80q is nobody in the files, by address, login or id", w.place, w.text))
		}
		if manager == "" || manager == key {
			continue
		}
		node := fact.Node{Asset: fact.Asset{Kind: fact.AssetPerson, Key: key}, Properties: map[string]string{"manager": manager}}
		if err := d.sink.Node(w.scope, node); err != nil {
			return err
		}
	}
	return nil
}
