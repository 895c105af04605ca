package zone_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"switchd/zone"
)

func TestParseName_AgreesWithTheLibraryAndReadsBackWhatItWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var wire []byte
		for range rapid.IntRange(0, 5).Draw(t, "labels") {
			label := rapid.SliceOfN(rapid.Byte(), 1, 63).Draw(t, "label")
			if len(wire)+len(label)+2 > 255 {
				break
			}
			wire = append(append(wire, byte(len(label))), label...)
		}
		wire = append(wire, 0)
		presentation, _, err := dns.UnpackDomainName(wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		n, err := zone.ParseName(presentation)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, len(wire))
		for i, c := range wire {
			if want[i] = c; 'A' <= c && c <= 'Z' {
				want[i] = c + 32
			}
		}
		if string(n) != string(want) {
			t.Fatalf("%q: got %x, want %x", presentation, string(n), want)
		}
		if again, err := zone.ParseName(n.String()); err != nil || again != n {
			t.Fatalf("%s reads back as %s (%v)", n, again, err)
		}
	})
}

func TestParseName_RefusesWhatIsNoName(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("x", 63) + "."
	for _, bad := range []string{
		"", "..", ".a", "a..b", "x" + label, label + label + label + label, `a\`, `a\25`, `a\256.`, `\1a`,
	} {
		if n, err := zone.ParseName(bad); err == nil {
			t.Errorf("%q: got %s, want an error", bad, n)
		}
	}
}

func TestName_KnowsWhatIsAboveIt(t *testing.T) {
	t.Parallel()
	n := name(t, "a.B.example.")
	for z, want := range map[string]bool{
		".": true, "example.": true, "b.example": true, "a.b.example": true,
		"x.a.b.example.": false, "c.example.": false, "ample.": false,
	} {
		if n.Under(name(t, z)) != want {
			t.Errorf("%s under %s: got %v, want %v", n, z, !want, want)
		}
	}
	// The octets of the second name end the first one's, in the middle of a label.
	if name(t, `x\003com.`).Under(name(t, "com.")) {
		t.Error(`x\003com. is not under com.`)
	}
	if n.Labels() != 3 || n.Parent() != name(t, "b.example") || zone.Root.Parent() != zone.Root || zone.Root.Labels() != 0 {
		t.Errorf("got %d labels and the parent %s", n.Labels(), n.Parent())
	}
	if n.Wildcard() || !name(t, "*.example").Wildcard() || name(t, "*a.example").Wildcard() {
		t.Error("a wildcard has an asterisk alone as its first label")
	}
}

func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"", ".", "example.net", `a\.b.\065.`, `\255`, "a..b", `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, presentation string) {
		n, err := zone.ParseName(presentation)
		if err != nil {
			return
		}
		if len(n) > 255 {
			t.Fatalf("%q gives %d octets", presentation, len(n))
		}
		if again, err := zone.ParseName(n.String()); err != nil || again != n {
			t.Fatalf("%q gives %x, which is written %s and reads back as %x (%v)", presentation, string(n), n, string(again), err)
		}
	})
}
