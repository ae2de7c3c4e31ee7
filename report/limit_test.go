package report

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAStringThatEndsBeyondTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]bool{MaxString: true, MaxString + 2*windowSize: false} {
		in := io.MultiReader(strings.NewReader(`"`), io.LimitReader(endless('x'), size), strings.NewReader(`"`))
		s := NewScanner(t.Context(), in)
		got := int64(len(s.Text()))
		var fault *Error
		switch {
		case want && (got != size || s.End() != nil):
			t.Errorf("%d bytes: read %d, %v; want them all", size, got, s.Err())
		case !want && (got != 0 || !errors.As(s.Err(), &fault)):
			t.Errorf("%d bytes: read %d, %v; want a fault", size, got, s.Err())
		}
		if len(s.buf) > MaxString+windowSize {
			t.Errorf("%d bytes: the buffer grew to %d", size, len(s.buf))
		}
	}
}
