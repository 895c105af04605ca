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
func (c *statusCmd) across(a *app, e *environments) error {
	found, err := e.find()
	if err != nil {
		return err
	}
	across := status.ReadAcross(a.ctx, found)
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

// environments are the own one and all others. Each look at them goes over the
// same connections: Consul takes only so many of one address.
type environments struct {
	acrossFlags
	*app

	own     *ledger.Ledger
	reached map[spec.Peer]*ledger.Ledger
}

func (f acrossFlags) environments(a *app, own *ledger.Ledger) *environments {
	return &environments{acrossFlags: f, app: a, own: own, reached: make(map[spec.Peer]*ledger.Ledger)}
}

// find gives those that the own one's inputs declare now, in their order, and
// those that the command line has addresses of.
func (e *environments) find() ([]status.Elsewhere, error) {
	env, err := e.own.Environment(e.ctx)
	if err != nil && len(e.EnvAddr) == 0 {
		return nil, err
	}
	own := e.own.Keys.Env
	peers := env.Peers
	if len(peers) == 0 {
		peers = []spec.Peer{{Name: own}}
	}
	known := make(map[string]bool, len(peers))
	found := make([]status.Elsewhere, 0, len(peers))
	for _, p := range peers {
		known[p.Name] = true
		place := status.Elsewhere{Name: p.Name, After: p.After}
		if p.Name == own {
			place.Ledger, place.Err = e.own, err
		} else {
			place.Ledger, place.Err = e.reach(p)
		}
		found = append(found, place)
	}
	for _, name := range slices.Sorted(maps.Keys(e.EnvAddr)) {
		if !known[name] {
			place := status.Elsewhere{Name: name}
			place.Ledger, place.Err = e.reach(spec.Peer{Name: name})
			found = append(found, place)
		}
	}
	for name := range e.EnvTokenFile {
		if _, named := e.EnvAddr[name]; !named && !known[name] {
			return nil, &usageError{fmt.Sprintf("--env-token-file %s=…: no environment of that name is declared, and --env-addr names none", name)}
		}
	}
	return found, nil
}

// reach reaches another environment, once. Its token is its own: this
// environment's is never shown to the other one's servers.
func (e *environments) reach(p spec.Peer) (*ledger.Ledger, error) {
	address := cmp.Or(e.EnvAddr[p.Name], p.Consul.Address)
	if address == "" {
		return nil, fmt.Errorf("the address of its Consul is not known: its inputs have none, nor has --env-addr %s=ADDR", p.Name)
	}
	var token func() (string, error)
	variable := "SWITCHD_TOKEN_FILE_" + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))
	if file := cmp.Or(e.EnvTokenFile[p.Name], os.Getenv(variable)); file != "" {
		if _, err := readToken(file); err != nil {
			return nil, err
		}
		token = func() (string, error) { return readToken(file) } // it may be replaced
	}
	if l := e.reached[p]; l != nil {
		return l, nil
	}
	flags := e.flags.Consul
	client, _, err := consul.NewClientElsewhere(consul.Elsewhere{
		Address: address, Datacenter: p.Consul.Datacenter, ClientCert: flags.ClientCert, ClientKey: flags.ClientKey,
		CAFile: cmp.Or(flags.CAFile, os.Getenv("CONSUL_CACERT")), CAPath: cmp.Or(flags.CAPath, os.Getenv("CONSUL_CAPATH")),
		Token: token,
	})
	if err != nil {
		return nil, err
	}
	l := &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: p.Name}}
	e.reached[p] = l
	return l, nil
}
