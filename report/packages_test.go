package report

import "testing"

func TestOperatingSystemsAreNamedAsEcosystems(t *testing.T) {
	t.Parallel()
	for system, want := range map[string]string{
		"Debian GNU/Linux 9 (stretch)": "Debian:9", "Rocky Linux 9.5 (Blue Onyx)": "Rocky Linux:9", "alpine-3.11.5": "Alpine:v3.11", "alpine 3.9.4": "Alpine:v3.9",
		"Alpine Linux v3.18": "Alpine:v3.18", "ubuntu:18.04": "Ubuntu:18.04", "Ubuntu 20.04.3 LTS": "Ubuntu:20.04", "Red Hat Enterprise Linux 8.9 (Ootpa)": "Red Hat:8",
		"Amazon Linux 2": "Amazon Linux:2", "centos:7": "Red Hat:7", "debian": "Debian", "Windows Server 2019": "", "": "", "9": "",
	} {
		if got := DistributionNamed(system); got != want {
			t.Errorf("%q is %q, want %q", system, got, want)
		}
	}
}
