package advisory

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/fact"
)

const (
	siteLife = `{"title":"Python","product":"python","identifiers":[{"purl":"pkg:docker/library/python"},{"cpe":"cpe:/a:python:python"},{"purl":"pkg:generic/python"}],"releases":[{"releaseCycle":"3.9","releaseDate":"2020-10-05","eol":"2025-10-31","latest":"3.9.25","latestReleaseDate":"2025-10-31"},{"releaseCycle":"3.10","releaseDate":"2021-10-04","eol":false,"latest":"3.10.21","latestReleaseDate":"2026-01-02"},{"releaseCycle":"2.7","codename":"old","releaseDate":"2010-07-03","eol":true}]}`
	pageLife = `{"schema_version":"1.2.0","result":{"name":"python","label":"Python","identifiers":[{"type":"purl","id":"pkg:docker/library/python"},{"type":"purl","id":"pkg:generic/python"}],"releases":[{"name":"3.10","releaseDate":"2021-10-04","isEol":false,"eolFrom":null,"latest":{"name":"3.10.21","date":"2026-01-02"}},{"name":"3.9","releaseDate":"2020-10-05","isEol":true,"eolFrom":"2025-10-31","latest":{"name":"3.9.25","date":"2025-10-31"}},{"name":"2.7","codename":"old","releaseDate":"2010-07-03","isEol":true,"latest":null}]}}`
	listLife = `[{"cycle":"3.10","releaseDate":"2021-10-04","eol":false,"latest":"3.10.21","latestReleaseDate":"2026-01-02"},{"cycle":3.9,"releaseDate":"2020-10-05","eol":"2025-10-31","latest":"3.9.25"},{"cycle":"2.7","codename":"old","releaseDate":"2010-07-03","eol":true}]`
)

func importLives(t *testing.T, files map[string]string) (*Index, Summary, error) {
	t.Helper()
	dir := t.TempDir()
	paths := []string{}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	out := filepath.Join(dir, "index")
	summary, err := Import(context.Background(), out, paths, time.UnixMicro(1))
	if err != nil {
		return nil, summary, err
	}
	x, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x, summary, nil
}

func micro(day string) int64 { return dayOf(day) }

func TestEveryFormOfTheSameProductGivesItsCycles(t *testing.T) {
	t.Parallel()
	for form, file := range map[string][2]string{
		"lines": {"lives.jsonl", siteLife + "\n"},
		"page":  {"answer.json", pageLife},
		"pages": {"answers.json", strings.Replace(strings.TrimSuffix(pageLife, "}"), `"result":{`, `"result":[{`, 1) + "]}"},
		"array": {"python.json", listLife},
	} {
		x, summary, err := importLives(t, map[string]string{file[0]: file[1]})
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		lives, err := x.Lives()
		if err != nil || len(lives) != 1 || len(summary.Problems) > 0 {
			t.Errorf("%s: lives = %+v, %v, problems %v", form, lives, err, summary.Problems)
			continue
		}
		p := lives[0]
		want := []fact.Cycle{
			{Name: "3.10", Released: micro("2021-10-04"), Latest: "3.10.21"},
			{Name: "3.9", Released: micro("2020-10-05"), End: micro("2025-10-31"), Latest: "3.9.25"},
			{Name: "2.7", Codename: "old", Released: micro("2010-07-03"), Ended: true},
		}
		if p.Name != "python" || len(p.Cycles) != len(want) {
			t.Errorf("%s: product = %+v", form, p)
			continue
		}
		for i := range want {
			if p.Cycles[i] != want[i] {
				t.Errorf("%s: cycle %d\n got %+v\nwant %+v", form, i, p.Cycles[i], want[i])
			}
		}
		if form != "array" && (p.Title != "Python" || strings.Join(p.PURLs, " ") != "pkg:docker/library/python pkg:generic/python") {
			t.Errorf("%s: %q, %v", form, p.Title, p.PURLs)
		}
		if source := summary.Sources[0]; source.Kind != "endoflife" || source.Count != 1 || source.Newest != micro("2026-01-02") || summary.Products != 1 {
			t.Errorf("%s: source = %+v, %d products", form, source, summary.Products)
		}
		if age := summary.Age(time.UnixMicro(1).Add(time.Hour)); age != time.Hour {
			t.Errorf("%s: age = %v: releases of products make no advisory newer", form, age)
		}
	}
}

