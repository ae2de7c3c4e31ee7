package action

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // quiet hours have a zone on machines without a database of them

	"go.yaml.in/yaml/v3"
)

// Policy decides which effects need a person's word and how many may go when.
// Everything is optional; the defaults are those of the fields.
type Policy struct {
	// Timezone is the IANA name of the zone of quiet hours; default UTC.
	Timezone string `yaml:"timezone" json:"timezone"`
	// Quiet are hours in which effects are held; default none.
	Quiet []Window `yaml:"quiet" json:"quiet"`
	// PerDay bounds all effects together in any 24 hours; default 200.
	PerDay Limit `yaml:"per_day" json:"per_day"`
	// ApprovalValid is how long an approval holds when it names no time; default 72h.
	ApprovalValid time.Duration `yaml:"approval_valid" json:"approval_valid_ns"`
	// Rules change the terms of kinds and targets; a later rule that fits wins,
	// field by field.
	Rules []Rule `yaml:"rules" json:"rules"`

	location *time.Location
}

// Window is a time of day in which nothing is sent.
type Window struct {
	// Days on which it begins, as mon, tue, wed, thu, fri, sat, sun; default every day.
	Days []string `yaml:"days" json:"days"`
	// From and To are local times as 22:00. A window that ends at or before its
	// beginning ends on the next day.
	From string `yaml:"from" json:"from"`
	To   string `yaml:"to" json:"to"`

	days     [7]bool // by time.Weekday
	from, to int     // minutes
}

// Rule changes the terms of what it fits. A field that is absent changes nothing.
type Rule struct {
	// Kind is a kind of effects, "" for every one. The undo of an effect follows
	// the rules of its kind, without PerHour and Open.
	Kind string `yaml:"kind" json:"kind"`
	// Target is a pattern in which * stands for any text; "" fits every target.
	Target string `yaml:"target" json:"target"`
	// Approval says whether a person has to approve. Default: false for propose,
	// pull_request, withdraw, comment, check, ticket and delegate, whose outcome a
	// person merges or not; true for all else, such as stopgap and credential.
	Approval *bool `yaml:"approval" json:"approval,omitempty"`
	// PerHour bounds the effects of one kind to one target in any hour; default 2
	// for pull_request, 10 for ticket and delegate, else unlimited.
	PerHour *Limit `yaml:"per_hour" json:"per_hour,omitempty"`
	// Open bounds what stands open of one kind at one target; default 5 for
	// pull_request, else unlimited.
	Open *Limit `yaml:"open" json:"open,omitempty"`
	// Quiet says whether quiet hours hold it; default true.
	Quiet *bool `yaml:"quiet" json:"quiet,omitempty"`
	// Timeout ends what sends one effect; default 30s, for propose and pull_request 5m.
	Timeout *time.Duration `yaml:"timeout" json:"timeout_ns,omitempty"`
	// Settle is how long after the deadline an effect in doubt is left alone: at
	// least the lag of the target's list; default 2m.
	Settle *time.Duration `yaml:"settle" json:"settle_ns,omitempty"`
	// Attempts is how often an effect is sent before it fails; default 5.
	Attempts *int `yaml:"attempts" json:"attempts,omitempty"`
}

// Limit is a bound, 0 for none. In a file it is a number from 1, or "unlimited".
type Limit int

