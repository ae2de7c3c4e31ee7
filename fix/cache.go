package fix

import (
	"bytes"
	"sync"
)

// Cache keeps what was read from one file, so that planning for many packages
// of a module reads its lock once. The zero Cache is empty; it is safe for
// concurrent use. What it hands out is shared and must not be changed.
type Cache[T any] struct {
	mu    sync.Mutex
	name  string
	data  []byte
	value T
}

// Get returns what parse makes of a file, from the last call when name and
// data are the same. Failures are not kept.
func (c *Cache[T]) Get(name string, data []byte, parse func(name string, data []byte) (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.name == name && len(data) > 0 && bytes.Equal(c.data, data) {
		return c.value, nil
	}
	value, err := parse(name, data)
	if err == nil {
		c.name, c.data, c.value = name, data, value
	}
	return value, err
}
