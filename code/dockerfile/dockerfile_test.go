package dockerfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, text string) *File {
	t.Helper()
	file, err := Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// lines lists "stage kind line-end text" of a chain.
func lines(steps []Step) []string {
	var list []string
	for _, s := range steps {
		list = append(list, fmt.Sprintf("%d %s %d-%d %s", s.Stage, s.Kind, s.Line, s.EndLine, s.Text))
	}
	return list
}

func TestAChainFollowsStagesAndExpandsWhatBuildersExpand(t *testing.T) {
	t.Parallel()
	file := parse(t, `# syntax=docker/dockerfile:1
ARG VERSION=3.12
ARG DISTRO=slim
FROM --platform=$BUILDPLATFORM python:${VERSION}-${DISTRO} AS Base
ENV HOME_DIR=/srv \
    MODE="fast run"
WORKDIR ${HOME_DIR}/app
RUN apt-get update \
    # a comment between
 && apt-get   install -y curl
ONBUILD COPY . /src
FROM base
ARG VERSION
ARG PORT=8080
COPY --from=base --chmod=755 --link a b ./bin/
COPY --from=nginx:1.27 /etc/nginx /etc/nginx
EXPOSE ${PORT} 53/udp
CMD python   main.py
HEALTHCHECK --interval=5s CMD curl -f http://localhost || exit 1
`)
	if file.Syntax != "docker/dockerfile:1" || len(file.Problems) > 0 {
		t.Errorf("syntax %q, problems %v", file.Syntax, file.Problems)
	}
	want := []string{
		"0 ENV 5-6 HOME_DIR=/srv MODE=fast run",
		"0 WORKDIR 7-7 /srv/app",
		"0 RUN 8-10 apt-get update && apt-get install -y curl",
		"0 ONBUILD 11-11 COPY . /src",
		"0 COPY 11-11 . /src",
		"1 ARG 13-13 VERSION=3.12",
		"1 ARG 14-14 PORT=8080",
		"1 COPY 15-15 a b ./bin/",
		"1 COPY 16-16 /etc/nginx /etc/nginx",
		"1 EXPOSE 17-17 53/udp 8080/tcp",
		"1 CMD 18-18 /bin/sh -c python main.py",
		"1 HEALTHCHECK 19-19 curl -f http://localhost || exit 1",
	}
	if diff := cmp.Diff(want, lines(file.Chain(1))); diff != "" {
		t.Error(diff)
	}
	base := file.Stages[0].Base
	if base.Image != "python:3.12-slim" || base.Platform != "$BUILDPLATFORM" {
		t.Errorf("base %q for %q", base.Image, base.Platform)
	}
	if len(base.Args) != 2 || base.Args[0].Line != 3 || base.Args[1].Line != 2 {
		t.Errorf("the lines that decide the tag: %+v", base.Args)
	}
	copies := file.Stages[1].Instructions
	if got := copies[2]; got.FromStage != 0 || got.Dest != "/srv/app/bin/" {
		t.Errorf("copy from stage %d to %q", got.FromStage, got.Dest)
	}
	if got := copies[3]; got.FromStage != -1 || got.From != "nginx:1.27" {
		t.Errorf("copy from %q, stage %d", got.From, got.FromStage)
	}
}

func TestFormsOfTheGrammar(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"a heredoc is the command", "FROM a\nRUN <<EOF\nset -e\nmake\nEOF\nUSER x\n", []string{"0 RUN 2-5 set -e make", "0 USER 6-6 x"}},
		{"a heredoc in a command stays within it", "FROM a\nRUN cat <<EOF > /x\nhello\nEOF\n", []string{"0 RUN 2-4 cat <<EOF > /x hello EOF"}},
		{"a copied heredoc names its file", "FROM a\nCOPY <<one <<two /etc/\n1\none\n2\ntwo\n", []string{"0 COPY 2-6 <<one <<two /etc/"}},
		{"byte order mark and CRLF", "\xef\xbb\xbfFROM a\r\nRUN one \\\r\n two\r\n", []string{"0 RUN 2-3 one two"}},
		{"another escape character", "# escape=`\nFROM a\nRUN one `\n two\n", []string{"0 RUN 3-4 one two"}},
		{"exec form", `FROM a
RUN ["/bin/x", "a b"]
ENTRYPOINT ["x"]
VOLUME ["/a", "/b"]
`, []string{"0 RUN 2-2 /bin/x a b", "0 ENTRYPOINT 3-3 x", "0 VOLUME 4-4 /a /b"}},
		{"the shell that is in force", "FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nCMD x\n", []string{"0 SHELL 2-2 /bin/bash -c", "0 CMD 3-3 /bin/bash -c x"}},
		{"an unknown variable stays", "FROM a\nCOPY ${X}/b /c\n", []string{"0 COPY 2-2 ${X}/b /c"}},
		{"the old form of ENV", "FROM a\nENV A b c\n", []string{"0 ENV 2-2 A=b c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, lines(parse(t, test.text).Chain(0))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAWrongInstructionIsAProblemAndTheRestIsKept(t *testing.T) {
	t.Parallel()
	file := parse(t, "FROM a\nFROBNICATE x\nCOPY one\nRUN make\n")
	if len(file.Problems) != 2 || file.Problems[0].Line != 2 || file.Problems[1].Line != 3 {
		t.Errorf("problems %v", file.Problems)
	}
	if diff := cmp.Diff([]string{"0 RUN 4-4 make"}, lines(file.Chain(0))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"expected a FROM":      "RUN x\n",
		"no instructions":      "",
		"zero byte":            "FROM a\x00\n",
		"unterminated heredoc": "FROM a\nRUN <<E\n",
		"ONBUILD within":       "FROM a\nONBUILD ONBUILD RUN x\n",
		"larger than":          "FROM a\n" + strings.Repeat("#", MaxFile),
	} {
		if _, err := Parse("Dockerfile", []byte(text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: got %v, want an error that says %q", cut(text), err, name)
		}
	}
}

func cut(s string) string { return s[:min(len(s), 40)] }

func TestVariablesThatDoubleThemselvesStayBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("FROM a\nENV A0=xxxxxxxxxxxxxxxx\n")
	for i := range 60 {
		fmt.Fprintf(&b, "ENV A%d=$A%d$A%d$A%d\n", i+1, i, i, i)
	}
	file := parse(t, b.String())
	for _, in := range file.Stages[0].Instructions {
		if len(in.Text) > 2*maxExpansion {
			t.Fatalf("line %d grew to %d bytes", in.Line, len(in.Text))
		}
	}
}

func TestEveryStageThatNothingUsesMayBeTheTarget(t *testing.T) {
	t.Parallel()
	file := parse(t, "FROM a AS build\nFROM b AS debug\nFROM c\nCOPY --from=0 x y\n")
	if diff := cmp.Diff([]int{2, 1, 0}, file.Finals()); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("FROM a AS b\nRUN <<E\nx\nE\nFROM b\nCOPY --from=b a b\nONBUILD RUN x\nHEALTHCHECK CMD x\n"))
	f.Add([]byte("ARG A=${B:-${C}}\nFROM $A\nENV A=\"b c\" D='e'\nEXPOSE 1-2/udp\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("Dockerfile", data)
		if err != nil {
			return
		}
		total := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		for i := range file.Stages {
			for _, step := range file.Chain(i) {
				if step.Line < 1 || step.EndLine < step.Line || step.EndLine > total {
					t.Fatalf("%s at %d-%d of %d lines", step.Kind, step.Line, step.EndLine, total)
				}
				if again := Canonical(step.Kind, step.Text); step.Kind == "RUN" && again != step.Text {
					t.Fatalf("canonical form of %q is %q", step.Text, again)
				}
			}
		}
	})
}
