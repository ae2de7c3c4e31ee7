package govulncheck

import (
	"slices"
	"strconv"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// olderReport collects the single object that versions before 1.0 wrote: first
// the graphs of calls and modules, then the flaws that point into them.
type olderReport struct {
	flaws    []olderFlaw
	versions map[string]string // of modules, by path
	calls    map[int]olderCall // functions, by id
}

type olderFlaw struct {
	id, symbol, pkg, module, version, fixed string
	sink                                    int
	stack                                   []frame // when the report gives it whole
	at                                      fact.Position
}

type olderCall struct {
	frame  frame
	caller int // the first one
	site   frame
}

// maxTrace bounds the walk from a flaw to an entry.
const maxTrace = 1000

func (o *olderReport) field(s *report.Scanner, st *state, name string) {
	switch name {
	case "Vulns":
		s.Array(func(int) { o.flaw(s, st) })
	case "Requires":
		s.Object(func(name string) {
			if name == "Modules" {
				s.Object(func(string) { o.module(s) })
			}
		})
	case "Calls":
		o.calls = map[int]olderCall{}
		s.Object(func(name string) {
			if name == "Functions" {
				s.Object(func(id string) {
					if n, err := strconv.Atoi(id); err == nil {
						o.calls[n] = call(s)
					}
				})
			}
		})
	}
	if name == "Modules" {
		o.modules(s)
	}
}

func (o *olderReport) module(s *report.Scanner) {
	path, version := "", ""
	s.Object(func(name string) {
		switch name {
		case "Path":
			path = s.Text()
		case "Version":
			version = s.Text()
		}
	})
	if o.versions == nil {
		o.versions = map[string]string{}
	}
	o.versions[path] = version
}

// modules reads the list of the build's modules, for flaws whose module the
// graph of requirements does not hold.
func (o *olderReport) modules(s *report.Scanner) {
	if s.Kind() != report.KindArray {
		return
	}
	s.Array(func(int) {
		if s.Kind() == report.KindObject {
			o.module(s)
		}
	})
}

func call(s *report.Scanner) (c olderCall) {
	s.Object(func(name string) {
		switch name {
		case "Name":
			c.frame.function = s.Text()
		case "RecvType":
			c.frame.receiver = s.Text()
		case "PkgPath":
			c.frame.pkg = s.Text()
		case "CallSites":
			s.Array(func(i int) {
				s.Object(func(name string) {
					switch {
					case i > 0:
					case name == "Parent":
						c.caller = s.Int()
					case name == "Pos":
						c.site.file, c.site.line = position(s)
					}
				})
			})
		}
	})
	return c
}

func (o *olderReport) flaw(s *report.Scanner, st *state) {
	from, item := s.Offset(), s.Item()
	v := olderFlaw{}
	var perModule []olderFlaw
	s.Object(func(name string) {
		switch name {
		case "OSV":
			about := advisory(s)
			v.id = about.Rule
			st.keep(s, about)
		case "Symbol":
			v.symbol = s.Text()
		case "PkgPath":
			v.pkg = s.Text()
		case "ModPath":
			v.module = s.Text()
		case "CallSink":
			v.sink = s.Int()
		case "Modules":
			s.Array(func(int) { perModule = append(perModule, moduleFlaws(s)...) })
		}
	})
	v.at = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	if v.id == "" {
		return
	}
	if perModule == nil {
		perModule = []olderFlaw{v}
	}
	for _, m := range perModule {
		m.id, m.at = v.id, v.at
		o.flaws = append(o.flaws, m)
	}
}

// moduleFlaws reads the layout that lists modules, packages and call stacks
// under a flaw.
func moduleFlaws(s *report.Scanner) (flaws []olderFlaw) {
	v := olderFlaw{}
	var stacks []olderFlaw
	s.Object(func(name string) {
		switch name {
		case "Path":
			v.module = s.Text()
		case "FoundVersion":
			v.version = s.Text()
		case "FixedVersion":
			v.fixed = s.Text()
		case "Packages":
			s.Array(func(int) {
				pkg := ""
				var calls []olderFlaw
				s.Object(func(name string) {
					switch name {
					case "Path":
						pkg = s.Text()
					case "CallStacks":
						s.Array(func(int) { calls = append(calls, callStack(s)) })
					}
				})
				if calls == nil {
					calls = []olderFlaw{{}}
				}
				for _, c := range calls {
					c.pkg = pkg
					stacks = append(stacks, c)
				}
			})
		}
	})
	if stacks == nil {
		stacks = []olderFlaw{{}}
	}
	for _, stack := range stacks {
		stack.module, stack.version, stack.fixed = v.module, v.version, v.fixed
		flaws = append(flaws, stack)
	}
	return flaws
}

// callStack reads frames from the entry to the vulnerable symbol.
func callStack(s *report.Scanner) (v olderFlaw) {
	s.Object(func(name string) {
		switch name {
		case "Symbol":
			v.symbol = s.Text()
		case "Frames":
			s.Array(func(int) {
				fr := frame{}
				s.Object(func(name string) {
					switch name {
					case "PkgPath":
						fr.pkg = s.Text()
					case "FuncName":
						fr.function = s.Text()
					case "RecvType":
						fr.receiver = s.Text()
					case "Position":
						fr.file, fr.line = position(s)
					}
				})
				fr.module = fr.pkg
				v.stack = append(v.stack, fr)
			})
		}
	})
	slices.Reverse(v.stack)
	return v
}

func position(s *report.Scanner) (file string, line int) {
	s.Object(func(name string) {
		switch name {
		case "Filename":
			file = s.Text()
		case "Line":
			line = max(s.Int(), 0)
		}
	})
	return file, line
}

// finish turns the flaws into traces once both graphs are known.
func (o *olderReport) finish(st *state) {
	for _, v := range o.flaws {
		if v.version == "" {
			v.version = o.versions[v.module]
		}
		trace := []frame{{module: v.module, version: v.version, pkg: v.pkg}}
		switch {
		case v.sink > 0:
			trace[0].function = v.symbol
			trace = append(trace, o.callers(v.sink)...)
		case v.symbol != "" && len(v.stack) > 0:
			trace[0].function = v.symbol
			trace = append(trace, v.stack[1:]...)
		}
		st.add(v.id, v.fixed, trace, v.at, false)
	}
}

// callers walks from a vulnerable function to an entry by first callers, each
// step with the place of its call.
func (o *olderReport) callers(id int) []frame {
	var trace []frame
	seen := map[int]bool{}
	for len(trace) < maxTrace && !seen[id] {
		seen[id] = true
		c, ok := o.calls[id]
		if !ok || c.caller == 0 {
			break
		}
		up := o.calls[c.caller].frame
		up.file, up.line = c.site.file, c.site.line
		up.module = up.pkg
		trace = append(trace, up)
		id = c.caller
	}
	return trace
}
