package spec

import (
	"regexp"
	"strings"
)

// Vars are what is known only where and when a text is used. HCL inputs write
// them as ${pool}; the compiled state keeps them as {{pool}}.
type Vars struct {
	Service string
	Pool    string // the pool in question: the node's own, or the canary's
	Other   string // the other pool
	Version string
	Node    string
	Address string
	Port    string
	Dir     string // the unpacked release
	// Window is the analysis' interval and RateInterval the window that a rate
	// needs, both as PromQL writes durations; they are known to its queries only.
	Window       string
	RateInterval string
}

func (v Vars) pairs() []string {
	return []string{
		"{{service}}", v.Service,
		"{{pool}}", v.Pool,
		"{{other_pool}}", v.Other,
		"{{version}}", v.Version,
		"{{node}}", v.Node,
		"{{address}}", v.Address,
		"{{port}}", v.Port,
		"{{dir}}", v.Dir,
		"{{window}}", v.Window,
		"{{rate_interval}}", v.RateInterval,
	}
}

// VarNames are the names that an input may use as ${name}.
func VarNames() []string {
	var names []string
	for i, p := range (Vars{}).pairs() {
		if i%2 == 0 {
			names = append(names, strings.Trim(p, "{}"))
		}
	}
	return names
}

// Quoted are the variables so that they match themselves in a regular
// expression: the dots of a version are no wildcards.
func (v Vars) Quoted() Vars {
	for _, text := range []*string{&v.Service, &v.Pool, &v.Other, &v.Version, &v.Node, &v.Address, &v.Port, &v.Dir, &v.Window, &v.RateInterval} {
		*text = regexp.QuoteMeta(*text)
	}
	return v
}

// Expand replaces the variables in text.
func (v Vars) Expand(text string) string {
	return strings.NewReplacer(v.pairs()...).Replace(text)
}

// mayUse completes what a text of ofRollout must be.
const mayUse = " may use ${service}, ${pool}, ${other_pool} and ${version}"

// ofRollout takes texts that use no other variables than those that are known of
// a rollout, which is about no single node.
func ofRollout(r rule) rule {
	r = r.and(func(s string) bool {
		return fixed(strings.NewReplacer("{{service}}", "", "{{pool}}", "", "{{other_pool}}", "", "{{version}}", "").Replace(s))
	})
	r.want += "; it" + mayUse
	return r
}
