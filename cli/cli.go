// Package cli is the command line: one file per noun, each command a few lines
// over a function of a domain package, so that a command, a button and a tool
// cannot differ.
//
// Results go to standard output as text, or as JSON with -o json; progress,
// warnings and errors go to standard error. Exit codes: 0 clean; 1 a gate says
// no; 2 wrong use or failure; 3 nothing was looked at or the look was
// incomplete, which must never be mistaken for clean.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"charm.land/fang/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/backstitch/backstitch/action"
	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
)

// Exit codes.
const (
	exitClean      = 0
	exitGate       = 1
	exitFailure    = 2
	exitIncomplete = 3
)

// version is set by the linker for releases.
var version = "0.1.0-dev"

// exit carries an exit code through a command's error. A nil Err has been
// reported already.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// gate says that a policy or gate says no.
func gate(format string, args ...any) error {
	return &exit{exitGate, fmt.Errorf(format, args...)}
}

// incomplete says that the look was incomplete.
func incomplete(format string, args ...any) error {
	return &exit{exitIncomplete, fmt.Errorf(format, args...)}
}

// streams are what a command reads and writes, and the options of all commands.
type streams struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time

	state  string // --state
	output string // -o
}

// Main runs the program and returns its exit code.
func Main(args []string, in io.Reader, out, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &streams{in: in, out: out, err: stderr, now: time.Now}
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(stderr)
	err := fang.Execute(ctx, root, fang.WithVersion(version), fang.WithoutManpage(),
		fang.WithErrorHandler(func(w io.Writer, _ fang.Styles, err error) {
			var code *exit
			if errors.As(err, &code) && code.err == nil {
				return
			}
			// Errors quote reports, paths and what programs said.
			fmt.Fprintln(w, "backstitch:", plain(err.Error()))
		}))
	return exitCode(err)
}

func exitCode(err error) int {
	var code *exit
	var waiting *action.Waiting
	switch {
	case err == nil:
		return exitClean
	case errors.As(err, &code):
		return code.code
	case errors.As(err, &waiting):
		return exitGate
	case errors.Is(err, agent.ErrNothing):
		return exitIncomplete
	}
	return exitFailure
}

func newRoot(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "backstitch",
		Short: "From scanners' findings to the line, the owner and a proven change",
		Long: "Backstitch follows each finding back to the line that caused it, names who owns\n" +
			"that line, compares the ways to fix it, proves the chosen fix and opens the change.",
		SilenceUsage: true,
	}
	root.PersistentFlags().StringVar(&s.state, "state", defaultState(), "folder of the state: database, advisory index, caches")
	root.PersistentFlags().StringVarP(&s.output, "output", "o", "table", "table or json")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if s.output != "table" && s.output != "json" {
			return fmt.Errorf("-o %s: expected table or json", s.output)
		}
		return nil
	}
	root.AddCommand(newTriage(s), newImport(s), newReport(s), newAdvisory(s), newIssue(s), newOwner(s), newPerson(s), newCause(s), newGraph(s), newFix(s), newCampaign(s), newChange(s), newSource(s), newService(s), newImage(s), newDelivery(s), newDemo(s))
	return root
}

// defaultState is the folder backstitch in the user's state directory.
func defaultState() string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "backstitch")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ".backstitch"
	}
	return filepath.Join(home, ".local", "state", "backstitch")
}

// open opens the state that --state names.
func (s *streams) open(ctx context.Context, change ...func(*app.Config)) (*app.App, error) {
	config := app.Config{State: s.state, Now: s.now, Progress: s.progress(), Version: version,
		SigningKey: os.Getenv("BACKSTITCH_SIGNING_KEY"), RemoteToken: os.Getenv("BACKSTITCH_REMOTE_TOKEN"), Egress: os.Getenv("BACKSTITCH_EGRESS"), Consent: os.Getenv("BACKSTITCH_RUN_CODE_IN") == "bubblewrap", Actor: actor()}
	for _, fn := range change {
		fn(&config)
	}
	return app.Open(ctx, config)
}

// onDesk makes a command of what is done with the opened state.
func (s *streams) onDesk(do func(cmd *cobra.Command, desk *app.App, args []string) error, change ...func(*app.Config)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		desk, err := s.open(cmd.Context(), change...)
		if err != nil {
			return err
		}
		defer desk.Close()
		return do(cmd, desk, args)
	}
}

// json writes v as one indented JSON document.
func (s *streams) json(v any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// progress reports the stages of long work on a terminal, and nothing elsewhere.
func (s *streams) progress() func(stage string, done, total int) {
	file, ok := s.err.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func(string, int, int) {}
	}
	const width = 24
	return func(stage string, done, total int) {
		if total == 0 {
			fmt.Fprintf(file, "\r\x1b[K%s", stage)
		} else {
			filled := width * done / total
			fmt.Fprintf(file, "\r\x1b[K%s [%s%s] %d/%d", stage, strings.Repeat("=", filled), strings.Repeat(" ", width-filled), done, total)
		}
		if stage == "" {
			fmt.Fprint(file, "\r\x1b[K")
		}
	}
}

// plain makes text from outside safe to print: control characters, which could
// move the cursor or forge a line, become spaces; bidirectional and invisible
// formatting characters are dropped.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r >= 0x7f && r <= 0x9f:
			return ' '
		case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0x61c, r == 0x180e, r == 0xfeff, r >= 0xe0000 && r <= 0xe007f:
			return -1
		}
		return r
	}, text)
}

// plainCode is plain for a line of code: tabs stay.
func plainCode(line string) string {
	parts := strings.Split(line, "\t")
	for i := range parts {
		parts[i] = plain(parts[i])
	}
	return strings.Join(parts, "\t")
}

// cut shortens text to width runes.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}
