package lockfile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const composerManifest = `{
  "name": "Acme/Shop",
  "require": {
    "php": ">=8.1",
    "ext-json": "*",
    "Monolog/Monolog": "^2.0",
    "acme/gone": "1.0.0",
    "acme/stale": "~3.1",
    "psr/log-implementation": "1.0.0"
  },
  "require-dev": { "phpunit/phpunit": "^9.5|^10.0" }
}
`

const composerLock = `{
  "packages": [
    {
      "name": "monolog/monolog",
      "version": "2.9.1",
      "require": { "php": ">=7.2", "psr/log": "^1.0.1", "acme/lost": "*" },
      "provide": { "psr/log-implementation": "1.0.0" }
    },
    { "name": "psr/log", "version": "1.1.4" },
    { "name": "acme/stale", "version": "v2.0.0", "dist": { "type": "path" } }
  ],
  "packages-dev": [
    { "name": "phpunit/phpunit", "version": "9.6.0", "require": { "psr/log": "*" } }
  ]
}
`

func TestComposerReadsLinesEdgesAndContradictions(t *testing.T) {
	t.Parallel()
	m := only(t, read(t, files("composer.json", composerManifest, "composer.lock", composerLock)), "", "composer")
	want := []string{
		"monolog/monolog@2.9.1 composer.lock:3-8 direct [^2.0 composer.json:6] >psr/log@1.1.4",
		"psr/log@1.1.4 composer.lock:9-9",
		"acme/stale@v2.0.0 composer.lock:10-10 direct path [~3.1 composer.json:8]",
		"phpunit/phpunit@9.6.0 composer.lock:13-13 direct dev [^9.5|^10.0 composer.json:11] >psr/log@1.1.4",
		"problem composer.lock:6: monolog/monolog requires acme/lost, which is not locked",
		"problem composer.json:7: declares acme/gone 1.0.0, which composer.lock does not lock",
		"problem composer.json:8: declares acme/stale ~3.1; composer.lock line 10 locks v2.0.0",
	}
	if diff := cmp.Diff(want, listing(m)); diff != "" {
		t.Error(diff)
	}
	if m.Name != "acme/shop" {
		t.Error(m.Name)
	}
}

func TestComposerConstraintsAreJudgedOnlyWhenUnderstood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		constraint, version string
		fits, understood    bool
	}{
		{"^1.2", "1.9.0", true, true}, {"^1.2", "2.0.0", false, true}, {"~1.2", "v1.9.0", true, true}, {"~1.2.3", "1.3.0", false, true},
		{"1.2", "1.2.0", true, true}, {"1.2", "1.2.1", false, true}, {">=1.0 <2.0", "1.5.0", true, true}, {">=1.0,<2.0", "2.5.0", false, true},
		{"1.*|2.*", "2.1.0", true, true}, {"dev-main", "dev-main", false, false}, {"^1.0@dev", "1.0.0", false, false}, {"*", "3.0.0", true, true},
		{"~0.2", "0.9.0", false, false}, {"^1.0", "1.0.0.1", false, false},
	} {
		if fits, understood := composerAdmits(c.constraint, c.version); fits != c.fits || understood != c.understood {
			t.Errorf("%s %s: %v %v", c.constraint, c.version, fits, understood)
		}
	}
}

func TestComposerWithoutALockKnowsOnlyExactVersions(t *testing.T) {
	t.Parallel()
	m := only(t, read(t, files("composer.json", composerManifest)), "", "composer")
	if diff := cmp.Diff([]string{
		"monolog/monolog@ composer.json:6-6 direct [^2.0 composer.json:6]",
		"acme/gone@1.0.0 composer.json:7-7 direct [1.0.0 composer.json:7]",
	}, listing(m)[:2]); diff != "" {
		t.Error(diff)
	}
}

func FuzzComposer(f *testing.F) {
	f.Add(composerManifest, composerLock)
	f.Fuzz(func(t *testing.T, manifest, lock string) {
		read(t, files("composer.json", manifest, "composer.lock", lock))
	})
}
