package dnsproof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// tryTimeout bounds one exchange.
const tryTimeout = 2 * time.Second

// question is what is asked, of whom.
type question struct {
	server        string // host:port
	name          string
	recursive     bool // recursion is desired
	authoritative bool // the answer must be the server's own
}

// ask asks for one type, by UDP and, where that brings no answer to go by, by
// TCP.
func (q question) ask(ctx context.Context, qtype uint16) (*dns.Msg, error) {
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(q.name), qtype)
	query.RecursionDesired = q.recursive
	m, err := q.try(ctx, "udp", query)
	if _, refused := errors.AsType[rcodeError](err); err == nil || refused || ctx.Err() != nil {
		return m, err
	}
	m, again := q.try(ctx, "tcp", query)
	if again != nil {
		return nil, fmt.Errorf("by UDP: %w; by TCP: %w", err, again)
	}
	return m, nil
}

// try asks once.
func (q question) try(ctx context.Context, network string, query *dns.Msg) (*dns.Msg, error) {
	m, err := exchange(ctx, network, q.server, query)
	if err != nil {
		return nil, err
	}
	if err := check(m, query, q.authoritative); err != nil {
		return nil, err
	}
	return m, nil
}

func exchange(ctx context.Context, network, server string, query *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	client := &dns.Client{Net: network}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, unnamed(err)
	}
	defer conn.Close() //nolint:errcheck // a query has nothing to lose
	// The library heeds the context's deadline, but not its cancellation.
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // as above
	defer stop()
	reply, _, err := client.ExchangeWithConnContext(ctx, query, conn)
	if ctx.Err() != nil && err != nil {
		return nil, context.Cause(ctx)
	}
	return reply, unnamed(err)
}

// unnamed takes the addresses out of an error of the network: the server is
// named by the caller, and our own port is another one each time, so that what
// is waited for would never read the same.
func unnamed(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
