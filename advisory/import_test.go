package advisory

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/backstitch/backstitch/fact"
)

var clock = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

const (
	lodash = `{"id":"GHSA-aaaa-bbbb-cccc","modified":"2024-01-02T00:00:00Z","published":"2024-01-01T00:00:00Z","aliases":["CVE-2024-0001"],` +
		`"summary":"Prototype pollution","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],` +
		`"affected":[{"package":{"ecosystem":"npm","name":"left"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"4.17.5"}]}]}],` +
		`"database_specific":{"severity":"MODERATE","other":[1,{}]},"unknown":{"deep":[[]]}}`
	golang = `{"id":"GO-2024-0001","modified":"2024-02-02T00:00:00Z","aliases":["CVE-2024-0002","GHSA-gggg-gggg-gggg"],"details":"A flaw.\nMore.",` +
		`"affected":[{"package":{"ecosystem":"Go","name":"stdlib"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.20.1"}]}],` +
		`"ecosystem_specific":{"imports":[{"path":"net/http","symbols":["Serve"]},{"path":"net"}]}}]}`
	rated     = `{"id":"GHSA-gggg-gggg-gggg","modified":"2024-02-01T00:00:00Z","aliases":["CVE-2024-0002"],"affected":[],"database_specific":{"severity":"CRITICAL"}}`
	withdrawn = `{"id":"PYSEC-2024-1","modified":"2024-01-02T00:00:00Z","withdrawn":"2024-01-03T00:00:00Z","aliases":["CVE-2024-0003"],` +
		`"affected":[{"package":{"ecosystem":"PyPI","name":"Some.Thing"},"versions":["1.0"]}]}`
	kev  = `{"title":"CISA Catalog of Known Exploited Vulnerabilities","catalogVersion":"2024.01.01","dateReleased":"2024-01-01T10:00:00.1234Z","count":2,"vulnerabilities":[{"cveID":"CVE-2024-0001","vendorProject":"x"},{"cveID":"CVE-1999-0001"}]}`
	epss = "#model_version:v2023.03.01,score_date:2024-01-05T00:00:00+0000\ncve,epss,percentile\nCVE-2024-0002,0.97512,0.99\nCVE-2020-1,0.00043,0.1\n"
)

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func packed(t *testing.T, content string) string {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func gzipped(t *testing.T, content string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func zipped(t *testing.T, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		entry, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func pretty(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func mustImport(t *testing.T, paths ...string) (*Index, Summary) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "state", "advisories.idx")
	summary, err := Import(t.Context(), out, paths, clock)
	if err != nil {
		t.Fatal(err)
	}
	x, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x, summary
}

func TestEveryFormOfTheSameAdvisoriesGivesOneIndex(t *testing.T) {
	t.Parallel()
	records := []string{lodash, golang, rated, withdrawn}
	lines := strings.Join(records, "\n") + "\n"
	forms := map[string]map[string]string{
		"folder of files":         {"a/1.json": pretty(t, lodash), "a/2.json": golang, "b.json": rated, "c.json": withdrawn, "README.md": "text", ".git/x.json": "{"},
		"lines":                   {"all.jsonl": lines},
		"lines of a strange name": {"all.json": strings.ReplaceAll(lines, "\n", "\r\n")},
		"lines in zstd":           {"all.jsonl.zst": packed(t, lines)},
		"lines in gzip":           {"all.gz": gzipped(t, "\xef\xbb\xbf"+lines)},
		"array":                   {"all.json": " \n[" + strings.Join(records, ",\n") + "]"},
		"pretty array":            {"all.json": pretty(t, "["+strings.Join(records, ",")+"]")},
		"pretty documents":        {"all.json": pretty(t, lodash) + "\n" + pretty(t, golang) + "\n" + pretty(t, rated) + "\n\n" + withdrawn},
		"answer of the API":       {"all.json": `{"vulns":[` + strings.Join(records, ",") + `]}`},
		"zip":                     {"all.zip": zipped(t, "GHSA.json", lodash, "../../evil.json", golang, "/abs/z.json", pretty(t, rated), "w.json", withdrawn, "x.txt", "no")},
		"twice":                   {"1.jsonl": lines, "2.jsonl": lines},
		"reversed":                {"1.json": withdrawn, "2.json": rated, "3.jsonl": golang + "\n" + lodash},
	}
	digest := ""
	for name, files := range forms {
		x, summary := mustImport(t, write(t, files))
		if len(summary.Problems) > 0 {
			t.Errorf("%s: problems %v", name, summary.Problems)
		}
		if summary.Advisories != 4 || summary.Withdrawn != 1 || summary.Packages != 2 {
			t.Errorf("%s: %d advisories, %d withdrawn, %d packages; want 4, 1, 2", name, summary.Advisories, summary.Withdrawn, summary.Packages)
		}
		if digest == "" {
			digest = x.Digest()
		}
		if x.Digest() != digest || !strings.HasPrefix(digest, "sha256:") || len(digest) != 71 {
			t.Errorf("%s: digest %s, others %s", name, x.Digest(), digest)
		}
	}
}

func TestAnIndexAnswers(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"osv.jsonl": lodash + "\n" + golang + "\n" + rated + "\n" + withdrawn, "kev.json": kev, "epss.csv.gz": gzipped(t, epss)})
	x, summary := mustImport(t, dir)
	if len(summary.Problems) > 0 {
		t.Fatal(summary.Problems)
	}
	got, err := x.Affecting(fact.Package{Ecosystem: "npm", Name: "left", Version: "4.17.4"})
	if err != nil {
		t.Fatal(err)
	}
	want := []fact.Advisory{{
		ID: "GHSA-aaaa-bbbb-cccc", Aliases: []string{"CVE-2024-0001"}, Summary: "Prototype pollution", Severity: fact.SeverityMedium,
		Score: 7.5, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", Published: 1704067200000000, Modified: 1704153600000000,
		Affected:  []fact.Affected{{Ecosystem: "npm", Name: "left", Ranges: []fact.Range{{Type: "SEMVER", Events: []fact.RangeEvent{intro("0"), fixed("4.17.5")}}}}},
		Exploited: true, Source: "osv.jsonl",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for version, count := range map[string]int{"4.17.5": 0, "0.0.1": 1, "5.0.0": 0} {
		if got, err := x.Affecting(fact.Package{PURL: "pkg:npm/left@" + version}); err != nil || len(got) != count {
			t.Errorf("left %s: %d advisories, %v; want %d", version, len(got), err, count)
		}
	}
	std, err := x.Affecting(fact.Package{Ecosystem: "Go", Name: "std", Version: "go1.20"})
	if err != nil || len(std) != 1 {
		t.Fatalf("std: %v, %v", std, err)
	}
	if std[0].Severity != fact.SeverityCritical || std[0].EPSS != 0.97512 || std[0].Summary != "A flaw." {
		t.Errorf("the class lends its rating and scores: %v, EPSS %v, %q", std[0].Severity, std[0].EPSS, std[0].Summary)
	}
	if want := []string{"net/http.Serve", "net"}; !slices.Equal(std[0].Affected[0].Symbols, want) {
		t.Errorf("symbols %v, want %v", std[0].Affected[0].Symbols, want)
	}
	if got, err := x.Affecting(fact.Package{Ecosystem: "PyPI", Name: "some-thing", Version: "1.0"}); err != nil || len(got) != 0 {
		t.Errorf("a withdrawn advisory affects: %v, %v", got, err)
	}
	if got, ok, err := x.Lookup("pysec-2024-1"); ok || err != nil {
		t.Errorf("looked up in another case: %v, %v, %v", got, ok, err)
	}
	if got, ok, err := x.Lookup("PYSEC-2024-1"); !ok || err != nil || got.Withdrawn == 0 {
		t.Errorf("a withdrawn advisory can be looked up: %v, %v, %v", got, ok, err)
	}
	if got, ok, err := x.Lookup("cve-1999-0001"); !ok || err != nil || !got.Exploited {
		t.Errorf("a CVE of KEV alone: %v, %v, %v", got, ok, err)
	}
	if got, ok, err := x.Lookup("CVE-2020-1"); !ok || err != nil || got.EPSS != 0.00043 {
		t.Errorf("a CVE of EPSS alone: %v, %v, %v", got, ok, err)
	}
	if _, ok, err := x.Lookup("CVE-2020-2"); ok || err != nil {
		t.Errorf("an unknown CVE is found: %v, %v", ok, err)
	}
	for id, want := range map[string][]string{
		"CVE-2024-0002":       {"CVE-2024-0002", "GHSA-gggg-gggg-gggg", "GO-2024-0001"},
		"ghsa-GGGG-gggg-gggg": {"CVE-2024-0002", "GHSA-gggg-gggg-gggg", "GO-2024-0001"},
		"CVE-2024-0001":       {"CVE-2024-0001", "GHSA-aaaa-bbbb-cccc"},
		"X-1":                 {"X-1"},
	} {
		if got := x.Class(id); !slices.Equal(got, want) {
			t.Errorf("class of %s is %v, want %v", id, got, want)
		}
	}
	if got, err := x.Of("npm", "left"); err != nil || len(got) != 1 {
		t.Errorf("of left: %v, %v", got, err)
	}
	if _, err := x.Affecting(fact.Package{Name: "left", Version: "1"}); !errors.Is(err, ErrEcosystem) {
		t.Errorf("no ecosystem: %v", err)
	}
	if _, err := x.Affecting(fact.Package{Ecosystem: "npm", Name: "left", Version: "latest"}); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), `left: npm version "latest"`) {
		t.Errorf("a version that is none: %v", err)
	}
	status := x.Status()
	if status.ImportedAt != clock.UnixMicro() || status.Age(clock) != clock.Sub(time.Date(2024, 2, 2, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("status %+v, age %v", status, status.Age(clock))
	}
	var kinds []string
	for _, s := range status.Sources {
		kinds = append(kinds, fmt.Sprintf("%s %s %d", s.Name, s.Kind, s.Count))
	}
	if want := []string{"epss.csv.gz epss 2", "kev.json kev 2", "osv.jsonl osv 4"}; !slices.Equal(kinds, want) {
		t.Errorf("sources %v, want %v", kinds, want)
	}
}

func TestOneBadRecordCostsOneRecord(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"bad.jsonl": lodash + "\n" +
			`{"id":"CUT-1","affected":[{"package":{"eco` + "\n" + // cut off
			golang + "\n" +
			`{"id":7}` + "\n" + // wrong type
			`nonsense` + "\n" +
			`{"id":"has space","modified":"2024-01-02T00:00:00Z"}` + "\n" +
			`{"id":"T-1","withdrawn":"yesterday"}` + "\n" +
			`{"id":"V-1","modified":"not a time","affected":[{"package":{"ecosystem":"npm","name":"v"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"${next}"}]}]}]}` + "\n" +
			rated,
		"other.json":  `{"name":"a package.json"}`,
		"many.jsonl":  strings.Repeat(`{"cve":"CVE-2024-1","ssvc":{}}`+"\n", 500),
		"empty.json":  "",
		"utf16.json":  "\xff\xfe{\x00",
		"binary.json": "\x00\x01\x02",
		"cut.zst":     packed(t, strings.Repeat(lodash, 50))[:100],
		"epss.csv":    "cve,epss,percentile\nCVE-1,2.5,0\nCVE-2024-0001,0.5,0.1\nGHSA-1,0.1,0\nx\n",
		"array.json":  `[` + withdrawn + `,{"id":[]},` + rated + `,{"id":"X`,
	})
	x, summary := mustImport(t, dir)
	if summary.Advisories != 5 {
		t.Errorf("%d advisories, want 5", summary.Advisories)
	}
	var got []string
	for _, p := range summary.Problems {
		name, _ := filepath.Rel(dir, p.Path)
		got = append(got, fmt.Sprintf("%s:%d", name, p.Line))
	}
	want := []string{
		"array.json:0", "array.json:0", "bad.jsonl:2", "bad.jsonl:4", "bad.jsonl:5", "bad.jsonl:6", "bad.jsonl:7", "bad.jsonl:8", "bad.jsonl:8", "binary.json:0",
		"cut.zst:0", "empty.json:0", "epss.csv:2", "epss.csv:4", "epss.csv:5", "many.jsonl:1", "other.json:1", "utf16.json:0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems: %s\n%v", diff, summary.Problems)
	}
	if a, err := x.Affecting(fact.Package{Ecosystem: "npm", Name: "v", Version: "1.0.0"}); err == nil || !strings.Contains(err.Error(), "V-1") || len(a) != 0 {
		t.Errorf("an advisory that cannot be judged: %v, %v", a, err)
	}
}

