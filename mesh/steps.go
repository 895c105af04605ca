package mesh

import (
	"fmt"

	"github.com/hashicorp/consul/api"
)

// Step is one write.
type Step struct {
	Kind, Name string
	Write      api.ConfigEntry // nil: the entry is deleted
	Index      uint64          // what it was read at, for CAS; 0: there is none yet
	// Was and Is are the entry in words, for logs.
	Was, Is string
	// Undoes says that somebody else has written what it changes: the same
	// derivation had made the entries right before.
	Undoes bool
}

// ForeignError says that entries are somebody else's, which are not touched.
type ForeignError struct{ Text string }

// Error says which, and what can be done.
func (e *ForeignError) Error() string { return e.Text }

func foreign(format string, args ...any) error {
	return &ForeignError{fmt.Sprintf(format, args...)}
}

// Steps are the writes that make the entries right, in an order in which each
// of them leaves clients where they were, or leads them to where they are to
// be. None: they are right. The error names what can't be made right; the steps
// are good nevertheless.
//
// Of an entry that is there, what doesn't say where clients are led stays as it
// is: timeouts, load balancing, failover.
func (e Entries) Steps(held Held) ([]Step, error) {
	if err := e.owns(held); err != nil {
		return nil, err
	}
	steps, err := e.define(held)
	// The resolver comes before the splitter: a splitter needs the subsets, and
	// the default subset only counts once the splitter is gone.
	if next := held.resolver(e.Resolver); !held.isResolver(next) {
		steps = append(steps, Step{Kind: api.ServiceResolver, Name: next.Name, Write: next, Index: held.Resolver.ModifyIndex, Was: wordsOfResolver(&held.Resolver), Is: wordsOfResolver(next)})
	}
	switch have := held.Splitter; {
	case e.Splitter == nil && have.ModifyIndex != 0:
		steps = append(steps, Step{Kind: api.ServiceSplitter, Name: have.Name, Index: have.ModifyIndex, Was: wordsOfSplitter(&have), Is: "none"})
	case e.Splitter == nil:
	case err != nil: // Consul would refuse it
	default:
		if next := held.splitter(e.Splitter); !held.isSplitter(next) {
			steps = append(steps, Step{Kind: api.ServiceSplitter, Name: next.Name, Write: next, Index: have.ModifyIndex, Was: wordsOfSplitter(&have), Is: wordsOfSplitter(next)})
		}
	}
	return steps, err
}

// owns refuses entries that somebody else leads clients by. An entry that has
// lost switchd's mark is one that was edited, as long as the other one has it;
// a splitter that was there before switchd's first resolver is not.
func (e Entries) owns(held Held) error {
	own := e.Resolver.Meta[MetaEnv]
	resolver, splitter := held.Resolver.Meta[MetaEnv], held.Splitter.Meta[MetaEnv]
	for kind, env := range map[string]string{api.ServiceResolver: resolver, api.ServiceSplitter: splitter} {
		if env != "" && env != own {
			return foreign("the %s of %s is that of environment %s, and both would lead the same clients; give each environment a Consul datacenter of its own, or another service in the switch block",
				kind, e.Resolver.Name, env)
		}
	}
	if held.Splitter.ModifyIndex != 0 && splitter == "" && resolver == "" {
		return foreign("%s has a service-splitter that is not switchd's (%s); if it is wanted no more: consul config delete -kind service-splitter -name %[1]s",
			e.Resolver.Name, wordsOfSplitter(&held.Splitter))
	}
	return nil
}

// define says what the service speaks, unless somebody else has, or Consul
// takes it for something that will do.
func (e Entries) define(held Held) ([]Step, error) {
	if e.Defaults == nil {
		return nil, nil
	}
	want, have := e.Defaults.Protocol, held.Defaults
	fits := func(protocol string) bool { return protocol == want || splits(protocol) && splits(want) }
	switch own := have.Meta[MetaEnv] == e.Defaults.Meta[MetaEnv]; {
	case have.ModifyIndex == 0 && fits(held.Protocol), own && have.Protocol == want, !own && fits(have.Protocol):
		return nil, nil
	case have.ModifyIndex == 0 && held.Protocol == "":
		return nil, fmt.Errorf("what %s speaks is not known: %w", e.Defaults.Name, held.Unknown)
	case have.ModifyIndex == 0:
		return []Step{{Kind: api.ServiceDefaults, Name: e.Defaults.Name, Write: e.Defaults, Was: "none", Is: wordsOfDefaults(e.Defaults)}}, nil
	case !own:
		return nil, foreign("the service-defaults of %s, which are not switchd's, say %s, but weights need %s; set Protocol = %[3]q in them, or delete them",
			e.Defaults.Name, wordsOfDefaults(&have), want)
	default:
		next := have
		next.Protocol = want
		return []Step{{Kind: api.ServiceDefaults, Name: next.Name, Write: &next, Index: have.ModifyIndex, Was: wordsOfDefaults(&have), Is: wordsOfDefaults(&next)}}, nil
	}
}
