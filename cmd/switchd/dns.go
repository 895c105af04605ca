package main

import (
	"fmt"
	"path/filepath"
	"time"

	"switchd/dnssec"
	"switchd/zone"
)

type dnsCmd struct {
	Keygen dnsKeygenCmd `cmd:"" help:"Make a key pair to sign a zone with."`
	DS     dnsDSCmd     `cmd:"" name:"ds" help:"Print the DS record that the parent zone must hold."`
}

type dnsKeygenCmd struct {
	Zone string `help:"Name of the zone." required:"" placeholder:"NAME"`
	Dir  string `help:"Directory of the two files; the current one if not set." default:"." type:"path" placeholder:"DIR"`
}

func (c *dnsKeygenCmd) Help() string {
	return "The key is one of ECDSAP256SHA256 for all records of the zone, in the files that BIND's dnssec-keygen writes. The private key is not encrypted; copy both files to each replica, readable for its user only."
}

func (c *dnsKeygenCmd) Run(a *app) error {
	origin, err := zone.ParseName(c.Zone)
	if err != nil {
		return &usageError{fmt.Sprintf("--zone: %v", err)}
	}
	key, err := dnssec.Generate(c.Dir, origin, time.Now())
	if err != nil {
		return err
	}
	base := filepath.Join(c.Dir, key.String())
	a.printf("%s.private  sign with it: switchd serve --dnssec-key %s.private …\n%s.key      tell the parent zone: switchd dns ds --key %s.key\n", base, base, base, base)
	return nil
}

type dnsDSCmd struct {
	Key  string        `help:"File of the key: one of a pair, or a private key in PKCS#8." required:"" type:"path" placeholder:"FILE"`
	Zone string        `help:"Name of the zone, of which a PKCS#8 file doesn't tell." placeholder:"NAME"`
	TTL  time.Duration `help:"TTL of the record; one hour if not set." default:"1h" placeholder:"DURATION"`
}

func (c *dnsDSCmd) Run(a *app) error {
	var origin zone.Name
	if c.Zone != "" {
		var err error
		if origin, err = zone.ParseName(c.Zone); err != nil {
			return &usageError{fmt.Sprintf("--zone: %v", err)}
		}
	}
	const maxTTL = (1<<31 - 1) * time.Second
	if c.TTL < 0 || c.TTL > maxTTL {
		return &usageError{fmt.Sprintf("--ttl: %s is not a TTL, which is from 0 to 2147483647 seconds (RFC 2181 section 8)", c.TTL)}
	}
	key, err := dnssec.LoadPublic(c.Key, origin)
	if err != nil {
		return err
	}
	a.printf("%s\n", key.DS(uint32(c.TTL/time.Second)))
	return nil
}
