package lockfile

import (
	"strings"

	"github.com/google/osv-scalibr/semantic"
)

// pythonSatisfies says whether a version lies in a constraint of PEP 440, of
// poetry (caret, tilde, bare versions) or of pipenv, and whether the constraint
// could be understood.
func pythonSatisfies(constraint, version string) (fits, understood bool) {
	if len(constraint) > 1024 || strings.HasPrefix(constraint, "@ ") || version == "" {
		return false, false
	}
	if _, err := semantic.ParsePyPIVersion(version); err != nil {
		return false, false
	}
	for alternative := range strings.SplitSeq(strings.ReplaceAll(constraint, "||", "|"), "|") {
		all := true
		for clause := range strings.SplitSeq(alternative, ",") {
			in, ok := pythonClause(strings.TrimSpace(clause), version)
			if !ok {
				return false, false
			}
			all = all && in
		}
		fits = fits || all
	}
	return fits, true
}

func pythonClause(clause, version string) (fits, understood bool) {
	if clause == "" || clause == "*" {
		return true, true
	}
	operator := clause[:len(clause)-len(strings.TrimLeft(clause, "=<>!~^"))]
	want := strings.TrimSpace(clause[len(operator):])
	if want == "" || strings.ContainsAny(want, " \t;") {
		return false, false
	}
	prefix, wild := strings.CutSuffix(want, ".*")
	if strings.Contains(prefix, "*") || strings.IndexAny(prefix, "0123456789") > 1 || !strings.ContainsAny(prefix, "0123456789") {
		return false, false
	}
	if !strings.Contains(prefix, "+") {
		version, _, _ = strings.Cut(version, "+")
	}
	at, err := semantic.ParsePyPIVersion(version)
	if err != nil {
		return false, false
	}
	order, err := at.CompareStr(prefix)
	if err != nil {
		return false, false
	}
	below := func(parts int) bool {
		high := raisePart(prefix, parts)
		if high == "" {
			return true
		}
		c, err := at.CompareStr(high)
		return err == nil && c < 0
	}
	parts := strings.Count(prefix, ".") + 1
	switch operator {
	case "", "=", "==", "===", "!=":
		in := order == 0
		if wild {
			in = order >= 0 && below(parts)
		}
		return in != (operator == "!="), true
	case ">=":
		return order >= 0, true
	case ">":
		return order > 0, true
	case "<=":
		return order <= 0, true
	case "<":
		return order < 0, true
	case "~=":
		if parts < 2 {
			return false, false
		}
		return order >= 0 && below(parts-1), true
	case "~":
		return order >= 0 && below(min(parts, 2)), true
	case "^":
		leading := 1
		for i, part := range strings.Split(prefix, ".") {
			leading = i + 1
			if strings.Trim(part, "0") != "" {
				break
			}
		}
		return order >= 0 && below(leading), true
	}
	return false, false
}

// raisePart adds one to the nth number of a version and drops what follows;
// "" when that is no number.
func raisePart(version string, n int) string {
	parts := strings.Split(version, ".")
	if n < 1 || n > len(parts) {
		return ""
	}
	digits := parts[n-1]
	for i, c := range digits {
		if c < '0' || c > '9' {
			digits = digits[:i]
			break
		}
	}
	if digits == "" {
		return ""
	}
	raised := []byte(digits)
	for i := len(raised) - 1; ; i-- {
		if i < 0 {
			raised = append([]byte{'1'}, raised...)
			break
		}
		if raised[i] < '9' {
			raised[i]++
			break
		}
		raised[i] = '0'
	}
	parts[n-1] = string(raised)
	return strings.Join(parts[:n], ".")
}
