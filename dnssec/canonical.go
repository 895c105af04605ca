package dnssec

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"switchd/zone"
)

// canonical writes an RRset in the form that is signed, RFC 4034 sections 6.2
// and 6.3: names in lower case and whole, records in the order of their data,
// each one once. The owner and the TTL stand for those of the records.
func canonical(owner zone.Name, ttl uint32, set []dns.RR) ([]byte, error) {
	records := make([][]byte, len(set))
	total := 0
	for i, rr := range set {
		record, err := canonicalRecord(owner, ttl, rr)
		if err != nil {
			return nil, fmt.Errorf("write record %s %s: %w", owner, dns.Type(rr.Header().Rrtype), err)
		}
		records[i] = record
		total += len(record)
	}
	// Up to the length of their data all are equal.
	const length = 2
	data := len(owner) + recordHead
	slices.SortFunc(records, func(a, b []byte) int { return bytes.Compare(a[data:], b[data:]) })
	text := make([]byte, 0, total)
	for i, record := range records {
		if i == 0 || !bytes.Equal(record[data-length:], records[i-1][data-length:]) {
			text = append(text, record...)
		}
	}
	return text, nil
}

// recordHead is the size of a record's type, class, TTL and length of data.
const recordHead = 10

// maxName is the length of the longest name, RFC 1035 section 2.3.4.
const maxName = 255

func canonicalRecord(owner zone.Name, ttl uint32, rr dns.RR) ([]byte, error) {
	rr = dns.Copy(rr) // also because PackRR writes the length of the data into it
	rr.Header().Name = "."
	rr.Header().Ttl = ttl
	const root = 1
	wire := make([]byte, dns.Len(rr)+maxName)
	end, err := dns.PackRR(rr, wire, 0, nil, false)
	if err != nil {
		return nil, err
	}
	lowerNames(rr.Header().Rrtype, wire[root+recordHead:end])
	return slices.Concat([]byte(owner), wire[root:end]), nil
}

// lowerNames lowers the names in the data of a record, if it is of one of the
// types of RFC 4034 section 6.2, as RFC 6840 section 5.1 corrects it.
func lowerNames(rrtype uint16, data []byte) {
	skip, names := 0, 1
	switch rrtype {
	case dns.TypeNS, dns.TypeMD, dns.TypeMF, dns.TypeCNAME, dns.TypeMB, dns.TypeMG, dns.TypeMR, dns.TypePTR, dns.TypeDNAME, dns.TypeNXT:
	case dns.TypeSOA, dns.TypeMINFO, dns.TypeRP:
		names = 2
	case dns.TypeMX, dns.TypeAFSDB, dns.TypeRT, dns.TypeKX:
		skip = 2
	case dns.TypePX:
		skip, names = 2, 2
	case dns.TypeSRV:
		skip = 6
	case dns.TypeSIG:
		skip = 18
	case dns.TypeNAPTR:
		skip = 4
		for range 3 { // strings
			if skip < len(data) {
				skip += 1 + int(data[skip])
			}
		}
	default:
		return
	}
	for at := min(skip, len(data)); names > 0 && at < len(data); at++ {
		length := int(data[at])
		if length == 0 {
			names--
			continue
		}
		label := data[at+1 : min(at+1+length, len(data))]
		for i, c := range label {
			if 'A' <= c && c <= 'Z' {
				label[i] = c + ('a' - 'A')
			}
		}
		at += length
	}
}
