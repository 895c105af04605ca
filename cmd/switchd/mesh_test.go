package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"
	"github.com/rogpeppe/go-internal/testscript"

	"switchd/consul"
	"switchd/mesh"
)

// chain prints where Consul's mesh leads the clients of a service:
//
//	chain SERVICE
//
// With a subset it is edited to lead there:
//
//	chain SERVICE SUBSET
func chain(ts *testscript.TestScript, _ bool, args []string) {
	out := ts.Stdout()
	client := ts.Value(clientKey{}).(*consul.Client)
	if len(args) > 1 {
		_, _, err := client.API().ConfigEntries().Set(&api.ServiceResolverConfigEntry{
			Kind: api.ServiceResolver, Name: args[0], DefaultSubset: args[1], Subsets: map[string]api.ServiceResolverSubset{args[1]: {}},
		}, nil)
		ts.Check(err)
		return
	}
	found, err := client.Chain(context.Background(), args[0])
	ts.Check(err)
	_, words := mesh.Leads(found, "")
	_, _ = fmt.Fprintln(out, words)
}