func TestTheNewestOfSeveralRecordsCounts(t *testing.T) {
	t.Parallel()
	record := func(day int, name string) string {
		return fmt.Sprintf(`{"id":"A-1","modified":"2024-01-%02dT00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"%s"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`, day, name)
	}
	old, newer, tied := write(t, map[string]string{"o.json": record(1, "old")}), write(t, map[string]string{"n.json": record(2, "new")}), write(t, map[string]string{"t.json": record(2, "tied")})
	digests := map[string]bool{}
	for _, order := range [][]string{{old, newer, tied}, {tied, newer, old}, {newer, old, tied}} {
		x, summary := mustImport(t, order...)
		digests[x.Digest()] = true
		if summary.Duplicates != 2 {
			t.Errorf("%d duplicates, want 2", summary.Duplicates)
		}
		if a, err := x.Of("npm", "old"); err != nil || len(a) != 0 {
			t.Errorf("the old record is still there: %v, %v", a, err)
		}
	}
	if len(digests) != 1 {
		t.Errorf("the order of sources decides: %v", digests)
	}
}

func TestAliasClassesAreClosedTransitively(t *testing.T) {
	t.Parallel()
	x := FromMemory([]fact.Advisory{
		{ID: "A-1", Aliases: []string{"CVE-2024-0001"}}, {ID: "B-1", Aliases: []string{"CVE-2024-0001", "CVE-2024-0002"}}, {ID: "C-1", Aliases: []string{"CVE-2024-0002"}},
		{ID: "D-1"}, {ID: "Z-1", Aliases: []string{"Y-1", "", "Z-1"}},
	})
	want := []string{"A-1", "B-1", "C-1", "CVE-2024-0001", "CVE-2024-0002"}
	for _, id := range want {
		if got := x.Class(id); !slices.Equal(got, want) {
			t.Errorf("class of %s is %v, want %v", id, got, want)
		}
	}
	if got := x.Class("Y-1"); !slices.Equal(got, []string{"Y-1", "Z-1"}) {
		t.Errorf("class of Y-1 is %v", got)
	}
	if got := x.Class("D-1"); !slices.Equal(got, []string{"D-1"}) {
		t.Errorf("class of D-1 is %v", got)
	}
}

