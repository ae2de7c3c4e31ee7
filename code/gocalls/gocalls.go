// Package gocalls follows the calls of a Go program to the symbols that advisories
// name as flawed, by the call graph of golang.org/x/vuln.
//
// The work is done in a child, since it type-checks a whole program and everything
// that it imports: the program calls itself with Command, inside a sandbox. It runs no
// code of the program; the go command lists packages, without cgo.
package gocalls

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/vuln/scan"

	"github.com/backstitch/backstitch/code/goapi"
	"github.com/backstitch/backstitch/fact"
)

// Command is the argument with which the program calls itself; Serve expects what
// Arguments gives after it.
const Command = "follow-calls"

// Arguments are those of a child that follows the calls of the module in a folder, by
// a database that WriteDatabase wrote, and writes what Read reads.
func Arguments(folder, database, into string) []string {
	return []string{Command, folder, database, into}
}

// Environment is what the go command of the child needs beside its own folders.
var Environment = []string{"GOENV=off", "GOTOOLCHAIN=local", "GOTELEMETRY=off", "GOVCS=*:off", "GOAUTH=off", "GOPROXY=off", "GOFLAGS=-buildvcs=false", "GOWORK=off", "CGO_ENABLED=0"}

// Bounds of what a child says.
const (
	maxCalls = 20_000
	maxTrace = 64
	maxText  = 400
)

// Call is one way on which a program meets an advisory, or how near it comes.
type Call struct {
	Advisory string `json:"advisory"`
	Module   string `json:"module"`
	Package  string `json:"package,omitempty"` // "" when the module is only required
	Symbol   string `json:"symbol,omitempty"`  // "" when the package is only imported
	// Trace leads from the program's own code to the flawed symbol.
	Trace []Frame `json:"trace,omitempty"`
}

// Frame is one function on the way, and where it calls the next.
type Frame struct {
	Function string `json:"function"`
	File     string `json:"file,omitempty"` // relative to its module
	Line     int    `json:"line,omitempty"`
	Own      bool   `json:"own,omitempty"` // it belongs to the program's module
}

// Serve follows calls as the child: args are those after Command.
func Serve(ctx context.Context, args []string, stderr io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("%s: expected a folder, a database and a file", Command)
	}
	command := scan.Command(ctx, "-C", args[0], "-json", "-scan", "symbol", "-db", "file://"+args[1], "./...")
	reader, writer := io.Pipe()
	command.Stdout, command.Stderr = writer, stderr
	if err := command.Start(); err != nil {
		return err
	}
	go func() { writer.CloseWithError(command.Wait()) }()
	calls, err := findings(reader)
	if err != nil {
		return errors.Join(err, reader.CloseWithError(err))
	}
	data, err := json.Marshal(calls)
	if err != nil {
		return err
	}
	return os.WriteFile(args[2], data, 0o600)
}

// findings keeps the findings of a stream of messages.
func findings(in io.Reader) ([]Call, error) {
	own := ""
	calls := []Call{}
	messages := json.NewDecoder(bufio.NewReader(in))
	for {
		var message struct {
			SBOM *struct {
				Modules []struct{ Path string }
			}
			Finding *struct {
				OSV   string
				Trace []struct {
					Module, Package, Function, Receiver string
					Position                            *struct {
						Filename string
						Line     int
					}
				}
			}
		}
		err := messages.Decode(&message)
		if errors.Is(err, io.EOF) {
			return calls, nil
		}
		if err != nil {
			return nil, err
		}
		if message.SBOM != nil && len(message.SBOM.Modules) > 0 {
			own = message.SBOM.Modules[0].Path
		}
		f := message.Finding
		if f == nil || len(f.Trace) == 0 || len(calls) >= maxCalls {
			continue
		}
		call := Call{Advisory: f.OSV, Module: f.Trace[0].Module, Package: f.Trace[0].Package}
		for i, frame := range f.Trace {
			name := frame.Function
			if frame.Receiver != "" {
				name = strings.TrimPrefix(frame.Receiver, "*") + "." + name
			}
			if i == 0 {
				call.Symbol = name
			}
			if name == "" || len(call.Trace) >= maxTrace {
				continue
			}
			at := Frame{Function: frame.Package + "." + name, Own: frame.Module == own}
			if frame.Position != nil {
				at.File, at.Line = frame.Position.Filename, frame.Position.Line
			}
			call.Trace = append(call.Trace, at)
		}
		slices.Reverse(call.Trace)
		calls = append(calls, call)
	}
}

