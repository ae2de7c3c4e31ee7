package app

import (
	"os"
	"path/filepath"
)

// moduleCache is the folder where the go command of the operator keeps modules, ""
// when there is none.
func moduleCache() string {
	name := os.Getenv("GOMODCACHE")
	if name == "" {
		if list := filepath.SplitList(os.Getenv("GOPATH")); len(list) > 0 {
			name = filepath.Join(list[0], "pkg", "mod")
		} else if home, err := os.UserHomeDir(); err == nil {
			name = filepath.Join(home, "go", "pkg", "mod")
		}
	}
	if info, err := os.Stat(name); name == "" || err != nil || !info.IsDir() {
		return ""
	}
	return name
}
