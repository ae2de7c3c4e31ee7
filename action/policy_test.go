package action

import (
	"strings"
	"testing"
	"time"
)

func policyOf(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := ReadPolicy("delivery.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestALaterRuleWinsFieldByField(t *testing.T) {
	p := policyOf(t, `
rules:
  - {kind: pull_request, per_hour: 9, open: unlimited}
  - {target: "forge.test/acme/*", approval: true, settle: 10m, timeout: 5s}
  - {kind: pull_request, target: forge.test/acme/shop, per_hour: 1, attempts: 2, quiet: false}
`)
	want := Terms{Approval: true, PerHour: 1, Open: 0, Quiet: false, Timeout: 5 * time.Second, Settle: 10 * time.Minute, Attempts: 2}
	if got := p.Terms(KindPullRequest, "forge.test/acme/shop"); got != want {
		t.Errorf("terms %+v, want %+v", got, want)
	}
	if got := p.Terms(KindPullRequest, "forge.test/other"); got.PerHour != 9 || got.Approval {
		t.Errorf("terms %+v", got)
	}
	if got := p.Terms("undo:pull_request", "forge.test/acme/shop"); got.PerHour != 0 || !got.Approval || got.Attempts != 2 {
		t.Errorf("terms of an undo %+v", got)
	}
	if got, want := policyOf(t, "").Terms(KindPullRequest, "x"), (Terms{PerHour: 2, Open: 5, Quiet: true, Timeout: 5 * time.Minute, Settle: 2 * time.Minute, Attempts: 5}); got != want {
		t.Errorf("default terms %+v, want %+v", got, want)
	}
}

func TestAPatternOfTargetsFitsAsItReads(t *testing.T) {
	for pattern, fitting := range map[string]map[string]bool{
		"":          {"anything": true},
		"a":         {"a": true, "ab": false, "": false},
		"*":         {"": true, "a/b": true},
		"a*":        {"a": true, "abc": true, "ba": false},
		"*a":        {"a": true, "ba": true, "ab": false},
		"a*b*c":     {"abc": true, "axxbxxc": true, "ac": false, "acb": false},
		"ab*ba":     {"abba": true, "aba": false},
		"a*b*b*c":   {"abbc": true, "abc": false},
		"a.*[x]{2}": {"a.!![x]{2}": true, "aaxx": false},
	} {
		for text, want := range fitting {
			if got := fits(pattern, text); got != want {
				t.Errorf("%q fits %q: %t", pattern, text, got)
			}
		}
	}
}

func TestAPolicyIsReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"per_day: 0":                           "from 1",
		"per_day: -1":                          "from 1",
		"per_day: many":                        "from 1",
		"perday: 1":                            "perday",
		"rules: [{per_hour: 0}]":               "from 1",
		"rules: [{kind: Pull}]":                "kind",
		"rules: [{kind: 'undo:pull_request'}]": "kind",
		"rules: [{timeout: 0s}]":               "timeout",
		"rules: [{settle: -1s}]":               "settle",
		"rules: [{settle: 9000h}]":             "settle",
		"rules: [{attempts: 0}]":               "attempts",
		"rules: [{aproval: true}]":             "aproval",
		"timezone: Mars/Phobos":                "IANA",
		"timezone: Local":                      "IANA",
		"approval_valid: 0s":                   "approval_valid",
		"quiet: [{from: '25:00', to: '1:00'}]": "25:00",
		"quiet: [{from: '22:00'}]":             "hours and minutes",
		"quiet: [{days: [monday], from: '22:00', to: '06:00'}]":                          "monday",
		"quiet: [{from: '00:00', to: '00:00'}]":                                          "no time",
		"quiet: [{from: '00:00', to: '12:30'}, {from: '12:00', to: '00:00'}]":            "no time",
		"per_day: 1\n---\nper_day: 2":                                                    "one document",
		"quiet: [" + strings.Repeat("{from: '01:00', to: '02:00'},", maxWindows+1) + "]": "at most 50",
		"per_day: [":                     "delivery.yaml",
		strings.Repeat("#", maxPolicy+1): "larger",
		"a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: [*c,*c,*c,*c,\x01]": "delivery.yaml",
	} {
		_, err := ReadPolicy("delivery.yaml", strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "delivery.yaml") || strings.ContainsAny(err.Error(), "\n\x01") {
			t.Errorf("%.60q: error %v, want one with %q in one line", text, err, want)
		}
	}
}

