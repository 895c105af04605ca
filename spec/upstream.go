package spec

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
