package practice

import (
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
)

var (
	setuidMode   = regexp.MustCompile(`^0?[2-7][0-7]{3}$`)
	sslVerifyOff = regexp.MustCompile(`(?i)sslverify=(?:0|false|no)\b`)
	setuidLetter = regexp.MustCompile(`^[augo]*[+=][rwx]*s`)
)

// parsed is a command with what it runs.
type parsed struct {
	dockerfile.Command
	name string
	args []dockerfile.Token
}

// verb gives the first argument that is no option.
func (p *parsed) verb() dockerfile.Token {
	for _, word := range p.args {
		if !strings.HasPrefix(word.Text, "-") {
			return word
		}
	}
	return dockerfile.Token{}
}

func (p *parsed) has(options ...string) bool {
	return slices.ContainsFunc(p.args, func(w dockerfile.Token) bool { return slices.Contains(options, w.Text) })
}

// short says whether a word of short options, such as -qy, holds one.
func (p *parsed) short(letter string) bool {
	return slices.ContainsFunc(p.args, func(w dockerfile.Token) bool {
		return len(w.Text) > 1 && w.Text[0] == '-' && w.Text[1] != '-' && strings.Contains(w.Text, letter)
	})
}

func (j *judge) run(stage *dockerfile.Stage, in *dockerfile.Instruction, asRoot bool, piped *bool) {
	var commands []parsed
	for _, command := range j.said(in) {
		name, args := command.Program()
		commands = append(commands, parsed{command, name, command.Words[args:]})
	}
	if len(commands) == 0 {
		return
	}
	j.packages(stage, in, commands)
	j.checks(in, commands)
	for i := range commands {
		c := &commands[i]
		for k, word := range c.Words[:len(c.Words)-len(c.args)] {
			if word.Text == "sudo" {
				j.unsudo(in, c, k, asRoot)
			}
		}
		switch c.name {
		case "chmod":
			j.mode(in, c)
		case "chpasswd":
			j.tell(Verdict{Rule: passwordInRun, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Wanted: "?what needs the password", Detail: "chpasswd"})
		}
		if c.After.Text == "|" && (c.name == "curl" || c.name == "wget") && i+1 < len(commands) && slices.Contains([]string{"sh", "bash", "ash", "dash", "zsh", "python", "python3", "perl", "ruby", "node"}, commands[i+1].name) {
			j.tell(Verdict{Rule: pipeShell, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Wanted: "?the sha256 of what is downloaded", Detail: c.name + " into " + commands[i+1].name})
		}
	}
	pipes := slices.ContainsFunc(commands, func(c parsed) bool { return c.After.Text == "|" })
	if pipes && !*piped && !strings.Contains(in.Text, "pipefail") {
		shell := `SHELL ["/bin/bash", "-o", "pipefail", "-c"]`
		if strings.Contains(j.file.Stages[j.file.Root(stage.Index)].Base.Image, "alpine") {
			shell = `SHELL ["/bin/ash", "-o", "pipefail", "-c"]`
		}
		v := Verdict{Rule: pipefail, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: "a pipe", Wanted: shell, Risk: "minor"}
		v.Edits = []Edit{j.before(in, shell)}
		// One SHELL decides about all that follow in the stage.
		if j.shelled {
			v.Edits, v.Covered = nil, true
		}
		j.shelled = true
		j.tell(v)
	}
}

// unsudo leaves sudo out where root runs the build.
func (j *judge) unsudo(in *dockerfile.Instruction, c *parsed, at int, asRoot bool) {
	v := Verdict{Rule: sudo, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: "sudo " + c.name, Risk: "minor"}
	next := at + 1
	if asRoot && next < len(c.Words) && !strings.HasPrefix(c.Words[next].Text, "-") {
		v.Edits = []Edit{{c.Words[at].Start, c.Words[next].Start, ""}}
	} else {
		v.Wanted = "?whether the command needs root; then USER root before it and the account again behind it"
	}
	j.tell(v)
}

func (j *judge) mode(in *dockerfile.Instruction, c *parsed) {
	word := c.verb()
	if !setuidMode.MatchString(word.Text) || strings.TrimPrefix(word.Text, "0") == "" {
		if setuidLetter.MatchString(word.Text) {
			j.tell(Verdict{Rule: setuid, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: "chmod " + word.Text, Wanted: "?what needs the bit"})
		}
		return
	}
	if len(word.Text) == 4 && word.Text[0] == '0' {
		return
	}
	to := "0" + word.Text[len(word.Text)-3:]
	j.tell(Verdict{Rule: setuid, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: "chmod " + word.Text, Wanted: to, Risk: "minor", Edits: []Edit{{word.Start, word.End, to}}})
}

