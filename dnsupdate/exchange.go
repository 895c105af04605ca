package dnsupdate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip/tsig"
)

// exchangeTimeout bounds one message and its reply.
const exchangeTimeout = 3 * time.Second

var errSilent = fmt.Errorf("no reply within %s", exchangeTimeout)

// exchange sends one signed message and returns the reply, whose signature was
// verified. It goes by TCP: nothing is sent twice, and no reply is cut. A
// reading is signed too, since a server may show each key another view.
func (p Primary) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, exchangeTimeout, errSilent)
	defer cancel()
	key := p.Keys.Key(p.Key)
	if key == nil {
		return nil, &KeyError{Key: p.Key, Known: p.Keys.Names()}
	}
	client := &dns.Client{Net: "tcp", TsigProvider: p.Keys.Provider(), Timeout: exchangeTimeout}
	conn, err := client.DialContext(ctx, p.Server)
	if err != nil {
		return nil, fmt.Errorf("reach the primary %s: %w", p.Server, cause(ctx, err))
	}
	defer conn.Close() //nolint:errcheck // all that matters was read
	// The library heeds the context's deadline, but not its cancellation.
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // as above
	defer stop()
	m.SetTsig(key.Name, key.Algorithm, uint16(tsig.Fudge/time.Second), time.Now().Unix())
	reply, _, err := client.ExchangeWithConnContext(ctx, m, conn)
	switch {
	case err != nil && reply != nil && reply.Response && reply.Id == m.Id && reply.Rcode != dns.RcodeSuccess:
		// It need not be signed, or not well: a server that doesn't know the
		// key can't (RFC 8945 section 5.3.2). It is only a refusal.
		return nil, p.refused(reply)
	case err != nil:
		return nil, fmt.Errorf("ask the primary %s: %w", p.Server, cause(ctx, err))
	case !reply.Response || reply.Opcode != m.Opcode:
		return nil, fmt.Errorf("ask the primary %s: the reply is not to the question", p.Server)
	}
	signature := reply.IsTsig()
	switch {
	case signature != nil && dns.CanonicalName(signature.Hdr.Name) == key.Name && signature.Error == 0:
		return reply, nil
	case reply.Rcode != dns.RcodeSuccess || signature != nil && signature.Error != 0:
		return nil, p.refused(reply)
	default:
		return nil, fmt.Errorf("ask the primary %s: the reply is not signed with the key %q", p.Server, plain(key.Name))
	}
}

// cause is why the context ended, if that is what an error comes from. The
// connection's deadline may come a little before the context's, which it is.
func cause(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSilent
	default:
		return err
	}
}
