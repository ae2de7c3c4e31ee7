package fix

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// FileEdit replaces bytes of a file. Start and End are byte offsets in the file whose
// sha256 is Digest; Old is what stands there. In another form of the file the edit is
// carried out only where it is beyond doubt: Old stands once on the line that holds
// the offset's line text. An edit with an empty Digest makes the file, which must not
// exist.
type FileEdit struct {
	Path   string `json:"path"`
	Line   int    `json:"line"` // 1-based line of Start, for people
	Start  int    `json:"start"`
	End    int    `json:"end"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Digest string `json:"digest"`
	// Context is the whole text of the lines that the edit begins and ends on.
	Context string `json:"context"`
}

// NewFileEdit makes the edit of bytes [start, end) of a file.
func NewFileEdit(path string, data []byte, start, end int, text string) FileEdit {
	from := bytes.LastIndexByte(data[:start], '\n') + 1
	to := len(data)
	if i := bytes.IndexByte(data[end:], '\n'); i >= 0 {
		to = end + i
	}
	return FileEdit{
		Path: path, Line: bytes.Count(data[:start], []byte("\n")) + 1, Start: start, End: end,
		Old: string(data[start:end]), New: text, Digest: digestOf(data), Context: string(data[from:to]),
	}
}

// NewFile makes the edit that makes a file.
func NewFile(path, text string) FileEdit { return FileEdit{Path: path, Line: 1, New: text} }

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// ErrMoved says that a file is no longer as it was when the edit was planned.
var ErrMoved = errors.New("the file changed since the path was planned, and the place is not beyond doubt; plan again")

// EditFiles carries out the edits of a path in a working copy and lists the files
// that it changed. All edits are computed before the first file is written.
func EditFiles(dir string, edits []FileEdit) ([]string, error) {
	byFile := map[string][]FileEdit{}
	var names []string
	for _, edit := range edits {
		if _, known := byFile[edit.Path]; !known {
			names = append(names, edit.Path)
		}
		byFile[edit.Path] = append(byFile[edit.Path], edit)
	}
	slices.Sort(names)
	results := map[string][]byte{}
	for _, name := range names {
		data, err := ReadFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) && len(byFile[name]) == 1 && byFile[name][0].Digest == "" {
			results[name] = []byte(byFile[name][0].New)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("edit %s: %w", name, err)
		}
		if results[name], err = editBytes(data, byFile[name]); err != nil {
			return nil, fmt.Errorf("edit %s: %w", name, err)
		}
	}
	changed := []string{}
	for _, name := range names {
		if err := WriteFile(dir, name, results[name]); err != nil {
			return changed, fmt.Errorf("edit %s: %w", name, err)
		}
		changed = append(changed, name)
	}
	return changed, nil
}

// editBytes carries out edits of one file on its content.
func editBytes(data []byte, edits []FileEdit) ([]byte, error) {
	digest := digestOf(data)
	list := make([]Edit, 0, len(edits))
	for _, edit := range edits {
		switch edit.Digest {
		case "":
			return nil, errors.New("the file that the path makes is there already")
		case digest:
		default:
			var err error
			if edit, err = edit.moved(data); err != nil {
				return nil, err
			}
		}
		list = append(list, Edit{Start: edit.Start, End: edit.End, Old: edit.Old, New: edit.New})
	}
	slices.SortStableFunc(list, func(a, b Edit) int { return cmp.Compare(a.Start, b.Start) })
	return Splice(data, list...)
}

// moved finds an edit in another form of its file: the lines that it stood on must be
// there once, as whole lines, with what is replaced standing in them once.
func (e FileEdit) moved(data []byte) (FileEdit, error) {
	text, lines := "\n"+string(data)+"\n", "\n"+e.Context+"\n"
	at := strings.Index(text, lines)
	if at < 0 || strings.Contains(text[at+1:], lines) || e.Old == "" || strings.Count(e.Context, e.Old) != 1 {
		return e, fmt.Errorf("line %d: %w", e.Line, ErrMoved)
	}
	e.Start = at + strings.Index(e.Context, e.Old)
	e.End = e.Start + len(e.Old)
	return e, nil
}