// packages judges what is said to package managers.
func (j *judge) packages(stage *dockerfile.Stage, in *dockerfile.Instruction, commands []parsed) {
	apt, installs, updates, cleaned := false, false, false, false
	clean := map[string]bool{}
	yum := ""
	cached := slices.ContainsFunc(in.Flags, func(f string) bool {
		return strings.HasPrefix(f, "--mount=") && (strings.Contains(f, "/var/lib/apt") || strings.Contains(f, "/var/cache"))
	})
	for i := range commands {
		c := &commands[i]
		verb := c.verb()
		switch c.name {
		case "apt-get", "apt", "aptitude":
			if c.short("s") || c.has("--simulate", "--dry-run", "--just-print", "--print-uris") {
				continue // nothing is changed
			}
			switch verb.Text {
			case "update":
				apt, updates = true, true
			case "install", "upgrade":
				apt = apt || updates
				installs = true
				if verb.Text == "install" && !c.has("--no-install-recommends") && !strings.Contains(strings.Join(texts(c.args), " "), "Install-Recommends") && c.name != "aptitude" {
					j.at(recommends, in, c.name+" install", Edit{verb.End, verb.End, " --no-install-recommends"})
				}
				if c.name != "aptitude" && !c.short("y") && !c.has("--yes", "--assume-yes", "-qq") && !strings.Contains(strings.Join(texts(c.args), " "), "Assume-Yes") && c.Before.Text != "|" {
					j.at(aptYes, in, c.name+" "+verb.Text, Edit{verb.End, verb.End, " -y"})
				}
			case "dist-upgrade", "full-upgrade":
				installs = true
				j.tell(Verdict{Rule: distUpgrade, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: c.name + " " + verb.Text, Wanted: "upgrade", Risk: "minor", Edits: []Edit{{verb.Start, verb.End, "upgrade"}}})
			}
		case "apk":
			switch verb.Text {
			case "update":
				updates = true
			case "add", "upgrade":
				installs = true
				if verb.Text == "add" && !c.has("--no-cache") && !cached && !removes(commands, "/var/cache/apk") {
					j.at(apkCache, in, "apk add", Edit{verb.End, verb.End, " --no-cache"})
				}
			}
		case "yum", "dnf", "microdnf":
			switch verb.Text {
			case "install", "update", "upgrade", "groupinstall", "localinstall", "reinstall":
				yum = c.name
			case "clean":
				clean[c.name] = true
			}
		case "pip", "pip3":
			if verb.Text == "install" && !c.has("--no-cache-dir") && !j.uncached && !slices.ContainsFunc(in.Flags, func(f string) bool { return strings.Contains(f, "type=cache") }) {
				j.at(pipCache, in, "pip install", Edit{verb.End, verb.End, " --no-cache-dir"})
			}
		case "rm", "find":
			cleaned = cleaned || slices.ContainsFunc(c.args, func(w dockerfile.Token) bool { return strings.HasPrefix(strings.Trim(w.Text, `"'`), "/var/lib/apt") })
		}
	}
	last := commands[len(commands)-1]
	behind := func(text string) []Edit {
		if len(in.Heredocs) > 0 || last.After.Text != "" || last.Before.Text == "|" && last.After.Text != "" {
			return nil
		}
		return []Edit{{last.End(), last.End(), text}}
	}
	if apt && !cleaned && !cached {
		j.at(aptLists, in, "apt-get update", behind(" && rm -rf /var/lib/apt/lists/*")...)
	}
	if yum != "" && !clean[yum] && !cached && !removes(commands, "/var/cache/") {
		j.at(yumClean, in, yum, behind(" && "+yum+" clean all")...)
	}
	if updates && !installs {
		j.alone(stage, in, commands)
	}
}

func texts(tokens []dockerfile.Token) []string {
	list := make([]string, 0, len(tokens))
	for _, token := range tokens {
		list = append(list, token.Text)
	}
	return list
}

// removes says whether some command removes what lies in a folder.
func removes(commands []parsed, folder string) bool {
	return slices.ContainsFunc(commands, func(c parsed) bool {
		return c.name == "rm" && slices.ContainsFunc(c.args, func(w dockerfile.Token) bool { return strings.HasPrefix(w.Text, folder) })
	})
}

// maxLater is how many RUNs behind one are looked at.
const maxLater = 50

