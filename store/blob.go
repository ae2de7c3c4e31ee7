package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// ChunkSize is how many raw bytes one chunk of a blob holds. Each chunk is
// compressed on its own, so that a part can be read without the rest.
const ChunkSize = 1 << 20

// pendingChunks is how many compressed chunks wait in memory for one
// transaction.
const pendingChunks = 8

const codecZstd = "zstd"

var (
	insertBlob   = queries.Named("insert_blob")
	finishBlob   = queries.Named("finish_blob")
	blobByDigest = queries.Named("blob_by_digest")
	selectBlob   = queries.Named("blob")
	insertChunk  = queries.Named("insert_chunk")
	selectChunk  = queries.Named("chunk")
	deleteChunks = queries.Named("delete_chunks")
	deleteBlob   = queries.Named("delete_blob")
)

// BlobWriter takes a blob as it streams by, compressing it into chunks. Commit
// or Abort ends it.
type BlobWriter struct {
	ctx     context.Context
	engine  Engine
	now     time.Time
	id      int64
	size    int64
	next    int64
	digest  hash.Hash
	raw     []byte
	chunks  [][]byte
	encoder *zstd.Encoder
}

// NewBlobWriter begins a blob; now is when it is stored.
func NewBlobWriter(ctx context.Context, engine Engine, now time.Time) (*BlobWriter, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	return &BlobWriter{ctx: ctx, engine: engine, now: now, digest: sha256.New(), raw: make([]byte, 0, ChunkSize), encoder: encoder}, nil
}

// Write implements io.Writer.
func (w *BlobWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), ChunkSize-len(w.raw))
		w.raw = append(w.raw, p[:n]...)
		p = p[n:]
		written += n
		if len(w.raw) == ChunkSize {
			if err := w.chunk(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (w *BlobWriter) chunk() error {
	w.digest.Write(w.raw)
	w.size += int64(len(w.raw))
	w.chunks = append(w.chunks, w.encoder.EncodeAll(w.raw, nil))
	w.raw = w.raw[:0]
	if len(w.chunks) < pendingChunks {
		return nil
	}
	return w.engine.Write(w.ctx, Replayable, w.flush)
}

func (w *BlobWriter) flush(tx Tx) error {
	if w.id == 0 {
		id, err := ReserveIDs(w.ctx, tx, "blob", 1)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(w.ctx, insertBlob, Int(id), Text(codecZstd), Int(w.now.UnixMicro())); err != nil {
			return fmt.Errorf("blob: %w", err)
		}
		w.id = id
	}
	for _, data := range w.chunks {
		if _, err := tx.Exec(w.ctx, insertChunk, Int(w.id), Int(w.next), Blob(data)); err != nil {
			return fmt.Errorf("blob chunk %d: %w", w.next, err)
		}
		w.next++
	}
	w.chunks = w.chunks[:0]
	return nil
}

// Commit stores the rest and returns the blob's id. A blob of the same content
// is kept once: its id is returned and the new chunks are dropped.
func (w *BlobWriter) Commit() (id int64, err error) {
	if len(w.raw) > 0 {
		if err := w.chunk(); err != nil {
			return 0, err
		}
	}
	sum := w.digest.Sum(nil)
	err = w.engine.Write(w.ctx, Replayable, func(tx Tx) error {
		known := int64(0)
		if err := tx.Query(w.ctx, blobByDigest, func(row Row) error { known = row.Int(0); return nil }, Blob(sum)); err != nil {
			return err
		}
		if known != 0 {
			id = known
			return w.drop(tx)
		}
		if err := w.flush(tx); err != nil {
			return err
		}
		id = w.id
		_, err := tx.Exec(w.ctx, finishBlob, Blob(sum), Int(w.size), Int(w.id))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store blob: %w", err)
	}
	return id, nil
}

// Abort drops what was written.
func (w *BlobWriter) Abort() error {
	if w.id == 0 {
		return nil
	}
	w.ctx = context.WithoutCancel(w.ctx)
	return w.engine.Write(w.ctx, Replayable, w.drop)
}

func (w *BlobWriter) drop(tx Tx) error {
	if w.id == 0 {
		return nil
	}
	if _, err := tx.Exec(w.ctx, deleteChunks, Int(w.id)); err != nil {
		return err
	}
	_, err := tx.Exec(w.ctx, deleteBlob, Int(w.id))
	return err
}

// ReadBlob reads length bytes of a blob from offset; a length below 0 means to
// its end. It returns ErrNotFound when there is no such blob, io.EOF when the
// offset lies behind its end.
func ReadBlob(ctx context.Context, tx Tx, id, offset, length int64) ([]byte, error) {
	size, found := int64(0), false
	codec := ""
	err := tx.Query(ctx, selectBlob, func(row Row) error {
		size, codec, found = row.Int(1), row.Text(2), true
		return nil
	}, Int(id))
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("blob %d: %w", id, ErrNotFound)
	case codec != codecZstd:
		return nil, fmt.Errorf("blob %d: codec %q is not known", id, codec)
	case offset < 0 || offset > size:
		return nil, io.EOF
	}
	if length < 0 || length > size-offset {
		length = size - offset
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*ChunkSize))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	var out bytes.Buffer
	var packed, raw []byte
	for int64(out.Len()) < length {
		at := offset + int64(out.Len())
		found = false
		err := tx.Query(ctx, selectChunk, func(row Row) error {
			packed, found = row.Bytes(0, packed[:0]), true
			return nil
		}, Int(id), Int(at/ChunkSize))
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("blob %d: chunk %d is missing", id, at/ChunkSize)
		}
		if raw, err = decoder.DecodeAll(packed, raw[:0]); err != nil {
			return nil, fmt.Errorf("blob %d: chunk %d: %w", id, at/ChunkSize, err)
		}
		from := at % ChunkSize
		if from >= int64(len(raw)) {
			return nil, fmt.Errorf("blob %d: chunk %d is too short: %w", id, at/ChunkSize, io.ErrUnexpectedEOF)
		}
		out.Write(raw[from:min(int64(len(raw)), from+length-int64(out.Len()))])
	}
	return out.Bytes(), nil
}
