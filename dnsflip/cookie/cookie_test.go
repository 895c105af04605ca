package cookie_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/dnsflip/cookie"
)

const (
	secretA1 = "e5e973e5a6b2a43f48e7dc849e37bfcf"
	secretA4 = "dd3bdf9344b678b185a6f5cb60fca715"
	renewed  = "445536bcd2513298075a5d379663c962"
)

func load(tb testing.TB, lines ...string) *cookie.Jar {
	tb.Helper()
	jar, err := cookie.Load(write(tb, 0o600, strings.Join(lines, "\n")))
	if err != nil {
		tb.Fatal(err)
	}
	return jar
}

func write(tb testing.TB, mode os.FileMode, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "secrets")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		tb.Fatal(err)
	}
	return path
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// TestJar_MakesTheCookiesOfTheRFC goes through RFC 9018 appendix A.
func TestJar_MakesTheCookiesOfTheRFC(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		jar     *cookie.Jar
		client  string
		query   string
		made    int64 // when the query's cookie was
		replied int64
		reply   string
		state   cookie.State
	}{
		{
			"A.1 learning a new server cookie", load(t, secretA1), "198.51.100.100",
			"2464c4abcf10c957", 1559731985, 1559731985,
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", cookie.ClientOnly,
		},
		{
			"A.2 the same client learning a renewed server cookie", load(t, secretA1), "198.51.100.100",
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985, 1559734385,
			"2464c4abcf10c957010000005cf7a871d4a564a1442aca77", cookie.Valid,
		},
		{
			"A.3 another client, with bytes in the reserved field", load(t, secretA1), "203.0.113.203",
			"fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559727985, 1559734700,
			"fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e", cookie.Valid,
		},
		{
			"A.4 IPv6, with a secret that has been replaced", load(t, renewed, secretA4), "2001:db8:220:1:59de:d0f4:8769:82b8",
			"22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741817, 1559741961,
			"22681ab97d52c298010000005cf7c609a6bb79d16625507a", cookie.Valid,
		},
	} {
		query, client := unhex(t, tt.query), netip.MustParseAddr(tt.client)
		if got := tt.jar.Check(query, client, time.Unix(tt.made, 0)); got != tt.state {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.state)
		}
		if got := hex.EncodeToString(tt.jar.Append(nil, query, client, time.Unix(tt.replied, 0))); got != tt.reply {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.reply)
		}
	}
}

func TestCheck_TellsWhatACookieIsWorth(t *testing.T) {
	t.Parallel()
	jar := load(t, secretA1)
	client := netip.MustParseAddr("198.51.100.100")
	good := unhex(t, "2464c4abcf10c957010000005cf79f111f8130c3eee29480")
	made := time.Unix(1559731985, 0)
	for _, tt := range []struct {
		name   string
		option []byte
		client netip.Addr
		age    time.Duration
		want   cookie.State
	}{
		{"new", good, client, 0, cookie.Valid},
		{"from a mapped address", good, netip.MustParseAddr("::ffff:198.51.100.100"), 0, cookie.Valid},
		{"an hour old", good, client, time.Hour, cookie.Valid},
		{"older", good, client, time.Hour + time.Second, cookie.Invalid},
		{"made by a server 5 minutes ahead", good, client, -5 * time.Minute, cookie.Valid},
		{"further ahead", good, client, -5*time.Minute - time.Second, cookie.Invalid},
		{"half of all time ahead", good, client, -1 << 31 * time.Second, cookie.Invalid},
		{"of another address", good, netip.MustParseAddr("198.51.100.101"), 0, cookie.Invalid},
		{"of no address", good, netip.Addr{}, 0, cookie.Invalid},
		{"of another kind of server", append(bytes.Clone(good), 0), client, 0, cookie.Invalid},
		{"40 bytes", make([]byte, 40), client, 0, cookie.Invalid},
		{"16 bytes", make([]byte, 16), client, 0, cookie.Invalid},
		{"of the client only", good[:8], client, 0, cookie.ClientOnly},
		{"0 bytes", nil, client, 0, cookie.Malformed},
		{"7 bytes", good[:7], client, 0, cookie.Malformed},
		{"9 bytes", good[:9], client, 0, cookie.Malformed},
		{"15 bytes", good[:15], client, 0, cookie.Malformed},
		{"41 bytes", make([]byte, 41), client, 0, cookie.Malformed},
	} {
		if got := jar.Check(tt.option, tt.client, made.Add(tt.age)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCheck_NoticesEveryBit(t *testing.T) {
	t.Parallel()
	jar, client, now := cookie.Random(), netip.MustParseAddr("2001:db8::1"), time.Now()
	good := jar.Append(nil, []byte("8 bytes!"), client, now)
	for bit := range 8 * len(good) {
		option := bytes.Clone(good)
		option[bit/8] ^= 1 << (bit % 8)
		if got := jar.Check(option, client, now); got != cookie.Invalid {
			t.Errorf("bit %d of byte %d flipped: %s", bit%8, bit/8, got)
		}
	}
}

func TestJar_TakesItsOwnCookies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Over the wrap of the 32 bits, in 2106.
		now := time.Unix(1<<32-rapid.Int64Range(-1000, 4000).Draw(t, "before the wrap"), 0)
		client, _ := netip.AddrFromSlice(rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 4, 4), rapid.SliceOfN(rapid.Byte(), 16, 16)).Draw(t, "client"))
		option := rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "option")
		jar := cookie.Random()
		made := jar.Append([]byte("before"), option, client, now)
		head, made := made[:6], made[6:]
		if string(head) != "before" || len(made) != cookie.Size || !bytes.Equal(made[:8], option) {
			t.Fatalf("made %q behind %q", made, head)
		}
		age := rapid.IntRange(-2000, 5000).Draw(t, "age")
		want := cookie.Invalid
		if age >= -300 && age <= 3600 {
			want = cookie.Valid
		}
		if got := jar.Check(made, client, now.Add(time.Duration(age)*time.Second)); got != want {
			t.Fatalf("%d s old: %s, want %s", age, got, want)
		}
		if got := cookie.Random().Check(made, client, now); got != cookie.Invalid {
			t.Fatalf("by another secret: %s", got)
		}
	})
}

