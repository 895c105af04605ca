//go:build linux

package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"switchd/testenv/proc"
)

const (
	// readyTimeout bounds how long a server may take until it answers.
	readyTimeout = time.Minute
	// readyEvery is the pause between two looks.
	readyEvery = 20 * time.Millisecond
	// askTimeout bounds one look.
	askTimeout = 500 * time.Millisecond
)

// await returns when ready does without an error, or an error when the
// process has ended or it has taken too long.
func await(ctx context.Context, process *proc.Process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-process.Done():
			return errors.New("it has ended")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(readyEvery):
		}
	}
}

// answersZones tells whether a server answers for all zones that it is a
// primary of, and anything at all for the others: their primaries may not be
// there yet.
func answersZones(ctx context.Context, addr netip.AddrPort, zones []Zone) error {
	for _, z := range zones {
		reply, err := ask(ctx, addr, dns.Fqdn(z.Origin), dns.TypeSOA, dns.ClassINET)
		if err != nil {
			return err
		}
		if len(z.Primaries) == 0 && (!reply.Authoritative || len(reply.Answer) == 0) {
			return fmt.Errorf("zone %s: no SOA, %s", z.Origin, dns.RcodeToString[reply.Rcode])
		}
	}
	return answers(ctx, addr)
}

// answers tells whether a server answers anything.
func answers(ctx context.Context, addr netip.AddrPort) error {
	_, err := ask(ctx, addr, "version.server.", dns.TypeTXT, dns.ClassCHAOS)
	return err
}

func ask(ctx context.Context, addr netip.AddrPort, name string, qtype, class uint16) (*dns.Msg, error) {
	query := new(dns.Msg)
	query.SetQuestion(name, qtype)
	query.Question[0].Qclass = class
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	reply, _, err := new(dns.Client).ExchangeContext(ctx, query, addr.String())
	return reply, err
}
