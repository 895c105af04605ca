//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

// writeTorrent describes the payload for the other BitTorrent programs, in
// pieces of the size that switchd uses (BEP 3, and private as of BEP 27).
func writeTorrent(path string, p payload, announce string) error {
	private := true
	info := metainfo.Info{PieceLength: pieceLength(p.size), Private: &private}
	if err := info.BuildFromFilePath(p.path); err != nil {
		return fmt.Errorf("write a torrent file: %w", err)
	}
	encoded, err := bencode.Marshal(info)
	if err != nil {
		return fmt.Errorf("write a torrent file: %w", err)
	}
	text, err := bencode.Marshal(metainfo.MetaInfo{InfoBytes: encoded, Announce: announce})
	if err != nil {
		return fmt.Errorf("write a torrent file: %w", err)
	}
	if err := os.WriteFile(filepath.Clean(path), text, 0o600); err != nil {
		return fmt.Errorf("write a torrent file: %w", err)
	}
	return nil
}

// pieceLength returns the length of a piece in bytes.
func pieceLength(size byteSize) int64 {
	if size < 256<<20 {
		return 256 << 10
	}
	return 1 << 20
}
