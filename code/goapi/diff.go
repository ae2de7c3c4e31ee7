package goapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Change is an incompatible change of what a module exports.
type Change struct {
	Package string // import path
	Symbol  string // "" for the whole package
	What    string // "goes away", "changes from ... to ...", "asks for method M"
}

// Incompatible lists the changes from one version of a module to another that may
// break those who use it, sorted. What is new breaks nobody, but for a method that an
// interface asks for.
func Incompatible(old, new *API) []Change {
	var list []Change
	for name, before := range old.Packages {
		after, there := new.Packages[name]
		if !there {
			list = append(list, Change{Package: name, What: "goes away"})
			continue
		}
		list = append(list, comparePackage(name, before, after)...)
	}
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.Symbol, b.Symbol), strings.Compare(a.What, b.What))
	})
	return list
}

func comparePackage(name string, before, after Package) []Change {
	var list []Change
	for symbol, was := range before {
		owner, _, member := strings.Cut(symbol, ".")
		if member {
			now, there := after[owner]
			if !there || now.Kind == Alias || now.Kind != before[owner].Kind {
				continue // said of the type
			}
			if _, has := after[symbol]; !has && now.Open && !before[owner].Open && now.Kind != Interface {
				continue // it may come from what the type embeds now
			}
		}
		is, there := after[symbol]
		switch {
		case !there:
			list = append(list, Change{name, symbol, "goes away"})
		case is.Kind == Alias || was.Kind == Alias && is.Kind != Func:
			// An alias of the same type is no change; which type it is, is not known.
		case is.Text == "" || was.Text == "": // inferred
			if is.Kind != was.Kind && !(was.Kind == Var && is.Kind == Func || was.Kind == Func && is.Kind == Var) {
				list = append(list, Change{name, symbol, fmt.Sprintf("turns from a %s into a %s", was.Kind, is.Kind)})
			}
		case is.Kind != was.Kind:
			list = append(list, Change{name, symbol, fmt.Sprintf("turns from a %s into a %s", was.Kind, is.Kind)})
		case is.Text != was.Text:
			list = append(list, Change{name, symbol, fmt.Sprintf("changes from %s to %s", brief(was.Text), brief(is.Text))})
		}
	}
	for symbol, is := range after {
		owner, method, _ := strings.Cut(symbol, ".")
		if was, known := before[owner]; is.Kind == Required && known && was.Kind == Interface && was.Open {
			if _, had := before[symbol]; !had {
				list = append(list, Change{name, owner, "asks for method " + method})
			}
		}
	}
	return list
}

func brief(text string) string {
	text = strings.TrimSpace(text)
	if runes := []rune(text); len(runes) > 120 {
		return string(runes[:120]) + " ..."
	}
	return text
}
