// Package practice judges a Dockerfile by rules of good practice. A verdict says
// where a rule is broken and, where bytes of the file can mend it without a decision
// of people, which.
//
// It reads text only. What an image of somebody else holds it does not know.
package practice

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
)

// Rule is one rule.
type Rule struct {
	ID       string
	Aliases  []string // ids of the same rule with other tools
	Title    string
	Severity fact.Severity
	// Do says what to do, for people.
	Do string
}

// Edit replaces bytes [Start, End) of the file.
type Edit struct {
	Start, End int
	New        string
}

// Verdict is one place where a rule is broken.
type Verdict struct {
	Rule    *Rule
	Stage   int // index of the stage
	Line    int
	EndLine int
	Field   string // the kind of the instruction that is judged
	Detail  string
	// Wanted is the text that would satisfy the rule, "" when the instruction or a
	// part of it has to go, or begins with "?" when a person has to say it.
	Wanted string
	// Edits mend it; none when a person has to.
	Edits []Edit
	// Covered says that the edits of another verdict of the same rule mend it too.
	Covered bool
	// Risk is what the edits may break, in the words of versions: patch, minor, major.
	Risk string
}

// Object names the stage of a verdict in a file: by its name, or by its number.
func Object(path string, file *dockerfile.File, stage int) string {
	if stage >= 0 && stage < len(file.Stages) && file.Stages[stage].Name != "" {
		return path + "#" + file.Stages[stage].Name
	}
	return path + "#" + strconv.Itoa(stage)
}

// maxVerdicts bounds the verdicts on one file.
const maxVerdicts = 10000

// Judge gives the verdicts on a file, by line.
func Judge(file *dockerfile.File, text *dockerfile.Text) []Verdict {
	j := &judge{file: file, text: text, ends: map[int]ending{}, commands: map[*dockerfile.Instruction][]dockerfile.Command{}}
	for i := range file.Stages {
		j.stage = i
		j.base(&file.Stages[i])
		j.instructions(&file.Stages[i])
	}
	j.stage = len(file.Stages) - 1
	j.last(&file.Stages[j.stage])
	slices.SortStableFunc(j.verdicts, func(a, b Verdict) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule.ID, b.Rule.ID))
	})
	return j.verdicts
}

type judge struct {
	file     *dockerfile.File
	text     *dockerfile.Text
	stage    int
	verdicts []Verdict
	ends     map[int]ending // by stage
	commands map[*dockerfile.Instruction][]dockerfile.Command
	// Of the stage that is judged: whether pip is told to keep no cache, and whether an
	// edit sets the shell.
	uncached, shelled bool
}

// said gives the commands of an instruction, taken apart once.
func (j *judge) said(in *dockerfile.Instruction) []dockerfile.Command {
	list, ok := j.commands[in]
	if !ok {
		list = j.text.Commands(in)
		j.commands[in] = list
	}
	return list
}

// ending is what a stage leaves to those that start from it.
type ending struct{ asRoot, piped bool }

func (j *judge) tell(v Verdict) {
	if len(j.verdicts) < maxVerdicts {
		v.Stage = j.stage
		v.Risk = cmp.Or(v.Risk, "patch")
		j.verdicts = append(j.verdicts, v)
	}
}

func (j *judge) at(rule *Rule, in *dockerfile.Instruction, detail string, edits ...Edit) {
	j.tell(Verdict{Rule: rule, Line: in.Line, EndLine: in.EndLine, Field: in.Kind, Detail: detail, Edits: edits})
}

// remove gives the edit that takes an instruction out, with its line ends.
func (j *judge) remove(in *dockerfile.Instruction) Edit {
	start, end := j.text.Span(in.Line, in.EndLine)
	if bytesAt(j.text.Data, end, "\r\n") {
		end += 2
	} else if bytesAt(j.text.Data, end, "\n") {
		end++
	}
	return Edit{Start: start, End: end}
}

func bytesAt(data []byte, at int, text string) bool {
	return at+len(text) <= len(data) && string(data[at:at+len(text)]) == text
}

