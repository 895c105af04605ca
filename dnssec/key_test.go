package dnssec_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchd/dnssec"
	"switchd/zone"
)

func TestGenerate_WritesAPairThatLoads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, err := dnssec.Generate(dir, apps, time.Unix(1700000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, made.String())
	for suffix, want := range map[string]os.FileMode{".key": 0o644, ".private": 0o600} {
		info, err := os.Stat(base + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm() &^ 0o022; got != want { // but for the umask
			t.Errorf("mode of %s: got %04o, want %04o", suffix, got, want)
		}
	}
	for _, path := range []string{base, base + ".key", base + ".private"} {
		for _, origin := range []zone.Name{apps, ""} {
			key, err := dnssec.Load(path, origin)
			if err != nil {
				t.Fatalf("load %s of %q: %v", path, origin, err)
			}
			if got, want := key.DNSKEY(1).String(), made.DNSKEY(1).String(); got != want || key.Zone != apps {
				t.Errorf("load %s: got %s, want %s", path, got, want)
			}
		}
	}
}

// TestGenerate_WritesWhatBindReads has BIND's tools read a key and derive its
// DS record, and compares that and the files' names.
func TestGenerate_WritesWhatBindReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, origin := range []string{".", "test.", "apps.test.", "0/25.2.0.192.in-addr.arpa.", `a\.b\032c._x.test.`, "ÄÖ.test."} {
		key, err := dnssec.Generate(dir, name(t, origin), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got := lastFields(key.DS(0).String())
		if want := lastFields(run(t, "dnssec-dsfromkey", "-2", filepath.Join(dir, key.String()+".key"))); got != want {
			t.Errorf("DS of %s: got %s, want %s", key, got, want)
		}
		// It finds the file of the private key by itself.
		run(t, "dnssec-settime", "-p", "all", filepath.Join(dir, key.String()))
	}
}

// lastFields returns the four fields of a DS record's data.
func lastFields(record string) string {
	fields := strings.Fields(record)
	return strings.Join(fields[max(0, len(fields)-4):], " ")
}

func TestLoad_ReadsWhatBindWrites(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"apps.test.", "0/25.2.0.192.in-addr.arpa.", "."} {
		for _, args := range [][]string{{"-f", "KSK"}, nil, {"-L", "300"}} {
			dir := t.TempDir()
			base := strings.TrimSpace(run(t, "dnssec-keygen", append(append([]string{"-q", "-K", dir, "-a", "ECDSAP256SHA256"}, args...), origin)...))
			key, err := dnssec.Load(filepath.Join(dir, base), name(t, origin))
			if err != nil {
				t.Fatal(err)
			}
			if key.String() != base {
				t.Errorf("got %s, want %s", key, base)
			}
			want := dnssec.FlagsZSK
			if len(args) > 1 && args[0] == "-f" {
				want = dnssec.FlagsKSK
			}
			if key.Flags != want {
				t.Errorf("flags of %s: got %d, want %d", key, key.Flags, want)
			}
		}
	}
}

func TestLoad_ReadsPKCS8(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	path := writePEM(t, private)
	key, err := dnssec.Load(path, apps)
	if err != nil {
		t.Fatal(err)
	}
	if key.Flags != dnssec.FlagsKSK || key.Zone != apps {
		t.Errorf("got flags %d of zone %s", key.Flags, key.Zone)
	}
	public, err := dnssec.LoadPublic(path, apps)
	if err != nil {
		t.Fatal(err)
	}
	if public != key.PublicKey {
		t.Errorf("LoadPublic: got %v, want %v", public, key)
	}
	_, err = dnssec.Load(path, "")
	wantError(t, err, "doesn't tell which zone")
}

