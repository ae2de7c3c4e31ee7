package report

import (
	"testing"

	"github.com/backstitch/backstitch/fact"
)

func TestAPackageURLAndADistributionNameOneEcosystem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ family, version, purl, want string }{
		{"alpine", "3.12.1", "pkg:apk/alpine/musl@1.2?arch=x86_64&distro=alpine-3.12.1", "Alpine:v3.12"},
		{"alpine", "3.20", "pkg:apk/alpine/musl@1.2?distro=alpine-v3.20", "Alpine:v3.20"},
		{"debian", "10.9", "pkg:deb/debian/curl@7?distro=debian-10.9", "Debian:10"},
		{"ubuntu", "20.04.1", "pkg:deb/ubuntu/curl@7?distro=ubuntu-20.04.1", "Ubuntu:20.04"},
		{"rhel", "8.4", "pkg:rpm/redhat/curl@7?distro=rhel-8.4", "Red Hat:8"},
		{"opensuse.leap", "15.5", "pkg:rpm/opensuse/curl@7?distro=opensuse-leap-15.5", "openSUSE:15"},
		{"wolfi", "", "pkg:apk/wolfi/curl@7", "Wolfi"},
		{"plan9", "4", "pkg:rpm/plan9/curl@7?distro=plan9-4", ""},
	} {
		p, ok := fact.ParsePURL(c.purl)
		if got := Distribution(c.family, c.version); got != c.want || !ok || p.Ecosystem != c.want {
			t.Errorf("%s %s is %q, %s is of %q, want %q for both", c.family, c.version, got, c.purl, p.Ecosystem, c.want)
		}
		if again, _ := fact.ParsePURL(fact.PURL(c.want, "curl", "7")); c.want != "" && again.Ecosystem != c.want {
			t.Errorf("a package of %q is read back as one of %q", c.want, again.Ecosystem)
		}
	}
	if p, _ := fact.ParsePURL("pkg:deb/debian/curl@7?distro=debian-bookworm"); p.Ecosystem != "Debian:bookworm" {
		t.Errorf("a release by name is %q", p.Ecosystem)
	}
}

func TestTimesThatNobodyKnowsAreUnknown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"2024-01-02T03:04:05.000006Z": 1704164645000006, "0001-01-01T00:00:00Z": 0, "1969-12-31T23:59:59Z": 0, "": 0, "yesterday": 0,
	} {
		if got := Micros(text); got != want {
			t.Errorf("Micros(%q) = %d, want %d", text, got, want)
		}
	}
}