func TestJar_AllocatesNothing(t *testing.T) {
	jar := load(t, secretA4, renewed, secretA1)
	dst := make([]byte, 0, cookie.Size)
	for _, client := range []netip.Addr{netip.MustParseAddr("198.51.100.100"), netip.MustParseAddr("2001:db8::1")} {
		now := time.Now()
		option := jar.Append(nil, []byte("8 bytes!"), client, now)
		if n := testing.AllocsPerRun(100, func() {
			if jar.Check(option, client, now) != cookie.Valid {
				t.Error("not valid")
			}
			dst = jar.Append(dst[:0], option, client, now)
		}); n != 0 {
			t.Errorf("%s: %v allocations", client, n)
		}
	}
}

func TestLoad_NamesPlaceCauseAndWayOut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode os.FileMode
		text string
		want string // after the path
	}{
		{0o600, "# of the replicas\n\n" + secretA1 + "  # active\n" + strings.ToUpper(renewed) + "\n", ""},
		{0o640, secretA1, "others can read it (mode 0640); chmod 600 it, and replace the secrets if they might have"},
		{0o600, "\n# none\n", ": no cookie secret in it; make one by: openssl rand -hex 16"},
		{0o600, secretA1 + "\n" + renewed + "0", ":2: a cookie secret is 32 hex digits; make one by: openssl rand -hex 16"},
		{0o600, "\nzz" + secretA1[2:], ":2: a cookie secret is 32 hex digits; make one by: openssl rand -hex 16"},
		{0o600, strings.Repeat(secretA1+"\n", 9), ":9: more than 8 cookie secrets; remove those that no server makes cookies with any more"},
		{0o600, strings.Repeat("#\n", 2049), ": more than 4096 bytes, for lines of 32 hex digits"},
	} {
		path := write(t, tt.mode, tt.text)
		_, err := cookie.Load(path)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: %v", tt.text, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), path) || !strings.HasSuffix(err.Error(), tt.want)):
			t.Errorf("%q:\n got %v\nwant %s", tt.text, err, tt.want)
		case err != nil && strings.Contains(err.Error(), secretA1[2:]):
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	if _, err := cookie.Load(t.TempDir()); err == nil {
		t.Error("a folder was taken for a file")
	}
}

func TestJar_IsNeverPrintedWithItsSecrets(t *testing.T) {
	t.Parallel()
	jar := load(t, secretA1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x"} {
		if got, want := fmt.Sprintf(verb, jar), "1 cookie secrets"; got != want {
			t.Errorf("%s: got %q, want %q", verb, got, want)
		}
	}
}

// FuzzCheck looks for options that break it, or that are taken for made here.
func FuzzCheck(f *testing.F) {
	jar, client, now := cookie.Random(), netip.MustParseAddr("192.0.2.1"), time.Now()
	f.Add([]byte("8 bytes!"))
	f.Add(cookie.Random().Append(nil, []byte("8 bytes!"), client, now))
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, option []byte) {
		state := jar.Check(option, client, now)
		if n := len(option); (state == cookie.Malformed) != (n < 8 || n > 8 && n < 16 || n > 40) || (state == cookie.ClientOnly) != (n == 8) {
			t.Fatalf("%d bytes: %s", n, state)
		}
		if state == cookie.Valid || state == cookie.None {
			t.Fatalf("%x: %s", option, state)
		}
	})
}

// FuzzLoad looks for files that break it.
func FuzzLoad(f *testing.F) {
	f.Add(secretA1 + "\n# old\n" + renewed)
	f.Add("0x00")
	f.Fuzz(func(t *testing.T, text string) {
		path := write(t, 0o600, text)
		jar, err := cookie.Load(path)
		if (jar == nil) == (err == nil) {
			t.Fatalf("jar %v, error %v", jar, err)
		}
	})
}

func BenchmarkJar_Check(b *testing.B) {
	jar, client, now := cookie.Random(), netip.MustParseAddr("192.0.2.1"), time.Now()
	option := jar.Append(nil, []byte("8 bytes!"), client, now)
	b.ReportAllocs()
	for b.Loop() {
		jar.Check(option, client, now)
	}
}

func BenchmarkJar_Append(b *testing.B) {
	jar, client, now := cookie.Random(), netip.MustParseAddr("192.0.2.1"), time.Now()
	dst := make([]byte, 0, cookie.Size)
	b.ReportAllocs()
	for b.Loop() {
		dst = jar.Append(dst[:0], []byte("8 bytes!"), client, now)
	}
}
