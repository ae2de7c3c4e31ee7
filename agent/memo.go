package agent

import (
	"context"
	"sync"

	"github.com/backstitch/backstitch/code"
)

// memoBytes bounds what a memo keeps.
const memoBytes = 256 << 20

// memo is a tree that remembers what was read, since cause, owner and every fix
// path look at the same few manifests and locks. It is safe for concurrent use.
type memo struct {
	code.Tree
	mu    sync.Mutex
	paths []string
	files map[string][]byte
	size  int
}

func newMemo(tree code.Tree) *memo { return &memo{Tree: tree, files: map[string][]byte{}} }

// Paths implements code.Tree.
func (m *memo) Paths(ctx context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paths == nil {
		paths, err := m.Tree.Paths(ctx)
		if err != nil {
			return nil, err
		}
		m.paths = paths
	}
	return m.paths[:len(m.paths):len(m.paths)], nil
}

// Read implements code.Tree. Callers do not change what they get.
func (m *memo) Read(ctx context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.files[name]; ok {
		return data, nil
	}
	data, err := m.Tree.Read(ctx, name)
	if err == nil && m.size+len(data) <= memoBytes {
		m.files[name], m.size = data, m.size+len(data)
	}
	return data, err
}
