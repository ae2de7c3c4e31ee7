package kubernetes

import "syscall"

// limitProcess bounds what the process may take: address space, so that one huge
// allocation ends it and not the machine, and open files.
func limitProcess() {
	_ = syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: 8 << 30, Max: 8 << 30})
	_ = syscall.Setrlimit(syscall.RLIMIT_CPU, &syscall.Rlimit{Cur: 300, Max: 300})
}
