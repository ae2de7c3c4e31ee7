package verify

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// probe is something that code of a repository may try. The script ends with 0 only when
// it succeeded; where the system lacks what it would need, it has not.
type probe struct{ name, script string }

// probes lists what the sandbox must refuse. python3 makes system calls that no program
// offers; where it is absent inside, its probes fail for that, which is said.
func probes(outside, port, abstract string) []probe {
	python := func(code string) string { return "python3 -c '" + code + "'" }
	call := func(number, args string) string {
		return python("import ctypes,sys; r=ctypes.CDLL(None,use_errno=True).syscall(" + number + args + "); sys.exit(0 if r>=0 else 1)")
	}
	return []probe{
		{"the metadata service of a cloud", "timeout 3 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80'"},
		{"a port of this machine", "timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + port + "'"},
		{"a name server", "timeout 3 getent hosts example.org"},
		{"another address", "timeout 3 bash -c 'exec 3<>/dev/tcp/192.0.2.1/443'"},
		{"an abstract socket of this machine", python(`import socket; s=socket.socket(socket.AF_UNIX); s.connect("\0` + abstract + `")`)},
		{"the socket of a container daemon", "test -S /var/run/docker.sock -o -S /run/docker.sock -o -S /run/containerd/containerd.sock"},
		{"the bus of the system", "test -S /run/dbus/system_bus_socket"},
		{"a raw socket", python("import socket; socket.socket(socket.AF_INET,socket.SOCK_RAW,socket.IPPROTO_ICMP)") + " && timeout 3 ping -c1 192.0.2.1"},
		{"a packet socket that sees another's traffic", "test \"$(ls /sys/class/net 2>/dev/null | grep -v '^lo$' | wc -l)\" -gt 0"},
		{"the environment of whoever runs it", "env | grep -q do-not-leak"},
		{"the environment of the first process", `tr '\0' '\n' < /proc/1/environ | grep -q do-not-leak`},
		{"the environment of any process", `cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -q do-not-leak`},
		{"a file of this machine", "cat " + outside + "/secret"},
		{"a file by the root of another process", "cat /proc/1/root" + outside + "/secret"},
		{"a file by an open descriptor", "cat /proc/self/fd/[3-9] 2>/dev/null | grep -q the-secret"},
		{"a file by a link in the work folder", "ln -s " + outside + "/secret /work/link && cat /work/link"},
		{"a file by a hard link", "ln " + outside + "/secret /work/hard"},
		{"a file through a parent folder", "cat /work/../../../../.." + outside + "/secret"},
		{"the password database", "cat /etc/shadow"},
		{"home folders", "ls /root/.ssh /root/.aws /root/.config /home/*/.ssh 2>/dev/null | grep ."},
		{"the folder of git", "ls -d /work/.git"},
		{"the system's programs", "touch /usr/bin/x"},
		{"the system's configuration", "touch /etc/ssl/x || echo x > /etc/ld.so.conf.d/x.conf"},
		{"a new root", "mkdir -p /tmp/r && chroot /tmp/r /bin/true"},
		{"a mount", "mount -t tmpfs none /mnt 2>/dev/null || mount -o remount,rw /usr"},
		{"a mount by system call", call("165", `,b"none",b"/tmp",b"tmpfs",0,None`) + " && mount | grep -q 'none on /tmp'" + " && touch /usr/bin/x"},
		{"a block device", "mknod /tmp/sda b 8 0 && head -c1 /tmp/sda"},
		{"memory of the machine", "head -c1 /dev/mem || head -c1 /dev/kmem || head -c1 /proc/kcore"},
		{"tracing another process", python("import ctypes,sys; r=ctypes.CDLL(None).ptrace(16,1,0,0); sys.exit(0 if r==0 else 1)")},
		{"the memory of the first process", "head -c1 /proc/1/mem"},
		{"a process outside", "for p in $(seq 2 400); do kill -0 $p 2>/dev/null && test \"$(tr '\\0' ' ' </proc/$p/cmdline)\" = do-not-leak && exit 0; done; exit 1"},
		{"ending the machine's first process", "kill -9 1 && sleep 1 && test ! -d /proc/1"},
		{"the keyring of the kernel", call("250", ",0,-3,0") + " && cat /proc/keys | grep -q do-not-leak"},
		{"the clock", "date -s '2001-01-01' && test \"$(date +%Y)\" = 2001"},
		{"the name of the machine", "test \"$(hostname)\" != sandbox"},
		{"settings of the kernel", "echo core > /proc/sys/kernel/core_pattern || echo 1 > /proc/sys/vm/drop_caches || echo h > /proc/sysrq-trigger"},
		{"a module of the kernel", "modprobe loop && lsmod | grep -q '^loop'"},
		{"leaving its control group", "mkdir /sys/fs/cgroup/x && echo $$ > /sys/fs/cgroup/x/cgroup.procs"},
		{"becoming somebody by a setuid program", "cp /bin/sh /tmp/s && chmod 4755 /tmp/s && su -s /bin/sh nobody -c 'test \"$(id -u)\" = 0'"},
		{"capabilities over the machine", "grep -q '^CapEff:.*[1-9a-f]' /proc/self/status && touch /usr/bin/x"},
		{"more privileges by a program", "test \"$(grep NoNewPrivs /proc/self/status 2>/dev/null | tr -dc 0-9)\" = 0 && sudo -n true"},
		{"programs from a variable of the loader", "test -n \"$LD_PRELOAD$LD_LIBRARY_PATH\""},
		{"more processes than are allowed", "for i in $(seq 1 6000); do sleep 30 & done 2>/dev/null; test \"$(ls -d /proc/[0-9]* | wc -l)\" -gt 5500"},
		{"a file larger than is allowed", "truncate -s 20G /work/sparse && dd if=/dev/zero of=/work/sparse bs=1M count=1 seek=19000 2>/dev/null"},
		{"more open files than are allowed", python("import os; [os.open(\"/dev/null\",0) for i in range(9000)]")},
		{"a core file", "bash -c 'kill -SEGV $$'; ls core* /tmp/core* 2>/dev/null | grep ."},
	}
}

func refuses(t *testing.T, s Sandbox) {
	t.Helper()
	outside, work := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("the-secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A descriptor that is open while the command starts must not reach it.
	leak, err := os.Open(filepath.Join(outside, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	abstract := strings.ReplaceAll(outside, "/", "-")
	bus, err := net.Listen("unix", "@"+abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	t.Setenv("BACKSTITCH_TEST_TOKEN", "do-not-leak")
	list := probes(outside, port, abstract)
	if len(list) < 40 {
		t.Fatalf("%d probes", len(list))
	}
	for _, one := range list {
		outcome, err := s.Run(t.Context(), Command{Work: work, Argv: []string{"bash", "-c", one.script}, Timeout: 30 * time.Second, Memory: 1 << 30})
		if err != nil || outcome.Exit == 0 || strings.Contains(string(outcome.Output), "the-secret") {
			t.Errorf("%s: %s: exit %d, %v: %s", s.Name(), one.name, outcome.Exit, err, outcome.Output)
		}
	}
	// The probes mean something only where an ordinary command works.
	outcome, err := s.Run(t.Context(), Command{Work: work, Argv: []string{"bash", "-c", "python3 -c 'print(6*7)' && echo made > /work/x && pwd && date +%Y"}, Timeout: 30 * time.Second})
	if err != nil || outcome.Exit != 0 || !strings.Contains(string(outcome.Output), "42\n/work\n") {
		t.Errorf("%s: an ordinary command: %+v, %v", s.Name(), outcome, err)
	}
	if made, err := os.ReadFile(filepath.Join(work, "x")); err != nil || string(made) != "made\n" {
		t.Errorf("%s: what was written to the work folder: %q, %v", s.Name(), made, err)
	}
}

func TestBubblewrapRefusesWhatCodeMayTry(t *testing.T) { refuses(t, sandbox(t)) }

func TestGVisorRefusesWhatCodeMayTry(t *testing.T) {
	s, err := findGVisor(t.Context())
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	refuses(t, s)
}

func TestBubblewrapRunsRepositoryCodeOnlyWithConsent(t *testing.T) {
	sandbox(t)
	if _, err := findGVisor(t.Context()); err == nil {
		t.Skip("skipped: gVisor is here, which needs no consent")
	}
	if s, err := FindBuildSandbox(t.Context(), false); err == nil || !strings.Contains(err.Error(), "BACKSTITCH_RUN_CODE_IN") {
		t.Errorf("without consent: %v, %v", s, err)
	}
	if s, err := FindBuildSandbox(t.Context(), true); err != nil || !strings.Contains(s.Name(), "bubblewrap") {
		t.Errorf("with consent: %v", err)
	}
}
