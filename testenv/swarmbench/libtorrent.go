//go:build linux

package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// libtorrent is libtorrent-rasterbar through a script of ours.
type libtorrent struct{ python, script string }

//go:embed libtorrent.py
var libtorrentScript []byte

func newLibtorrent(ctx context.Context, dir, python string) (libtorrent, error) {
	if err := output(exec.CommandContext(ctx, python, "-c", "import libtorrent")); err != nil {
		return libtorrent{}, fmt.Errorf("%w: install python3-libtorrent, name the Python that has it with --python, or leave it out of --contenders", err)
	}
	// Not the name of the module, which it would hide.
	script := filepath.Join(dir, "peer.py")
	if err := os.WriteFile(script, libtorrentScript, 0o600); err != nil {
		return libtorrent{}, fmt.Errorf("write its script: %w", err)
	}
	return libtorrent{python: python, script: script}, nil
}

func (libtorrent) name() string { return "libtorrent" }

func (libtorrent) settings() string {
	return "super-seeding, all peers known from the start, no limit of unchoke slots, TCP without encryption"
}

func (l libtorrent) prepare(_ context.Context, s *stage) error {
	return writeTorrent(l.torrent(s), s.payload, "")
}

func (libtorrent) torrent(s *stage) string { return filepath.Join(s.dir, "payload.torrent") }

func (l libtorrent) seed(s *stage) []string {
	return []string{l.python, l.script, "seed", s.seed.AddrPort(peerPort).String(), l.torrent(s), filepath.Dir(s.payload.path)}
}

func (l libtorrent) node(s *stage, i int) (args []string, file string) {
	dir := s.nodeDir(i)
	args = []string{l.python, l.script, "fetch", s.nodes[i].AddrPort(peerPort).String(), l.torrent(s), dir, s.seed.AddrPort(peerPort).String()}
	for j, other := range s.nodes {
		if j != i {
			args = append(args, other.AddrPort(peerPort).String())
		}
	}
	return args, filepath.Join(dir, filepath.Base(s.payload.path))
}
