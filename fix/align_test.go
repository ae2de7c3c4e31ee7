package fix_test

import (
	"testing"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

func TestEqualNumbersOnAReleaseTrainAreChance(t *testing.T) {
	t.Parallel()
	module := lockfile.Module{Ecosystem: "Go", Packages: []lockfile.Package{
		{Name: "lang.example/x/crypto", Version: "v0.12.0", Direct: true},
		{Name: "lang.example/x/net", Version: "v0.12.0", Direct: true},
		{Name: "lang.example/x/mod", Version: "v0.12.0", Direct: true},
	}}
	if got := fix.Lockstep(&module, 0); len(got) != 2 {
		t.Errorf("with one number for all: %v, expected the two others", got)
	}
	module.Packages = append(module.Packages, lockfile.Package{Name: "lang.example/x/sys", Version: "v0.11.0"})
	if got := fix.Lockstep(&module, 0); got != nil {
		t.Errorf("with a member that counts for itself: %v, expected no companions", got)
	}
}
