package advisory

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/backstitch/backstitch/fact"
)

// Bounds of one product; a product beyond them is bad.
const (
	maxLifeText = 200
	maxPURLs    = 5000
	maxCycles   = 5000
	maxProducts = 20_000
)

// lifeDocument is what a document of endoflife.date may hold, in its three forms: a
// product of the site's own data; an answer of its API of version 1, whose result is
// a product or a list of them; and a cycle of its first API, which names no product.
type lifeDocument struct {
	lifeProduct
	Schema string         `json:"schema_version"`
	Result jsontext.Value `json:"result"`
	cycleDocument
}

type lifeProduct struct {
	Product     string `json:"product"`
	Name        string `json:"name"`  // API 1
	Label       string `json:"label"` // API 1
	Title       string `json:"title"`
	Identifiers []struct {
		PURL string `json:"purl"`
		Type string `json:"type"` // API 1
		ID   string `json:"id"`   // API 1
	} `json:"identifiers"`
	Releases []lifeRelease `json:"releases"`
}

type lifeRelease struct {
	Cycle      string         `json:"releaseCycle"`
	Name       string         `json:"name"` // API 1
	Codename   string         `json:"codename"`
	Released   string         `json:"releaseDate"`
	End        jsontext.Value `json:"eol"`     // a day, or whether it has ended
	Over       bool           `json:"isEol"`   // API 1
	From       string         `json:"eolFrom"` // API 1
	Latest     jsontext.Value `json:"latest"`  // a version, or an object in API 1
	LatestDate string         `json:"latestReleaseDate"`
}

type cycleDocument struct {
	Cycle    jsontext.Value `json:"cycle"`
	Codename string         `json:"codename"`
	Released string         `json:"releaseDate"`
	End      jsontext.Value `json:"eol"`
	Latest   jsontext.Value `json:"latest"`
	Date     string         `json:"latestReleaseDate"`
}

// life is a product with what only the import needs.
type life struct {
	fact.Product
	newest int64
}

// lives imports a document of endoflife.date; false when it is none.
func (r *reader) lives(doc *document, line int) (bool, error) {
	switch {
	case doc.Product != "" && doc.Releases != nil:
		return true, r.product(&doc.lifeProduct)
	case doc.Schema != "" && len(doc.Result) > 0:
		list := []jsontext.Value{doc.Result}
		if doc.Result.Kind() == '[' {
			if err := json.Unmarshal(doc.Result, &list, lenient); err != nil {
				return true, fmt.Errorf("result: %w", err)
			}
		}
		for i, value := range list {
			var one lifeProduct
			err := json.Unmarshal(value, &one, lenient)
			if err == nil {
				err = r.product(&one)
			}
			if err != nil {
				r.build.bad(r.label, line, fmt.Errorf("result[%d]: %w", i, err))
			}
		}
		return true, nil
	case len(doc.cycleDocument.Cycle) > 0 && len(doc.cycleDocument.End) > 0:
		return true, r.cycle(&doc.cycleDocument)
	}
	return false, nil
}

func (r *reader) product(from *lifeProduct) error {
	p := life{Product: fact.Product{Name: cmp.Or(from.Product, from.Name), Title: cmp.Or(from.Title, from.Label)}}
	if p.Name == "" || len(p.Name) > maxLifeText {
		return fmt.Errorf("product: expected a name of at most %d bytes", maxLifeText)
	}
	if len(from.Releases) == 0 || len(from.Releases) > maxCycles || len(from.Identifiers) > maxPURLs {
		return fmt.Errorf("%s: expected 1 to %d releases and at most %d identifiers", p.Name, maxCycles, maxPURLs)
	}
	for _, id := range from.Identifiers {
		if purl := cmp.Or(id.PURL, id.ID); strings.HasPrefix(purl, "pkg:") && len(purl) <= 4*maxLifeText {
			p.PURLs = append(p.PURLs, purl)
		}
	}
	for i := range from.Releases {
		one := &from.Releases[i]
		end := one.End
		if len(end) == 0 {
			switch {
			case one.From != "":
				end = jsontext.Value(`"` + one.From + `"`)
			case one.Over:
				end = jsontext.Value("true")
			default:
				end = jsontext.Value("false")
			}
		}
		latest, date := latestOf(one.Latest)
		c, err := cycleOf(cmp.Or(one.Cycle, one.Name), one.Codename, one.Released, end, latest)
		if err != nil {
			return fmt.Errorf("%s: releases[%d]: %w", p.Name, i, err)
		}
		p.Cycles = append(p.Cycles, c)
		p.newest = max(p.newest, dayOf(cmp.Or(one.LatestDate, date)), c.Released)
	}
	p.tidy()
	if err := r.build.addLife(p); err != nil {
		return err
	}
	source := &r.build.sources[r.source]
	source.Kind = kindLife
	source.Count++
	source.Newest = max(source.Newest, p.newest)
	return nil
}