// alone moves an update that stands alone to the RUNs that install.
func (j *judge) alone(stage *dockerfile.Stage, in *dockerfile.Instruction, commands []parsed) {
	v := Verdict{Rule: updateAlone, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: commands[0].name + " update"}
	if len(commands) == 1 {
		update := strings.Join(texts(commands[0].Words), " ")
		var edits []Edit
		looked := 0
		for i := range stage.Instructions {
			later := &stage.Instructions[i]
			if later.Kind != "RUN" || later.Line <= in.Line {
				continue
			}
			if looked++; looked > maxLater {
				edits = nil // not all that need the lists can be told
				break
			}
			list := j.said(later)
			at := slices.IndexFunc(list, func(c dockerfile.Command) bool {
				name, args := c.Program()
				return name == commands[0].name && slices.ContainsFunc(c.Words[args:], func(w dockerfile.Token) bool {
					return w.Text == "install" || w.Text == "add" || w.Text == "upgrade"
				})
			})
			has := slices.ContainsFunc(list, func(c dockerfile.Command) bool {
				name, args := c.Program()
				return name == commands[0].name && len(c.Words) > args && slices.ContainsFunc(c.Words[args:], func(w dockerfile.Token) bool { return w.Text == "update" })
			})
			if at >= 0 && !has {
				edits = append(edits, Edit{list[at].Start(), list[at].Start(), update + " && "})
			}
		}
		if len(edits) > 0 {
			v.Edits = append(edits, j.remove(in))
			slices.SortFunc(v.Edits, func(a, b Edit) int { return a.Start - b.Start })
		}
	}
	if len(v.Edits) == 0 {
		v.Wanted = "?the RUN that needs the lists"
	}
	j.tell(v)
}

// off are options that turn a check off, by program.
var off = []struct {
	programs []string
	options  []string
	rule     *Rule
	value    bool // the next word belongs to it
}{
	{[]string{"curl"}, []string{"-k", "--insecure"}, unchecked, false},
	{[]string{"wget"}, []string{"--no-check-certificate"}, unchecked, false},
	{[]string{"pip", "pip3"}, []string{"--trusted-host"}, unchecked, true},
	{[]string{"apk"}, []string{"--allow-untrusted"}, unsigned, false},
	{[]string{"apt-get", "apt"}, []string{"--allow-unauthenticated", "--force-yes"}, unsigned, false},
	{[]string{"yum", "dnf", "microdnf", "rpm", "tdnf"}, []string{"--nogpgcheck", "--nodigest", "--nosignature", "--noverify", "--nofiledigest"}, unsigned, false},
}

func (j *judge) checks(in *dockerfile.Instruction, commands []parsed) {
	for i := range commands {
		c := &commands[i]
		for _, one := range off {
			if !slices.Contains(one.programs, c.name) {
				continue
			}
			for k, word := range c.args {
				option, _, joined := strings.Cut(word.Text, "=")
				if !slices.Contains(one.options, option) {
					continue
				}
				edit := j.without(word)
				if one.value && !joined && k+1 < len(c.args) {
					edit.End = c.args[k+1].End
				}
				if option == "--force-yes" {
					edit = Edit{word.Start, word.End, "-y"}
				}
				j.tell(Verdict{Rule: one.rule, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: c.name + " " + option, Risk: "minor", Edits: []Edit{edit}})
			}
		}
		words := strings.Join(texts(c.args), " ")
		switch {
		case (c.name == "npm" || c.name == "yarn") && strings.Contains(words, "config set") && strings.Contains(words, "strict-ssl") && strings.Contains(words, "false"),
			c.name == "git" && strings.Contains(words, "http.sslVerify") && strings.Contains(strings.ToLower(words), "false"),
			strings.Contains(c.name+" "+words, "config-manager") && sslVerifyOff.MatchString(words):
			j.tell(Verdict{Rule: unchecked, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: c.name + " turns the check off", Wanted: "?the certificate of the authority that is used"})
		}
		for _, word := range c.Words[:len(c.Words)-len(c.args)] {
			name, value, ok := strings.Cut(word.Text, "=")
			want, known := checksOff[strings.ToLower(name)]
			if ok && known && turnsOff(want, value) {
				edit := Edit{word.Start, word.End, ""}
				if word.End < len(j.text.Data) && j.text.Data[word.End] == ' ' {
					edit.End++
				}
				j.tell(Verdict{Rule: unchecked, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: name + " turns the check off", Risk: "minor", Edits: []Edit{edit}})
			}
		}
		if c.name == "export" {
			for _, word := range c.args {
				name, value, _ := strings.Cut(word.Text, "=")
				want, known := checksOff[strings.ToLower(name)]
				if known && turnsOff(want, value) {
					j.tell(Verdict{Rule: unchecked, Line: in.Line, EndLine: in.EndLine, Field: "RUN", Detail: name + " turns the check off", Wanted: "?the certificate of the authority that is used"})
				}
			}
		}
	}
}
