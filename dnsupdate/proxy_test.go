//go:build linux

package dnsupdate_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// between passes messages on to a primary, and has something done before each
// update.
func between(t *testing.T, primary string, before func()) (addr string) {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close() //nolint:errcheck // a test's server
				request, err := readMessage(conn)
				if err != nil {
					return
				}
				if opcode := int(request[2]>>3) & 0xf; opcode == dns.OpcodeUpdate {
					before()
				}
				upstream, err := new(net.Dialer).DialContext(t.Context(), "tcp", primary)
				if err != nil {
					t.Error(err)
					return
				}
				defer upstream.Close() //nolint:errcheck // as above
				if err := writeMessage(upstream, request); err != nil {
					t.Error(err)
				}
				reply, err := readMessage(upstream)
				if err != nil {
					t.Error(err)
				}
				if err := writeMessage(conn, reply); err != nil {
					t.Error(err)
				}
			})
		}
	})
	return listener.Addr().String()
}

func readMessage(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

func writeMessage(w io.Writer, message []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}

// stub is a primary whose replies are made by a test.
func stub(t *testing.T, keys dns.TsigProvider, reply func(m, query *dns.Msg)) (addr string) {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	server := &dns.Server{
		Listener: listener, TsigProvider: keys,
		MsgAcceptFunc:     func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		NotifyStartedFunc: func() { close(up) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
			m := new(dns.Msg)
			m.SetReply(query)
			reply(m, query)
			if err := w.WriteMsg(m); err != nil {
				t.Error(err)
			}
		}),
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.ActivateAndServe(); err != nil {
			t.Error(err)
		}
	})
	<-up
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return listener.Addr().String()
}
