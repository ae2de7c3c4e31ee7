//go:build unix

package git

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a process into a group of its own and makes cancellation end
// the whole group.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