func TestABadProductCostsOneProduct(t *testing.T) {
	t.Parallel()
	x, summary, err := importLives(t, map[string]string{"lives.jsonl": strings.Join([]string{
		siteLife,
		`{"product":"a","releases":[{"releaseCycle":"1","eol":"some day"}]}`,
		`{"product":"b","releases":[]}`,
		`{"product":"c","releases":[{"releaseCycle":"","eol":true}]}`,
		`{"product":"d","releases":[{"releaseCycle":"1"`,
	}, "\n")})
	if err != nil {
		t.Fatal(err)
	}
	lives, err := x.Lives()
	if err != nil || len(lives) != 1 {
		t.Errorf("lives = %+v, %v", lives, err)
	}
	if summary.Bad != 4 || !strings.Contains(summary.Problems[0].String(), `lives.jsonl:2: a: releases[0]: eol "some day"`) {
		t.Errorf("bad = %d, problems = %v", summary.Bad, summary.Problems)
	}
	if _, _, err := importLives(t, map[string]string{"x.json": `[{"cycle":"1","eol":"never"}]`}); !errors.Is(err, ErrNothing) {
		t.Errorf("err = %v", err)
	}
}

func TestOfTwoOfOneProductTheNewerCountsInAnyOrder(t *testing.T) {
	t.Parallel()
	older := `{"product":"p","identifiers":[{"purl":"pkg:npm/old"}],"releases":[{"releaseCycle":"1","releaseDate":"2020-01-01","eol":false}]}`
	newer := `{"product":"p","identifiers":[{"purl":"pkg:npm/new"}],"releases":[{"releaseCycle":"1","releaseDate":"2020-01-01","eol":"2024-01-01"},{"releaseCycle":"2","releaseDate":"2023-01-01","eol":false}]}`
	digests := map[string]bool{}
	for _, text := range []string{older + "\n" + newer, newer + "\n" + older} {
		x, summary, err := importLives(t, map[string]string{"lives.jsonl": text})
		if err != nil {
			t.Fatal(err)
		}
		lives, err := x.Lives()
		if err != nil || len(lives) != 1 || len(lives[0].Cycles) != 2 || strings.Join(lives[0].PURLs, " ") != "pkg:npm/new pkg:npm/old" || summary.Duplicates != 1 {
			t.Errorf("lives = %+v, %v, %d duplicates", lives, err, summary.Duplicates)
		}
		digests[x.Digest()] = true
	}
	if len(digests) != 1 {
		t.Errorf("the digest depends on the order: %v", digests)
	}
	other, _, err := importLives(t, map[string]string{"lives.jsonl": newer})
	if err != nil || digests[other.Digest()] {
		t.Errorf("other products have the same digest, %v", err)
	}
}

func TestAnIndexOfAnotherVersionIsToldApartFromADamagedOne(t *testing.T) {
	t.Parallel()
	x, _, err := importLives(t, map[string]string{"lives.jsonl": siteLife})
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(x.data)
	data[len(magic)-1] = 1
	_, err = newIndex(string(data))
	if !errors.Is(err, ErrFormat) || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "advisory import") || !strings.Contains(err.Error(), "its format is 1, expected 2") {
		t.Errorf("former format: %v", err)
	}
	if _, err = newIndex(string(data[:20])); !errors.Is(err, ErrFormat) {
		t.Errorf("a short file of the former format: %v", err)
	}
	data = []byte(x.data)
	data[x.list[secLives].offset+1] ^= 0x40
	damaged, err := newIndex(string(data))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := damaged.Lives(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("damaged products: %v", err)
	}
}

func TestAnIndexWithoutProductsHasNone(t *testing.T) {
	t.Parallel()
	if lives, err := FromMemory([]fact.Advisory{{ID: "A-1"}}).Lives(); err != nil || len(lives) != 0 {
		t.Errorf("lives = %v, %v", lives, err)
	}
}

func TestTheProductsOfTheSiteAreReadWhole(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "index")
	summary, err := Import(context.Background(), out, []string{filepath.Join(dataFolder(t), "endoflife.jsonl.zst")}, time.UnixMicro(1))
	if err != nil || summary.Products < 400 || len(summary.Problems) > 0 {
		t.Fatalf("%d products, problems %v, %v", summary.Products, summary.Problems, err)
	}
	x, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	lives, err := x.Lives()
	if err != nil || len(lives) != summary.Products {
		t.Fatalf("%d of %d products, %v", len(lives), summary.Products, err)
	}
	cycles := 0
	for i := range lives {
		cycles += len(lives[i].Cycles)
		for j := range lives[i].Cycles {
			if c := &lives[i].Cycles[j]; lives[i].Name == "python" && c.Name == "3.7" && (c.End != micro("2023-06-27") || c.Latest != "3.7.17") {
				t.Errorf("Python 3.7 = %+v", c)
			}
		}
	}
	if cycles < 8000 {
		t.Errorf("%d cycles", cycles)
	}
}
