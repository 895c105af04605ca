// Package spec turns HCL inputs by many owners into one validated desired
// state for one environment. It knows neither Consul nor the time.
package spec

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
	// by step, before the switch. Empty means: no share before the switch.
	Weights   []int      `json:"weights,omitempty"`
	Drain     Drain      `json:"drain"`
	Bake      Duration   `json:"bake"`
	AfterBake string     `json:"after_bake"`          // AfterBakeKeep or AfterBakeUpgrade
	Approvals []Approval `json:"approvals,omitempty"` // gates, each kind sorted by name
	Waits     []WaitFor  `json:"waits,omitempty"`
	Windows   []Window   `json:"windows,omitempty"`
	Silences  []Silence  `json:"silences,omitempty"`
	// Forbidden are versions that a policy forbids, as patterns with "*" for any
	// text.
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
			rising("weights", &s.Weights, 1, 99),
			span("bake", &s.Bake, shortest),
			text("after_bake", &s.AfterBake, oneOf(AfterBakeKeep, AfterBakeUpgrade)),
		},
		blocks: []nested{
			keyed("pool", oneOf(Blue, Green), &s.Pools, defaultPool),
			chosen("runtime", oneOf(RuntimeKinds()...), &s.Runtime.Kind, &s.Runtime),
			chosenIf("preload", oneOf(PreloadCache, PreloadLock), &s.Preload, func(p *Preload) *string { return &p.Kind }),
			single("health", &s.Health),
			single("roll", &s.Roll),
			listed("smoke", labelRule(), &s.Smoke, defaultSmoke, func(v Smoke) string { return v.Name }),
			optional("warmup", &s.Warmup, defaultWarmup),
			optional("analysis", &s.Analysis, defaultAnalysis),
			s.switchNest(),
			single("drain", &s.Drain),
			listed("approval", labelRule(), &s.Approvals, defaultApproval, func(v Approval) string { return v.Name }),
			listed("alert", labelRule(), &s.Alerts, defaultAlert, func(v Alert) string { return v.Name }),
			keyed("deadline", oneOf(Phases()...), &s.Deadlines, defaultDeadline),
		},
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
}

// settle completes and checks what depends on the environment.
func (s *Service) settle(e Environment, at scope) {
	if s.Analysis != nil {
		s.Analysis.settle(e, at)
	}
	s.Switch.settle(e, at)
	s.settleAlerts(e, at)
}
