package practice

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/dockerfile"
)

func judged(t testing.TB, text string) []Verdict {
	t.Helper()
	file, err := dockerfile.Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Judge(file, dockerfile.NewText([]byte(text), file))
}

func mend(text string, edits []Edit) string {
	var b strings.Builder
	last := 0
	for _, e := range edits {
		b.WriteString(text[last:e.Start] + e.New)
		last = e.End
	}
	return b.String() + text[last:]
}

// quiet ends a file so that the rules about the last stage are content.
const quiet = "\nUSER app\nHEALTHCHECK CMD true\n"

func TestARuleIsMendedByItsEditAndByNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ rule, before, after string }{
		"no USER":                     {"root-user", "FROM a:1\nRUN x\nCMD y", "FROM a:1\nRUN x\nUSER 65532:65532\nCMD y"},
		"USER root at the end":        {"root-user", "FROM a:1\nUSER app\nUSER root\nRUN x\nENTRYPOINT y\n", "FROM a:1\nUSER app\nUSER root\nRUN x\nUSER app\nENTRYPOINT y\n"},
		"an account that a RUN makes": {"root-user", "FROM a:1\nRUN useradd -m shop\n", "FROM a:1\nRUN useradd -m shop\nUSER shop\n"},
		"node's own account":          {"root-user", "FROM node:20\nWORKDIR /x", "FROM node:20\nWORKDIR /x\nUSER node"},
		"an account of Windows":       {"root-user", "FROM mcr.microsoft.com/windows/nanoserver:ltsc2022\nCMD y", "FROM mcr.microsoft.com/windows/nanoserver:ltsc2022\nUSER ContainerUser\nCMD y"},
		"no USER behind a heredoc":    {"root-user", "FROM a:1\r\nRUN <<EOF\r\nx\r\nEOF\r\nCMD y\r\n", "FROM a:1\r\nRUN <<EOF\r\nx\r\nEOF\r\nUSER 65532:65532\r\nCMD y\r\n"},
		"ADD":                         {"add", "FROM a:1\nADD --chown=1 b c /d/" + quiet, "FROM a:1\nCOPY --chown=1 b c /d/" + quiet},
		"add in small letters":        {"add", "from a:1\nadd . /d" + quiet, "from a:1\ncopy . /d" + quiet},
		"recommended packages": {"apt-recommends", "FROM a:1\nRUN apt-get update \\\n && apt-get -y install\\\n  x && rm -rf /var/lib/apt/lists/*" + quiet,
			"FROM a:1\nRUN apt-get update \\\n && apt-get -y install --no-install-recommends\\\n  x && rm -rf /var/lib/apt/lists/*" + quiet},
		"a question in a build": {"apt-yes", "FROM a:1\nRUN apt-get install x" + quiet, "FROM a:1\nRUN apt-get install -y x" + quiet},
		"lists of apt":          {"apt-lists", "FROM a:1\nRUN apt-get update && apt-get install -y \\\n x \\\n y" + quiet, "FROM a:1\nRUN apt-get update && apt-get install -y \\\n x \\\n y && rm -rf /var/lib/apt/lists/*" + quiet},
		"an update alone":       {"update-alone", "FROM a:1\nRUN apt-get update -q\nRUN echo && apt-get install -y x" + quiet, "FROM a:1\nRUN echo && apt-get update -q && apt-get install -y x" + quiet},
		"dist-upgrade":          {"dist-upgrade", "FROM a:1\nRUN apt-get -y dist-upgrade" + quiet, "FROM a:1\nRUN apt-get -y upgrade" + quiet},
		"apk's index":           {"apk-cache", "FROM a:1\nRUN apk add x" + quiet, "FROM a:1\nRUN apk add --no-cache x" + quiet},
		"dnf's cache":           {"yum-clean", "FROM a:1\nRUN dnf -y install x" + quiet, "FROM a:1\nRUN dnf -y install x && dnf clean all" + quiet},
		"pip's cache":           {"pip-cache", "FROM a:1\nRUN pip install x" + quiet, "FROM a:1\nRUN pip install --no-cache-dir x" + quiet},
		"a pipe":                {"pipefail", "FROM alpine:3\n\tRUN a | b\nRUN c | d" + quiet, "FROM alpine:3\nSHELL [\"/bin/ash\", \"-o\", \"pipefail\", \"-c\"]\n\tRUN a | b\nRUN c | d" + quiet},
		"sudo":                  {"sudo", "FROM a:1\nRUN x && sudo apt-get remove y" + quiet, "FROM a:1\nRUN x && apt-get remove y" + quiet},
		"port of SSH":           {"expose-ssh", "FROM a:1\nEXPOSE 80 22/tcp 443" + quiet, "FROM a:1\nEXPOSE 80 443" + quiet},
		"nothing but SSH":       {"expose-ssh", "FROM a:1\r\nEXPOSE 22\r\nCMD x" + quiet, "FROM a:1\r\nCMD x" + quiet},
		"relative WORKDIR":      {"workdir-relative", "FROM a:1\nWORKDIR /a\nWORKDIR b" + quiet, "FROM a:1\nWORKDIR /a\nWORKDIR /a/b" + quiet},
		"two CMDs":              {"multiple-cmd", "FROM a:1\nCMD x \\\n  y\nCMD z" + quiet, "FROM a:1\nCMD z" + quiet},
		"two ENTRYPOINTs":       {"multiple-entrypoint", "FROM a:1\nENTRYPOINT x\nENTRYPOINT z" + quiet, "FROM a:1\nENTRYPOINT z" + quiet},
		"MAINTAINER":            {"maintainer", "FROM a:1\nMAINTAINER A \"B\" <c@example.test>" + quiet, "FROM a:1\nLABEL org.opencontainers.image.authors=\"A \\\"B\\\" <c@example.test>\"" + quiet},
		"setuid":                {"setuid", "FROM a:1\nRUN chmod 4755 /x" + quiet, "FROM a:1\nRUN chmod 0755 /x" + quiet},
		"curl -k":               {"certificates-unchecked", "FROM a:1\nRUN curl -s -k https://x" + quiet, "FROM a:1\nRUN curl -s https://x" + quiet},
		"trusted host":          {"certificates-unchecked", "FROM a:1\nRUN pip --no-cache-dir install --no-cache-dir --trusted-host h x" + quiet, "FROM a:1\nRUN pip --no-cache-dir install --no-cache-dir x" + quiet},
		"variable of many":      {"certificates-unchecked", "FROM a:1\nENV A=1 PYTHONHTTPSVERIFY=0 B=2" + quiet, "FROM a:1\nENV A=1 B=2" + quiet},
		"variable alone":        {"certificates-unchecked", "FROM a:1\nENV NODE_TLS_REJECT_UNAUTHORIZED 0" + quiet, "FROM a:1" + quiet},
		"variable of a command": {"certificates-unchecked", "FROM a:1\nRUN GIT_SSL_NO_VERIFY=true git clone x" + quiet, "FROM a:1\nRUN git clone x" + quiet},
		"unsigned packages":     {"signatures-unchecked", "FROM a:1\nRUN yum -y --nogpgcheck install x && yum clean all" + quiet, "FROM a:1\nRUN yum -y install x && yum clean all" + quiet},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var edits []Edit
			seen := 0
			for _, v := range judged(t, c.before) {
				if v.Rule.ID == "dockerfile/"+c.rule {
					seen++
					edits = append(edits, v.Edits...)
				}
			}
			if seen == 0 {
				t.Fatalf("%s is not seen", c.rule)
			}
			if diff := cmp.Diff(c.after, mend(c.before, edits)); diff != "" {
				t.Fatal(diff)
			}
			for _, v := range judged(t, c.after) {
				if v.Rule.ID == "dockerfile/"+c.rule {
					t.Errorf("%s is still seen at line %d: %s", v.Rule.ID, v.Line, v.Detail)
				}
			}
		})
	}
}

