package spec

import (
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Environment is one ordered place to run: one Consul datacenter and one KV
// prefix.
type Environment struct {
	Name       string        `json:"name"`
	Consul     Consul        `json:"consul,omitzero"`
	Prometheus string        `json:"prometheus,omitempty"` // base URL of its HTTP API
	Zone       *Zone         `json:"zone,omitempty"`
	Alerts     *AlertSources `json:"alerts,omitempty"` // nil: nobody is asked for any
	After      *Upstream     `json:"after,omitempty"`  // nil: releases need not have been elsewhere
	// Peers are all environments that the inputs declare, each after its
	// upstream.
	Peers []Peer `json:"peers,omitempty"`
	// Parallel is how many rollouts of one train may be under way.
	Parallel int               `json:"parallel,omitempty"`
	Vars     map[string]string `json:"vars,omitempty"`
	Origins  Origins           `json:"origins,omitempty"`
}

// Consul says where the environment's Consul is. Empty fields mean what
// Consul's own environment variables say.
type Consul struct {
	Address    string `json:"address,omitempty"`
	Datacenter string `json:"datacenter,omitempty"`
}

func (e *Environment) form() form {
	return form{
		attrs: []attr{
			text("prometheus", &e.Prometheus, urlRule()),
			whole("parallel", &e.Parallel, 1, 100),
			e.vars(),
		},
		blocks: []nested{
			e.consul(),
			e.after(),
			e.zone(),
			optional("alerts", &e.Alerts, defaultAlertSources),
		},
	}
}

func (e *Environment) consul() nested { return single("consul", &e.Consul) }

func (e *Environment) vars() attr {
	name := matching("the name of a variable: letters, digits, \"_\" and \"-\", not a digit first", `[A-Za-z_][A-Za-z0-9_-]*`, 64)
	return textMap("vars", &e.Vars, name, varRule())
}

func (c *Consul) form() form {
	return form{attrs: []attr{
		text("address", &c.Address, wordRule()),
		text("datacenter", &c.Datacenter, labelRule()),
	}}
}

// context is what the environment's own values may use: ${env.name} and
// ${env.vars.…}.
func (e *Environment) context() *hcl.EvalContext {
	return &hcl.EvalContext{Variables: map[string]cty.Value{"env": cty.ObjectVal(e.object())}}
}

// serviceContext is what a service's values may use: also ${env.prometheus},
// which is null if the environment has none, and the runtime variables.
func (e *Environment) serviceContext() *hcl.EvalContext {
	env := e.object()
	env["prometheus"] = cty.NullVal(cty.String)
	if e.Prometheus != "" {
		env["prometheus"] = cty.StringVal(e.Prometheus)
	}
	return withRuntimeVariables(env)
}

// withRuntimeVariables is what values may use besides ${env}.
func withRuntimeVariables(env map[string]cty.Value) *hcl.EvalContext {
	variables := map[string]cty.Value{"env": cty.ObjectVal(env)}
	for _, name := range VarNames() {
		variables[name] = cty.StringVal("{{" + name + "}}")
	}
	return &hcl.EvalContext{Variables: variables}
}

func (e *Environment) object() map[string]cty.Value {
	vars := make(map[string]cty.Value, len(e.Vars))
	for name, value := range maps.All(e.Vars) {
		vars[name] = cty.StringVal(value)
	}
	return map[string]cty.Value{"name": cty.StringVal(e.Name), "vars": cty.ObjectVal(vars)}
}
