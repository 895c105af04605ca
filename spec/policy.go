package spec

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// policy is what an owner asks of services that others write. It is no part of
// the desired state: what it has tightened is.
type policy struct {
	name     string
	services []string // patterns with "*" for any text
	// What is not set asks for nothing: nil, zero or empty.
	bake         Duration
	roll         policyRoll
	minApprovers int // of the approvals that services declare themselves
	forbidden    []string
	approvals    []Approval
	waits        []WaitFor
	windows      []Window
	silences     []Silence

	c *compiler // knows where each value was set
}

// policyRoll has the bounds of Roll that can be stricter or looser.
type policyRoll struct {
	quorum         Count
	maxUnavailable Count
	minHealthyTime Duration
	canaryNodes    int
	stagger        Duration
	maxFailures    *int // 0 is the strictest
}

func newPolicy(name string) policy { return policy{name: name, services: []string{"*"}} }

func (p *policy) form() form {
	return form{
		attrs: []attr{
			environmentsAttr(new([]string), labelRule()),
			texts("services", &p.services, servicePatternRule(), true),
			span("bake", &p.bake, shortest),
			whole("min_approvers", &p.minApprovers, 1, 100),
			texts(forbiddenVersions, &p.forbidden, versionPatternRule(), true).then(func() { slices.Sort(p.forbidden) }),
		},
		blocks: append(gateBlocks(&p.approvals, &p.waits, &p.windows, &p.silences), single("roll", &p.roll)),
		check:  p.validate,
	}
}

func (r *policyRoll) form() form {
	return form{attrs: []attr{
		count("quorum", &r.quorum, 1),
		count("max_unavailable", &r.maxUnavailable, 1),
		span("min_healthy_time", &r.minHealthyTime, shortest),
		whole("canary_nodes", &r.canaryNodes, 1, maxNodes),
		span("stagger", &r.stagger, shortest),
		limit("max_failures", &r.maxFailures, 0, maxNodes),
	}}
}

func (p *policy) validate(at scope) {
	// The gates of a policy are held to what those of a service are.
	(&Service{Name: p.name, Approvals: p.approvals, Waits: p.waits, Windows: p.windows, Silences: p.silences}).validateGates(at)
}

// covers tells whether a service is meant.
func (p *policy) covers(service string) bool {
	return slices.ContainsFunc(p.services, func(pattern string) bool { return matches(pattern, service) })
}

// servicePatternRule has what names of services have, and "*".
func servicePatternRule() rule {
	return matching("the name of a service, in which \"*\" stands for any text", `[a-z0-9*-]+`, 57)
}

// policies compiles those that are meant for the environment, in the order of
// their names.
func (s *Source) policies(e Environment) ([]policy, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	var all []policy
	for name, t := range s.root.labelled("policy") {
		c := newCompiler(s, e.serviceContext(), t.at)
		if c.includes(t, e.Name, s.Environments()) {
			p := newPolicy(name)
			p.c = c
			c.fill(t, p.form(), "")
			p.checkServices(s)
			all = append(all, p)
		}
		diags = append(diags, c.diags...)
	}
	return all, diags
}

// checkServices finds names that no file declares: a policy that holds for
// nothing would go unnoticed.
func (p *policy) checkServices(s *Source) {
	var declared []string
	for name := range s.root.labelled("service") {
		declared = append(declared, name)
	}
	for _, name := range p.services {
		if !strings.Contains(name, "*") && !slices.Contains(declared, name) {
			scope{c: p.c}.wrong("services", "Unknown service", "Policy %q is about a service %q, which no file declares.%s", p.name, name, DidYouMean(name, declared))
		}
	}
}
