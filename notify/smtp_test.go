package notify_test

import (
	"bufio"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
)

// mailbox is an SMTP server that keeps what it gets.
type mailbox struct {
	addr string

	mu    sync.Mutex
	mails []string
	users []string // lines of AUTH
}

// startSMTP serves until the test ends. What it says to a command comes from
// reply, if that isn't "".
func startSMTP(t *testing.T, reply func(command string) string) *mailbox {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &mailbox{addr: listener.Addr().String()}
	var work sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close() //nolint:errcheck // the test is over
				b.serve(conn, reply)
			})
		}
	})
	return b
}

// serve speaks as much of RFC 5321 as a client needs.
func (b *mailbox) serve(conn net.Conn, reply func(string) string) {
	say := func(line string) { _, _ = fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 mail.apps.test ESMTP")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		command := strings.ToUpper(lines.Text())
		if said := reply(command); said != "" {
			say(said)
			continue
		}
		switch {
		case strings.HasPrefix(command, "EHLO"):
			say("250-mail.apps.test")
			say("250 AUTH PLAIN")
		case strings.HasPrefix(command, "AUTH"):
			b.mu.Lock()
			b.users = append(b.users, lines.Text())
			b.mu.Unlock()
			say("235 welcome")
		case command == "DATA":
			say("354 go on")
			var text strings.Builder
			for lines.Scan() && lines.Text() != "." {
				text.WriteString(strings.TrimPrefix(lines.Text(), ".") + "\r\n")
			}
			b.mu.Lock()
			b.mails = append(b.mails, text.String())
			b.mu.Unlock()
			say("250 taken")
		case command == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// last is the last mail.
func (b *mailbox) last(t *testing.T) *mail.Message {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mails) == 0 {
		t.Fatal("there is no mail")
	}
	m, err := mail.ReadMessage(strings.NewReader(b.mails[len(b.mails)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func plainly(string) string { return "" }
