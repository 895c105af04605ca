package acl

import (
	"fmt"
	"strings"

	"switchd/consul"
	"switchd/replica"
)

// Policy are the rules of a grant.
type Policy struct {
	Grant Grant
	Rules []Rule
}

// For makes the rules of a grant. The error names the flag of `switchd acl`
// that is missing, wrong or without a meaning.
func For(g Grant) (Policy, error) {
	if err := g.check(); err != nil {
		return Policy{}, err
	}
	p := Policy{Grant: g}
	keys := consul.Keys{Env: g.Env}
	switch g.Role {
	case Agent:
		p.agent(keys)
	case Controller:
		p.controller(keys)
	case Author:
		p.author(keys)
	case Publisher:
		p.publisher(keys)
	case Operator:
		p.operator(keys)
	case Approver:
		p.approver(keys)
	case Bypass:
		p.own(keys.Bypasses(), "Gates that this person goes around, in no other name.")
	case Viewer:
		p.looks(keys)
	case Upstream:
		p.upstream(keys)
	}
	return p, nil
}

// String is the policy as `consul acl policy create -rules -` takes it, each
// rule under its reason.
func (p Policy) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# %s: %s.\n", p.Grant.Role, p.Grant.Role.Does())
	why := ""
	for _, r := range p.Rules {
		if r.Why != why {
			why = r.Why
			fmt.Fprintf(&text, "\n# %s\n", why)
		}
		fmt.Fprintln(&text, r)
	}
	return text.String()
}

// add adds a rule for each name, all for one reason.
func (p *Policy) add(why, resource, access string, names ...string) {
	for _, name := range names {
		p.Rules = append(p.Rules, Rule{Resource: resource, Name: name, Access: access, Why: why})
	}
}

// each adds rules for a folder of services: for all of it, or for the keys of
// those that the grant names.
func (p *Policy) each(why, folder, access string) {
	if len(p.Grant.Services) == 0 {
		p.add(why, "key_prefix", access, folder)
	}
	for _, service := range p.Grant.Services {
		p.add(why, "key", access, folder+service)
	}
}

// folders is each for what is a folder itself for each service.
func (p *Policy) folders(why, folder, access string) {
	if len(p.Grant.Services) == 0 {
		p.add(why, "key_prefix", access, folder)
	}
	for _, service := range p.Grant.Services {
		p.add(why, "key_prefix", access, folder+service+"/")
	}
}

// looks are the rules of everybody who shows or judges the state of the
// environment.
func (p *Policy) looks(keys consul.Keys) {
	p.add("All that is to be seen of the environment.", "key_prefix", Read, keys.Prefix())
	p.catalog()
}

// catalog are the rules for what runs where.
func (p *Policy) catalog() {
	const why = "What runs where, and whether it passes; Consul shows an instance only to who may see its node."
	p.add(why, "service_prefix", Read, "")
	p.add(why, "node_prefix", Read, "")
}

// nodes adds rules for the nodes that the grant names, or for any.
func (p *Policy) nodes(why, resource, access string) {
	if len(p.Grant.Nodes) == 0 {
		p.add(why, resource+"_prefix", access, "")
	}
	p.add(why, resource, access, p.Grant.Nodes...)
}

// sessions are the rules for locks.
func (p *Policy) sessions(why string) { p.nodes(why, "session", Write) }

// mesh are the rules for the config entries of services in Consul's mesh.
func (p *Policy) mesh() {
	p.add("Config entries of the switch \"resolver\".", "service", Write, p.Grant.Mesh...)
}

func (p *Policy) agent(keys consul.Keys) {
	const (
		told   = "What it is to run, of its own services."
		queue  = "The queue of its services' nodes, in which it reports for itself."
		slots  = "The right to be down, which the nodes of a pool share."
		self   = "Its name, and the key that it proves itself with in the swarm. It reads those of others."
		words  = "Its locks."
		local  = "Its own Consul agent: the node's name and address."
		what   = "What it runs, in the catalog."
		others = "Where releases come from, and the quorum."
	)
	node := p.Grant.Nodes[0]
	for _, service := range p.Grant.Services {
		p.add(told, "key", Read, keys.Spec(service), keys.Order(service))
		p.add(told, "key_prefix", Read, keys.Releases(service))
	}
	for _, service := range p.Grant.Services {
		p.add(queue, "key_prefix", Read, keys.Stagings(service))
		p.add(queue, "key_prefix", Write, keys.StagingsBy(service, node))
	}
	for _, service := range p.Grant.Services {
		p.add(slots, "key_prefix", Write, keys.AllSlots(service))
	}
	p.add(self, "key_prefix", Read, keys.Presence())
	p.add(self, "key", Write, keys.Presence()+node)
	p.add(words, "session", Write, node)
	p.add(local, "agent", Read, node)
	p.add(what, "service", Write, p.Grant.Services...)
	p.add(others, "service", Read, replica.Service)
	p.add(others, "node_prefix", Read, "")
}

