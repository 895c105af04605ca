//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/anacrolix/torrent/bencode"

	"switchd/testenv/netns"
)

// tracker tells the peers of one torrent about each other (BEP 3, with compact
// answers, BEP 23). A peer hears of all others.
type tracker struct {
	mu    sync.Mutex
	peers map[netip.AddrPort]bool
}

// announcement is a tracker's answer.
type announcement struct {
	Interval int    `bencode:"interval"`
	Peers    string `bencode:"peers"`
}

const (
	trackerPort = 6969
	// announceEvery is how often a peer asks again.
	announceEvery = 10 * time.Second
)

// startTracker runs a tracker on the host until ctx ends, and returns its URL.
// It knows the given peers from the start.
func startTracker(ctx context.Context, host *netns.Host, peers ...*netns.Host) (string, error) {
	listener, err := host.Listen(ctx, trackerPort)
	if err != nil {
		return "", fmt.Errorf("start a tracker: %w", err)
	}
	known := map[netip.AddrPort]bool{}
	for _, peer := range peers {
		known[peer.AddrPort(peerPort)] = true
	}
	server := &http.Server{
		Handler:           &tracker{peers: known},
		ReadHeaderTimeout: announceEvery,
	}
	go server.Serve(listener) //nolint:errcheck // It ends when it is closed.
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return fmt.Sprintf("http://%s/announce", listener.Addr()), nil
}

// ServeHTTP notes who asks, and names the others.
func (t *tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asking, err := peerOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := announcement{Interval: int(announceEvery.Seconds())}
	t.mu.Lock()
	if r.FormValue("event") == "stopped" {
		delete(t.peers, asking)
	} else {
		t.peers[asking] = true
	}
	var peers []byte
	for peer := range t.peers {
		if peer != asking {
			addr := peer.Addr().As4()
			peers = binary.BigEndian.AppendUint16(append(peers, addr[:]...), peer.Port())
		}
	}
	t.mu.Unlock()
	answer.Peers = string(peers)
	text, err := bencode.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text) // Who has gone asks again.
}

// peerOf returns where the one who asks listens.
func peerOf(r *http.Request) (netip.AddrPort, error) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address: %w", err)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Unmap().Is4() {
		return netip.AddrPort{}, fmt.Errorf("address: %q is not of IPv4", host)
	}
	port, err := strconv.ParseUint(r.FormValue("port"), 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("port: %q is none", r.FormValue("port"))
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}
