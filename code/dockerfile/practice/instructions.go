package practice

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
)

var archive = regexp.MustCompile(`(?i)\.(?:tar|tgz|tbz2?|txz|tzst|tar\.(?:gz|bz2|xz|zst|lzma|z))$`)

// instructions judges the instructions of a stage one by one.
func (j *judge) instructions(stage *dockerfile.Stage) {
	asRoot, piped := true, false
	if before, ok := j.ends[stage.Parent]; ok {
		asRoot, piped = before.asRoot, before.piped
	}
	j.shelled = false
	j.uncached = slices.ContainsFunc(stage.Instructions, func(in dockerfile.Instruction) bool {
		return in.Kind == "ENV" && strings.Contains(in.Text, "PIP_NO_CACHE_DIR")
	})
	counts := map[string][]*dockerfile.Instruction{}
	for i := range stage.Instructions {
		in := &stage.Instructions[i]
		counts[in.Kind] = append(counts[in.Kind], in)
		switch in.Kind {
		case "ADD":
			j.add(in)
		case "USER":
			asRoot = root(in.Text)
		case "SHELL":
			piped = strings.Contains(in.Text, "pipefail") || !posix(in.Text)
		case "EXPOSE":
			j.expose(in)
		case "WORKDIR":
			j.workdir(in)
		case "MAINTAINER":
			j.author(in)
		case "ENV", "ARG":
			j.variables(in)
		case "RUN":
			j.run(stage, in, asRoot, &piped)
		}
	}
	j.ends[stage.Index] = ending{asRoot, piped}
	for _, many := range []struct {
		kind string
		rule *Rule
	}{{"CMD", manyCMD}, {"ENTRYPOINT", manyEntries}, {"HEALTHCHECK", manyHealth}} {
		list := counts[many.kind]
		for i := 0; i+1 < len(list); i++ {
			j.at(many.rule, list[i], "a later "+many.kind+" takes its place", j.remove(list[i]))
		}
	}
}

