package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"switchd/consul"
	"switchd/ledger"
	"switchd/spec"
	"switchd/status"
)

// acrossFlags say how `status --all` reaches the other environments.
type acrossFlags struct {
	All          bool              `help:"Show each service in each environment."`
	EnvTokenFile map[string]string `help:"With --all: file with the token for another environment's Consul, mode 0600; repeat it for more. Also in SWITCHD_TOKEN_FILE_ENV, with the environment's name in capitals." mapsep:"none" placeholder:"ENV=FILE"`
	EnvAddr      map[string]string `help:"With --all: address of another environment's Consul, in the place of the one in the inputs; repeat it for more." mapsep:"none" placeholder:"ENV=ADDR"`
}

// across prints what every environment has.
func (c *statusCmd) across(a *app) error {
	environments, err := c.environments(a)
	if err != nil {
		return err
	}
	across := status.ReadAcross(a.ctx, environments)
	if a.ctx.Err() != nil {
		return a.ctx.Err()
	}
	if c.JSON {
		if err := a.json("status", across); err != nil {
			return err
		}
	} else if err := status.AcrossText(a.stdout, across, time.Now(), terminal(a.stdout)); err != nil {
		return err
	}
	for _, place := range across.Environments {
		if place.Error == "" {
			return nil
		}
	}
	return &outcomeError{statusUnreachable, "no environment can be read"}
}

// environments are those that the own one's inputs declare, in their order, and
// those that the command line has addresses of.
func (c *statusCmd) environments(a *app) ([]status.Elsewhere, error) {
	l, err := a.ledger()
	if err != nil {
		return nil, err
	}
	env, err := l.Environment(a.ctx)
	if err != nil && len(c.EnvAddr) == 0 {
		return nil, err
	}
	own := l.Keys.Env
	peers := env.Peers
	if len(peers) == 0 {
		peers = []spec.Peer{{Name: own}}
	}
	known := make(map[string]bool, len(peers))
	found := make([]status.Elsewhere, 0, len(peers))
	for _, p := range peers {
		known[p.Name] = true
		e := status.Elsewhere{Name: p.Name, After: p.After}
		if p.Name == own {
			e.Ledger, e.Err = l, err
		} else {
			e.Ledger, e.Err = c.elsewhere(a, p)
		}
		found = append(found, e)
	}
	for _, name := range slices.Sorted(maps.Keys(c.EnvAddr)) {
		if !known[name] {
			e := status.Elsewhere{Name: name}
			e.Ledger, e.Err = c.elsewhere(a, spec.Peer{Name: name})
			found = append(found, e)
		}
	}
	for name := range c.EnvTokenFile {
		if _, named := c.EnvAddr[name]; !named && !known[name] {
			return nil, &usageError{fmt.Sprintf("--env-token-file %s=…: no environment of that name is declared, and --env-addr names none", name)}
		}
	}
	return found, nil
}

// elsewhere reaches another environment. Its token is its own: this environment's
// is never shown to the other one's servers.
func (c *statusCmd) elsewhere(a *app, p spec.Peer) (*ledger.Ledger, error) {
	address := cmp.Or(c.EnvAddr[p.Name], p.Consul.Address)
	if address == "" {
		return nil, fmt.Errorf("the address of its Consul is not known: its inputs have none, nor has --env-addr %s=ADDR", p.Name)
	}
	flags := a.flags.Consul
	e := consul.Elsewhere{
		Address: address, Datacenter: p.Consul.Datacenter, ClientCert: flags.ClientCert, ClientKey: flags.ClientKey,
		CAFile: cmp.Or(flags.CAFile, os.Getenv("CONSUL_CACERT")), CAPath: cmp.Or(flags.CAPath, os.Getenv("CONSUL_CAPATH")),
	}
	variable := "SWITCHD_TOKEN_FILE_" + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))
	if file := cmp.Or(c.EnvTokenFile[p.Name], os.Getenv(variable)); file != "" {
		token, err := readToken(file)
		if err != nil {
			return nil, err
		}
		e.Token = func() (string, error) { return token, nil }
	}
	client, _, err := consul.NewClientElsewhere(e)
	if err != nil {
		return nil, err
	}
	return &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: p.Name}}, nil
}
