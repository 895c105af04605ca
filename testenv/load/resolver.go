package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	// queryTimeout is how long one server is waited for before the next one
	// is asked.
	queryTimeout = 300 * time.Millisecond
	// rounds is how often all servers are asked, as resolv.conf's attempts.
	rounds = 2
	// maxChain bounds the aliases that are followed, over all answers.
	maxChain = 8
)

// resolver is a stub resolver with a cache, for one worker: it is not safe for
// concurrent use.
type resolver struct {
	servers []string
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	now     func() time.Time
	addrs   []netip.Addr // the last answer
	name    string       // that it is the answer for
	expires time.Time
}

func newResolver(cfg Config) *resolver {
	return &resolver{servers: cfg.Servers, dial: cfg.Dial, now: time.Now}
}

// resolve returns the IPv4 addresses of a fully qualified name: cached ones
// while the smallest TTL of their chain lasts (RFC 1035 section 3.2.1).
func (r *resolver) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	if r.name == name && r.now().Before(r.expires) {
		return r.addrs, nil
	}
	asked := r.now()
	addrs, ttl, err := r.lookup(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", name, err)
	}
	r.name, r.addrs, r.expires = name, addrs, asked.Add(ttl)
	return addrs, nil
}

// lookup asks until the chain of aliases ends in addresses.
func (r *resolver) lookup(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	ttl := ^uint32(0)
	for range maxChain {
		answer, err := r.ask(ctx, name)
		if err != nil {
			return nil, 0, err
		}
		end, addrs, lowest := follow(answer.Answer, name)
		ttl = min(ttl, lowest)
		if len(addrs) > 0 {
			return addrs, time.Duration(ttl) * time.Second, nil
		}
		if end == name {
			return nil, 0, fmt.Errorf("no address for %s", name)
		}
		name = end
	}
	return nil, 0, fmt.Errorf("more than %d aliases", maxChain)
}

// follow walks the aliases in records from name on. It returns the last name,
// its addresses, and the smallest TTL of all records on the way.
func follow(records []dns.RR, name string) (end string, addrs []netip.Addr, ttl uint32) {
	ttl = ^uint32(0)
	for range maxChain {
		next := name
		for _, rr := range records {
			if dns.CanonicalName(rr.Header().Name) != dns.CanonicalName(name) {
				continue
			}
			switch rr := rr.(type) {
			case *dns.A:
				if addr, ok := netip.AddrFromSlice(rr.A.To4()); ok {
					addrs = append(addrs, addr)
					ttl = min(ttl, rr.Hdr.Ttl)
				}
			case *dns.CNAME:
				next = rr.Target
				ttl = min(ttl, rr.Hdr.Ttl)
			}
		}
		if len(addrs) > 0 || next == name {
			break
		}
		name = next
	}
	return name, addrs, ttl
}

// ask asks one server after the other, and again, until one has an answer.
func (r *resolver) ask(ctx context.Context, name string) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(name, dns.TypeA)
	var errs []error
	for range rounds {
		for _, server := range r.servers {
			answer, err := r.exchange(ctx, query, server)
			if err == nil {
				return answer, nil
			}
			errs = append(errs, fmt.Errorf("ask %s: %w", server, err))
		}
	}
	return nil, errors.Join(errs...)
}

// exchange asks over UDP, and over TCP if the answer was cut off (RFC 7766
// section 5).
func (r *resolver) exchange(ctx context.Context, query *dns.Msg, server string) (*dns.Msg, error) {
	answer, err := r.over(ctx, "udp", query, server)
	if err == nil && answer.Truncated {
		answer, err = r.over(ctx, "tcp", query, server)
	}
	if err != nil {
		return nil, err
	}
	if answer.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("got %s", dns.RcodeToString[answer.Rcode])
	}
	return answer, nil
}

func (r *resolver) over(ctx context.Context, network string, query *dns.Msg, server string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	conn, err := r.dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // there is nothing to be lost
	client := &dns.Client{Net: network, Timeout: queryTimeout}
	answer, _, err := client.ExchangeWithConnContext(ctx, query, &dns.Conn{Conn: conn, UDPSize: dns.MinMsgSize})
	return answer, err
}
