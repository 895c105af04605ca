package artifact_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"pgregory.net/rapid"

	"switchd/artifact"
)

func TestVerify_AcceptsWhatATrustedKeySigned(t *testing.T) {
	t.Parallel()
	key, keys := newKey(t)
	_, others := newKey(t)
	rapid.Check(t, func(t *rapid.T) {
		m := manifests().Draw(t, "manifest")
		if err := artifact.Sign(&m, key); err != nil {
			t.Fatal(err)
		}
		if err := append(others[:1:1], keys...).Verify(m); err != nil {
			t.Fatal(err)
		}
	})
}

func TestVerify_NoticesEveryChange(t *testing.T) {
	t.Parallel()
	key, keys := newKey(t)
	changes := map[string]func(*artifact.Manifest){
		"service":  func(m *artifact.Manifest) { m.Service = "a" + m.Service[1:] + "b" },
		"version":  func(m *artifact.Manifest) { m.Version = "9" + m.Version[1:] + "9" },
		"size":     func(m *artifact.Manifest) { m.Size = m.Size%(1<<50) + 1 },
		"sha256":   func(m *artifact.Manifest) { m.SHA256 = m.SHA256[1:] + "g" },
		"unpacked": func(m *artifact.Manifest) { m.Unpacked = m.Unpacked%(1<<50) + 1 },
		"created":  func(m *artifact.Manifest) { m.Created = m.Created.Add(time.Second) },
		"by":       func(m *artifact.Manifest) { m.By += "!" },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				m := manifests().Draw(t, "manifest")
				if err := artifact.Sign(&m, key); err != nil {
					t.Fatal(err)
				}
				change(&m)
				// Some changes are not even valid.
				if err := keys.Verify(m); err == nil || m.Validate() == nil && !errors.Is(err, artifact.ErrUntrusted) {
					t.Fatalf("changed %s: error is %v", name, err)
				}
			})
		})
	}
}

func TestVerify_NamesTheKeys(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 10)
	stranger, strangers := newKey(t)

	unsigned := r.manifest
	unsigned.Signature = ""
	if err := r.keys.Verify(unsigned); !errors.Is(err, artifact.ErrUnsigned) || !strings.Contains(err.Error(), "web 1.4.2") {
		t.Errorf("unsigned: %v", err)
	}
	foreign := r.manifest
	must(t, artifact.Sign(&foreign, stranger))
	err := r.keys.Verify(foreign)
	if !errors.Is(err, artifact.ErrUntrusted) || !strings.Contains(err.Error(), strangers.String()) || !strings.Contains(err.Error(), r.keys.String()) {
		t.Errorf("foreign: %v, want both key IDs %v and %v", err, strangers, r.keys)
	}
	if err := (artifact.TrustedKeys{}).Verify(r.manifest); !errors.Is(err, artifact.ErrUntrusted) || !strings.Contains(err.Error(), "no keys at all") {
		t.Errorf("without keys: %v", err)
	}
	garbled := r.manifest
	garbled.Signature = "untrusted comment: nothing"
	if err := r.keys.Verify(garbled); !errors.Is(err, artifact.ErrUntrusted) {
		t.Errorf("garbled: %v", err)
	}
	if err := artifact.Sign(&artifact.Manifest{Service: "web"}, stranger); err == nil {
		t.Error("an invalid manifest was signed")
	}
}

func TestGenerateKey_MakesAPairThatIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pub, priv := filepath.Join(dir, "release.pub"), filepath.Join(dir, "release.key")
	made, err := artifact.GenerateKey(pub, priv, "")
	must(t, err)
	info, err := os.Stat(priv)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("private key has mode %v", info.Mode())
	}
	key, err := artifact.LoadPrivateKey(priv, func() (string, error) {
		t.Error("the password of a key without one was asked for")
		return "", nil
	})
	must(t, err)
	if key.ID() != made.ID() {
		t.Errorf("key is %X, want %X", key.ID(), made.ID())
	}
	keys, err := artifact.LoadTrustedKeys(pub)
	must(t, err)
	bare, err := artifact.ParseTrustedKeys(made.String())
	must(t, err)
	m := newRelease(t, 10).manifest
	must(t, artifact.Sign(&m, key))
	must(t, keys.Verify(m))
	must(t, bare.Verify(m))

	if _, err := artifact.GenerateKey(filepath.Join(dir, "other.pub"), priv, ""); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an old private key: %v", err)
	}
	if _, err := artifact.GenerateKey(pub, filepath.Join(dir, "other.key"), ""); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an old public key: %v", err)
	}
	if got := strings.Join(entries(t, dir), " "); got != "release.key release.pub" {
		t.Errorf("there are %s, want the first pair only", got)
	}
	must(t, os.Chmod(priv, 0o640))
	if _, err := artifact.LoadPrivateKey(priv, nil); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("a key that others can read: %v", err)
	}
	write(t, pub, "no key\n", 0o644)
	if _, err := artifact.LoadTrustedKeys(pub); err == nil || !strings.Contains(err.Error(), pub) {
		t.Errorf("a broken public key: %v, want its file's name", err)
	}
}