// Read reads what a child wrote. It is as untrusted as the program that the child
// looked at.
func Read(in io.Reader) ([]Call, error) {
	var calls []Call
	data, err := io.ReadAll(io.LimitReader(in, 64<<20))
	if err == nil {
		err = json.Unmarshal(data, &calls)
	}
	if err != nil {
		return nil, fmt.Errorf("calls: %w", err)
	}
	calls = calls[:min(len(calls), maxCalls)]
	for i := range calls {
		c := &calls[i]
		for _, text := range []*string{&c.Advisory, &c.Module, &c.Package, &c.Symbol} {
			*text = clean(*text)
		}
		c.Trace = c.Trace[:min(len(c.Trace), maxTrace)]
		for j := range c.Trace {
			c.Trace[j].Function, c.Trace[j].File = clean(c.Trace[j].Function), clean(c.Trace[j].File)
		}
	}
	return calls, nil
}

// clean makes a text safe to show.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > maxText {
		text = string(runes[:maxText])
	}
	return text
}

// entry is an advisory in OSV's form, as far as it says what is flawed in Go.
type entry struct {
	SchemaVersion string     `json:"schema_version"`
	ID            string     `json:"id"`
	Modified      time.Time  `json:"modified"`
	Published     time.Time  `json:"published"`
	Aliases       []string   `json:"aliases,omitempty"`
	Summary       string     `json:"summary"`
	Affected      []affected `json:"affected"`
}

type affected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Ranges   []span `json:"ranges"`
	Specific struct {
		Imports []flawed `json:"imports"`
	} `json:"ecosystem_specific"`
}

type span struct {
	Type   string              `json:"type"`
	Events []map[string]string `json:"events"`
}

type flawed struct {
	Path    string   `json:"path"`
	Symbols []string `json:"symbols,omitempty"`
}

// WriteDatabase writes advisories about Go into a folder, in the form of the Go
// vulnerability database. Those that say nothing about Go are left out. They are written
// as if they affected every version: whoever asks has judged that, and the standard
// library that is looked at is the one that is installed. It returns how many were
// written.
func WriteDatabase(dir string, advisories []fact.Advisory) (int, error) {
	type listed struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
	}
	modules := map[string][]listed{}
	written := map[string]bool{}
	write := func(name string, value any) error {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		return os.WriteFile(name, data, 0o644)
	}
	for _, folder := range []string{"index", "ID"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return 0, err
		}
	}
	epoch := time.Unix(0, 0).UTC()
	for i := range advisories {
		a := &advisories[i]
		if written[a.ID] || a.ID == "" || !filepath.IsLocal(a.ID) || strings.ContainsAny(a.ID, `/\`) {
			continue
		}
		e := entry{SchemaVersion: "1.3.1", ID: a.ID, Modified: epoch, Published: epoch, Aliases: a.Aliases, Summary: a.ID}
		for _, from := range a.Affected {
			if from.Ecosystem != "Go" {
				continue
			}
			to := affected{}
			to.Package.Ecosystem, to.Package.Name = "Go", from.Name
			to.Ranges = []span{{Type: "SEMVER", Events: []map[string]string{{"introduced": "0"}}}}
			at := map[string]int{}
			for _, symbol := range from.Symbols {
				importPath, name := goapi.Split(symbol)
				n, seen := at[importPath]
				if !seen {
					n = len(to.Specific.Imports)
					at[importPath] = n
					to.Specific.Imports = append(to.Specific.Imports, flawed{Path: importPath})
				}
				if name != "" {
					to.Specific.Imports[n].Symbols = append(to.Specific.Imports[n].Symbols, name)
				}
			}
			e.Affected = append(e.Affected, to)
			modules[from.Name] = append(modules[from.Name], listed{a.ID, epoch})
		}
		if len(e.Affected) == 0 {
			continue
		}
		written[a.ID] = true
		if err := write(filepath.Join(dir, "ID", a.ID+".json"), e); err != nil {
			return 0, err
		}
	}
	type module struct {
		Path  string   `json:"path"`
		Vulns []listed `json:"vulns"`
	}
	index := []module{}
	for name, vulns := range modules {
		index = append(index, module{name, slices.Compact(vulns)})
	}
	slices.SortFunc(index, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	if err := write(filepath.Join(dir, "index", "modules.json"), index); err != nil {
		return 0, err
	}
	return len(written), write(filepath.Join(dir, "index", "db.json"), map[string]time.Time{"modified": epoch})
}
