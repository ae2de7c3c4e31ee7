package maven

import (
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
)

func TestMavenRefusesWhatItAcceptedBefore(t *testing.T) {
	fixtest.Tools(t, "mvn")
	good := pomOf(dependencies(dependency("a:b", "1.0")) + "  <build><extensions><extension><groupId>x</groupId><artifactId>y</artifactId><version>1</version></extension></extensions></build>\n")
	bad := strings.Replace(good, "      <version>1.0</version>\n", "", 1)
	for _, c := range []struct{ before, after, want string }{
		{good, bad, "mvn refuses the project after the edit"},
		{good, good, ""},
		{bad, bad, ""},
	} {
		dir := t.TempDir()
		if err := fix.WriteFile(dir, "pom.xml", []byte(c.after)); err != nil {
			t.Fatal(err)
		}
		err := judged(t.Context(), dir, "", map[string][]byte{"pom.xml": []byte(c.before)})
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("judged() = %v, want %q", err, c.want)
		}
	}
}
