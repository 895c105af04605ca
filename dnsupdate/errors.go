package dnsupdate

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ForeignError is a name that holds what somebody else has put there.
type ForeignError struct {
	Name   string
	Target string   // of a CNAME; empty: it holds none
	Types  []string // of what it holds, as far as that is known
	Own    []string // the targets that would be replaced
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s holds %s, which is not switchd's; it is left alone. To hand it over, delete it, or make it a CNAME to %s",
		e.Name, words(e.Target, e.Types), strings.Join(e.Own, " or "))
}

// KeyError is a TSIG key that this process doesn't have.
type KeyError struct {
	Key   string
	Known []string // the names of those that it has
}

func (e *KeyError) Error() string {
	known := "it has none"
	if len(e.Known) > 0 {
		known = "it has " + strings.Join(e.Known, ", ")
	}
	return fmt.Sprintf("this replica has no TSIG key %q (%s); name the file of the key when it is started", e.Key, known)
}

// RefusedError is what a primary says when it won't do what it was asked for.
type RefusedError struct {
	Server string
	Zone   string
	Key    string // name
	Rcode  int
	// TSIG is the error of the signature, RFC 8945 section 3; 0: it was right.
	TSIG int
	// Clock is what the primary's clock said, if it is TSIG's trouble.
	Clock time.Time
}

func (e *RefusedError) Error() string {
	said := dns.RcodeToString[e.Rcode]
	if said == "" {
		said = fmt.Sprintf("RCODE %d", e.Rcode)
	}
	if e.TSIG != 0 {
		said += ", " + tsigName(e.TSIG)
	}
	return fmt.Sprintf("the primary %s of %s refuses the key %q: %s: %s", e.Server, e.Zone, e.Key, said, e.why())
}

// why is the usual cause and the way out.
func (e *RefusedError) why() string {
	switch e.TSIG {
	case dns.RcodeBadKey:
		return "it knows no key of this name and algorithm, or none that may do this"
	case dns.RcodeBadSig: // of the same number as BADVERS
		return "its secret of this key is another one"
	case dns.RcodeBadTime:
		if !e.Clock.IsZero() {
			return fmt.Sprintf("its clock says %s; run a time service on both machines", e.Clock.UTC().Format(time.RFC3339))
		}
		return "its clock and this machine's differ; run a time service on both"
	case dns.RcodeBadTrunc:
		return "the signature is too short for it"
	}
	switch e.Rcode {
	case dns.RcodeRefused:
		return "it does not let this key do this; allow it in its update policy"
	case dns.RcodeNotAuth:
		return "it is not the primary of the zone"
	case dns.RcodeNotZone:
		return "the name is not in its zone"
	case dns.RcodeNotImplemented:
		return "it takes no updates"
	default:
		return "see its log"
	}
}

func tsigName(code int) string {
	switch code {
	case dns.RcodeBadSig:
		return "BADSIG"
	case dns.RcodeBadKey:
		return "BADKEY"
	case dns.RcodeBadTime:
		return "BADTIME"
	case dns.RcodeBadTrunc:
		return "BADTRUNC"
	default:
		return fmt.Sprintf("TSIG error %d", code)
	}
}

func (p Primary) refused(reply *dns.Msg) error {
	e := &RefusedError{Server: p.Server, Zone: plain(p.Zone), Key: plain(p.Key), Rcode: reply.Rcode}
	if t := reply.IsTsig(); t != nil {
		e.TSIG = int(t.Error)
		e.Clock = clock(t)
	}
	return e
}

// clock is the time that a server sends with BADTIME, in six octets of seconds
// (RFC 8945 section 5.2.3).
func clock(t *dns.TSIG) time.Time {
	other, err := hex.DecodeString(t.OtherData)
	if err != nil || len(other) != 6 || t.Error != dns.RcodeBadTime {
		return time.Time{}
	}
	var seconds int64
	for _, octet := range other {
		seconds = seconds<<8 | int64(octet)
	}
	return time.Unix(seconds, 0)
}
