package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"switchd/artifact"
	"switchd/consul"
	"switchd/driver"
	"switchd/replica"
	"switchd/secretfile"
	"switchd/spec"
	"switchd/upstream"
)

// upstreamFlags say how the environment before this one is reached. Nothing of
// it comes from Consul's environment variables, which are about this one.
type upstreamFlags struct {
	TokenFile     string `help:"File with a token for the Consul of the environment before this one, which needs to read only; mode 0600, read anew for each request." type:"path" placeholder:"FILE"`
	Addr          string `help:"Address of its Consul, in the place of the one in the spec." placeholder:"ADDR"`
	CAFile        string `help:"CA certificates to check it with." type:"path" placeholder:"FILE"`
	CAPath        string `help:"Directory of CA certificates." type:"path" placeholder:"DIR"`
	ClientCert    string `help:"Client certificate to show it." type:"path" placeholder:"FILE"`
	ClientKey     string `help:"Key of the client certificate." type:"path" placeholder:"FILE"`
	TLSServerName string `help:"Name expected in its certificate." placeholder:"NAME"`
}

// open reaches the environment that the spec names.
func (f upstreamFlags) open(after spec.Upstream) (*upstream.Source, error) {
	e := consul.Elsewhere{
		Address: cmp.Or(f.Addr, after.Consul.Address), Datacenter: after.Consul.Datacenter, CAFile: f.CAFile, CAPath: f.CAPath,
		ClientCert: f.ClientCert, ClientKey: f.ClientKey, TLSServerName: f.TLSServerName,
	}
	if e.Address == "" {
		return nil, fmt.Errorf("the address of environment %s's Consul is not known: its inputs have none (consul { address = … }), nor has --upstream-addr", after.Environment)
	}
	if f.TokenFile != "" {
		if _, err := readToken(f.TokenFile); err != nil {
			return nil, err
		}
		e.Token = func() (string, error) { return readToken(f.TokenFile) }
	}
	client, clock, err := consul.NewClientElsewhere(e)
	if err != nil {
		return nil, err
	}
	return upstream.NewSource(client, clock, after.Environment), nil
}

// maxToken bounds a token, in bytes.
const maxToken = 4 << 10

// readToken reads a file with a token, which nobody else may read.
func readToken(path string) (string, error) {
	f, err := secretfile.Open(path, "the token", "it")
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // was only read
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read the token %s: %w", path, err)
	}
	if len(text) > maxToken {
		return "", fmt.Errorf("read the token %s: it has more than the %d bytes allowed", path, maxToken)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("read the token %s: it is to hold one token and nothing else", path)
	}
	return token, nil
}

// upstream is how this replica reads the environment before its own, and where
// it puts the releases of that.
func (s *server) upstream(seeder *seeder, keys artifact.TrustedKeys) *driver.Upstream {
	taker := &upstream.Taker{Store: seeder.store, Others: s.otherStores, Log: s.log}
	return &driver.Upstream{Open: s.cmd.Upstream.open, Keys: keys, Take: taker.Take}
}

// otherStores are the base URLs of the environment's other replicas.
func (s *server) otherStores(ctx context.Context) ([]string, error) {
	replicas, err := replica.List(ctx, s.ledger.Consul, s.ledger.Keys.Env)
	if err != nil {
		return nil, err
	}
	var stores []string
	for _, r := range replicas {
		if r.Name != s.cmd.Name {
			stores = append(stores, r.URL())
		}
	}
	return stores, nil
}
