package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type serverKey struct{}

// background is the server that a script has started.
type background struct {
	process *exec.Cmd
	ended   chan error
	log     logText
}

// logText is what a process has written so far.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed at the next write
}

// Write implements io.Writer.
func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(p)
}

// read returns all of it, and what tells when there is more.
func (l *logText) read() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.text.String(), l.more
}

// await returns the first match in what is written from an offset on.
func (b *background) await(ts *testscript.TestScript, from int, pattern string) []string {
	re, late := regexp.MustCompile(pattern), time.After(20*time.Second)
	for {
		text, more := b.log.read()
		if m := re.FindStringSubmatch(text[from:]); m != nil {
			return m
		}
		select {
		case <-more:
		case err := <-b.ended:
			text, _ := b.log.read()
			ts.Fatalf("the server ended (%v):\n%s", err, text)
		case <-late:
			ts.Fatalf("no %q in\n%s", pattern, text)
		}
	}
}

// serving starts a DNS server in the background, waits until it listens, and
// sets ADDR and PORT. With -inherit it gets sockets as a service manager would
// pass them.
//
//	serving [-inherit] ARG...
func serving(ts *testscript.TestScript, _ bool, args []string) {
	b := ts.Value(serverKey{}).(*background)
	*b = background{ended: make(chan error, 1)}
	// The process id is known only once the process is there: sd_listen_fds(3).
	command := []string{"-c", `LISTEN_PID=$$ exec switchd serve --dns-only "$@"`, "sh"}
	b.process = exec.Command("sh") //nolint:noctx // it ends with the script
	b.process.Dir, b.process.Stderr = ts.Getenv("WORK"), &b.log
	b.process.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"), "GORACE="+ts.Getenv("GORACE"))
	if args[0] == "-inherit" {
		args = args[1:]
		b.process.ExtraFiles = sockets(ts)
		b.process.Env = append(b.process.Env, fmt.Sprintf("LISTEN_FDS=%d", len(b.process.ExtraFiles)))
	}
	b.process.Args = append(b.process.Args, append(command, args...)...)
	ts.Check(b.process.Start())
	for _, f := range b.process.ExtraFiles {
		ts.Check(f.Close())
	}
	ended := make(chan struct{})
	go func() {
		b.ended <- b.process.Wait()
		close(ended)
	}()
	ts.Defer(func() {
		_ = b.process.Process.Kill() // it has ended, usually
		<-ended
	})
	addr := b.await(ts, 0, `msg="DNS server listens" address=(\S+)`)[1]
	_, port, err := net.SplitHostPort(addr)
	ts.Check(err)
	ts.Setenv("ADDR", addr)
	ts.Setenv("PORT", port)
}

// sockets are one of UDP and one of TCP on the same port.
func sockets(ts *testscript.TestScript) []*os.File {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	defer l.Close() //nolint:errcheck // a copy is passed on
	c, err := lc.ListenPacket(context.Background(), "udp", l.Addr().String())
	ts.Check(err)
	defer c.Close() //nolint:errcheck // a copy is passed on
	tcp, err := l.(*net.TCPListener).File()
	ts.Check(err)
	udp, err := c.(*net.UDPConn).File()
	ts.Check(err)
	return []*os.File{udp, tcp}
}

// tell sends the server a signal, and waits until its log has words that were
// not there before, which go to standard output; after TERM, until it has
// ended well.
//
//	tell HUP PATTERN
//	tell TERM
func tell(ts *testscript.TestScript, _ bool, args []string) {
	b := ts.Value(serverKey{}).(*background)
	text, _ := b.log.read()
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}
	ts.Check(b.process.Process.Signal(signals[args[0]]))
	if args[0] == "TERM" {
		select {
		case err := <-b.ended:
			ts.Check(err)
		case <-time.After(20 * time.Second):
			ts.Fatalf("it goes on after a signal to end")
		}
		return
	}
	m := b.await(ts, len(text), "(?m)^.*"+args[1]+".*$")
	fmt.Fprintln(ts.Stdout(), mask(ts, regexp.MustCompile(`^time=\S+ `).ReplaceAllString(m[0], "")))
}

// owner waits until the server has dropped its privileges, and checks whose
// process it is then: its user, its groups, and that no capability is left.
//
//	owner USER
func owner(ts *testscript.TestScript, _ bool, args []string) {
	u, err := user.Lookup(args[0])
	ts.Check(err)
	b := ts.Value(serverKey{}).(*background)
	b.await(ts, 0, `msg="privileges dropped" user=`+args[0])
	text := ts.ReadFile(fmt.Sprintf("/proc/%d/status", b.process.Process.Pid))
	for field, want := range map[string]string{
		"Uid": strings.Repeat(" "+u.Uid, 4), "Gid": strings.Repeat(" "+u.Gid, 4), "Groups": " " + u.Gid,
		"CapPrm": " 0000000000000000", "CapEff": " 0000000000000000", "CapAmb": " 0000000000000000",
	} {
		line := regexp.MustCompile(`(?m)^` + field + `:(.*)$`).FindStringSubmatch(text)
		if line == nil || " "+strings.Join(strings.Fields(line[1]), " ") != want {
			ts.Fatalf("%s is %v, want%s", field, line, want)
		}
	}
}