// cycle takes one element of an answer of the first API. The file is named after the
// product, since nothing in it names one.
func (r *reader) cycle(from *cycleDocument) error {
	name, _, _ := strings.Cut(r.label[strings.LastIndexAny(r.label, "/!\\")+1:], ".")
	if name == "" || len(name) > maxLifeText {
		return errors.New("a cycle of no product: expected a file that is named after the product, such as python.json")
	}
	latest, _ := latestOf(from.Latest)
	c, err := cycleOf(textOfValue(from.Cycle), from.Codename, from.Released, from.End, latest)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	source := &r.build.sources[r.source]
	if r.open == nil {
		r.open = &life{Product: fact.Product{Name: name, Title: name}}
		source.Kind = kindLife
		source.Count++
	}
	if len(r.open.Cycles) == maxCycles {
		return fmt.Errorf("%s: more than %d cycles", name, maxCycles)
	}
	r.open.Cycles = append(r.open.Cycles, c)
	r.open.newest = max(r.open.newest, dayOf(from.Date), c.Released)
	source.Newest = max(source.Newest, r.open.newest)
	return nil
}

// endLife adds the product whose cycles stood in a stream one by one.
func (r *reader) endLife() {
	if r.open != nil {
		r.open.tidy()
		if err := r.build.addLife(*r.open); err != nil {
			r.build.bad(r.label, 0, err)
		}
		r.open = nil
	}
}

// latestOf reads a newest release: a version, or an object with its name and date.
func latestOf(value jsontext.Value) (version, date string) {
	if value.Kind() == '{' {
		var latest struct {
			Name string `json:"name"`
			Date string `json:"date"`
		}
		if json.Unmarshal(value, &latest, lenient) != nil {
			return "", ""
		}
		return latest.Name, latest.Date
	}
	return textOfValue(value), ""
}

// textOfValue gives a text, or a number as it is written: cycles are often numbers.
func textOfValue(value jsontext.Value) string {
	switch value.Kind() {
	case '"':
		var text string
		if json.Unmarshal(value, &text, lenient) == nil {
			return text
		}
	case '0':
		return string(value)
	}
	return ""
}

func cycleOf(name, codename, released string, end jsontext.Value, latest string) (fact.Cycle, error) {
	c := fact.Cycle{Name: strings.TrimSpace(name), Codename: clip(codename, maxLifeText), Released: dayOf(released), Latest: clip(latest, maxLifeText)}
	if c.Name == "" || len(c.Name) > maxLifeText {
		return c, fmt.Errorf("expected a cycle of at most %d bytes", maxLifeText)
	}
	switch end.Kind() {
	case 't':
		c.Ended = true
	case 'f', 'n', 0:
	default:
		text := textOfValue(end)
		if c.End = dayOf(text); c.End == 0 {
			return c, fmt.Errorf("eol %q of cycle %s: expected a day such as 2026-10-31, true or false", clip(text, 40), c.Name)
		}
	}
	return c, nil
}

// dayOf reads a day, 0 for text that is none.
func dayOf(text string) int64 {
	if len(text) > len(time.DateOnly) {
		text = text[:len(time.DateOnly)]
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0
	}
	return day.UnixMicro()
}

