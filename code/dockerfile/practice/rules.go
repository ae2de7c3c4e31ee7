package practice

import "github.com/backstitch/backstitch/fact"

// The rules. Aliases are ids with hadolint (DL), checkov (CKV), trivy (AVD-DS, DS) and
// dockle (CIS-DI, DKL-DI).
var (
	rootUser      = &Rule{"dockerfile/root-user", []string{"DL3002", "CKV_DOCKER_3", "CKV_DOCKER_8", "AVD-DS-0002", "DS002", "DS-0002", "CIS-DI-0001"}, "The image runs as root", fact.SeverityHigh, "end the last stage with USER and an account that is not root"}
	latestTag     = &Rule{"dockerfile/latest-tag", []string{"DL3006", "DL3007", "CKV_DOCKER_7", "AVD-DS-0001", "DS001", "DS-0001", "DKL-DI-0006"}, "The base image's tag names no release", fact.SeverityMedium, "name a release, and its digest where builds have to be the same"}
	addLocal      = &Rule{"dockerfile/add", []string{"DL3020", "CKV_DOCKER_4", "AVD-DS-0005", "DS005", "DS-0005", "CIS-DI-0009"}, "ADD where COPY does", fact.SeverityLow, "use COPY for files of the build context"}
	addRemote     = &Rule{"dockerfile/add-remote", []string{"CKV_DOCKER_4"}, "What is downloaded is not checked", fact.SeverityMedium, "state its sha256 with --checksum, or download it in a RUN that compares it"}
	recommends    = &Rule{"dockerfile/apt-recommends", []string{"DL3015", "AVD-DS-0029", "DS029", "DS-0029"}, "apt-get installs what is only recommended", fact.SeverityLow, "install with --no-install-recommends"}
	aptYes        = &Rule{"dockerfile/apt-yes", []string{"DL3014", "AVD-DS-0021", "DS021", "DS-0021"}, "apt-get asks a question in a build", fact.SeverityLow, "install with -y"}
	aptLists      = &Rule{"dockerfile/apt-lists", []string{"DL3009", "DKL-DI-0005"}, "The lists of apt-get stay in the layer", fact.SeverityLow, "remove /var/lib/apt/lists in the RUN that filled it"}
	updateAlone   = &Rule{"dockerfile/update-alone", []string{"CKV_DOCKER_5", "AVD-DS-0017", "DS017", "DS-0017"}, "The lists of packages are updated in a RUN of their own", fact.SeverityMedium, "update the lists in the RUN that installs"}
	distUpgrade   = &Rule{"dockerfile/dist-upgrade", []string{"DL3005", "AVD-DS-0024", "DS024", "DS-0024", "DKL-DI-0003"}, "The distribution is upgraded in a build", fact.SeverityMedium, "take a newer base image, or upgrade within the release"}
	apkCache      = &Rule{"dockerfile/apk-cache", []string{"DL3019", "AVD-DS-0025", "DS025", "DS-0025", "DKL-DI-0004"}, "apk keeps its index in the layer", fact.SeverityLow, "add packages with --no-cache"}
	yumClean      = &Rule{"dockerfile/yum-clean", []string{"DL3032", "DL3040", "AVD-DS-0015", "DS015", "DS-0015", "AVD-DS-0019", "DS019", "DS-0019"}, "The cache of yum or dnf stays in the layer", fact.SeverityLow, "clean the cache in the RUN that filled it"}
	pipCache      = &Rule{"dockerfile/pip-cache", []string{"DL3042"}, "pip keeps its cache in the layer", fact.SeverityLow, "install with --no-cache-dir"}
	pipefail      = &Rule{"dockerfile/pipefail", []string{"DL4006"}, "A failure before a pipe goes unseen", fact.SeverityLow, "set the shell's pipefail before the RUN"}
	pipeShell     = &Rule{"dockerfile/download-run", nil, "What is downloaded runs unchecked", fact.SeverityHigh, "download to a file, compare its sha256 with a known one, then run it"}
	secret        = &Rule{"dockerfile/secret", []string{"AVD-DS-0031", "DS031", "DS-0031", "CIS-DI-0010"}, "A secret is written into the image", fact.SeverityCritical, "change the secret at its provider first: it stands in every image that was built; then hand it in with RUN --mount=type=secret or at run time"}
	healthcheck   = &Rule{"dockerfile/healthcheck", []string{"DL3057", "CKV_DOCKER_2", "AVD-DS-0026", "DS026", "DS-0026", "CIS-DI-0006"}, "Nothing tells whether the program answers", fact.SeverityLow, "add HEALTHCHECK, or leave it to the probes of what runs the image and say so with an exception"}
	sudo          = &Rule{"dockerfile/sudo", []string{"DL3004", "CKV2_DOCKER_1", "AVD-DS-0010", "DS010", "DS-0010", "DKL-DI-0001"}, "sudo in a build", fact.SeverityMedium, "run as root where root is needed, and leave sudo out"}
	exposeSSH     = &Rule{"dockerfile/expose-ssh", []string{"CKV_DOCKER_1", "AVD-DS-0004", "DS004", "DS-0004"}, "The port of SSH is exposed", fact.SeverityMedium, "do not run SSH in a container"}
	relative      = &Rule{"dockerfile/workdir-relative", []string{"DL3000", "CKV_DOCKER_10", "AVD-DS-0009", "DS009", "DS-0009"}, "WORKDIR is relative", fact.SeverityMedium, "write the whole path"}
	manyCMD       = &Rule{"dockerfile/multiple-cmd", []string{"DL4003", "AVD-DS-0016", "DS016", "DS-0016"}, "Only the last CMD counts", fact.SeverityMedium, "keep one CMD"}
	manyEntries   = &Rule{"dockerfile/multiple-entrypoint", []string{"DL4004", "AVD-DS-0007", "DS007", "DS-0007"}, "Only the last ENTRYPOINT counts", fact.SeverityMedium, "keep one ENTRYPOINT"}
	manyHealth    = &Rule{"dockerfile/multiple-healthcheck", []string{"DL3012", "AVD-DS-0023", "DS023", "DS-0023"}, "Only the last HEALTHCHECK counts", fact.SeverityMedium, "keep one HEALTHCHECK"}
	maintainer    = &Rule{"dockerfile/maintainer", []string{"DL4000", "CKV_DOCKER_6", "AVD-DS-0022", "DS022", "DS-0022"}, "MAINTAINER is out of use", fact.SeverityLow, "use the label org.opencontainers.image.authors"}
	setuid        = &Rule{"dockerfile/setuid", []string{"CIS-DI-0008"}, "A program is made to run as its owner", fact.SeverityMedium, "leave the setuid and setgid bits off"}
	unchecked     = &Rule{"dockerfile/certificates-unchecked", []string{"CKV2_DOCKER_2", "CKV2_DOCKER_3", "CKV2_DOCKER_4", "CKV2_DOCKER_5", "CKV2_DOCKER_6", "CKV2_DOCKER_12", "CKV2_DOCKER_13", "CKV2_DOCKER_14", "CKV2_DOCKER_15", "CKV2_DOCKER_16"}, "Certificates are not checked", fact.SeverityHigh, "leave the check on; add the authority's certificate where one of your own is used"}
	unsigned      = &Rule{"dockerfile/signatures-unchecked", []string{"CKV2_DOCKER_7", "CKV2_DOCKER_8", "CKV2_DOCKER_9", "CKV2_DOCKER_10", "CKV2_DOCKER_11"}, "Signatures of packages are not checked", fact.SeverityHigh, "leave the check on; add the key of the repository"}
	passwordInRun = &Rule{"dockerfile/chpasswd", []string{"CKV2_DOCKER_17"}, "A password is set in a build", fact.SeverityHigh, "change the password: it stands in the image's history; containers need no passwords"}
)

// Rules lists the rules.
func Rules() []*Rule {
	return []*Rule{
		rootUser, latestTag, addLocal, addRemote, recommends, aptYes, aptLists, updateAlone, distUpgrade, apkCache, yumClean, pipCache, pipefail, pipeShell, secret,
		healthcheck, sudo, exposeSSH, relative, manyCMD, manyEntries, manyHealth, maintainer, setuid, unchecked, unsigned, passwordInRun,
	}
}

// Secret says whether a rule is about a secret, which removal alone does not mend.
func (r *Rule) Secret() bool { return r == secret || r == passwordInRun }

// Latest says whether a rule is mended by choosing a tag.
func (r *Rule) Latest() bool { return r == latestTag }