func TestQuietHoursEndWhenTheyShould(t *testing.T) {
	for _, test := range []struct{ name, policy, at, want string }{
		{"before them", `quiet: [{from: "22:00", to: "06:00"}]`, "2026-03-02T21:59:59Z", ""},
		{"at their beginning", `quiet: [{from: "22:00", to: "06:00"}]`, "2026-03-02T22:00:00Z", "2026-03-03T06:00:00Z"},
		{"after midnight", `quiet: [{from: "22:00", to: "06:00"}]`, "2026-03-03T00:00:00Z", "2026-03-03T06:00:00Z"},
		{"at their end", `quiet: [{from: "22:00", to: "06:00"}]`, "2026-03-03T06:00:00Z", ""},
		{"on the day they begin", `quiet: [{days: [mon], from: "22:00", to: "06:00"}]`, "2026-03-03T05:00:00Z", "2026-03-03T06:00:00Z"},
		{"on another day", `quiet: [{days: [mon], from: "22:00", to: "06:00"}]`, "2026-03-03T23:00:00Z", ""},
		{"joined ones", `quiet: [{days: [fri], from: "18:00", to: "00:00"}, {days: [sat, sun], from: "00:00", to: "00:00"}]`, "2026-03-06T20:00:00Z", "2026-03-09T00:00:00Z"},
		{"in a zone", `{timezone: Europe/Berlin, quiet: [{from: "22:00", to: "06:00"}]}`, "2026-01-10T21:30:00Z", "2026-01-11T05:00:00Z"},
		{"in a zone, in summer", `{timezone: Europe/Berlin, quiet: [{from: "22:00", to: "06:00"}]}`, "2026-07-10T20:30:00Z", "2026-07-11T04:00:00Z"},
		{"the night that loses an hour", `{timezone: Europe/Berlin, quiet: [{from: "22:00", to: "06:00"}]}`, "2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"},
		{"an end that the clocks skip", `{timezone: Europe/Berlin, quiet: [{from: "22:00", to: "02:30"}]}`, "2026-03-28T22:00:00Z", "2026-03-29T01:30:00Z"},
		{"a beginning that the clocks skip", `{timezone: Europe/Berlin, quiet: [{from: "02:30", to: "06:00"}]}`, "2026-03-29T01:29:00Z", ""},
		{"the night that gains an hour", `{timezone: Europe/Berlin, quiet: [{from: "22:00", to: "06:00"}]}`, "2026-10-25T00:30:00Z", "2026-10-25T05:00:00Z"},
		{"an end that comes twice", `{timezone: Europe/Berlin, quiet: [{from: "22:00", to: "02:30"}]}`, "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"},
		{"a beginning that comes twice", `{timezone: Europe/Berlin, quiet: [{from: "02:30", to: "06:00"}]}`, "2026-10-25T00:30:00Z", "2026-10-25T05:00:00Z"},
		{"west of Greenwich, over the date line of UTC", `{timezone: America/Los_Angeles, quiet: [{days: [mon], from: "18:00", to: "20:00"}]}`, "2026-03-03T02:30:00Z", "2026-03-03T04:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		until, free := policyOf(t, test.policy).quietUntil(at)
		got := ""
		if until.After(at) {
			got = until.UTC().Format(time.RFC3339)
		}
		if got != test.want || !free {
			t.Errorf("%s: quiet until %q, want %q", test.name, got, test.want)
		}
	}
}

func TestQuietHoursHoldAndSayUntilWhen(t *testing.T) {
	b := newBench(t, `{timezone: Europe/Berlin, quiet: [{from: "12:30", to: "14:00"}], rules: [{kind: comment, quiet: false}]}`)
	b.do(b.effect("k"), "waiting")
	if got := b.want("k", Held, 0, 0); !strings.Contains(got.Why, "quiet hours until 2026-03-02 14:00 CET") || got.NotBefore != start.Add(time.Hour).UnixMicro() {
		t.Errorf("not before %d: %s", got.NotBefore, got.Why)
	}
	urgent := b.effect("urgent")
	urgent.Kind = KindComment
	b.do(urgent, "done")
	b.clock.add(time.Hour)
	b.reconcile(1, 0)
	b.want("k", Sent, 2, 0)
}

func FuzzReadPolicy(f *testing.F) {
	for _, seed := range []string{
		"", "per_day: unlimited", `{timezone: Europe/Berlin, quiet: [{days: [fri], from: "16:00", to: "00:00"}]}`,
		"rules: [{kind: pull_request, target: 'a*b', per_hour: 4, open: 10, approval: true, timeout: 1s, settle: 0s, attempts: 3}]",
	} {
		f.Add(seed, int64(1_772_452_800))
	}
	f.Fuzz(func(t *testing.T, text string, second int64) {
		p, err := ReadPolicy("policy", strings.NewReader(text))
		if err != nil {
			return
		}
		at := time.Unix(second%4_000_000_000, 0)
		until, free := p.quietUntil(at)
		if !free || until.Before(at) {
			t.Errorf("quiet hours at %v: until %v, free %t", at, until, free)
		}
		if end := p.windowEnd(until); end.After(until) {
			t.Errorf("quiet hours end at %v, in quiet hours until %v", until, end)
		}
		for _, kind := range []string{KindPropose, KindPullRequest, KindStopgap, "undo:pull_request"} {
			if terms := p.Terms(kind, "a/b"); terms.Timeout <= 0 || terms.Settle < 0 || terms.Attempts < 1 || terms.PerHour < 0 || terms.Open < 0 {
				t.Errorf("terms of %s: %+v", kind, terms)
			}
		}
	})
}