// posix says whether a shell is one that knows pipefail or could.
func posix(shell string) bool {
	words := strings.Fields(shell)
	if len(words) == 0 {
		return false
	}
	switch name := strings.TrimSuffix(path.Base(strings.ReplaceAll(words[0], `\`, "/")), ".exe"); name {
	case "sh", "ash", "bash", "dash", "zsh":
		return true
	}
	return false
}

// keyword is the first word of an instruction in the file.
func (j *judge) keyword(in *dockerfile.Instruction) (dockerfile.Token, []dockerfile.Token) {
	start, end := j.text.Span(in.Line, in.EndLine)
	tokens := j.text.Tokens(start, end)
	if len(tokens) == 0 || !strings.EqualFold(tokens[0].Text, in.Kind) {
		return dockerfile.Token{}, nil
	}
	return tokens[0], tokens[1:]
}

func (j *judge) add(in *dockerfile.Instruction) {
	word, _ := j.keyword(in)
	remote := func(source string) bool {
		return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
	}
	if slices.ContainsFunc(in.Sources, remote) && !slices.ContainsFunc(in.Flags, func(f string) bool { return strings.HasPrefix(f, "--checksum=") }) {
		j.tell(Verdict{Rule: addRemote, Line: in.Line, EndLine: in.EndLine, Field: "ADD", Detail: strings.Join(in.Sources, " "), Wanted: "?the sha256 of what is downloaded"})
		return
	}
	for _, source := range in.Sources {
		if strings.Contains(source, "://") || strings.HasPrefix(source, "git@") || archive.MatchString(source) || strings.Contains(source, "$") {
			return
		}
	}
	if word.End == 0 || slices.ContainsFunc(in.Flags, func(f string) bool {
		return !strings.HasPrefix(f, "--chown") && !strings.HasPrefix(f, "--chmod") && !strings.HasPrefix(f, "--link")
	}) {
		return
	}
	text := "COPY"
	if word.Text == strings.ToLower(word.Text) {
		text = "copy"
	}
	j.at(addLocal, in, strings.Join(in.Sources, " "), Edit{word.Start, word.End, text})
}

func (j *judge) expose(in *dockerfile.Instruction) {
	_, words := j.keyword(in)
	var edits []Edit
	for _, word := range words {
		if port, _, _ := strings.Cut(word.Text, "/"); strings.Trim(port, `"'[],`) == "22" {
			start := word.Start
			for start > 0 && (j.text.Data[start-1] == ' ' || j.text.Data[start-1] == '\t') {
				start--
			}
			edits = append(edits, Edit{start, word.End, ""})
		}
	}
	switch {
	case len(edits) == 0:
	case len(edits) == len(words):
		j.at(exposeSSH, in, in.Text, j.remove(in))
	default:
		j.at(exposeSSH, in, in.Text, edits...)
	}
}

func (j *judge) workdir(in *dockerfile.Instruction) {
	_, words := j.keyword(in)
	if len(words) != 1 {
		return
	}
	dir := strings.Trim(words[0].Text, `"'`)
	if strings.HasPrefix(dir, "/") || strings.HasPrefix(dir, "$") || len(dir) > 1 && dir[1] == ':' || strings.HasPrefix(dir, `\`) {
		return
	}
	to := in.Text
	risk := "patch"
	if !strings.HasPrefix(to, "/") {
		to, risk = path.Join("/", dir), "minor" // what the base's folder is, it does not say here
	}
	j.tell(Verdict{Rule: relative, Line: in.Line, EndLine: in.EndLine, Field: "WORKDIR", Detail: dir, Wanted: to, Risk: risk, Edits: []Edit{{words[0].Start, words[0].End, to}}})
}

func (j *judge) author(in *dockerfile.Instruction) {
	start, end := j.text.Span(in.Line, in.EndLine)
	name := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(strings.Trim(in.Text, `"'`))
	j.at(maintainer, in, in.Text, Edit{start, end, `LABEL org.opencontainers.image.authors="` + name + `"`})
}

var (
	secretName  = regexp.MustCompile(`(?i)(?:^|_)(?:password|passwd|passwort|pwd|secret|token|api_?key|access_?key|private_?key|client_?secret|credentials?|auth_?token)(?:$|_(?:key|value|id)$)`)
	placeholder = regexp.MustCompile(`(?i)^(?:|change_?me|todo|xxx+|none|null|true|false|example|dummy|placeholder|<.*>|\*+|.*\$.*|/.*|\d{1,4})$`)
	checksOff   = map[string]string{"node_tls_reject_unauthorized": "0", "pythonhttpsverify": "0", "git_ssl_no_verify": "*", "npm_config_strict_ssl": "false", "pip_trusted_host": "*"}
)

// turnsOff says whether a value of a variable of checksOff turns the check off.
func turnsOff(off, value string) bool {
	value = strings.Trim(value, `"'`)
	return off == "*" && value != "" || strings.EqualFold(value, off)
}

// variables judges ENV and ARG.
func (j *judge) variables(in *dockerfile.Instruction) {
	_, words := j.keyword(in)
	pairs := 0
	for _, word := range words {
		if strings.Contains(word.Text, "=") {
			pairs++
		}
	}
	for i, word := range words {
		name, value, ok := strings.Cut(word.Text, "=")
		if !ok && i == 0 && in.Kind == "ENV" && len(words) > 1 && pairs == 0 {
			name, value, ok = word.Text, words[1].Text, true
		}
		if !ok {
			continue
		}
		value = strings.Trim(value, `"'`)
		off, known := checksOff[strings.ToLower(name)]
		switch {
		case known && turnsOff(off, value):
			edit := j.remove(in)
			if pairs > 1 {
				edit = j.without(word)
			}
			v := Verdict{Rule: unchecked, Line: in.Line, EndLine: in.EndLine, Field: in.Kind, Detail: name + " turns the check off", Risk: "minor", Edits: []Edit{edit}}
			j.tell(v)
		case secretName.MatchString(name) && !placeholder.MatchString(value) && !strings.HasSuffix(strings.ToLower(name), "_file"):
			// The value is not repeated: findings are shown and stored.
			j.tell(Verdict{Rule: secret, Line: in.Line, EndLine: in.EndLine, Field: in.Kind, Detail: name + " holds a value", Wanted: "?where the program gets " + name + " from at run time"})
		}
	}
}

// without takes a word out together with the white space before it.
func (j *judge) without(word dockerfile.Token) Edit {
	start := word.Start
	for start > 0 && (j.text.Data[start-1] == ' ' || j.text.Data[start-1] == '\t') {
		start--
	}
	return Edit{start, word.End, ""}
}
