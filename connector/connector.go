// Package connector is the contract for outside systems. Every connector is
// optional; a connector is small and has only the powers it implements.
package connector

// Description tells about a connector.
type Description struct {
	ID   string // path-like, for example "connector/gitremote"
	Name string
	Docs string
}
