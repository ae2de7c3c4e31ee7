package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// contentVersion changes whenever what is kept of a layer does.
const contentVersion = "1"

// FolderCache keeps contents of layers as files in a folder, up to a size; the
// ones that were written longest ago go first. It is safe for concurrent use,
// also by several processes.
type FolderCache struct {
	dir   string
	limit int64 // bytes
	mu    sync.Mutex
}

// CacheLimit is how much is kept of layers by default, in bytes.
const CacheLimit = 2 << 30

const maxKept = 256 << 20 // bytes of one kept content, unpacked

// OpenCache opens the folder, made when absent, bounded to limit bytes.
func OpenCache(dir string, limit int64) (*FolderCache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open layer cache: %w", err)
	}
	return &FolderCache{dir: dir, limit: limit}, nil
}

func (c *FolderCache) name(diffID string) string {
	return filepath.Join(c.dir, strings.TrimPrefix(diffID, "sha256:")+".v"+contentVersion)
}

// Get implements Cache. A damaged entry is as good as none.
func (c *FolderCache) Get(diffID string) (*Content, bool) {
	if !digestForm.MatchString(diffID) {
		return nil, false
	}
	packed, err := os.ReadFile(c.name(diffID))
	if err != nil {
		return nil, false
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxKept))
	if err != nil {
		return nil, false
	}
	defer decoder.Close()
	data, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, false
	}
	var content Content
	if json.Unmarshal(data, &content) != nil || content.DiffID != diffID || !slices.IsSorted(content.Files) {
		return nil, false
	}
	return &content, true
}

// Put implements Cache.
func (c *FolderCache) Put(content *Content) error {
	if !digestForm.MatchString(content.DiffID) {
		return fmt.Errorf("DiffID %q: expected sha256 and 64 hexadecimal digits", short(content.DiffID))
	}
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if len(data) > maxKept {
		return nil
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	packed := encoder.EncodeAll(data, nil)
	file, err := os.CreateTemp(c.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = file.Write(packed)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), c.name(content.DiffID))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return c.shrink()
}

// shrink removes the oldest entries until the folder is within its limit.
func (c *FolderCache) shrink() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	var infos []os.FileInfo
	total := int64(0)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			infos = append(infos, info)
			total += info.Size()
		}
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range infos {
		if total <= c.limit {
			break
		}
		if err := os.Remove(filepath.Join(c.dir, info.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		total -= info.Size()
	}
	return nil
}
