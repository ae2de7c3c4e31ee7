package advice

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/kubernetes"
)

// Edit replaces bytes [Start, End) of a Dockerfile.
type Edit struct {
	Start, End int
	New        string
}

// Conversion is how a Dockerfile is moved to hardened images.
type Conversion struct {
	Edits []Edit // by Start, not overlapping
	Lines []int  // of the instructions that are edited, rising
	Notes []string
	// Images are the references that came in, by line of the FROM.
	Images map[int]string
}

// Convert moves the stages of a Dockerfile to the catalogue's images: those that run
// commands to images with a shell, package managers to apk, accounts to adduser. What
// has no equivalent stays, with a note.
func Convert(file *dockerfile.File, text *dockerfile.Text, catalogue *Catalogue) Conversion {
	c := converter{file: file, text: text, catalogue: catalogue, conversion: Conversion{Images: map[int]string{}}}
	moved := map[int]bool{}
	for i := range file.Stages {
		stage := &file.Stages[i]
		if stage.Parent >= 0 {
			moved[i] = moved[file.Root(i)]
		} else {
			moved[i] = c.base(stage)
		}
		if moved[i] {
			c.stage(stage)
		}
	}
	slices.SortFunc(c.conversion.Edits, func(a, b Edit) int { return a.Start - b.Start })
	slices.Sort(c.conversion.Lines)
	c.conversion.Lines = slices.Compact(c.conversion.Lines)
	return c.conversion
}

type converter struct {
	file       *dockerfile.File
	text       *dockerfile.Text
	catalogue  *Catalogue
	conversion Conversion
}

func (c *converter) edit(line, start, end int, text string) {
	c.conversion.Edits = append(c.conversion.Edits, Edit{start, end, text})
	c.conversion.Lines = append(c.conversion.Lines, line)
}