func TestWhatPeopleHaveToDecideHasNoEdit(t *testing.T) {
	t.Parallel()
	for rule, text := range map[string]string{
		"latest-tag":   "FROM a",
		"download-run": "FROM a:1\nRUN curl https://x | sh",
		"secret":       "FROM a:1\nENV API_KEY=abcdef0123",
		"chpasswd":     "FROM a:1\nRUN echo 'root:x' | chpasswd",
		"healthcheck":  "FROM a:1",
		"apt-lists":    "FROM a:1\nRUN <<EOF\napt-get update\napt-get install -y x\nEOF",
	} {
		found := false
		for _, v := range judged(t, text) {
			if v.Rule.ID == "dockerfile/"+rule {
				found = true
				if len(v.Edits) > 0 {
					t.Errorf("%s is mended by itself: %+v", rule, v.Edits)
				}
			}
			if strings.Contains(fmt.Sprint(v), "abcdef0123") {
				t.Errorf("%s repeats the secret", v.Rule.ID)
			}
		}
		if !found {
			t.Errorf("%s is not seen in %q", rule, text)
		}
	}
}

func TestGoodPracticeIsNotBlamed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"FROM golang:1.22@sha256:0 AS build\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN a | b\nRUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -y --no-install-recommends x\n" +
			"FROM build AS more\nRUN c | d\nADD --checksum=sha256:0 https://x/y.tar.gz /y\nADD z.tar /z\n" +
			"FROM gcr.io/distroless/static:nonroot\nCOPY --from=build /a /a\nARG TOKEN\nENV PASSWORD=$TOKEN PASSWORD_FILE=/run/x\nEXPOSE 2222\nHEALTHCHECK NONE\n",
		"FROM mcr.microsoft.com/windows/nanoserver:ltsc2022\nSHELL [\"powershell\", \"-Command\"]\nRUN a | b\nWORKDIR C:\\\\app\nUSER x\nHEALTHCHECK NONE\n",
		"FROM scratch\nCOPY a /a\nUSER 1\nHEALTHCHECK NONE\n",
		"FROM a:1\nRUN [\"apt-get\", \"update\"]\nRUN echo 'sudo curl -k | sh'\nRUN apt-get -s dist-upgrade\nRUN chmod 0755 x && chmod 644 y\nUSER 1\nHEALTHCHECK NONE\n",
	} {
		for _, v := range judged(t, text) {
			t.Errorf("%s at line %d of %q: %s", v.Rule.ID, v.Line, text, v.Detail)
		}
	}
}

