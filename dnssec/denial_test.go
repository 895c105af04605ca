package dnssec_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/dnssec"
	"switchd/zone"
)

func TestSuccessor_ComesRightAfter(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3) // 192 octets
	for _, c := range []struct{ name, want string }{
		{"apps.test.", `\000.apps.test.`},
		{"a.apps.test.", `\000.a.apps.test.`},
		// 253 octets: one more label, of one octet, fits.
		{strings.Repeat("b", 49) + "." + long + "apps.test.", `\000.` + strings.Repeat("b", 49) + "." + long + "apps.test."},
		// 254 octets: one more octet fits.
		{strings.Repeat("b", 50) + "." + long + "apps.test.", strings.Repeat("b", 50) + `\000.` + long + "apps.test."},
		// 255 octets: the last octet counts up.
		{strings.Repeat("b", 51) + "." + long + "apps.test.", strings.Repeat("b", 50) + "c." + long + "apps.test."},
		{strings.Repeat("b", 50) + "@." + long + "apps.test.", strings.Repeat("b", 50) + "[." + long + "apps.test."},
		{strings.Repeat("b", 50) + `\255.` + long + "apps.test.", strings.Repeat("b", 49) + "c." + long + "apps.test."},
		{strings.Repeat(`\255`, 51) + "." + long + "apps.test.", strings.Repeat("a", 62) + "b." + long[:128] + "apps.test."},
		{strings.Repeat("b", 50) + `\254\255.` + long[:len(long)-3] + "a.apps.test.", strings.Repeat("b", 50) + `\255.` + long[:len(long)-3] + "a.apps.test."},
		// The last name of all.
		{strings.Repeat(`\255`, 51) + "." + strings.Repeat(strings.Repeat(`\255`, 63)+".", 3) + "apps.test.", "apps.test."},
	} {
		got := dnssec.Successor(name(t, c.name), apps)
		if want := name(t, c.want); got != want {
			t.Errorf("after %s: got %s, want %s", c.name, got, want)
		}
	}
}

// TestSuccessor_LeavesNoRoom draws names in canonical order (RFC 4034 section
// 6.1): none is between a name and its successor.
func TestSuccessor_LeavesNoRoom(t *testing.T) {
	t.Parallel()
	labels := rapid.Custom(func(t *rapid.T) string {
		n := rapid.SampledFrom([]int{1, 2, 50, 51, 62, 63}).Draw(t, "length")
		label := bytes.Repeat([]byte{rapid.SampledFrom([]byte{0, '@', '[', 'a', 'z', 0xfe, 0xff}).Draw(t, "octet")}, n)
		label[n-1] = rapid.SampledFrom([]byte{0, '@', '[', 'a', 'z', 0xfe, 0xff}).Draw(t, "last")
		return string([]byte{byte(n)}) + string(label)
	})
	names := rapid.Custom(func(t *rapid.T) zone.Name {
		n := apps
		for _, label := range rapid.SliceOfN(labels, 0, 6).Draw(t, "labels") {
			if len(n)+len(label) <= 255 {
				n = zone.Name(label) + n
			}
		}
		return n
	})
	rapid.Check(t, func(t *rapid.T) {
		n, other := names.Draw(t, "name"), names.Draw(t, "other")
		next := dnssec.Successor(n, apps)
		if len(next) > 255 || !next.Under(apps) {
			t.Fatalf("%s is no name of the zone", next)
		}
		if next != apps && compare(n, next) >= 0 {
			t.Fatalf("%s comes before %s", next, n)
		}
		if compare(other, n) > 0 && (next == apps || compare(other, next) < 0) {
			t.Fatalf("%s is between %s and %s", other, n, next)
		}
	})
}

// compare compares names in canonical order, label by label from the right.
func compare(a, b zone.Name) int {
	x, y := labels(a), labels(b)
	for i := range min(len(x), len(y)) {
		if c := strings.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return len(x) - len(y)
}

func labels(n zone.Name) (reversed []string) {
	for ; len(n) > 1; n = n.Parent() {
		reversed = append([]string{string(n[1 : 1+int(n[0])])}, reversed...)
	}
	return reversed
}
