//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"switchd/testenv/netns"
)

// aria2 is aria2c with a tracker of the bench's own.
type aria2 struct{ program, hook string }

// aria2Tuning are aria2's best known settings for a swarm of its own.
var aria2Tuning = []string{
	"--bt-max-peers=0", // no limit
	"--file-allocation=none",
	"--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false",
}

func newAria2(dir string) (aria2, error) {
	program, err := exec.LookPath("aria2c")
	if err != nil {
		return aria2{}, fmt.Errorf("%w: install aria2, or leave it out of --contenders", err)
	}
	// aria2 can't say on its output that a torrent is complete.
	hook := filepath.Join(dir, "aria2-done")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho done\n"), 0o700); err != nil {
		return aria2{}, fmt.Errorf("write its hook: %w", err)
	}
	return aria2{program: program, hook: hook}, nil
}

func (aria2) name() string { return "aria2" }

func (aria2) settings() string {
	return fmt.Sprint("tracker that knows all peers from the start, --bt-request-peer-speed-limit at the link's rate, ", aria2Tuning)
}

func (a aria2) prepare(ctx context.Context, s *stage) error {
	announce, err := startTracker(ctx, s.tracker, slices.Concat([]*netns.Host{s.seed}, s.nodes)...)
	if err != nil {
		return err
	}
	return writeTorrent(a.torrent(s), s.payload, announce)
}

func (aria2) torrent(s *stage) string { return filepath.Join(s.dir, "payload.torrent") }

func (a aria2) args(s *stage, dir string, more ...string) []string {
	args := append([]string{
		a.program, "--no-conf=true", "--dir=" + dir, "--listen-port=" + strconv.Itoa(peerPort),
		"--seed-ratio=0.0", // on and on
		"--allow-overwrite=true", "--show-console-readout=false", "--summary-interval=0", "--disable-ipv6=true",
		// Look for more peers while it is slower than this, in bytes a second.
		"--bt-request-peer-speed-limit=" + strconv.FormatUint(uint64(s.rate)/8, 10),
	}, aria2Tuning...)
	return append(append(args, more...), a.torrent(s))
}

func (a aria2) seed(s *stage) []string {
	return a.args(s, filepath.Dir(s.payload.path), "--bt-seed-unverified=true")
}

func (a aria2) node(s *stage, i int) (args []string, file string) {
	dir := s.nodeDir(i)
	return a.args(s, dir, "--on-bt-download-complete="+a.hook), filepath.Join(dir, filepath.Base(s.payload.path))
}
