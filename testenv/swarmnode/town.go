package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"switchd/artifact"
	"switchd/swarm"
)

// town is a membership in a directory: a list of members, and a file for each
// that has the archive. All want it.
type town struct {
	path string
	self swarm.Member
}

func openTown(path, fingerprint string) (*town, error) {
	t := &town{path: path}
	self, ok, err := t.Member(context.Background(), fingerprint)
	if err == nil && !ok {
		err = errors.New("this node's key is nobody's")
	}
	if err != nil {
		return nil, fmt.Errorf("members in %s: %w", path, err)
	}
	t.self = self
	return t, nil
}

func (t *town) all() ([]swarm.Member, error) {
	text, err := os.ReadFile(t.path)
	if err != nil {
		return nil, err
	}
	var members []swarm.Member
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("%s: %w", t.path, err)
	}
	return members, nil
}

// Member looks a fingerprint up in the list.
func (t *town) Member(_ context.Context, fingerprint string) (swarm.Member, bool, error) {
	members, err := t.all()
	for _, m := range members {
		if m.Fingerprint == fingerprint {
			return m, true, nil
		}
	}
	return swarm.Member{}, false, err
}

// Holders returns all members.
func (t *town) Holders(context.Context, artifact.Manifest) ([]swarm.Member, error) {
	members, err := t.all()
	for i := range members {
		_, err := os.Stat(t.mark(members[i].Node))
		members[i].Has = err == nil
	}
	return members, err
}

func (t *town) mark(node string) string { return filepath.Join(filepath.Dir(t.path), node+".has") }

// has writes down that this node has the archive.
func (t *town) has() error { return os.WriteFile(t.mark(t.self.Node), nil, 0o600) }

// key is a node's private key.
type key struct {
	Node    string             `json:"node"`
	Private ed25519.PrivateKey `json:"private"`
}

func readKey(path string) (key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return key{}, err
	}
	var k key
	if err := json.Unmarshal(text, &k); err != nil {
		return key{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(k.Private) != ed25519.PrivateKeySize {
		return key{}, fmt.Errorf("%s: the key has %d bytes", path, len(k.Private))
	}
	return k, nil
}

// initialize writes what the nodes of a bench need.
func initialize(ctx context.Context, o options) error {
	if err := os.MkdirAll(o.out, 0o700); err != nil {
		return err
	}
	m, err := describe(ctx, o.file)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(o.out, "manifest.json"), m); err != nil {
		return err
	}
	var members []swarm.Member
	for node := range strings.SplitSeq(o.nodes, ",") {
		name, address, _ := strings.Cut(node, "=")
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("node %q: %w; want name=address:port", node, err)
		}
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		id, err := swarm.IdentityOf(private)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(o.out, name+".json"), key{Node: name, Private: private}); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(o.out, name+".has")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		members = append(members, swarm.Member{Node: name, Addr: at, Fingerprint: id.Fingerprint()})
	}
	return write(filepath.Join(o.out, "members.json"), members)
}

// write puts JSON into a file in one step, as others may be reading it.
func write(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// describe makes the manifest of a file, as if it were a release's archive.
func describe(ctx context.Context, path string) (artifact.Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return artifact.Manifest{}, err
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return artifact.Manifest{}, err
	}
	m := artifact.NewManifest("bench", "1", "swarmnode", time.Unix(0, 0), artifact.Info{
		Size: size, SHA256: hex.EncodeToString(hash.Sum(nil)), Unpacked: size,
	})
	return m, m.AddMetainfo(ctx, f)
}