func TestLoadPrivateKey_AsksForThePassword(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/encrypted.key")
	must(t, err)
	path := filepath.Join(t.TempDir(), "release.key")
	must(t, os.WriteFile(path, text, 0o600))
	answer := func(password string, err error) func() (string, error) {
		return func() (string, error) { return password, err }
	}
	key, err := artifact.LoadPrivateKey(path, answer("correct horse", nil))
	must(t, err)
	m := newRelease(t, 10).manifest
	must(t, artifact.Sign(&m, key))
	must(t, artifact.TrustedKeys{key.Public().(minisign.PublicKey)}.Verify(m)) // It is of this library.
	refused := errors.New("no terminal")
	if _, err := artifact.LoadPrivateKey(path, answer("", refused)); !errors.Is(err, refused) {
		t.Errorf("without a terminal: %v", err)
	}
	if _, err := artifact.LoadPrivateKey(path, nil); err == nil || !strings.Contains(err.Error(), "no password") {
		t.Errorf("without a password: %v", err)
	}
	if _, err := artifact.LoadPrivateKey(path, answer("wrong", nil)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("with a wrong password: %v", err)
	}
}

func minisignTool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	tool, err := exec.LookPath("minisign")
	if err != nil {
		t.Fatalf("this test needs the minisign tool (apt-get install minisign): %v", err)
	}
	out, err := exec.CommandContext(within(t), tool, args...).CombinedOutput()
	return string(out), err
}

func TestSign_MinisignVerifiesIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRelease(t, 10)
	payload, sig := filepath.Join(dir, "manifest"), filepath.Join(dir, "manifest.minisig")
	write(t, payload, string(r.manifest.Payload()), 0o600)
	write(t, sig, r.manifest.Signature, 0o600)
	out, err := minisignTool(t, "-V", "-m", payload, "-P", r.keys[0].String())
	if err != nil || !strings.Contains(out, "Trusted comment: switchd release web 1.4.2") {
		t.Errorf("minisign: %v: %s", err, out)
	}
	write(t, payload, string(r.manifest.Payload())+" ", 0o600)
	if out, err := minisignTool(t, "-V", "-m", payload, "-P", r.keys[0].String()); err == nil {
		t.Errorf("minisign verified a changed payload: %s", out)
	}
}

func TestVerify_AcceptsWhatMinisignSigned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if out, err := minisignTool(t, "-G", "-W", "-p", file("pub"), "-s", file("key")); err != nil {
		t.Fatalf("minisign: %v: %s", err, out)
	}
	keys, err := artifact.LoadTrustedKeys(file("pub"))
	must(t, err)
	m := newRelease(t, 10).manifest
	write(t, file("manifest"), string(m.Payload()), 0o600)
	for name, args := range map[string][]string{"prehashed": nil, "legacy": {"-l"}} {
		args = append([]string{"-S", "-W", "-s", file("key"), "-m", file("manifest"), "-x", file(name)}, args...)
		if out, err := minisignTool(t, args...); err != nil {
			t.Fatalf("minisign: %v: %s", err, out)
		}
		sig, err := os.ReadFile(file(name))
		must(t, err)
		m.Signature = string(sig)
		if err := keys.Verify(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// And its key signs here.
	key, err := artifact.LoadPrivateKey(file("key"), nil)
	must(t, err)
	must(t, artifact.Sign(&m, key))
	must(t, keys.Verify(m))
	if !key.Public().(minisign.PublicKey).Equal(keys[0]) { // It is of this library.
		t.Error("the private key's public key is another one")
	}
}
