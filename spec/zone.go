package spec

import (
	"net/netip"

	"github.com/zclconf/go-cty/cty"
)

// Zone is the DNS zone that switchd is authoritative for.
type Zone struct {
	Name        string   `json:"name"`         // lower case, without a final dot
	NameServers []string `json:"name_servers"` // host names, the first one is the SOA's MNAME
	Admin       string   `json:"admin"`        // mail address of the SOA's RNAME
	TTL         Duration `json:"ttl"`          // of SOA, NS and pool addresses
	NegativeTTL Duration `json:"negative_ttl"` // SOA MINIMUM, RFC 2308 section 4
	// What secondaries go by, RFC 1035 section 3.3.13.
	Refresh Duration `json:"refresh"`
	Retry   Duration `json:"retry"`
	Expire  Duration `json:"expire"`
	// File is a master file of records that are served as they are; nil:
	// there is none.
	File *ZoneFile `json:"file,omitempty"`
	// Secondaries are told of changes, and may transfer the zone.
	Secondaries []Secondary `json:"secondaries,omitempty"`
	// Transfer is who else may transfer the zone: address prefixes, and names
	// of TSIG keys as "key:NAME".
	Transfer []string `json:"transfer,omitempty"`
	// VerifyResolvers are resolvers, as IP:PORT, that must show a switch
	// before it counts as made.
	VerifyResolvers []string `json:"verify_resolvers,omitempty"`
	// DNSSEC has answers signed with the keys that the replicas hold as files.
	DNSSEC bool `json:"dnssec,omitempty"`
}

// ZoneFile names a master file, RFC 1035 section 5. Its text is Desired's
// ZoneFile.
type ZoneFile struct {
	Name   string `json:"name"`   // relative to the directory of inputs
	SHA256 string `json:"sha256"` // of the text, in hexadecimal
}

// Secondary is a name server that copies the zone.
type Secondary struct {
	Address string `json:"address"`       // IP:PORT
	Key     string `json:"key,omitempty"` // name of the TSIG key; empty: its address is enough
}

func (z *Zone) form() form {
	return form{
		attrs: []attr{
			texts("name_servers", &z.NameServers, domainRule(), true),
			text("admin", &z.Admin, mailRule()),
			seconds("ttl", &z.TTL, day),
			seconds("negative_ttl", &z.NegativeTTL, day),
			seconds("refresh", &z.Refresh, longest),
			seconds("retry", &z.Retry, longest),
			seconds("expire", &z.Expire, 3*longest),
			z.file(),
			texts("transfer", &z.Transfer, transferRule(), true),
			texts("verify_resolvers", &z.VerifyResolvers, resolverRule(), true),
			flag("dnssec", &z.DNSSEC),
		},
		blocks: []nested{
			listed("secondary", endpointRule(), &z.Secondaries, defaultSecondary, func(v Secondary) string { return v.Address }),
		},
		check: z.validate,
	}
}

func (s *Secondary) form() form {
	return form{attrs: []attr{text("key", &s.Key, keyRule())}}
}

// file keeps the name only: the text is read once all is compiled.
func (z *Zone) file() attr {
	var name string
	a := text("file", &name, inputRule())
	set := a.set
	a.to = &z.File
	a.set = func(v cty.Value) *fault {
		if f := set(v); f != nil {
			return f
		}
		z.File = &ZoneFile{Name: name}
		return nil
	}
	return a
}

func (z *Zone) validate(at scope) {
	if z.File == nil && len(z.NameServers) == 0 {
		at.wrong("", "Missing zone.name_servers", "The argument \"name_servers\" is required here, but no file sets it, and there is no zone file that names them.")
	}
	if z.DNSSEC && (len(z.Secondaries) > 0 || len(z.Transfer) > 0) {
		at.wrong("dnssec", "Signed zones can't be copied",
			"The zone is signed answer by answer, which includes the proof that a name does not exist (RFC 9824). Such proofs are in no copy of the zone, so that a secondary's answers would be bogus. Remove dnssec, or transfer and the secondaries.")
	}
	for i, resolver := range z.VerifyResolvers {
		if addr, err := netip.ParseAddr(resolver); err == nil {
			z.VerifyResolvers[i] = netip.AddrPortFrom(addr, dnsPort).String()
		}
	}
}

const dnsPort = 53

// zone is the environment's only one; its label is its name.
func (e *Environment) zone() nested {
	name := domainRule()
	return nested{
		name:  "zone",
		label: &name,
		one:   true,
		add: func(label string, fill func(section)) {
			z := defaultZone(label)
			fill(&z)
			e.Zone = &z
		},
		each: func(visit func(string, section)) {
			if e.Zone != nil {
				visit(e.Zone.Name, e.Zone)
			}
		},
	}
}
