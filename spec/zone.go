package spec

// Zone is the DNS zone that switchd is authoritative for.
type Zone struct {
	Name        string   `json:"name"`         // lower case, without a final dot
	NameServers []string `json:"name_servers"` // host names, the first one is the SOA's MNAME
	Admin       string   `json:"admin"`        // mail address of the SOA's RNAME
	TTL         Duration `json:"ttl"`          // of SOA, NS and pool addresses
	NegativeTTL Duration `json:"negative_ttl"` // SOA MINIMUM, RFC 2308 section 4
}

func (z *Zone) form() form {
	return form{attrs: []attr{
		texts("name_servers", &z.NameServers, domainRule(), true).must(),
		text("admin", &z.Admin, mailRule()),
		seconds("ttl", &z.TTL),
		seconds("negative_ttl", &z.NegativeTTL),
	}}
}

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