// behind gives the edit that puts a line behind the lines of an instruction.
func (j *judge) behind(first, last int, line string) Edit {
	_, end := j.text.Span(first, last)
	return Edit{Start: end, End: end, New: j.text.Ending() + line}
}

// before gives the edit that puts a line before an instruction.
func (j *judge) before(in *dockerfile.Instruction, line string) Edit {
	start, _ := j.text.Span(in.Line, in.Line)
	return Edit{Start: start, End: start, New: line + j.text.Ending()}
}

// base judges what a stage starts from.
func (j *judge) base(stage *dockerfile.Stage) {
	image := stage.Base.Image
	if stage.Parent >= 0 || len(stage.Base.Unknown) > 0 || strings.EqualFold(image, "scratch") || strings.Contains(image, "@") {
		return
	}
	tag := ""
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		tag = image[at+1:]
	}
	if tag == "" || tag == "latest" {
		j.tell(Verdict{Rule: latestTag, Line: stage.Line, EndLine: stage.Base.EndLine, Field: "FROM", Detail: image, Wanted: "?a tag that names a release"})
	}
}

// last judges what the last stage, which becomes the image, says as a whole.
func (j *judge) last(stage *dockerfile.Stage) {
	chain := j.file.Chain(stage.Index)
	var user, healthy *dockerfile.Instruction
	earlier := ""
	place := dockerfile.Instruction{Line: stage.Line, EndLine: stage.Base.EndLine}
	for i := range chain {
		in := chain[i].Instruction
		switch in.Kind {
		case "USER":
			if user = in; !root(in.Text) {
				earlier = in.Text
			}
		case "HEALTHCHECK":
			healthy = in
		case "RUN":
			if name := j.account(in); name != "" && earlier == "" {
				earlier = name
			}
		}
		switch in.Kind {
		case "RUN", "COPY", "ADD", "USER", "WORKDIR", "SHELL":
			if chain[i].Stage == stage.Index && in.EndLine > place.EndLine {
				place = *in
			}
		}
	}
	base := j.file.Stages[j.file.Root(stage.Index)].Base.Image
	switch {
	case user == nil && (strings.Contains(base, "nonroot") || strings.EqualFold(base, "scratch") && len(chain) == 0):
	case user == nil || root(user.Text):
		name := earlier
		if name == "" && official(base, "node") {
			name = "node"
		}
		switch {
		case name != "":
		case strings.Contains(base, "nanoserver") || strings.Contains(base, "windows"):
			name = "ContainerUser"
		default:
			name = "65532:65532" // needs no account in the image
		}
		v := Verdict{Rule: rootUser, Line: stage.Line, EndLine: stage.Base.EndLine, Field: "USER", Wanted: name, Risk: "major", Detail: "no USER is set in the last stage"}
		if user != nil {
			v.Line, v.EndLine, v.Detail = user.Line, user.EndLine, "the last USER is "+user.Text
		}
		v.Edits = []Edit{j.behind(place.Line, place.EndLine, "USER "+name)}
		j.tell(v)
	}
	if healthy == nil {
		j.tell(Verdict{Rule: healthcheck, Line: stage.Line, EndLine: stage.Base.EndLine, Field: "HEALTHCHECK", Wanted: "?the command that tells whether the program answers", Detail: "the last stage has no HEALTHCHECK"})
	}
}

// official says whether an image is the official one of a name.
func official(image, name string) bool {
	rest := strings.TrimPrefix(strings.TrimPrefix(image, "docker.io/"), "library/")
	rest, _, _ = strings.Cut(rest, "@")
	rest, _, _ = strings.Cut(rest, ":")
	return rest == name
}

func root(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	return name == "root" || name == "0"
}

// account gives the account that a RUN makes, "" for none.
func (j *judge) account(in *dockerfile.Instruction) string {
	for _, command := range j.said(in) {
		name, args := command.Program()
		if name != "useradd" && name != "adduser" {
			continue
		}
		last := command.Words[len(command.Words)-1].Text
		if len(command.Words) > args && !strings.HasPrefix(last, "-") && !strings.ContainsAny(last, `$"'<>`) {
			return last
		}
	}
	return ""
}
