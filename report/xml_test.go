package report

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestElementsAreReadOrSkipped(t *testing.T) {
	t.Parallel()
	const text = `<?xml version="1.0"?><!-- c --><n:list xmlns:n="u" n:kind="k">
 <skipped><deep><item>no</item></deep></skipped>
 <item id="1"> one &amp; <![CDATA[<two>]]> </item><empty/>
 <n:item id="2">a<b>inner</b>c</n:item></n:list>
<!-- end -->`
	var got, places []string
	var offsets []int64
	err := XML(t.Context(), strings.NewReader(text), "list", func(x *Elements, e Element) {
		got = append(got, e.Attribute("kind"))
		x.Children(func(e Element) {
			if e.Name != "item" {
				return
			}
			places, offsets = append(places, x.Item()), append(offsets, e.Offset)
			inner := ""
			plain := x.Mixed(func(Element) { inner = x.Text() })
			got = append(got, e.Attribute("id")+"="+plain+"/"+inner)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"k", "1=one & <two>/", "2=ac/inner"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"list/item[1]", "list/item[3]"}, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	for _, at := range offsets {
		if !strings.HasPrefix(text[at:], "<item") && !strings.HasPrefix(text[at:], "<n:item") {
			t.Errorf("offset %d is at %.10q", at, text[at:])
		}
	}
}

func TestXMLThatIsNotWellFormedOrNotSafeIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ what, text, want string }{
		{"nothing", "", "an element r"},
		{"another root", "<q/>", `found "q"`},
		{"two roots", "<r/><r/>", "one element r"},
		{"text beside", "<r/>x", "nothing beside it"},
		{"cut off", "<r>\n<a>\n<b>", "report:3 (byte 11): r/a[0]/b[0]"},
		{"wrong end", "<r><a></r>", "r/a[0]"},
		{"a document type", `<!DOCTYPE r [<!ENTITY e "x">]><r>&e;</r>`, "no document type"},
		{"a document type inside", `<r><!DOCTYPE r></r>`, "no document type"},
		{"an entity", "<r>&e;</r>", "entity"},
		{"too deep", "<r>" + strings.Repeat("<a>", 100_000), "at most 200 nested elements"},
		{"another encoding", `<?xml version="1.0" encoding="EBCDIC"?><r/>`, "EBCDIC"},
	} {
		err := XML(t.Context(), strings.NewReader(test.text), "r", func(x *Elements, _ Element) {
			x.Children(func(Element) { x.Children(func(Element) {}) })
		})
		var fault *Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want a fault that names %q", test.what, err, test.want)
		}
	}
}

func TestATokenOfXMLHasALimit(t *testing.T) {
	t.Parallel()
	for _, parts := range [][2]string{{"<r>", "</r>"}, {"<r a='", "'/>"}, {"<r><!--", "--></r>"}, {"<r><![CDATA[", "]]></r>"}} {
		in := io.MultiReader(strings.NewReader(parts[0]), io.LimitReader(endless('x'), maxToken+windowSize), strings.NewReader(parts[1]))
		var fault *Error
		if err := XML(t.Context(), in, "r", func(*Elements, Element) {}); !errors.As(err, &fault) || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: %v, want a fault that names the size", parts[0], err)
		}
	}
	in := io.MultiReader(strings.NewReader("<r>"), io.LimitReader(&repeated{text: "<a>some text</a>\n"}, 2*maxToken/17*17), strings.NewReader("</r>"))
	n := 0
	if err := XML(t.Context(), in, "r", func(x *Elements, _ Element) { x.Children(func(Element) { n++ }) }); err != nil || n != 2*maxToken/17 {
		t.Errorf("many small elements: %d read, %v", n, err)
	}
}

func TestReadingXMLEndsWithTheCallersErrorAndWithTheContext(t *testing.T) {
	t.Parallel()
	own := errors.New("enough")
	n := 0
	err := XML(t.Context(), strings.NewReader("<r><a/><a/></r>"), "r", func(x *Elements, _ Element) {
		x.Children(func(Element) { n++; x.Fail(own) })
	})
	if err != own || n != 1 {
		t.Errorf("%v after %d elements, want the caller's error after one", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := XML(ctx, strings.NewReader("<r/>"), "r", func(*Elements, Element) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}

// repeated is a reader of a text over and over.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

func FuzzXML(f *testing.F) {
	for _, text := range []string{"<r a='1'>t<b/></r>", "<?xml version='1.0'?><r><![CDATA[x]]></r>", "<r><b>", "<r>&lt;</r>\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var fault *Error
		err := XML(t.Context(), strings.NewReader(text), "r", func(x *Elements, _ Element) {
			x.Children(func(e Element) {
				if e.Offset < 0 || e.Offset >= int64(len(text)) || text[e.Offset] != '<' {
					t.Errorf("an element at byte %d of %q", e.Offset, text)
				}
				x.Mixed(func(Element) {})
			})
		})
		if err != nil && (!errors.As(err, &fault) || fault.Offset > int64(len(text))) {
			t.Errorf("%T %v is no fault within %d bytes", err, err, len(text))
		}
	})
}
