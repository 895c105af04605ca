// Package spec turns HCL inputs by many owners into one validated desired
// state for one environment. It knows neither Consul nor the time.
package spec

import "slices"

// Desired is the compiled desired state of one environment.
type Desired struct {
	Environment Environment `json:"environment"`
	// Services are sorted by name.
	Services []Service `json:"services"`
	// ZoneFile is the text of the zone's master file, nil without one. It is
	// too large to stand beside the rest: Zone.File names it.
	ZoneFile []byte `json:"-"`
}

// Service is everything that is wanted of one service in one environment.
type Service struct {
	Name string `json:"name"`
	// Owner is that of the file that sets the port.
	Owner     string          `json:"owner,omitempty"`
	DependsOn []string        `json:"depends_on,omitempty"`
	Port      int             `json:"port"`
	Pools     map[string]Pool `json:"pools"` // by Blue and Green
	Runtime   Runtime         `json:"runtime"`
	// Preload is what a release needs in memory before it is started.
	Preload  *Preload  `json:"preload,omitempty"`
	Health   Health    `json:"health"`
	Roll     Roll      `json:"roll"`
	Smoke    []Smoke   `json:"smoke,omitempty"` // sorted by name
	Warmup   *Warmup   `json:"warmup,omitempty"`
	Analysis *Analysis `json:"analysis,omitempty"`
	Switch   Switch    `json:"switch"`
	Mesh     *Mesh     `json:"mesh,omitempty"` // nil: the mesh is not led
	// Weights are the percentages of answers that the idle pool gets, step
	// by step, before the switch, which is the step of 100 percent and not among
	// them. Empty means: no share before the switch.
	Weights   []int      `json:"weights,omitempty"`
	Drain     Drain      `json:"drain"`
	Bake      Duration   `json:"bake"`
	AfterBake string     `json:"after_bake"`          // AfterBakeKeep or AfterBakeUpgrade
	Approvals []Approval `json:"approvals,omitempty"` // gates, each kind sorted by name
	Waits     []WaitFor  `json:"waits,omitempty"`
	Windows   []Window   `json:"windows,omitempty"`
	Silences  []Silence  `json:"silences,omitempty"`
	// Forbidden are versions that must not be rolled out, as patterns with "*" for
	// any text, sorted; see Forbids.
	Forbidden []string `json:"forbidden,omitempty"`
	// Tightened is what policies have made stricter.
	Tightened []Tightening `json:"tightened,omitempty"`
	Notify    Notify       `json:"notify,omitzero"`
	Alerts    []Alert      `json:"alerts,omitempty"` // sorted by name; see AlertsInForce
	// Deadlines are by phase; every phase that can wait has one.
	Deadlines map[string]Deadline `json:"deadlines"`
	Origins   Origins             `json:"origins,omitempty"`
}

// What becomes of the old pool when its bake ends.
const (
	AfterBakeKeep    = "keep"
	AfterBakeUpgrade = "upgrade"
)

func (s *Service) form() form {
	return form{
		attrs: []attr{
			environmentsAttr(new([]string), serviceRule()),
			texts("depends_on", &s.DependsOn, serviceRule(), true),
			whole("port", &s.Port, 1, 65535).must(),
			rising("weights", &s.Weights, 1, 100).then(s.dropWhole),
			span("bake", &s.Bake, shortest),
			text("after_bake", &s.AfterBake, oneOf(AfterBakeKeep, AfterBakeUpgrade)),
			texts("forbidden_versions", &s.Forbidden, versionPatternRule(), true).then(func() { slices.Sort(s.Forbidden) }),
		},
		blocks: append(gateBlocks(&s.Approvals, &s.Waits, &s.Windows, &s.Silences),
			keyed("pool", oneOf(Blue, Green), &s.Pools, defaultPool),
			chosen("runtime", oneOf(RuntimeKinds()...), &s.Runtime.Kind, &s.Runtime),
			chosenIf("preload", oneOf(PreloadCache, PreloadLock), &s.Preload, defaultPreload, func(p Preload) string { return p.Kind }),
			single("health", &s.Health),
			single("roll", &s.Roll),
			listed("smoke", labelRule(), &s.Smoke, defaultSmoke, func(v Smoke) string { return v.Name }),
			optional("warmup", &s.Warmup, defaultWarmup),
			optional("analysis", &s.Analysis, defaultAnalysis),
			s.switchNest(),
			single("drain", &s.Drain),
			listed("alert", labelRule(), &s.Alerts, defaultAlert, func(v Alert) string { return v.Name }),
			single("notify", &s.Notify),
			keyed("deadline", oneOf(Phases()...), &s.Deadlines, defaultDeadline),
		),
		check: s.validate,
	}
}

// environmentsAttr is for who compiles: the service is compiled or not, so its
// environments are not kept.
func environmentsAttr(to *[]string, known rule) attr {
	return texts("environments", to, known, true)
}

func (s *Service) validate(at scope) {
	s.completeSwitch(at)
	if s.Runtime.Kind == "" {
		at.wrong("", "Missing runtime", "Service %q has no runtime block to say what it runs, such as: runtime %q { command = [\"./app\"] }", s.Name, RuntimeProcess)
	}
	s.validatePools(at)
	s.validateRoll(at)
	s.validateAnalysis(at)
	s.validateSwitch(at)
	s.validateDeadlines(at)
	s.validateGates(at)
	s.validatePoints(at)
}

// dropWhole takes the switch itself from the steps before it.
func (s *Service) dropWhole() {
	if n := len(s.Weights); n > 0 && s.Weights[n-1] == 100 {
		s.Weights = slices.Clip(s.Weights[:n-1])
	}
	if len(s.Weights) == 0 {
		s.Weights = nil
	}
}

// settle completes and checks what depends on the environment.
func (s *Service) settle(e Environment, at scope) {
	if s.Analysis != nil {
		s.Analysis.settle(e, at)
	}
	s.Switch.settle(e, at)
	s.settleAlerts(e, at)
	s.settleGates(e, at)
}
