package tsig_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"switchd/dnsflip/tsig"
)

func TestParse_ReadsWhatBINDReads(t *testing.T) {
	t.Parallel()
	keys := ring(t, `
// Keys of the secondaries.
/* key "old" { algorithm hmac-sha1; };
 */
key "Transfer.Example.net" {
	algorithm hmac-sha256;	# the usual one
	secret "`+secret+`";
};
key update. { secret `+other+`; algorithm "HMAC-SHA512"; };`)
	if got, want := keys.Names(), []string{name, "update."}; !slices.Equal(got, want) {
		t.Fatalf("names: got %q, want %q", got, want)
	}
	for _, spelling := range []string{"transfer.example.net", "TRANSFER.example.net."} {
		if k := keys.Key(spelling); k == nil || k.Name != name || k.Algorithm != dns.HmacSHA256 {
			t.Errorf("Key(%q) = %v", spelling, k)
		}
	}
	if k := keys.Key("update"); k == nil || k.Algorithm != dns.HmacSHA512 {
		t.Errorf("Key(update) = %v", k)
	}
	if k := keys.Key("none"); k != nil {
		t.Errorf("Key(none) = %v, want nil", k)
	}
}

func TestParse_NamesPlaceCauseAndWayOut(t *testing.T) {
	t.Parallel()
	good := keyText(name, dns.HmacSHA256, secret)
	for _, tt := range []struct{ text, want string }{
		{"", `keys: no TSIG key in it; make one by: tsig-keygen transfer.example.net`},
		{"\n\noptions { };", `keys:3: only keys may be in a file of keys`},
		{good + "\n" + good, `keys:2: key "transfer.example.net." is at keys:1 already; remove one of them`},
		{"key a {\n algorithm hmac-md5;\n};", `keys:2: the algorithm has to be hmac-sha256, or with sha224, sha384 or sha512`},
		{"key a { algorithm hmac-sha1; };", `keys:1: the algorithm has to be hmac-sha256, or with sha224, sha384 or sha512`},
		{"key a {\n secret \"c2hvcnQ=\";\n};", `keys:2: the secret has 40 bits, fewer than 128; make a key by: tsig-keygen transfer.example.net`},
		{"key a {\n secret \"===\"; };", `keys:2: the secret isn't base64`},
		{"key a { algorithm hmac-sha256;\n};", `keys:1: key "a" needs an algorithm and a secret`},
		{"key a { algorithm hmac-sha256; algorithm hmac-sha256; };", `keys:1: a key has one algorithm and one secret, and nothing else`},
		{"key a { secert \"" + secret + "\"; };", `keys:1: a key has one algorithm and one secret, and nothing else`},
		{"key a..b { };", `keys:1: the name of a key has to be a domain name`},
		{"key a { secret \"" + secret + "\"", `keys:1: expected ;, got the end of the file; a key is: key "NAME" { algorithm hmac-sha256; secret "BASE64"; };`},
		{"key a { secret \"" + secret, `keys:1: expected a word, got a quote or comment without an end; a key is: key "NAME" { algorithm hmac-sha256; secret "BASE64"; };`},
		{strings.Repeat(" ", 1<<17), `keys: more than 65536 bytes, for a few keys`},
	} {
		_, err := tsig.Parse(strings.NewReader(tt.text), "keys")
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.80q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func TestLoad_RefusesWhatOthersCanRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(keyText(name, dns.HmacSHA256, secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode os.FileMode
		ok   bool
	}{{0o600, true}, {0o400, true}, {0o640, false}, {0o604, false}} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, err := tsig.Load(path)
		if (err == nil) != tt.ok {
			t.Errorf("mode %04o: got %v, want ok = %v", tt.mode, err, tt.ok)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("the error doesn't tell the way out: %v", err)
		}
	}
	if _, err := tsig.Load(t.TempDir()); err == nil {
		t.Error("a folder was taken for a file of keys")
	}
}

func TestLoad_JoinsFilesOfTsigKeygen(t *testing.T) {
	t.Parallel()
	var paths []string
	for _, key := range []string{"one", "two"} {
		out := tool(t, "tsig-keygen", "bind9-utils", "-a", "hmac-sha384", key)
		path := filepath.Join(t.TempDir(), key)
		if err := os.WriteFile(path, out, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	keys, err := tsig.Load(paths...)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := keys.Names(), []string{"one.", "two."}; !slices.Equal(got, want) {
		t.Errorf("names: got %q, want %q", got, want)
	}
	if _, err := tsig.Load(paths[0], paths[1], paths[0]); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("the same key twice: got %v", err)
	}
}

func TestKey_IsNeverPrintedWithItsSecret(t *testing.T) {
	t.Parallel()
	keys := ring(t, keyText(name, dns.HmacSHA256, secret))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		printed := fmt.Sprintf(verb+" "+verb+" "+verb, keys, keys.Key(name), *keys.Key(name))
		if strings.Contains(printed, secret) || strings.Contains(printed, "switchd switchd") || strings.Contains(printed, "115, 119, 105") {
			t.Errorf("%s prints the secret: %s", verb, printed)
		}
	}
}

// FuzzParse looks for texts that break the parser, or whose errors tell the
// secret.
func FuzzParse(f *testing.F) {
	f.Add(keyText(name, dns.HmacSHA256, secret))
	f.Add("key a { secret \"" + secret + "\" algorithm hmac-sha256; }; # comment")
	f.Add("/* */ key \"" + secret)
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := tsig.Parse(strings.NewReader(text), "keys")
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Fatalf("the error has the secret: %v", err)
			}
			return
		}
		for _, n := range keys.Names() {
			if k := keys.Key(n); k == nil || k.Name != dns.CanonicalName(n) {
				t.Fatalf("Key(%q) = %v", n, k)
			}
		}
	})
}

// tool runs a program of Debian and returns what it prints.
func tool(tb testing.TB, program, debian string, args ...string) []byte {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Fatalf("%s is missing: apt-get install %s", program, debian)
	}
	out, err := exec.CommandContext(tb.Context(), path, args...).CombinedOutput()
	if err != nil {
		tb.Logf("%s: %v", program, err) // that is for the test to judge by the output
	}
	return out
}
