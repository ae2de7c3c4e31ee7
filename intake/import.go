package intake

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/store"
)

// readSize is how many bytes of a report are asked for at once.
const readSize = 512 << 10

// Import reads a report into the store. When the report ends in an error, what
// was read before it is kept, its runs are incomplete, and both the result and
// the *report.Error are returned. Any other error leaves the store as it was.
func Import(ctx context.Context, db store.Engine, readers []report.Reader, name string, in io.Reader, opts Options) (Result, error) {
	in = bufio.NewReaderSize(in, readSize)
	var blob *store.BlobWriter
	if opts.Keep {
		var err error
		if blob, err = store.NewBlobWriter(ctx, db, opts.Now); err != nil {
			return Result{}, err
		}
		in = io.TeeReader(in, blob)
	}
	result, err := Facts(ctx, db, name, opts, blob, func(sink report.Sink) error {
		return report.Read(ctx, readers, name, in, sink)
	})
	if blob != nil && len(result.Runs) == 0 {
		err = errors.Join(err, blob.Abort())
	}
	return result, err
}
