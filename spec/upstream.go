package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Upstream is the environment that a release must have been through before
// this one takes it. Who drives this environment reads it there, with a token that
// can only read: the other environment has no right here.
type Upstream struct {
	Environment string `json:"environment"`
	Consul      Consul `json:"consul,omitzero"` // where that environment's is
	// For is how long the release must have been done there, and live since.
	For Duration `json:"for"`
	// Promote has this environment promote by itself what has become eligible.
	Promote bool `json:"promote,omitempty"`
}

// Peer is one environment of all that the inputs declare.
type Peer struct {
	Name   string `json:"name"`
	Consul Consul `json:"consul,omitzero"`
	After  string `json:"after,omitempty"` // its upstream
}

func (u *Upstream) form() form {
	return form{attrs: []attr{
		span("for", &u.For, 0),
		flag("promote", &u.Promote),
	}}
}

// after is the block of an environment that names its upstream. The label isn't
// held to the names that are declared: that is for checkUpstreams, which knows
// them.
func (e *Environment) after() nested {
	return chosenIf("after", labelRule(), &e.After, defaultUpstream, func(u Upstream) string { return u.Environment })
}

// upstream is the name of an environment's upstream, and where that is said;
// empty without one.
func (s *Source) upstream(name string) (string, hcl.Range) {
	for upstream, t := range s.root.blocks["environment"][name].labelled("after") {
		return upstream, t.at // there is one at most
	}
	return "", hcl.Range{}
}

// checkUpstreams finds upstreams that aren't there, and cycles, each of which is
// reported once.
func (s *Source) checkUpstreams() hcl.Diagnostics {
	var diags hcl.Diagnostics
	fail := func(at hcl.Range, summary, format string, args ...any) {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: at.Ptr()})
	}
	names := s.Environments()
	seen := make(map[string]bool)
	for _, name := range names {
		var path []string
		for next := name; next != ""; {
			if i := slices.Index(path, next); i >= 0 {
				_, at := s.upstream(next)
				fail(at, "Cycle of environments", "Each of these environments would wait for the next one for ever: %s. Remove one of the after blocks.",
					strings.Join(append(path[i:], next), " → "))
				break
			}
			if seen[next] {
				break
			}
			seen[next] = true
			path = append(path, next)
			upstream, at := s.upstream(next)
			if upstream != "" && !slices.Contains(names, upstream) {
				fail(at, "Unknown environment", "Environment %q comes after %q, which no file declares. There are: %s.%s",
					next, upstream, quoted(names), DidYouMean(upstream, names))
				break
			}
			next = upstream
		}
	}
	return diags
}

// peers are all environments, each after its upstream and those of one depth by
// name.
func (s *Source) peers() ([]Peer, hcl.Diagnostics) {
	if diags := s.checkUpstreams(); diags.HasErrors() {
		return nil, diags
	}
	var diags hcl.Diagnostics
	var peers []Peer
	for _, name := range s.Environments() {
		e, c := s.begin(name)
		if !c.diags.HasErrors() {
			c.fill(s.root.blocks["environment"][name], form{blocks: []nested{e.consul()}}, "")
		}
		diags = append(diags, c.diags...)
		after, _ := s.upstream(name)
		peers = append(peers, Peer{Name: name, Consul: e.Consul, After: after})
	}
	slices.SortStableFunc(peers, func(a, b Peer) int { return cmp.Compare(s.depth(a.Name), s.depth(b.Name)) })
	return peers, diags
}

// settle completes what depends on the other environments.
func (e *Environment) settle(s *Source, c *compiler) {
	peers, diags := s.peers()
	c.diags = append(c.diags, diags...)
	e.Peers = peers
	for _, p := range peers {
		if e.After != nil && p.Name == e.After.Environment {
			e.After.Consul = p.Consul
		}
	}
}

// depth is how many environments come before one.
func (s *Source) depth(name string) int {
	n := 0
	for next, _ := s.upstream(name); next != ""; next, _ = s.upstream(next) {
		n++
	}
	return n
}
