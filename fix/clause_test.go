package fix

import "testing"

func TestConstraintsAreRaisedInTheirOwnStyle(t *testing.T) {
	t.Parallel()
	cargo := Syntax{Operators: map[string]Meaning{"": Caret, "^": Caret, "~": Tilde, "=": Exact, ">=": From, ">": Above, "<": Below, "<=": UpTo}, Join: ", ", AtLeast: ">="}
	ruby := Syntax{Operators: map[string]Meaning{"": Exact, "=": Exact, "!=": NotThe, "~>": Compatible, ">=": From, ">": Above, "<": Below, "<=": UpTo}, Join: ", ", AtLeast: ">= "}
	php := Syntax{Operators: map[string]Meaning{"": Exact, "=": Exact, "==": Exact, "!=": NotThe, "<>": NotThe, "^": Caret, "~": Compatible, ">=": From, ">": Above, "<": Below, "<=": UpTo}, Or: "||", Join: " ", AtLeast: ">="}
	for _, test := range []struct {
		syntax    *Syntax
		from, to  string
		want      string // "" for refused
		before    bool   // allowed the version before
		afterNext string // a version above that is still allowed, or not
		reaches   bool
	}{
		{&cargo, "1.2", "1.2.5", "1.2.5", true, "1.9.0", true},
		{&cargo, "1", "2.0.0", "2", false, "2.4.0", true},
		{&cargo, "^0.7", "0.8.3", "^0.8.3", false, "0.9.0", false},
		{&cargo, "=1.2.3", "1.2.4", "=1.2.4", false, "1.2.5", false},
		{&cargo, "~1.2", "1.4.3", "~1.4.3", false, "1.5.0", false},
		{&cargo, "~1", "1.4.3", "~1, >=1.4.3", true, "1.9.0", true},
		{&cargo, ">=1.0, <2.0", "2.1.0", ">=2.1, <3.0", false, "2.9.0", true},
		{&cargo, ">= 1.0, < 1.5", "1.6.2", ">= 1.6.2, < 1.7", false, "1.7.0", false},
		{&cargo, ">=1.0, <=1.5.2", "1.6.0", "", false, "", false},
		{&cargo, "1.2.*", "1.3.4", "1.3.*, >=1.3.4", false, "1.4.0", false},
		{&cargo, "*", "1.3.4", ">=1.3.4", true, "9.0.0", true},
		{&cargo, "workspace", "1.3.4", "", false, "", false},
		{&ruby, "~> 2.1", "2.3.5", "~> 2.3, >= 2.3.5", true, "2.9.0", true},
		{&ruby, "~> 2.1.4", "2.1.6", "~> 2.1.6", true, "2.2.0", false},
		{&ruby, "~> 6.1", "7.0.0", "~> 7.0", false, "7.9", true},
		{&ruby, "1.2.3", "1.2.4", "1.2.4", false, "1.2.5", false},
		{&ruby, ">= 1.2, != 1.4", "1.4", "", true, "", false},
		{&ruby, "", "1.4.1", ">= 1.4.1", true, "2.0", true},
		{&ruby, "~> 1", "1.4.1", "~> 1, >= 1.4.1", true, "1.9", true},
		{&ruby, "< 2", "1.4.1", "< 2, >= 1.4.1", true, "1.9", true},
		{&php, "^5.4", "5.4.31", "^5.4.31", true, "5.9.0", true},
		{&php, "~1.2", "1.4.3", "~1.4 >=1.4.3", true, "1.9.0", true},
		{&php, "~1.2.3", "1.4.3", "~1.4.3", false, "1.5.0", false},
		{&php, "^1.0 || ^2.0", "2.3.1", "^1.0 || ^2.3.1", true, "2.9.0", true},
		{&php, "^1.0|| ^2.0", "3.3.1", "^1.0|| ^2.0 || ^3.3.1", false, "3.9.0", true},
		{&php, "v1.2.3", "1.2.4", "v1.2.4", false, "1.3.0", false},
		{&php, ">=1.0,<2.0", "2.1.3", ">=2.1.3,<3.0", false, "2.9.0", true},
		{&php, "dev-main", "1.0.0", "", false, "", false},
		{&php, "^1.0@beta", "1.0.1", "", false, "", false},
	} {
		got, ok := test.syntax.Raise(test.from, test.to)
		if ok != (test.want != "") || got != test.want {
			t.Errorf("Raise(%q, %s) = %q, %v, expected %q", test.from, test.to, got, ok, test.want)
			continue
		}
		if fits, _ := test.syntax.Admits(test.from, test.to); ok && fits != test.before {
			t.Errorf("%q allows %s: %v, expected %v", test.from, test.to, fits, test.before)
		}
		if ok {
			if fits, known := test.syntax.Admits(got, test.afterNext); !known || fits != test.reaches {
				t.Errorf("%q allows %s: %v, %v, expected %v", got, test.afterNext, fits, known, test.reaches)
			}
		}
	}
}

func FuzzRaisedConstraintsAllowTheVersion(f *testing.F) {
	for _, seed := range []string{"1.2", "~> 2.1, >= 2.1.3", "^1 || ^2", ">=1,<2", "*", "1.*", "!= 3"} {
		f.Add(seed, "2.4.1")
	}
	syntax := Syntax{Operators: map[string]Meaning{"": Caret, "^": Caret, "~": Tilde, "~>": Compatible, "=": Exact, "!=": NotThe, ">=": From, ">": Above, "<": Below, "<=": UpTo}, Or: "||", Join: ", ", AtLeast: ">="}
	f.Fuzz(func(t *testing.T, constraint, to string) {
		text, ok := syntax.Raise(constraint, to)
		if !ok {
			return
		}
		if fits, known := syntax.Admits(text, to); !fits || !known {
			t.Errorf("Raise(%q, %q) = %q, which does not allow it", constraint, to, text)
		}
	})
}

func TestPreReleasesOfRubyLeadToTheirRelease(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"1.0.0.rc1": "1.0.0", "1.0.0rc1": "1.0.0", "6.1.7": "6.1.7", "2.0.pre.3": "2.0"} {
		if got := release("RubyGems", version, false); got != want {
			t.Errorf("release(%s) = %s, expected %s", version, got, want)
		}
	}
}
