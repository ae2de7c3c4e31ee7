//go:build !linux

package kubernetes

// limitProcess does nothing where limits are not known; the deadline and the watch
// over the heap remain.
func limitProcess() {}
