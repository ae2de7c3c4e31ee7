// Package dockerfile reads Dockerfiles: stages and their chains, the images they
// start from with the line that decides the tag, and every instruction with its
// line range and the form in which builders write it into an image's history.
//
// The grammar is BuildKit's own parser; nothing is built and nothing is
// fetched. Lines count from 1. Contents are untrusted: sizes and expansions
// are bounded, and what cannot be understood becomes a Problem while the rest
// goes on.
package dockerfile

import (
	"fmt"
	"strings"
)

// MaxFile is the largest Dockerfile that is read, in bytes.
const MaxFile = 1 << 20

// File is one Dockerfile.
type File struct {
	Path   string
	Syntax string // value of the syntax directive, "" when there is none
	Escape rune   // '\\' or '`'
	Args   []Variable
	Stages []Stage
	// Problems are instructions that could not be understood.
	Problems []Problem
}

// Problem is a place that could not be understood.
type Problem struct {
	Path string
	Line int // 0 unknown
	Text string
}

// String gives "path:line: text".
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text) }

// Variable is one ARG with its default.
type Variable struct {
	Name  string
	Value string // expanded
	Line  int
	Set   bool // whether it has a default
}

// Reference is an image that a file names.
type Reference struct {
	Written  string // as written
	Image    string // with variables expanded by their defaults
	Platform string // of --platform, expanded; "" when not said
	Line     int
	EndLine  int
	// Args are the variables that decide the reference, each with the line of
	// its default: the line to edit.
	Args []Variable
	// Unknown names variables without a default; then Image keeps them.
	Unknown []string
}

// Stage is one FROM and what follows it.
type Stage struct {
	Index        int
	Name         string // lower case, "" when not named
	Base         Reference
	Parent       int // index of the stage that it starts from, -1 for an image
	Line         int // of FROM
	EndLine      int // last line of its last instruction
	Instructions []Instruction
}

// Instruction is one instruction other than FROM.
type Instruction struct {
	Kind    string // upper case: RUN, COPY ...
	Line    int
	EndLine int
	Source  string   // as written, continuation lines joined
	Flags   []string // "--chmod=755", "--link" ...
	JSON    bool     // exec form
	// Text is the canonical form of what follows the keyword, as Canonical
	// gives it, variables expanded by their defaults where builders do so.
	Text string

	// From is where COPY --from takes files, "" when from the build context;
	// FromStage is the index of the stage it names, -1 for an image or none.
	From      string
	FromStage int
	// Mounts are the stages or images of RUN --mount=from=.
	Mounts  []string
	Sources []string // of COPY and ADD, expanded
	Dest    string   // of COPY and ADD, expanded and absolute where the work folder is known

	Heredocs []Heredoc
	Trigger  *Instruction // of ONBUILD
}

// Heredoc is a here-document of an instruction.
type Heredoc struct {
	Name    string
	Content string
}

// Step is an instruction of a chain of stages.
type Step struct {
	Stage int // index of the stage it is written in
	// Instruction is what was written; for a trigger it stands at the line of
	// its ONBUILD.
	*Instruction
}

// Chain lists the instructions that make a stage, from the first stage that
// starts from an image down to this one; ONBUILD triggers of a parent stand
// where the child begins. It is empty when there is no such stage.
func (f *File) Chain(stage int) []Step {
	if stage < 0 || stage >= len(f.Stages) {
		return nil
	}
	s := &f.Stages[stage]
	var steps []Step
	if s.Parent >= 0 && s.Parent < stage {
		steps = f.Chain(s.Parent)
		parent := &f.Stages[s.Parent]
		for i := range parent.Instructions {
			if trigger := parent.Instructions[i].Trigger; trigger != nil {
				steps = append(steps, Step{s.Parent, trigger})
			}
		}
	}
	for i := range s.Instructions {
		steps = append(steps, Step{stage, &s.Instructions[i]})
	}
	return steps
}

// Root is the index of the stage at the head of a stage's chain: the one that
// starts from an image.
func (f *File) Root(stage int) int {
	for stage >= 0 && stage < len(f.Stages) && f.Stages[stage].Parent >= 0 && f.Stages[stage].Parent < stage {
		stage = f.Stages[stage].Parent
	}
	return stage
}

// Finals lists the stages that `docker build` may have been asked for, the last
// one first: without --target it is the last; with it any other. Stages that
// only serve others come after those that nothing else uses.
func (f *File) Finals() []int {
	used := map[int]bool{}
	for i := range f.Stages {
		s := &f.Stages[i]
		if s.Parent >= 0 {
			used[s.Parent] = true
		}
		for j := range s.Instructions {
			if from := s.Instructions[j].FromStage; from >= 0 {
				used[from] = true
			}
		}
	}
	var finals, rest []int
	for i := len(f.Stages) - 1; i >= 0; i-- {
		if i == len(f.Stages)-1 || !used[i] {
			finals = append(finals, i)
		} else {
			rest = append(rest, i)
		}
	}
	return append(finals, rest...)
}

// StageOf gives the index of the stage before `before` that a name or number
// means, -1 when none does.
func (f *File) StageOf(name string, before int) int {
	name = strings.ToLower(name)
	for i := min(before, len(f.Stages)) - 1; i >= 0; i-- {
		if f.Stages[i].Name != "" && f.Stages[i].Name == name {
			return i
		}
	}
	number := 0
	if name == "" || len(name) > 6 {
		return -1
	}
	for _, r := range name {
		if r < '0' || r > '9' {
			return -1
		}
		number = number*10 + int(r-'0')
	}
	if number < min(before, len(f.Stages)) {
		return number
	}
	return -1
}

// Named says whether a file's path looks like that of a Dockerfile.
func Named(path string) bool {
	base := strings.ToLower(path[strings.LastIndexByte(path, '/')+1:])
	return base == "dockerfile" || base == "containerfile" ||
		strings.HasPrefix(base, "dockerfile.") && !strings.HasSuffix(base, ".dockerignore") || strings.HasPrefix(base, "containerfile.") ||
		strings.HasSuffix(base, ".dockerfile") || strings.HasSuffix(base, ".containerfile") ||
		strings.HasPrefix(base, "dockerfile-") || strings.HasPrefix(base, "dockerfile_") || strings.HasSuffix(base, "-dockerfile") || strings.HasSuffix(base, "_dockerfile")
}
