package fix

import "testing"

func TestAMavenVersionIsAPreReleaseByItsWord(t *testing.T) {
	for version, want := range map[string]string{
		"24.0-jre": "", "23.1-android": "", "4.1.94.Final": "", "5.13.3.202401111512-r": "", "2.0.0-incubating": "",
		"1.0.0.RELEASE": "", "20030211.134440": "", "1.2.17-norce1": "", "9.4.1.jre8": "",
		"3.0.0-rc5": "3.0.0", "1.0.0-M31": "1.0.0", "9.0.0.M1": "9.0.0", "4.0.0.Beta1": "4.0.0", "1.0-SNAPSHOT": "1.0",
		"2.0b3": "2.0", "1.1-alpha-2": "1.1", "5.0.0.CR1": "5.0.0",
	} {
		if got := PreRelease("Maven", version); got != (want != "") {
			t.Errorf("PreRelease(%s) = %t", version, got)
		}
		if want == "" {
			want = version
		}
		if got := release("Maven", version, false); got != want {
			t.Errorf("release(%s) = %s, want %s", version, got, want)
		}
	}
}