func TestADistributionsNoticeOfACVEIsThatCVE(t *testing.T) {
	t.Parallel()
	x, _ := mustImport(t, write(t, map[string]string{"u.jsonl": `{"id":"UBUNTU-CVE-2024-0001","modified":"2024-01-01T00:00:00Z","upstream":["CVE-2024-0001"]}` + "\n" +
		`{"id":"DSA-1","modified":"2024-01-01T00:00:00Z","upstream":["CVE-2024-0001","CVE-2024-0002"]}`, "kev.json": kev}))
	if got := x.Class("CVE-2024-0001"); !slices.Equal(got, []string{"CVE-2024-0001", "UBUNTU-CVE-2024-0001"}) {
		t.Errorf("class %v", got)
	}
	if a, _, err := x.Lookup("DSA-1"); err != nil || !a.Exploited {
		t.Errorf("a notice of an exploited CVE is not: %+v, %v", a, err)
	}
}

func TestAFailedImportLeavesTheOldIndex(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	out := filepath.Join(state, "x.idx")
	good := write(t, map[string]string{"a.json": lodash})
	if _, err := Import(t.Context(), out, []string{good}, clock); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx   context.Context
		paths []string
		want  error
	}{
		"nothing there":   {t.Context(), []string{filepath.Join(good, "missing")}, fs.ErrNotExist},
		"nothing in it":   {t.Context(), []string{write(t, map[string]string{"a.json": "{}"})}, ErrNothing},
		"no path":         {t.Context(), nil, ErrNothing},
		"cancelled":       {cancelled, []string{good}, context.Canceled},
		"half is missing": {t.Context(), []string{good, filepath.Join(good, "missing")}, fs.ErrNotExist},
	} {
		if _, err := Import(test.ctx, out, test.paths, clock); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		after, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the old index changed (%v)", name, err)
		}
	}
	left, err := os.ReadDir(state)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestABombIsRefused(t *testing.T) {
	t.Parallel()
	small := &budget{left: 1 << 20}
	build := newBuilder(&memory{})
	build.addSource("bomb")
	bomb := packed(t, lodash+strings.Repeat("\n", 8<<20))
	err := (&reader{build: build, label: "bomb"}).stream(t.Context(), strings.NewReader(bomb), small, 0)
	if !errors.Is(err, errGrows) {
		t.Errorf("zstd: %v, want errGrows", err)
	}
	archive := zipped(t, "a.json", lodash+strings.Repeat("\n", 8<<20), "b.json", lodash)
	err = (&reader{build: build, label: "bomb"}).archive(t.Context(), strings.NewReader(archive), int64(len(archive)), &budget{left: 1 << 20})
	if !errors.Is(err, errGrows) {
		t.Errorf("zip: %v, want errGrows", err)
	}
	nested := lodash
	for range 5 {
		nested = packed(t, nested)
	}
	if err := (&reader{build: build, label: "bomb"}).stream(t.Context(), strings.NewReader(nested), &budget{left: 1 << 30}, 0); err == nil {
		t.Error("five layers of compression are read")
	}
	deep := `{"id":"X","affected":` + strings.Repeat("[", 200_000)
	if _, summary := mustImport(t, write(t, map[string]string{"deep.jsonl": deep + "\n" + lodash})); summary.Advisories != 1 || summary.Bad != 1 {
		t.Errorf("deep nesting: %d advisories, %v", summary.Advisories, summary.Problems)
	}
}

