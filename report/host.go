package report

import (
	"net"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// HostAsset is the asset of a machine or site that a scanner reached: its name or
// address without scheme, account, port and path, in lower case.
func HostAsset(address string) fact.Asset {
	host := address
	if _, after, ok := strings.Cut(host, "://"); ok {
		host = after
	}
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		host = host[:end]
	}
	host = host[strings.LastIndexByte(host, '@')+1:]
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(strings.TrimSpace(host), "[]."))
	if host == "" {
		return fact.Asset{Kind: fact.AssetUnknown}
	}
	return fact.Asset{Kind: fact.AssetHost, Key: host, Name: host}
}

// PlainURL is an address without what may hold secrets or differs between two scans:
// account, query and fragment.
func PlainURL(address string) string {
	if end := strings.IndexAny(address, "?#"); end >= 0 {
		address = address[:end]
	}
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	host, path, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndexByte(host, '@')+1:]
	if path != "" {
		host += "/" + path
	}
	return scheme + "://" + host
}
