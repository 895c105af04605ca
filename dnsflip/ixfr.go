package dnsflip

import (
	"iter"
	"maps"
	"slices"

	"github.com/miekg/dns"

	"switchd/zone"
)

// incremental is the answer to a secondary that has an older version of the
// zone: RFC 1995 section 4. All differences since are condensed to one
// sequence, as section 6 advises.
func incremental(old, now *zone.Zone) iter.Seq[dns.RR] {
	deleted, added := difference(old, now)
	return func(yield func(dns.RR) bool) {
		for _, part := range [][]dns.RR{{now.SOA(), old.SOA()}, deleted, {now.SOA()}, added, {now.SOA()}} {
			for _, rr := range part {
				if !yield(rr) {
					return
				}
			}
		}
	}
}

// difference returns what turns the records of one version into those of
// another, but for the SOA record. Both share the zone's own data, so that
// they can differ only where one of them has something laid over it.
func difference(old, now *zone.Zone) (deleted, added []dns.RR) {
	names := map[zone.Name]struct{}{now.Origin(): {}}
	for _, z := range []*zone.Zone{old, now} {
		for name := range z.Overlay() {
			names[name] = struct{}{}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, after := old.Node([]byte(name)), now.Node([]byte(name))
		if before == after {
			continue
		}
		had, has := published(before), published(after)
		for _, text := range slices.Sorted(maps.Keys(had)) {
			if _, ok := has[text]; !ok {
				deleted = append(deleted, had[text])
			}
		}
		for _, text := range slices.Sorted(maps.Keys(has)) {
			if _, ok := had[text]; !ok {
				added = append(added, has[text])
			}
		}
	}
	return deleted, added
}

// published are the records that secondaries have of a node, by their text:
// as in zone.Zone.Records, but for the SOA record.
func published(n *zone.Node) map[string]dns.RR {
	if n == nil {
		return nil
	}
	records := map[string]dns.RR{}
	for _, set := range n.Published() {
		for _, rr := range set.RRs {
			if set.Type != dns.TypeSOA {
				records[rr.String()] = rr
			}
		}
	}
	return records
}