func TestLoad_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := generate(t, dir, apps)
	other := generate(t, dir, apps)
	public, private := read(t, filepath.Join(dir, key.String()+".key")), read(t, filepath.Join(dir, key.String()+".private"))
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		public, private string
		mode            os.FileMode
		want            string
	}{
		{"others can read it", public, private, 0o640, "chmod 600"},
		{"public of another pair", read(t, filepath.Join(dir, other.String()+".key")), private, 0o600, "not of the same pair"},
		{"other algorithm", strings.Replace(public, " 3 13 ", " 3 8 ", 1), private, 0o600, "the algorithm is 8 (RSASHA256), want 13"},
		{"other protocol", strings.Replace(public, " 3 13 ", " 4 13 ", 1), private, 0o600, "protocol is 4"},
		{"revoked", strings.Replace(public, " 257 ", " 385 ", 1), private, 0o600, "revoked"},
		{"no zone key", strings.Replace(public, " 257 ", " 1 ", 1), private, 0o600, "flags are 1"},
		{"other class", strings.Replace(public, " IN ", " CH ", 1), private, 0o600, "class is CH"},
		{"other zone", strings.Replace(public, "apps.test. IN", "other.test. IN", 1), private, 0o600, "one of zone other.test., not of apps.test."},
		{"no key", "apps.test. 1 IN A 192.0.2.1\n", private, 0o600, "type A, want DNSKEY"},
		{"two keys", public + public, private, 0o600, "more than one"},
		{"empty", "", private, 0o600, "no record"},
		{"no point of the curve", "apps.test. IN DNSKEY 257 3 13 " + strings.Repeat("A", 86) + "==\n", private, 0o600, "decode public key"},
		{"private of another algorithm", public, strings.Replace(private, ": 13 ", ": 15 ", 1), 0o600, ".private:2: the algorithm is 15 (ED25519)"},
		{"private of another format", public, strings.Replace(private, "v1.3", "v9", 1), 0o600, ".private:1: the format is \"v9\""},
		{"no format", public, "Algorithm: 13\n", 0o600, "Private-key-format"},
		{"in hardware", public, "Private-key-format: v1.3\nAlgorithm: 13\nEngine: cGtjczExAA==\n", 0o600, "hardware"},
		{"no base64", public, "Private-key-format: v1.3\nAlgorithm: 13\nPrivateKey: secret!\n", 0o600, ".private:3: the private key is no base64"},
		{"no line", public, "Private-key-format: v1.3\nnonsense\n", 0o600, ".private:2: a name, a colon"},
		{"huge", public, strings.Repeat("\n", 20<<10), 0o600, "no key file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base := filepath.Join(t.TempDir(), "Kapps.test.+013+00001")
			write(t, base+".key", c.public, 0o644)
			write(t, base+".private", c.private, c.mode)
			_, err := dnssec.Load(base, apps)
			wantError(t, err, c.want)
			if strings.Contains(err.Error(), "secret!") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	for want, path := range map[string]string{
		"neither PEM nor":       write(t, filepath.Join(t.TempDir(), "key.pem"), "nothing", 0o600),
		"want PRIVATE KEY":      write(t, filepath.Join(t.TempDir(), "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY"})), 0o600),
		"curve P-256":           writePEM(t, edwards),
		"no such file":          filepath.Join(dir, "missing.pem"),
		"missing.key: no such ": filepath.Join(dir, "missing.private"),
	} {
		_, err := dnssec.Load(path, apps)
		wantError(t, err, want)
	}
}

func TestKey_IsPrintedByItsNameOnly(t *testing.T) {
	t.Parallel()
	key := generate(t, t.TempDir(), apps)
	for _, verb := range []string{"%v", "%+v", "%s"} {
		if got := fmt.Sprintf(verb, key); got != key.String() {
			t.Errorf("%s: got %s", verb, got)
		}
	}
}

func FuzzKeyFiles_SurviveAnyText(f *testing.F) {
	f.Add("apps.test. IN DNSKEY 257 3 13 l4CKfHlESCyUhOEmzpwdMzkgw/9NumbAnAIXkVo61sW8iK7BbEI/NGAO iuxiQzl2+IkhhLwoqMBV021z+SFUyg==\n",
		"Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: 8M8zulQirVCmjSsqhYAMD1wgEK5UtijP68L/kRy/V6o=\n")
	f.Add("$GENERATE 1-9 $ IN DNSKEY 257 3 13 AA==\n", "Private-key-format: v1.2\nAlgorithm: 13\nPrivateKey: \n")
	f.Add("$INCLUDE /etc/passwd\n", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, public, private string) {
		if key, err := dnssec.ParsePublic([]byte(public)); err == nil {
			again, err := dnssec.ParsePublic([]byte(key.DNSKEY(60).String() + "\n"))
			if err != nil || again != key {
				t.Errorf("%s reads back as %v: %v", key, again, err)
			}
			if ds := key.DS(60); ds == nil || ds.KeyTag != key.Tag() {
				t.Errorf("%s has DS %v", key, ds)
			}
		}
		for _, parse := range []func([]byte) (*ecdsa.PrivateKey, error){dnssec.ParsePrivate, dnssec.ParsePEM} {
			if key, err := parse([]byte(private)); err == nil {
				if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
					t.Errorf("the key can't sign: %v", err)
				}
			}
		}
	})
}

var apps = mustName("apps.test.")

func mustName(presentation string) zone.Name {
	n, err := zone.ParseName(presentation)
	if err != nil {
		panic(err)
	}
	return n
}

func name(tb testing.TB, presentation string) zone.Name {
	tb.Helper()
	n, err := zone.ParseName(presentation)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func generate(tb testing.TB, dir string, origin zone.Name) dnssec.Key {
	tb.Helper()
	key, err := dnssec.Generate(dir, origin, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func writePEM(tb testing.TB, private any) string {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return write(tb, filepath.Join(tb.TempDir(), "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
}

func write(tb testing.TB, path, text string, mode os.FileMode) string {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		tb.Fatal(err)
	}
	return path
}

func read(tb testing.TB, path string) string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// run runs a program of Debian's package bind9-utils.
func run(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), program, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v (is the Debian package bind9-utils installed?)\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func wantError(tb testing.TB, err error, want string) {
	tb.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		tb.Fatalf("got error %v, want one with %q", err, want)
	}
}
