package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"switchd/zone"
)

// maxServiceSize bounds a compiled service as JSON: it is one value in
// Consul's KV, which takes at most 512 KiB.
const maxServiceSize = 256 << 10

// inputs is the outermost section: what may stand in a file.
type inputs struct {
	owner        string
	environments map[string]Environment
	services     map[string]Service
	policies     map[string]policy
}

func (in *inputs) form() form {
	return form{
		attrs: []attr{text("owner", &in.owner, wordRule())},
		blocks: []nested{
			keyed("environment", labelRule(), &in.environments, defaultEnvironment),
			keyed("service", serviceRule(), &in.services, defaultService),
			keyed("policy", labelRule(), &in.policies, newPolicy),
		},
	}
}

// Compile evaluates the inputs for one environment. The name may be empty
// where one environment only is declared. The result is nil if there are
// errors, those of Load among them.
func (s *Source) Compile(env string) (*Desired, hcl.Diagnostics) {
	if s.diags.HasErrors() {
		return nil, s.diags
	}
	name, diags := s.choose(env)
	if diags.HasErrors() {
		return nil, diags
	}
	environment, file, diags := s.environment(name)
	if diags.HasErrors() {
		return nil, diags
	}
	services, diags := s.services(environment, file.zone)
	if diags.HasErrors() {
		return nil, diags
	}
	return &Desired{Environment: environment, Services: services, ZoneFile: file.text}, diags
}

func (s *Source) choose(env string) (string, hcl.Diagnostics) {
	names := s.Environments()
	fail := func(detail string) (string, hcl.Diagnostics) {
		return "", hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Which environment?", Detail: detail}}
	}
	switch {
	case len(names) == 0:
		return fail("The inputs declare no environment. Add a block such as: environment \"prod\" {}")
	case env == "" && len(names) > 1:
		return fail(fmt.Sprintf("The inputs declare several environments: %s. Name one of them.", quoted(names)))
	case env == "":
		return names[0], nil
	case !slices.Contains(names, env):
		return fail(fmt.Sprintf("The inputs declare no environment %q, but these: %s.%s", env, quoted(names), DidYouMean(env, names)))
	}
	return env, nil
}

// begin gives an environment its vars. They come first, because its other values
// may use them, which is what the compiler is for.
func (s *Source) begin(name string) (Environment, *compiler) {
	t := s.root.blocks["environment"][name]
	e := defaultEnvironment(name)
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{
		"env": cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(name)}),
	}}
	c := newCompiler(s, ctx, t.at)
	c.fill(t, form{attrs: []attr{e.vars()}}, "")
	c.ctx = e.context()
	return e, c
}

func (s *Source) environment(name string) (Environment, zoneFile, hcl.Diagnostics) {
	e, c := s.begin(name)
	if c.diags.HasErrors() {
		return e, zoneFile{}, c.diags
	}
	f := e.form()
	f.attrs = slices.DeleteFunc(f.attrs, func(a attr) bool { return a.name == e.vars().name })
	c.fill(s.root.blocks["environment"][name], f, "")
	if len(c.origins) > 0 {
		e.Origins = c.origins
	}
	var file zoneFile
	if !c.diags.HasErrors() {
		e.settle(s, c)
	}
	if !c.diags.HasErrors() {
		file = e.Zone.read(s.fs, scope{c: c, path: "zone"})
	}
	sortDiagnostics(c.diags)
	return e, file, c.diags
}

// compiled is a service with what can still report errors about it.
type compiled struct {
	Service
	*compiler
}

// services compiles those that are meant for the environment.
func (s *Source) services(e Environment, file *zone.Zone) ([]Service, hcl.Diagnostics) {
	policies, diags := s.policies(e)
	if diags.HasErrors() {
		policies = nil // what they would complain about may be their own mistake
	}
	var all []compiled
	for name, t := range s.root.labelled("service") {
		c := newCompiler(s, e.serviceContext(), t.at)
		if !c.includes(t, e.Name, s.Environments()) {
			diags = append(diags, c.diags...)
			continue
		}
		all = append(all, compiled{c.service(name, t, e, policies), c})
	}
	checkDependencies(all, slices.Collect(maps.Keys(s.root.blocks["service"])), e.Name)
	checkNames(all, e, file)
	checkMesh(all)

	services := make([]Service, 0, len(all))
	for _, one := range all {
		diags = append(diags, one.diags...)
		services = append(services, one.Service)
	}
	sortDiagnostics(diags)
	return services, diags
}

// includes tells whether a service is meant for the environment.
func (c *compiler) includes(t *tree, env string, known []string) bool {
	only := []string{env}
	c.fill(t, form{attrs: []attr{environmentsAttr(&only, oneOf(known...))}}, "")
	return !c.diags.HasErrors() && slices.Contains(only, env)
}

func (c *compiler) service(name string, t *tree, e Environment, policies []policy) Service {
	s := defaultService(name)
	c.fill(t, s.form(), "")
	s.Owner = c.origins["port"].Owner
	s.Origins = c.origins
	if c.diags.HasErrors() {
		return s
	}
	c.tighten(&s, policies)
	s.settle(e, scope{c: c})
	if text, err := json.Marshal(s); err != nil || len(text) > maxServiceSize {
		scope{c: c}.wrong("", "Service too large",
			"Service %q has %d bytes when compiled, and at most %d are allowed. Move long texts into the release.", name, len(text), maxServiceSize)
	}
	return s
}
