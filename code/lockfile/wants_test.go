package lockfile

import "testing"

func TestWantsNamesWhatIsReadByItself(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"go.mod": true, "a/package-lock.json": true, "requirements.txt": true, "requirements/dev.in": true, "a/dev-requirements.txt": true,
		"pom.xml": true, "d\xff/Cargo.lock": true,
		"README.txt": false, "LICENSE": false, "MANIFEST.in": false, "node_modules/a/package.json": false, "go.mod/a": false,
	} {
		if got := Wants(name); got != want {
			t.Errorf("%q: %t, want %t", name, got, want)
		}
	}
}