func TestADamagedIndexIsNeverAnsweredFrom(t *testing.T) {
	t.Parallel()
	x, _ := mustImport(t, write(t, map[string]string{"osv.jsonl": lodash + "\n" + golang + "\n" + rated, "kev.json": kev}))
	whole := strings.Clone(x.data)
	want := answers(t, whole)
	if strings.Contains(want, "error") {
		t.Fatal(want)
	}
	wrong := 0
	for at := range len(whole) {
		damaged := []byte(whole)
		damaged[at] ^= 0x41
		got := answers(t, string(damaged))
		for i, line := range strings.Split(want, "\n") {
			lines := strings.Split(got, "\n")
			if i < len(lines) && lines[i] != line && !strings.Contains(lines[i], "error") && !strings.HasPrefix(line, "class") {
				t.Fatalf("byte %d flipped: %q became %q", at, line, lines[i])
			}
		}
		if got != want {
			wrong++
		}
	}
	if wrong < len(whole)*9/10 {
		t.Errorf("%d of %d flipped bytes were noticed", wrong, len(whole))
	}
	for cut := range len(whole) {
		if got := answers(t, whole[:cut]); !strings.Contains(got, "error") {
			t.Fatalf("cut at %d of %d: %s", cut, len(whole), got)
		}
	}
}

