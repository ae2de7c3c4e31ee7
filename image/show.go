package image

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Summary is what is shown of an image, ready for JSON.
type Summary struct {
	Reference string            `json:"reference"`
	Digest    string            `json:"digest,omitempty"`
	ConfigID  string            `json:"config"`
	Platform  string            `json:"platform"`
	Platforms []string          `json:"platforms"`
	Tags      []string          `json:"tags,omitempty"`
	System    string            `json:"system,omitempty"`
	Builder   string            `json:"builder,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Packages  map[string]int    `json:"packages"` // by kind of database
	Bases     []BasePart        `json:"bases"`
	Source    SourceAnswer      `json:"source"`
	Layers    []LayerTrace      `json:"layers"`
	Traces    []PackageTrace    `json:"traces,omitempty"`
	Attested  int               `json:"attestations"`
	Gaps      []string          `json:"gaps"`
}

// Summarise makes the summary of a trace.
func Summarise(set *Set, t *Trace) *Summary {
	s := &Summary{Reference: t.Image.Reference, Digest: t.Image.Digest, ConfigID: t.Image.ConfigID, Platform: t.Image.Platform.String(), Tags: t.Image.Tags,
		Builder: t.Builder.Name, Labels: t.Image.Config.Config.Labels, Packages: map[string]int{}, Bases: t.Bases, Source: t.Source, Layers: t.Layers,
		Attested: len(t.Image.Attestations), Gaps: append(append([]string{}, set.Problems...), t.Inventory.Gaps...)}
	if s.Bases == nil {
		s.Bases = []BasePart{}
	}
	for _, image := range set.Images {
		s.Platforms = append(s.Platforms, image.Platform.String())
	}
	if t.Inventory.Release != nil {
		s.System = t.Inventory.Release.Pretty
	}
	for _, p := range t.Inventory.Packages {
		s.Packages[p.Kind]++
	}
	return s
}

// WriteText prints a summary for people. clean makes text from outside safe.
func (s *Summary) WriteText(out io.Writer, clean func(string) string) error {
	w := &errorWriter{out: out}
	fmt.Fprintf(w, "%s\n", clean(s.Reference))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-12s %s\n", name, clean(value))
		}
	}
	line("digest", s.Digest)
	line("config", s.ConfigID)
	line("platform", s.Platform)
	if len(s.Platforms) > 1 {
		line("platforms", strings.Join(s.Platforms, ", "))
	}
	line("system", s.System)
	line("built by", s.Builder)
	for _, base := range s.Bases {
		value := strings.Join(base.Names, ", ")
		if value == "" {
			value = base.Digest
		}
		if base.Layers > 0 {
			value += fmt.Sprintf(" (%d layers)", base.Layers)
		}
		line("base", fmt.Sprintf("%s, %s by %s", value, base.Evidence.Strength, base.Evidence.Method))
	}
	for _, source := range s.Source.Best {
		value := source.Repository
		if source.Commit != "" {
			value += "@" + source.Commit
		}
		if source.Until != "" {
			value += ".." + source.Until
		}
		if source.Dockerfile != "" {
			value += " " + source.Dockerfile
		}
		line("source", fmt.Sprintf("%s, %s by %s", value, source.Strength, source.Evidence[0].Method))
	}
	if len(s.Source.Best) > 1 {
		line("", "the sources fit equally well")
	}
	for _, missing := range s.Source.Missing {
		line("missing", missing)
	}
	total := 0
	for _, n := range s.Packages {
		total += n
	}
	line("packages", fmt.Sprint(total))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LAYER\tHISTORY\tPART\tLINE\tCREATED BY")
	for _, layer := range s.Layers {
		step := ""
		if layer.Step >= 0 {
			step = fmt.Sprint(layer.Step)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", layer.Layer, step, layer.Part, clean(places(layer)), clean(cutText(layer.CreatedBy, 90)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, t := range s.Traces {
		kind := t.Package.Kind
		if t.Package.Declared {
			kind += ": declared, not installed"
		}
		fmt.Fprintf(w, "\n%s %s (%s, %s)\n", clean(t.Package.Name), clean(t.Package.Version), kind, t.Part)
		if t.Package.Previous != nil {
			fmt.Fprintf(w, "  was %s in layer %d\n", clean(t.Package.Previous.Version), t.Package.Previous.Layer)
		}
		for _, link := range t.Cause.Chain {
			where := clean(cutText(link.Key, 100))
			if link.Location.Line > 0 {
				where = fmt.Sprintf("%s:%d-%d", clean(link.Location.Path), link.Location.Line, link.Location.EndLine)
			}
			fmt.Fprintf(w, "  %-15s %s  [%s, %s]\n", link.Kind, where, link.Evidence.Strength, clean(link.Evidence.Method))
		}
		fmt.Fprintf(w, "  %s\n", t.Cause.Status)
		for _, missing := range t.Cause.Missing {
			fmt.Fprintf(w, "  missing: %s\n", clean(missing))
		}
	}
	for _, gap := range s.Gaps {
		fmt.Fprintf(w, "not seen: %s\n", clean(gap))
	}
	return w.err
}

func places(layer LayerTrace) string {
	var list []string
	for _, l := range layer.Locations {
		list = append(list, fmt.Sprintf("%s:%d", l.Path, l.Line))
	}
	for _, l := range layer.Producers {
		list = append(list, fmt.Sprintf("<- %s:%d", l.Path, l.Line))
	}
	return strings.Join(list, " ")
}

func cutText(text string, width int) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= width {
		return string(runes)
	}
	return string(runes[:width-1]) + "…"
}

// errorWriter keeps the first error, so that printing reads as printing.
type errorWriter struct {
	out io.Writer
	err error
}

func (w *errorWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.out.Write(p)
	w.err = err
	return n, err
}