// tidy brings the lists of a product into one order, whatever it was read from.
func (p *life) tidy() {
	p.Title = clip(cmp.Or(p.Title, p.Name), maxLifeText)
	slices.Sort(p.PURLs)
	p.PURLs = slices.Compact(p.PURLs)
	slices.SortFunc(p.Cycles, func(a, b fact.Cycle) int {
		return cmp.Or(compareNumbers(b.Name, a.Name), cmp.Compare(b.Released, a.Released), strings.Compare(a.Name, b.Name), cmp.Compare(a.End, b.End))
	})
}

// compareNumbers orders names of cycles by the numbers in front: 3.10 after 3.9.
func compareNumbers(a, b string) int {
	for {
		x, restA := leading(a)
		y, restB := leading(b)
		if c := cmp.Compare(x, y); c != 0 || x < 0 {
			return c
		}
		a, b = strings.TrimPrefix(restA, "."), strings.TrimPrefix(restB, ".")
	}
}

// leading gives the number that a text begins with, -1 when it does not.
func leading(text string) (number int64, rest string) {
	end := 0
	for end < len(text) && end < 18 && text[end] >= '0' && text[end] <= '9' {
		number = number*10 + int64(text[end]-'0')
		end++
	}
	if end == 0 {
		return -1, text
	}
	return number, text[end:]
}

// addLife keeps a product; of two of one name the one with the newer releases, and of
// equally new ones the one whose content sorts last. Identifiers of both count.
func (b *builder) addLife(p life) error {
	old, twice := b.lives[p.Name]
	if !twice && len(b.lives) == maxProducts {
		return fmt.Errorf("%s: more than %d products", p.Name, maxProducts)
	}
	if !twice {
		b.lives[p.Name] = p
		return nil
	}
	b.duplicates++
	winner := old
	if c := cmp.Compare(p.newest, old.newest); c > 0 || c == 0 && string(encodeProduct(&p.Product)) > string(encodeProduct(&old.Product)) {
		winner = p
	}
	winner.PURLs = append(slices.Clone(old.PURLs), p.PURLs...)
	winner.tidy()
	b.lives[p.Name] = winner
	return nil
}

func encodeProduct(p *fact.Product) []byte {
	var e encoder
	e.text(p.Name)
	e.text(p.Title)
	e.texts(p.PURLs)
	e.number(uint64(len(p.Cycles)))
	for _, c := range p.Cycles {
		e.text(c.Name)
		e.text(c.Codename)
		e.time(c.Released)
		e.time(c.End)
		ended := uint64(0)
		if c.Ended {
			ended = 1
		}
		e.number(ended)
		e.text(c.Latest)
	}
	return e.b
}

// writeLives writes the section of products, in order of name.
func (b *builder) writeLives(w *fileWriter, sum io.Writer, status *Status) error {
	status.Products = len(b.lives)
	var e encoder
	e.number(uint64(len(b.lives)))
	for _, name := range slices.Sorted(maps.Keys(b.lives)) {
		p := b.lives[name]
		e.b = append(e.b, encodeProduct(&p.Product)...)
	}
	if len(b.lives) > 0 {
		fmt.Fprintf(sum, "products\n")
		_, _ = sum.Write(e.b) // a digest takes everything
	}
	return w.section(secLives, e.b)
}

// Lives lists the products whose cycles of support are known, in order of name.
// It is parsed when it is first asked for; nobody may change what it gives.
func (x *Index) Lives() ([]fact.Product, error) { return x.lives() }

func (x *Index) readLives() ([]fact.Product, error) {
	if err := x.check(secLives); err != nil {
		return nil, err
	}
	d := decoder{s: strings.Clone(x.section(secLives))}
	products := make([]fact.Product, d.count(4))
	for i := range products {
		p := &products[i]
		p.Name, p.Title, p.PURLs = d.text(), d.text(), d.texts()
		p.Cycles = make([]fact.Cycle, d.count(6))
		for j := range p.Cycles {
			p.Cycles[j] = fact.Cycle{Name: d.text(), Codename: d.text(), Released: d.time(), End: d.time(), Ended: d.number() == 1, Latest: d.text()}
		}
	}
	if d.bad || len(d.s) > 0 {
		return nil, fmt.Errorf("%w: products", ErrCorrupt)
	}
	return products, nil
}
