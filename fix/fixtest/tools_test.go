package fixtest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fix/fixtest"
)

func TestAnAbsentToolIsSaidAndFailsUnderCIWhenSetupInstallsIt(t *testing.T) {
	if program := os.Getenv("FIXTEST_WANTS"); program != "" { // the child
		fixtest.Tools(t, program)
		t.Fatal("the test went on without " + program)
	}
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		program, ci string
		fails       bool
		says        string
	}{
		{"cargo", "true", false, "skipped: cargo is not installed"},
		{"bundle", "", false, "skipped: bundle is not installed; make setup installs it"},
		{"bundle", "true", true, "bundle is not installed; make setup installs it"},
	} {
		child := exec.Command(self, "-test.v", "-test.run=^"+t.Name()+"$")
		child.Env = []string{"PATH=" + t.TempDir(), "FIXTEST_WANTS=" + test.program, "CI=" + test.ci}
		out, err := child.CombinedOutput()
		if (err != nil) != test.fails || !strings.Contains(string(out), test.says) || strings.Contains(string(out), "went on") {
			t.Errorf("%s with CI=%q: %v\n%s", test.program, test.ci, err, out)
		}
	}
}
