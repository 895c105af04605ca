package tsig_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestProvider_RefusesForgeries(t *testing.T) {
	t.Parallel()
	now := time.Now() // the library looks at the clock itself
	keys := ring(t, keyText(name, dns.HmacSHA256, secret))
	good := request(t, keys, name, dns.HmacSHA256, now)
	for _, tt := range []struct {
		name   string
		packet []byte
		want   error
	}{
		{"good", good, nil},
		{"another secret", request(t, ring(t, keyText(name, dns.HmacSHA256, other)), name, dns.HmacSHA256, now), dns.ErrSig},
		{"truncated", truncate(t, good, 16), dns.ErrSig},
		{"empty", truncate(t, good, 0), dns.ErrSig},
		{"another name", edit(t, good, func(rr *dns.TSIG) { rr.Hdr.Name = "other." }), dns.ErrSecret},
		{"another algorithm", edit(t, good, func(rr *dns.TSIG) { rr.Algorithm = dns.HmacSHA1 }), dns.ErrKeyAlg},
	} {
		if err := dns.TsigVerifyWithProvider(bytes.Clone(tt.packet), keys.Provider(), "", false); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}
