package report

import (
	"context"
	"io"
	"strconv"
	"sync"
	"testing"
)

// outliner is a reader that is sure of documents with its key.
type outliner string

func (o outliner) Describe() Description                       { return Description{ID: "report/" + string(o)} }
func (o outliner) Read(context.Context, io.Reader, Sink) error { return nil }
func (o outliner) Detect(head []byte) int {
	if outline := OutlineOf(head); outline.Has(string(o)) {
		return 90
	}
	return 0
}

// Not parallel to others, which would hold a head of their own.
func TestReadersThatShareAnOutlineSeeTheirOwnReport(t *testing.T) {
	var readers []Reader
	for i := range 20 {
		readers = append(readers, outliner("k"+strconv.Itoa(i)))
	}
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			for range 50 {
				head := []byte(`{"k` + strconv.Itoa(i) + `":1}`)
				got, err := Detect(readers, head)
				if err != nil || got != readers[i] {
					t.Errorf("%s is of %v, %v", head, got, err)
				}
			}
		})
	}
	wait.Wait()
	asked.Range(func(any, any) bool {
		t.Error("the head of a report is held after it was recognised")
		return false
	})
}