// Defaults of a policy.
const (
	defaultPerDay        Limit = 200
	defaultApprovalValid       = 72 * time.Hour
)

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *Limit) UnmarshalYAML(node *yaml.Node) error {
	if node.Value == "unlimited" {
		*l = 0
		return nil
	}
	n, err := strconv.Atoi(node.Value)
	if err != nil || n < 1 {
		return fmt.Errorf("line %d: %.40q: expected a number from 1, or unlimited", node.Line, node.Value)
	}
	*l = Limit(n)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

func (l Limit) String() string {
	if l == 0 {
		return "unlimited"
	}
	return strconv.Itoa(int(l))
}

// Terms are what a policy says of one kind and target.
type Terms struct {
	Approval bool          `json:"approval"`
	PerHour  Limit         `json:"per_hour"`
	Open     Limit         `json:"open"`
	Quiet    bool          `json:"quiet"`
	Timeout  time.Duration `json:"timeout_ns"`
	Settle   time.Duration `json:"settle_ns"`
	Attempts int           `json:"attempts"`
}

// Kinds whose defaults differ.
const (
	KindPropose     = "propose"      // a branch, by Log.Propose
	KindPullRequest = "pull_request" // a pull or merge request
	KindComment     = "comment"
	KindWithdraw    = "withdraw"   // a change of ours that is closed unmerged
	KindCheck       = "check"      // a check beside a commit
	KindTicket      = "ticket"     // an item in a tracker
	KindDelegate    = "delegate"   // a coding agent is asked to work
	KindStopgap     = "stopgap"    // a change of what runs
	KindCredential  = "credential" // a secret rotated or switched off
)

const undoPrefix = "undo:"

// Terms gives what holds for a kind and target.
func (p *Policy) Terms(kind, target string) Terms {
	base, undo := strings.CutPrefix(kind, undoPrefix)
	t := Terms{Quiet: true, Timeout: 30 * time.Second, Settle: 2 * time.Minute, Attempts: 5}
	switch base {
	case KindPropose:
		t.Timeout = 5 * time.Minute
	case KindPullRequest:
		t.PerHour, t.Open, t.Timeout = 2, 5, 5*time.Minute // commits, a branch and its pull request
	case KindTicket, KindDelegate:
		t.PerHour = 10
	case KindComment, KindWithdraw, KindCheck:
	default:
		t.Approval = true
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.Kind != "" && r.Kind != base || !fits(r.Target, target) {
			continue
		}
		set(&t.Approval, r.Approval)
		set(&t.PerHour, r.PerHour)
		set(&t.Open, r.Open)
		set(&t.Quiet, r.Quiet)
		set(&t.Timeout, r.Timeout)
		set(&t.Settle, r.Settle)
		set(&t.Attempts, r.Attempts)
	}
	if undo {
		t.PerHour, t.Open = 0, 0
	}
	return t
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// fits matches a target with a pattern of literal texts and *.
func fits(pattern, text string) bool {
	if pattern == "" {
		return true
	}
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// maxPolicy bounds the file of a policy, maxWindows its quiet hours, maxSpan every
// duration in it.
const (
	maxPolicy  = 1 << 20
	maxWindows = 50
	maxSpan    = 30 * 24 * time.Hour
)

// ReadPolicy reads a policy in YAML; name is for errors. Unknown fields are
// refused.
func ReadPolicy(name string, from io.Reader) (*Policy, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%s: larger than %d KiB", name, maxPolicy>>10)
	}
	p := &Policy{PerDay: defaultPerDay, ApprovalValid: defaultApprovalValid}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(p); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: expected a policy of deliveries: %s", name, clean(err.Error()))
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: expected one document", name)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (p *Policy) check() (err error) {
	if p.location, err = time.LoadLocation(p.Timezone); err != nil || p.Timezone == "Local" {
		return fmt.Errorf("timezone %.60q: expected an IANA name such as Europe/Berlin", p.Timezone)
	}
	if p.ApprovalValid <= 0 || p.ApprovalValid > maxSpan {
		return fmt.Errorf("approval_valid %v: expected more than 0 and at most %v", p.ApprovalValid, maxSpan)
	}
	if len(p.Quiet) > maxWindows {
		return fmt.Errorf("quiet hours: %d windows, expected at most %d", len(p.Quiet), maxWindows)
	}
	for i := range p.Quiet {
		if err := p.Quiet[i].check(); err != nil {
			return fmt.Errorf("quiet hours %d: %w", i+1, err)
		}
	}
	// Any week shows whether there is a time left: windows repeat weekly.
	if _, free := p.quietUntil(time.Date(2024, 1, 1, 0, 0, 0, 0, p.location)); !free {
		return errors.New("quiet hours: they leave no time in which anything may be sent; halt deliveries instead")
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		switch {
		case r.Kind != "" && (!kindName.MatchString(r.Kind) || strings.HasPrefix(r.Kind, undoPrefix)):
			return fmt.Errorf("rule %d: kind %.40q: expected small letters, digits and _", i+1, r.Kind)
		case r.Timeout != nil && (*r.Timeout <= 0 || *r.Timeout > maxSpan):
			return fmt.Errorf("rule %d: timeout %v: expected more than 0 and at most %v", i+1, *r.Timeout, maxSpan)
		case r.Settle != nil && (*r.Settle < 0 || *r.Settle > maxSpan):
			return fmt.Errorf("rule %d: settle %v: expected 0 to %v", i+1, *r.Settle, maxSpan)
		case r.Attempts != nil && (*r.Attempts < 1 || *r.Attempts > 1000):
			return fmt.Errorf("rule %d: attempts %d: expected 1 to 1000", i+1, *r.Attempts)
		}
	}
	return nil
}

var dayNames = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (w *Window) check() error {
	w.days = [7]bool{}
	for _, name := range w.Days {
		known := false
		for day, word := range dayNames {
			if name == word {
				w.days[day], known = true, true
			}
		}
		if !known {
			return fmt.Errorf("day %.20q: expected one of %s", name, strings.Join(dayNames[:], ", "))
		}
	}
	if len(w.Days) == 0 {
		for day := range w.days {
			w.days[day] = true
		}
	}
	for _, bound := range []struct {
		text string
		to   *int
	}{{w.From, &w.from}, {w.To, &w.to}} {
		at, err := time.Parse("15:04", bound.text)
		if err != nil {
			return fmt.Errorf("time %.20q: expected hours and minutes such as 22:00", bound.text)
		}
		*bound.to = at.Hour()*60 + at.Minute()
	}
	return nil
}

// quietUntil gives the end of the quiet hours that hold at t, or t when none do.
// It is false when they never end.
func (p *Policy) quietUntil(t time.Time) (time.Time, bool) {
	if len(p.Quiet) == 0 {
		return t, true
	}
	until := t
	for until.Sub(t) < 15*24*time.Hour { // a change of the clocks may take the free minute of one week
		end := p.windowEnd(until)
		if !end.After(until) {
			return until, true
		}
		until = end
	}
	return until, false
}

// windowEnd gives the latest end of the windows that t is in, or t.
func (p *Policy) windowEnd(t time.Time) time.Time {
	latest := t
	local := t.In(p.location)
	for i := range p.Quiet {
		w := &p.Quiet[i]
		for _, back := range []int{0, 1} {
			// Noon, so that the day is the same whatever the clocks do at midnight.
			day := time.Date(local.Year(), local.Month(), local.Day()-back, 12, 0, 0, 0, p.location)
			if !w.days[day.Weekday()] {
				continue
			}
			days := 0
			if w.to <= w.from {
				days = 1
			}
			from, to := wallClock(day, 0, w.from, false), wallClock(day, days, w.to, true)
			if !t.Before(from) && t.Before(to) && to.After(latest) {
				latest = to
			}
		}
	}
	return latest
}

// wallClock gives the moment at which clocks in the zone of day show minutes
// after midnight, days later. What they show twice is the first of both, or the
// last; what they skip is as much later as they skip.
func wallClock(day time.Time, days, minutes int, last bool) time.Time {
	t := time.Date(day.Year(), day.Month(), day.Day()+days, 0, minutes, 0, 0, day.Location())
	shows := func(t time.Time) int { return t.Hour()*60 + t.Minute() }
	if got := shows(t); got < minutes {
		return t.Add(time.Duration(minutes-got) * time.Minute)
	}
	step := time.Hour
	if !last {
		step = -step
	}
	if other := t.Add(step); shows(other) == minutes {
		return other
	}
	return t
}
