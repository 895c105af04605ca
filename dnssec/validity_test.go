package dnssec_test

import (
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"switchd/dnssec"
)

const day = 24 * time.Hour

func signatureAt(tb fataler, ask func(time.Time) []dns.RR, at time.Time) *dns.RRSIG {
	for _, rr := range ask(at) {
		if sig, ok := rr.(*dns.RRSIG); ok {
			return sig
		}
	}
	tb.Fatalf("no signature at %s", at)
	return nil
}

// TestSecure_SignsAgainWhenHalfTheTimeIsOver sets the clock back and forth.
func TestSecure_SignsAgainWhenHalfTheTimeIsOver(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{})
	z := withKeys(t, newZone(t, apps, master), signer)
	q := dnssec.Question{Name: name(t, "many.apps.test."), Type: dns.TypeA}
	answer := func(at time.Time) []dns.RR { r := ask(t, signer, z, q, at); return r.Answer }
	rapid.Check(t, func(t *rapid.T) {
		at := now
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.Int64Range(-int64(30*day), int64(30*day)).Draw(t, "step")))
			sig := signatureAt(t, answer, at)
			begin, end := time.Unix(int64(sig.Inception), 0), time.Unix(int64(sig.Expiration), 0)
			if at.Sub(begin) < time.Hour || at.Sub(begin) > time.Hour+7*day/2 {
				t.Fatalf("at %s: valid since %s", at, begin)
			}
			if end.Sub(at) < 7*day/2 || end.Sub(at) > 7*day {
				t.Fatalf("at %s: valid until %s", at, end)
			}
		}
	})
}

// TestSecure_TellsForHowLongAnAnswerHolds compares the answers at both ends of
// the span, and beyond.
func TestSecure_TellsForHowLongAnAnswerHolds(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{})
	z := withKeys(t, newZone(t, apps, master), signer)
	for _, asked := range []string{"alias.apps.test.", "missing.apps.test.", "www.insecure.apps.test."} {
		q := dnssec.Question{Name: name(t, asked), Type: dns.TypeA}
		at := func(moment time.Time) string {
			r := ask(t, signer, z, q, moment)
			text := ""
			for _, rr := range append(r.Answer, r.Authority...) {
				text += rr.String() + "\n"
			}
			return text
		}
		r := z.Lookup(q.Name, q.Type, first)
		span, err := signer.Secure(z, &r, q, now)
		if err != nil {
			t.Fatal(err)
		}
		want := at(now)
		if at(span.From) != want || at(span.Until.Add(-1)) != want {
			t.Errorf("%s: the answer changes within %v", asked, span)
		}
		if at(span.From.Add(-1)) == want || at(span.Until) == want {
			t.Errorf("%s: the answer holds beyond %v", asked, span)
		}
	}
}

// TestSecure_DoesNotRenewAllAtOnce looks at when the signatures of many names
// end.
func TestSecure_DoesNotRenewAllAtOnce(t *testing.T) {
	t.Parallel()
	signer := newSigner(t, dnssec.Options{Rate: 1 << 30})
	z := withKeys(t, newZone(t, apps, master), signer)
	const names = 200
	hours := make(map[int64]int)
	for i := range names {
		q := dnssec.Question{Name: name(t, time.Duration(i).String()+".wild.apps.test."), Type: dns.TypeA}
		sig := signatureAt(t, func(at time.Time) []dns.RR { r := ask(t, signer, z, q, at); return r.Answer }, now)
		hours[int64(sig.Expiration)/3600]++
	}
	for hour, n := range hours {
		if n > names/10 {
			t.Errorf("%d of %d signatures end in the hour of %s", n, names, time.Unix(hour*3600, 0).UTC())
		}
	}
}