func (p *Policy) controller(keys consul.Keys) {
	const (
		records = "Live records and rollouts, what agents and DNS derive from them, and the history."
		lease   = "Who drives, and what alerts halt."
		consent = "It takes consents and bypasses of ended rollouts away."
		told    = "Trains, and what owners were told."
		pull    = "Releases of the environment before, and which of them are eligible here."
		locks   = "The lease's lock."
		local   = "Its own Consul agent: the datacenter that it is in."
		self    = "Its own registration."
		outside = "What gates wait for."
	)
	p.looks(keys)
	p.add(records, "key_prefix", Write, keys.LivesAndSerial(), keys.Rollouts(), keys.Orders(), keys.AllHistories())
	p.add(lease, "key", Write, keys.Lease())
	p.add(lease, "key_prefix", Write, keys.Operators())
	p.add(consent, "key_prefix", Write, keys.Consents(), keys.Bypasses())
	p.add(told, "key_prefix", Write, keys.Trains(), keys.Notices())
	if p.Grant.Pull {
		p.add(pull, "key_prefix", Write, keys.AllReleases(), keys.Eligibles())
		p.add(pull, "key", Write, keys.Upstream())
	}
	p.sessions(locks)
	p.nodes(local, "agent", Read)
	p.add(self, "service", Write, replica.Service)
	p.add(outside, "key", Read, p.Grant.Keys...)
	p.mesh()
}

func (p *Policy) author(keys consul.Keys) {
	const (
		desired = "The desired state."
		busy    = "A service with a rollout under way is not removed."
		names   = "What DNS derives from it, and from the replicas that there are."
		apply   = "One apply at a time."
	)
	p.add(desired, "key_prefix", Write, keys.Desired(), keys.ZoneFiles())
	p.add(busy, "key_prefix", Read, keys.Rollouts())
	p.add(names, "key", Write, keys.Names(), keys.Serial())
	p.add(names, "service", Read, replica.Service)
	p.add(names, "node_prefix", Read, "")
	p.add(apply, "key_prefix", Write, keys.Operators())
	p.sessions(apply)
}

func (p *Policy) publisher(keys consul.Keys) {
	const prune = "Its lock while it removes."
	p.looks(keys)
	p.folders("Manifests. Agents run only what a key has signed that they trust.", keys.AllReleases(), Write)
	p.add(prune, "key_prefix", Write, keys.Operators())
	p.sessions(prune)
}

func (p *Policy) operator(keys consul.Keys) {
	const (
		records = "Rollouts, and for a rollback the live record, with what is written along with them."
		lease   = "The short lease under which a command writes."
	)
	p.looks(keys)
	p.each(records, keys.Rollouts(), Write)
	p.each(records, keys.Lives(), Write)
	p.each(records, keys.Orders(), Write)
	p.folders(records, keys.AllHistories(), Write)
	p.add(records, "key", Write, keys.Serial())
	if len(p.Grant.Services) == 0 {
		p.add("Trains, of whatever services: the controller begins their rollouts.", "key_prefix", Write, keys.Trains())
	}
	p.add(lease, "key_prefix", Write, keys.Operators())
	p.sessions(lease)
	p.mesh()
}

func (p *Policy) approver(keys consul.Keys) {
	const asked = "What there is to approve, and what others have said."
	p.each(asked, keys.Specs(), Read)
	p.each(asked, keys.Rollouts(), Read)
	p.add(asked, "key_prefix", Read, keys.Consents())
	p.own(keys.Consents(), "What this person says of gates, in no other name.")
}

// own are the rules of who writes below their own name only.
func (p *Policy) own(folder, why string) {
	mine := folder + p.Grant.Accessor + "/"
	if len(p.Grant.Gates) == 0 {
		p.folders(why, mine, Write)
		return
	}
	for _, service := range p.Grant.Services {
		for _, gate := range p.Grant.Gates {
			p.add(why, "key", Write, mine+service+"/"+gate)
		}
	}
}

func (p *Policy) upstream(keys consul.Keys) {
	const (
		done = "What has been done here, and is live."
		from = "The releases, and the replicas that have them."
	)
	p.add(done, "key_prefix", Read, keys.Lives(), keys.Rollouts(), keys.AllHistories())
	p.add(from, "key_prefix", Read, keys.AllReleases())
	p.add(from, "service", Read, replica.Service)
	p.add(from, "node_prefix", Read, "")
}
