package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// cacheScheme begins a kept history; raise it when Entry or parseLog changes.
const cacheScheme = "backstitch history 1\n"

// maxCache bounds a kept history, in bytes.
const maxCache = 2 << 30

type cached struct {
	Entries []Entry
	Idents  []Ident
	Paths   []string
}

// cacheName is the file that keeps this repository's history. A shallow clone
// has its own, as its commits have fewer parents.
func (r *Repository) cacheName(ctx context.Context, dir string) (string, error) {
	identity, err := r.Identity(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n", identity, r.format)
	if data, err := readSmall(filepath.Join(r.common, "shallow")); err == nil {
		sum.Write(data)
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return filepath.Join(dir, "history-"+hex.EncodeToString(sum.Sum(nil)[:12])+".gob"), nil
}

// loadHistory reads a kept history; one that is damaged in any way is an error.
func loadHistory(name string) (*History, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxCache))
	if err != nil {
		return nil, err
	}
	return decodeHistory(data)
}

func decodeHistory(data []byte) (*History, error) {
	body, ok := bytes.CutPrefix(data, []byte(cacheScheme))
	if !ok || len(body) < sha256.Size {
		return nil, errors.New("kept history: of another version")
	}
	sum := sha256.Sum256(body[sha256.Size:])
	if !bytes.Equal(sum[:], body[:sha256.Size]) {
		return nil, errors.New("kept history: damaged")
	}
	var c cached
	if err := gob.NewDecoder(bytes.NewReader(body[sha256.Size:])).Decode(&c); err != nil {
		return nil, fmt.Errorf("kept history: %w", err)
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		bad := !within(e.Author, len(c.Idents)) || !within(e.Committer, len(c.Idents))
		for _, p := range e.Parents {
			bad = bad || p < -1 || int(p) >= i
		}
		for _, list := range [2][]int32{e.CoAuthors, e.Approvers} {
			for _, p := range list {
				bad = bad || !within(p, len(c.Idents))
			}
		}
		for j := range e.Touches {
			t := &e.Touches[j]
			bad = bad || !within(t.Path, len(c.Paths)) || t.Old < -1 || int(t.Old) >= len(c.Paths)
		}
		if bad {
			return nil, fmt.Errorf("kept history: entry %d points outside", i)
		}
	}
	return &History{entries: c.Entries, idents: c.Idents, paths: c.Paths}, nil
}

func within(i int32, n int) bool { return i >= 0 && int(i) < n }

func (h *History) encode() ([]byte, error) {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(cached{h.entries, h.idents, h.paths}); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body.Bytes())
	return append(append([]byte(cacheScheme), sum[:]...), body.Bytes()...), nil
}

// save replaces the kept history in one step.
func (h *History) save(name string) error {
	data, err := h.encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".history-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(data); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}