func (c *converter) note(line int, format string, args ...any) {
	c.conversion.Notes = append(c.conversion.Notes, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
}

// runs says whether a stage, or one that starts from it, runs commands.
func (c *converter) runs(index int) bool {
	for i := range c.file.Stages {
		stage := &c.file.Stages[i]
		if c.file.Root(i) != index {
			continue
		}
		if slices.ContainsFunc(stage.Instructions, func(in dockerfile.Instruction) bool {
			return in.Kind == "RUN" || in.Trigger != nil && in.Trigger.Kind == "RUN"
		}) {
			return true
		}
	}
	return false
}

// base moves the image of a stage.
func (c *converter) base(stage *dockerfile.Stage) bool {
	if strings.EqualFold(stage.Base.Image, "scratch") {
		return false
	}
	name, tag := split(stage.Base.Written)
	ref, ok := kubernetes.ParseReference(name)
	if !ok {
		c.note(stage.Line, "which image %s is depends on variables; choose its equivalent by hand", stage.Base.Written)
		return false
	}
	target, ok := c.catalogue.For(ref.Registry, ref.Repository, tag, c.runs(stage.Index))
	if !ok {
		c.note(stage.Line, "no equivalent of %s is known by rule", stage.Base.Written)
		return false
	}
	word, ok := c.text.Image(&stage.Base)
	if !ok {
		c.note(stage.Line, "the image's name is not written in one piece")
		return false
	}
	to := target.Image + ":" + target.Tag
	c.edit(stage.Line, word.Start, word.End, to)
	c.conversion.Images[stage.Line] = to
	c.casing(stage, word)
	return true
}

// casing writes AS as large as FROM, which builders warn about otherwise.
func (c *converter) casing(stage *dockerfile.Stage, image dockerfile.Token) {
	start, end := c.text.Span(stage.Base.Line, stage.Base.EndLine)
	if from := c.text.Tokens(start, image.Start); len(from) == 0 || from[0].Text != "FROM" {
		return
	}
	if rest := c.text.Tokens(image.End, end); len(rest) > 1 && rest[0].Text == "as" {
		c.edit(stage.Line, rest[0].Start, rest[0].End, "AS")
	}
}

// split takes a reference as written apart into the name and the tag, without digest.
func split(written string) (name, tag string) {
	name, _, _ = strings.Cut(written, "@")
	depth, at := 0, -1
	for i := range len(name) {
		switch name[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '/':
			at = -1
		case ':':
			if depth == 0 && at < 0 {
				at = i
			}
		}
	}
	if at >= 0 {
		return name[:at], name[at+1:]
	}
	return name, ""
}

// stage converts what a stage runs.
func (c *converter) stage(stage *dockerfile.Stage) {
	root, placed := false, false
	for i := range stage.Instructions {
		in := &stage.Instructions[i]
		switch in.Kind {
		case "USER":
			root = rootUser(in.Text)
			continue
		case "RUN":
		default:
			continue
		}
		if !c.run(in) || root || placed {
			continue
		}
		placed = true
		_, end := c.text.Span(stage.Base.Line, stage.Base.EndLine)
		c.edit(stage.Line, end, end, c.text.Ending()+"USER root")
	}
	if placed && !slices.ContainsFunc(stage.Instructions, func(in dockerfile.Instruction) bool { return in.Kind == "USER" }) &&
		stage.Index == len(c.file.Stages)-1 {
		c.note(stage.EndLine, "the last stage installs packages as root; end it with USER and an account that is not root, or move what it installs to an earlier stage")
	}
}

func rootUser(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	return name == "root" || name == "0"
}

// run converts one RUN and says whether it manages packages.
func (c *converter) run(in *dockerfile.Instruction) bool {
	commands := c.text.Commands(in)
	managed, plain := false, true
	for i := range commands {
		name, args := commands[i].Program()
		managed = managed || manager(name)
		// Only a flat list of commands is written anew.
		plain = plain && assignmentsOnly(&commands[i], args) && !slices.Contains([]string{"for", "while", "case", "until", "fi", "done", "esac", "}"}, name)
	}
	if in.Trigger == nil && in.JSON && len(commands) == 0 {
		return false
	}
	if !managed || !plain || len(in.Heredocs) > 0 {
		for i := range commands {
			if text, ok := c.command(in.Line, &commands[i]); ok {
				if text == "" {
					text = "true"
				}
				_, args := commands[i].Program()
				first := max(args-1, 0)
				if first > 0 && commands[i].Words[first-1].Text == "sudo" {
					first--
				}
				c.edit(in.Line, commands[i].Words[first].Start, commands[i].End(), text)
			}
		}
		return managed
	}
	c.rewrite(in, commands)
	return true
}

// assignmentsOnly says whether nothing but assignments stands before a program.
func assignmentsOnly(command *dockerfile.Command, args int) bool {
	for _, word := range command.Words[:max(args-1, 0)] {
		if !strings.Contains(word.Text, "=") && word.Text != "sudo" {
			return false
		}
	}
	return command.Before.Text != "(" && command.After.Text != ")" && command.Before.Text != "\n"
}

// rewrite writes a RUN anew from what stays of its commands.
func (c *converter) rewrite(in *dockerfile.Instruction, commands []dockerfile.Command) {
	joint := " && \\" + c.text.Ending() + "    "
	if c.file.Escape == '`' {
		joint = " && `" + c.text.Ending() + "    "
	}
	var b strings.Builder
	for first := 0; first < len(commands); {
		last := first
		for commands[last].After.Text == "|" && last+1 < len(commands) {
			last++
		}
		piece := c.pipeline(in.Line, commands[first:last+1])
		if piece != "" {
			if b.Len() > 0 {
				switch before := commands[first].Before.Text; before {
				case "&&":
					b.WriteString(joint)
				case ";":
					b.WriteString("; ")
				default:
					b.WriteString(" " + before + " ")
				}
			}
			b.WriteString(piece)
		}
		first = last + 1
	}
	if b.Len() == 0 {
		b.WriteString("true")
	}
	c.edit(in.Line, commands[0].Start(), commands[len(commands)-1].End(), b.String())
}

// pipeline gives what stays of commands that are joined by pipes, "" for nothing.
func (c *converter) pipeline(line int, commands []dockerfile.Command) string {
	name, _ := commands[0].Program()
	if len(commands) > 1 && manager(name) {
		return ""
	}
	if len(commands) == 1 && listsOnly(&commands[0]) {
		return ""
	}
	var pieces []string
	for i := range commands {
		text, ok := c.command(line, &commands[i])
		if !ok {
			text = words(&commands[i])
		}
		if text != "" {
			pieces = append(pieces, text)
		}
	}
	return strings.Join(pieces, " | ")
}

func words(command *dockerfile.Command) string {
	var list []string
	for _, word := range command.Words {
		list = append(list, word.Text)
	}
	return strings.Join(list, " ")
}

// listsOnly says whether a command only removes the lists of a package manager.
func listsOnly(command *dockerfile.Command) bool {
	name, args := command.Program()
	if name != "rm" {
		return false
	}
	some := false
	for _, word := range command.Words[args:] {
		path := strings.Trim(word.Text, `"'`)
		switch {
		case strings.HasPrefix(path, "-"):
		case strings.HasPrefix(path, "/var/lib/apt/lists"), strings.HasPrefix(path, "/var/cache/apt"), strings.HasPrefix(path, "/var/cache/yum"), strings.HasPrefix(path, "/var/cache/dnf"):
			some = true
		default:
			return false
		}
	}
	return some
}

// manager says whether a program is a package manager that apk takes the place of.
func manager(name string) bool {
	switch name {
	case "apt-get", "apt", "apt-cache", "aptitude", "yum", "dnf", "microdnf", "apk":
		return true
	}
	return false
}

// command gives a command in the words of the catalogue's images: false when it stays
// as it is, "" when nothing takes its place.
func (c *converter) command(line int, command *dockerfile.Command) (string, bool) {
	name, args := command.Program()
	switch name {
	case "apt-get", "apt", "aptitude", "yum", "dnf", "microdnf":
		verb, packages := Packages(command)
		if verb != "install" {
			return "", true
		}
		var list []string
		for _, pkg := range packages {
			if strings.ContainsAny(pkg, "$") {
				c.note(line, "the names of packages in %s are of the former system", pkg)
			}
			list = append(list, apkName(pkg))
		}
		slices.Sort(list)
		list = slices.Compact(list)
		if len(list) == 0 {
			return "", true
		}
		return "apk add --no-cache " + strings.Join(list, " "), true
	case "useradd":
		return c.account(line, "adduser -D", command.Words[args:], map[string]string{
			"-m": "", "--create-home": "", "-r": "-S", "--system": "-S", "-M": "-H", "--no-create-home": "-H", "-l": "", "--no-log-init": "", "-N": "", "--no-user-group": "", "-U": "", "--user-group": "",
		}, map[string]string{"-u": "-u", "--uid": "-u", "-g": "-G", "--gid": "-G", "-s": "-s", "--shell": "-s", "-d": "-h", "--home-dir": "-h", "--home": "-h", "-c": "-g", "--comment": "-g"})
	case "groupadd":
		return c.account(line, "addgroup", command.Words[args:], map[string]string{"-r": "-S", "--system": "-S", "-f": "", "--force": ""}, map[string]string{"-g": "-g", "--gid": "-g"})
	}
	return "", false
}

// account writes the options of useradd or groupadd as busybox knows them.
func (c *converter) account(line int, program string, args []dockerfile.Token, flags, options map[string]string) (string, bool) {
	list := []string{program}
	for i := 0; i < len(args); i++ {
		text := args[i].Text
		option, value, joined := strings.Cut(text, "=")
		to, isFlag := flags[text]
		with, isOption := options[option]
		switch {
		case !strings.HasPrefix(text, "-"):
			list = append(list, text)
		case isFlag && to != "":
			list = append(list, to)
		case isFlag:
		case isOption && joined:
			list = append(list, with, value)
		case isOption && i+1 < len(args):
			i++
			list = append(list, with, args[i].Text)
		default:
			c.note(line, "what %s of the former command is called by busybox has to be said by hand", text)
			return "", false
		}
	}
	return strings.Join(list, " "), true
}

// takesValue are options of package managers whose value is the next word.
var takesValue = map[string]bool{"-t": true, "-o": true, "-c": true, "--option": true, "--target-release": true, "--repository": true, "-X": true, "--virtual": true, "--enablerepo": true, "--disablerepo": true}

// Packages gives the verb of a package manager's command and the packages it names,
// with their versions as written.
func Packages(command *dockerfile.Command) (verb string, packages []string) {
	_, args := command.Program()
	for i := args; i < len(command.Words); i++ {
		text := command.Words[i].Text
		switch {
		case strings.HasPrefix(text, "-"):
			if takesValue[text] {
				i++
			}
		case strings.ContainsAny(text, "<>") && !strings.ContainsAny(text[1:], "="):
		case verb == "":
			verb = text
		default:
			packages = append(packages, strings.Trim(text, `"'`))
		}
	}
	return verb, packages
}

// apkNames are packages of Debian and Red Hat that have another name for apk.
var apkNames = map[string]string{
	"build-essential": "build-base", "g++": "gcc", "libc6-dev": "glibc-dev", "libc-dev": "glibc-dev", "libpq5": "libpq", "libpq-dev": "postgresql-dev",
	"zlib1g": "zlib", "zlib1g-dev": "zlib-dev", "libssl-dev": "openssl-dev", "libffi-dev": "libffi-dev", "python3": "python-3", "python3-dev": "python-3-dev",
	"python3-venv": "python3-venv", "netcat": "netcat-openbsd", "xz-utils": "xz", "gnupg2": "gnupg", "libxml2-dev": "libxml2-dev", "libxslt1-dev": "libxslt-dev",
	"libjpeg-dev": "libjpeg-turbo-dev", "libyaml-dev": "yaml-dev", "libsqlite3-dev": "sqlite-dev", "sqlite3": "sqlite", "dnsutils": "bind-tools", "procps-ng": "procps",
	"openssh-client": "openssh-client", "locales": "glibc-locales", "libcurl4-openssl-dev": "curl-dev", "libbz2-dev": "bzip2-dev", "libreadline-dev": "readline-dev", "gcc-c++": "gcc", "openssl-devel": "openssl-dev", "libffi-devel": "libffi-dev",
}

// apkName gives the name that a package has for apk; versions of another system are
// left out.
func apkName(pkg string) string {
	name, _, _ := strings.Cut(pkg, "=")
	name, _, _ = strings.Cut(name, ":")
	if other := apkNames[name]; other != "" {
		return other
	}
	if rest, ok := strings.CutPrefix(name, "python3-"); ok {
		return "py3-" + rest
	}
	if rest, ok := strings.CutSuffix(name, "-devel"); ok {
		return rest + "-dev"
	}
	return name
}
