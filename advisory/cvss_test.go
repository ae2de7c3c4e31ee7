package advisory

import "testing"

// The scores are those of first.org's examples for CVSS v3.1 and v4.0 and of the CVSS
// v2 guide, section 3.3, and of NVD for well-known flaws.
func TestBaseScoresEqualPublishedOnes(t *testing.T) {
	t.Parallel()
	for vector, want := range map[string]float64{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H":                              10,  // CVE-2021-44228
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N":                              7.5, // CVE-2014-0160
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N":                              6.1, // CVE-2013-1937
		"CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N":                              6.4, // CVE-2013-0375
		"CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N":                              3.1, // CVE-2014-3566
		"CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H":                              9.9, // CVE-2012-1516
		"CVSS:3.1/AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H":                              7.8, // CVE-2009-0658
		"CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H":                              6.8, // CVE-2011-1265 family
		"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N":                              0,
		"CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H/E:P/RL:O":                     5.9,
		"AV:N/AC:L/Au:N/C:N/I:N/A:C":                                                7.8, // CVE-2002-0392
		"AV:N/AC:L/Au:N/C:C/I:C/A:C":                                                10,  // CVE-2003-0818
		"(AV:L/AC:H/Au:N/C:C/I:C/A:C)":                                              6.2, // CVE-2003-0062
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N":           9.3,
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H":           10,
		"CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N":           7.3, // CVE-2022-41741
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N/E:U/MAV:P": 9.3, // the base alone
	} {
		if got, err := baseScore(vector); err != nil || got != want {
			t.Errorf("%s scores %v, %v; want %v", vector, got, err, want)
		}
	}
	for _, vector := range []string{"", "CVSS:3.1", "CVSS:3.1/AV:N", "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "AV:N/AV:N/AC:L/Au:N/C:N/I:N/A:C", "7.5", "CVSS:4.0/AV:N"} {
		if score, err := baseScore(vector); err == nil {
			t.Errorf("%q scores %v, want an error", vector, score)
		}
	}
}