// answers asks an index everything.
func answers(t testing.TB, data string) string {
	t.Helper()
	x, err := newIndex(data)
	if err != nil {
		return "error " + err.Error()
	}
	var out strings.Builder
	line := func(what string, value any, err error) {
		if err != nil {
			value = "error " + err.Error()
		}
		fmt.Fprintf(&out, "%s %+v\n", what, value)
	}
	a, err := x.Affecting(fact.Package{Ecosystem: "npm", Name: "left", Version: "1.0.0"})
	line("left", a, err)
	a, err = x.Affecting(fact.Package{Ecosystem: "Go", Name: "stdlib", Version: "1.19.0"})
	line("stdlib", a, err)
	a, err = x.Of("Go", "stdlib")
	line("of", a, err)
	for _, id := range []string{"GO-2024-0001", "CVE-1999-0001", "NONE"} {
		found, ok, err := x.Lookup(id)
		line("lookup "+id, fmt.Sprint(found, ok), err)
	}
	line("class", x.Class("CVE-2024-0002"), nil)
	return out.String()
}

func FuzzIndex(f *testing.F) {
	x := FromMemory([]fact.Advisory{
		{ID: "A-1", Aliases: []string{"CVE-2024-0002"}, Affected: []fact.Affected{{Ecosystem: "npm", Name: "left", Versions: []string{"1.0.0"}, Ranges: ranges(intro("0"), fixed("2.0.0"))}}},
	})
	f.Add([]byte(x.data), uint16(0), byte(0))
	f.Add([]byte(x.data), uint16(300), byte(3))
	f.Add([]byte(x.data[:60]), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at uint16, flip byte) {
		if len(data) > 0 {
			data[int(at)%len(data)] ^= flip
		}
		if first, again := answers(t, string(data)), answers(t, string(data)); first != again {
			t.Fatal("asked twice, two answers")
		}
		if _, err := decodeAdvisory(string(data)); err != nil {
			return
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, seed := range []string{lodash, golang, rated, withdrawn, kev, epss, "[" + lodash + "]", lodash[:200] + "\n" + golang, `{"vulns":[{}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		build := newBuilder(&memory{})
		build.addSource("fuzz")
		_ = (&reader{build: build, label: "fuzz"}).stream(t.Context(), bytes.NewReader(data), &budget{left: 1 << 22}, 0)
		image := &memory{}
		if _, err := build.write(t.Context(), image, clock); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		x, err := newIndex(string(image.data))
		if err != nil {
			t.Fatalf("what was written cannot be opened: %v", err)
		}
		for _, e := range build.entries {
			a, ok, err := x.Lookup(e.id)
			if err != nil || !ok || a.ID != e.id {
				t.Fatalf("%q was imported and is not found: %v, %v", e.id, ok, err)
			}
			if again, err := decodeAdvisory(string(encodeAdvisory(&a))); err != nil || again.ID != a.ID || len(again.Affected) != len(a.Affected) {
				t.Fatalf("%q does not survive encoding: %v", e.id, err)
			}
			if !slices.Contains(x.Class(e.id), e.id) {
				t.Fatalf("%q is not in its own class", e.id)
			}
		}
	})
}

func TestTheCatalogueOfExploitedFlawsIsReadAsCSVToo(t *testing.T) {
	t.Parallel()
	text := "\xef\xbb\xbf\"cveID\",\"vendorProject\",\"product\",\"dateAdded\",\"shortDescription\"\r\n" +
		"\"CVE-2024-0001\",\"x\",\"y\",\"2024-01-02\",\"two\r\nlines, and \"\"quotes\"\"\"\r\n\"none\",\"\",\"\",\"\",\"\"\r\nCVE-1999-0001,a,b,2023-05-06,c\r\n"
	x, summary := mustImport(t, write(t, map[string]string{"osv.jsonl": lodash + "\n" + golang + "\n" + rated, "kev.csv": text}))
	if summary.Bad != 1 || len(summary.Problems) != 1 || summary.Problems[0].Line != 4 {
		t.Errorf("problems = %v, want one on line 4", summary.Problems)
	}
	same, _ := mustImport(t, write(t, map[string]string{"osv.jsonl": lodash + "\n" + golang + "\n" + rated, "kev.json": kev}))
	if x.Status().Exploited != same.Status().Exploited || x.Status().Exploited == 0 {
		t.Errorf("%d exploited by CSV, %d by JSON", x.Status().Exploited, same.Status().Exploited)
	}
	for _, source := range x.Status().Sources {
		if source.Name == "kev.csv" && (source.Kind != "kev" || source.Count != 2 || source.Newest != 1704153600000000) {
			t.Errorf("source = %+v", source)
		}
	}
}

func TestAPackageThatIsTheAttackIsCritical(t *testing.T) {
	t.Parallel()
	x, summary := mustImport(t, write(t, map[string]string{"osv.jsonl": `{"id":"MAL-2024-1","modified":"1-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"evil"},"versions":["1.0.0"]}]}`}))
	if len(summary.Problems) != 0 {
		t.Errorf("problems = %v; a time before 1970 stands for none", summary.Problems)
	}
	if got, ok, err := x.Lookup("MAL-2024-1"); err != nil || !ok || got.Severity != fact.SeverityCritical || got.Modified != 0 {
		t.Errorf("Lookup = %+v, %v, %v", got, ok, err)
	}
}
