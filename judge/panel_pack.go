package judge

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
)

// A state is written as it is as long as it is short, so that people can read it
// where it is kept, and packed from maxPlain bytes on. What is unpacked has at most
// maxUnpacked bytes: a thousand metrics on many nodes have a tenth of it.
const (
	maxPlain    = 16 << 10
	maxUnpacked = 64 << 20
)

// packed is the form of a long state: deflated (RFC 1951).
type packed struct {
	Packed []byte `json:"packed"`
}

// pack makes a long state shorter.
func pack(state []byte) ([]byte, error) {
	if len(state) <= maxPlain {
		return state, nil
	}
	var short bytes.Buffer
	w, err := flate.NewWriter(&short, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(state); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return json.Marshal(packed{Packed: short.Bytes()})
}

// unpack is the reverse of pack.
func unpack(data []byte) ([]byte, error) {
	var p packed
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	if p.Packed == nil {
		return data, nil
	}
	state, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(p.Packed)), maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if len(state) > maxUnpacked {
		return nil, fmt.Errorf("unpacked, it has more than %d MiB", maxUnpacked>>20)
	}
	return state, nil
}
