package dnsflip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"switchd/spec"
)

// Transfer lets clients copy zones: those that match all that is given.
type Transfer struct {
	// Prefix has the client's address. The zero value means any.
	Prefix netip.Prefix
	// Key is the name of the TSIG key that the client signs with. Empty means
	// that it needn't.
	Key string
}

// keyPrefix begins a Transfer by key.
const keyPrefix = "key:"

// ParseTransfer reads an address, a prefix of addresses, or "key:" and the
// name of a TSIG key.
func ParseTransfer(text string) (Transfer, error) {
	if key, ok := strings.CutPrefix(text, keyPrefix); ok && key != "" {
		return Transfer{Key: dns.CanonicalName(key)}, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return Transfer{Prefix: netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())}, nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return Transfer{}, fmt.Errorf(`transfer to %q: it must be an address, a prefix such as 192.0.2.0/24, or "key:NAME"`, text)
	}
	return Transfer{Prefix: prefix.Masked()}, nil
}

// allows tells whether a client may copy zones. key is the name of the one
// that it has signed with.
func (t Transfer) allows(client netip.Addr, key string) bool {
	if t.Key == "" && !t.Prefix.IsValid() {
		return false
	}
	return (t.Key == "" || t.Key == key) && (!t.Prefix.IsValid() || t.Prefix.Contains(client))
}

// Secondary is a name server that is told of new versions of zones, and that
// may copy them: if it signs with Key, or without one by its address.
type Secondary struct {
	Addr netip.AddrPort
	Key  string // name of the TSIG key; may be empty
}

func (s Secondary) transfer() Transfer {
	if s.Key != "" {
		return Transfer{Key: s.Key}
	}
	addr := s.Addr.Addr().Unmap()
	return Transfer{Prefix: netip.PrefixFrom(addr, addr.BitLen())}
}

// maxSecondaries bounds those that are told of a zone at once.
const maxSecondaries = 64

// peers are who copies a zone.
type peers struct {
	transfers   []Transfer
	secondaries []Secondary
}

// newPeers returns those of a configuration.
func newPeers(transfers []Transfer, secondaries []Secondary) peers {
	p := peers{transfers: slices.Clone(transfers), secondaries: slices.Clone(secondaries)}
	for i := range p.transfers {
		p.transfers[i].Key = keyName(p.transfers[i].Key)
	}
	for i := range p.secondaries {
		p.secondaries[i].Key = keyName(p.secondaries[i].Key)
		p.transfers = append(p.transfers, p.secondaries[i].transfer())
	}
	return p
}

// peersOf returns those that a spec names.
func peersOf(z spec.Zone) (peers, error) {
	if len(z.Secondaries) > maxSecondaries {
		return peers{}, fmt.Errorf("zone %s has %d secondaries, more than %d: let some of them copy from others", z.Name, len(z.Secondaries), maxSecondaries)
	}
	var (
		transfers   []Transfer
		secondaries []Secondary
		errs        []error
	)
	for _, text := range z.Transfer {
		t, err := ParseTransfer(text)
		transfers, errs = append(transfers, t), append(errs, err)
	}
	for _, s := range z.Secondaries {
		addr, err := netip.ParseAddrPort(s.Address)
		if err != nil {
			err = fmt.Errorf("secondary %q must be ADDRESS:PORT: %w", s.Address, err)
		}
		secondaries, errs = append(secondaries, Secondary{Addr: addr, Key: s.Key}), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return peers{}, fmt.Errorf("zone %s: %w", z.Name, err)
	}
	return newPeers(transfers, secondaries), nil
}

// allow tells whether a client may copy the zone.
func (p peers) allow(client netip.Addr, key string) bool {
	return slices.ContainsFunc(p.transfers, func(t Transfer) bool { return t.allows(client, key) })
}

func keyName(key string) string {
	if key == "" {
		return ""
	}
	return dns.CanonicalName(key)
}