// Folders of the data name the checks of a peer, with what fails and what passes them.
func TestThePeersCasesAreJudgedAlike(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		dir = filepath.FromSlash("../../../../shared/data")
	}
	root := filepath.Join(dir, "iac-policy", "checkov-dockerfile")
	if _, err := os.Stat(root); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatalf("real data is required: %v", err)
		}
		t.Skip("no real data; set BACKSTITCH_DATA")
	}
	ids := map[string]string{
		"EnvGitSslNoVerify": "CKV2_DOCKER_14", "EnvNodeTlsRejectUnauthorized": "CKV2_DOCKER_6", "EnvNpmConfigStrictSsl": "CKV2_DOCKER_12",
		"EnvPipTrustedHost": "CKV2_DOCKER_16", "EnvPythonHttpsVerify": "CKV2_DOCKER_5", "RunApkAllowUntrusted": "CKV2_DOCKER_7",
		"RunAptGetAllowUnauthenticated": "CKV2_DOCKER_8", "RunChpasswd": "CKV2_DOCKER_17", "RunNpmConfigSetStrictSsl": "CKV2_DOCKER_13",
		"RunPipTrustedHost": "CKV2_DOCKER_4", "RunUsingSudo": "CKV2_DOCKER_1", "RunYumConfigManagerSslVerify": "CKV2_DOCKER_15", "RunYumNoGpgCheck": "CKV2_DOCKER_9",
		"example_AddExists": "CKV_DOCKER_4", "example_UpdateNotAlone": "CKV_DOCKER_5",
	}
	cases := 0
	err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !dockerfile.Named(filepath.ToSlash(name)) {
			return err
		}
		parts := strings.Split(filepath.ToSlash(name), "/")
		kind, id := parts[len(parts)-2], ids[parts[len(parts)-3]]
		fails := strings.HasPrefix(kind, "fail")
		if id == "" || !fails && !strings.HasPrefix(kind, "pass") && !strings.HasPrefix(kind, "success") {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := dockerfile.Parse(name, data)
		if err != nil {
			return nil
		}
		cases++
		blamed := slices.ContainsFunc(Judge(file, dockerfile.NewText(data, file)), func(v Verdict) bool { return slices.Contains(v.Rule.Aliases, id) })
		if blamed != fails {
			t.Errorf("%s: %s is seen: %v, expected %v", strings.TrimPrefix(name, root), id, blamed, fails)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if cases < 20 {
		t.Errorf("only %d cases were judged", cases)
	}
}

func TestAFileOfManyInstructionsTakesNoSquareOfTime(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{"RUN apt-get update\n", "RUN a|b;pip install x\n", "FROM x AS %[1]d\nRUN sudo x\n", "FROM %[2]d AS s%[1]d\nUSER 1\n", "ENV A=1 PYTHONHTTPSVERIFY=0\n"} {
		var b strings.Builder
		b.WriteString("FROM a:1 AS s0\n")
		for i := 1; i < 9000; i++ {
			text := piece
			if strings.Contains(piece, "%") {
				text = strings.NewReplacer("%[1]d", fmt.Sprint(i), "%[2]d", fmt.Sprint("s", i-1)).Replace(piece)
			}
			b.WriteString(text)
		}
		// A square of it would take minutes and end the test.
		if found := judged(t, b.String()); len(found) == 0 || len(found) > maxVerdicts {
			t.Errorf("%q: %d verdicts", piece, len(found))
		}
	}
}

func FuzzJudge(f *testing.F) {
	for _, seed := range []string{"FROM a\nRUN apt-get update && apt-get install x", "FROM a\nADD b c\nEXPOSE 22\nRUN <<E\na|b\nE\n", "FROM a\nENV A 1\nONBUILD RUN sudo x\n", "# escape=`\nFROM a\nRUN a `\n b | c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := dockerfile.Parse("Dockerfile", []byte(text))
		if err != nil {
			return
		}
		for _, v := range Judge(file, dockerfile.NewText([]byte(text), file)) {
			last := 0
			for _, e := range v.Edits {
				if e.Start < last || e.End < e.Start || e.End > len(text) {
					t.Fatalf("%s: edit of bytes %d to %d of %d behind byte %d", v.Rule.ID, e.Start, e.End, len(text), last)
				}
				last = e.End
			}
		}
	})
}
