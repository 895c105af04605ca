package spec

import "time"

// What holds where the inputs say nothing. examples/shop tells it to people.

func defaultEnvironment(name string) Environment {
	return Environment{Name: name, Parallel: 4}
}

func defaultZone(name string) Zone {
	return Zone{
		Name:        name,
		Admin:       "hostmaster@" + name,
		TTL:         Duration(60 * time.Second),
		NegativeTTL: Duration(5 * time.Second),
		Refresh:     Duration(5 * time.Minute),
		Retry:       Duration(time.Minute),
		Expire:      Duration(14 * day),
	}
}

func defaultSecondary(address string) Secondary { return Secondary{Address: address} }

func defaultService(name string) Service {
	return Service{
		Name:    name,
		Runtime: Runtime{StopSignal: "SIGTERM", StopGrace: Duration(10 * time.Second), HookTimeout: Duration(time.Minute)},
		Health:  Health{Path: "/healthz", Interval: Duration(2 * time.Second), Timeout: Duration(time.Second)},
		Roll: Roll{
			Quorum:          Nodes(1),
			MaxUnavailable:  Nodes(1),
			MinHealthyTime:  Duration(10 * time.Second),
			HealthyDeadline: Duration(5 * time.Minute),
			DrainTimeout:    Duration(10 * time.Second),
		},
		Switch:    Switch{Kind: SwitchDNS, Name: name, TTL: Duration(time.Minute)},
		Drain:     Drain{Least: Duration(90 * time.Second), Below: 0.1, For: Duration(time.Minute)},
		Bake:      Duration(10 * time.Minute),
		AfterBake: AfterBakeKeep,
		Notify:    defaultNotify(),
		Deadlines: defaultDeadlines(),
	}
}

// defaultArmedTTL is what a TTL of a minute or so falls to; one that is shorter
// anyway stays.
const defaultArmedTTL = Duration(5 * time.Second)

func defaultPool(string) Pool { return Pool{} }

func defaultPreload(kind string) Preload { return Preload{Kind: kind} }

func defaultSmoke(name string) Smoke {
	return Smoke{
		Name:      name,
		Method:    "GET",
		Path:      "/",
		Status:    200,
		Timeout:   Duration(5 * time.Second),
		Retries:   2,
		RetryWait: Duration(time.Second),
	}
}

func defaultWarmup() Warmup {
	return Warmup{
		Path:      "/",
		Rate:      20,
		Ramp:      Duration(30 * time.Second),
		Window:    Duration(5 * time.Second),
		Windows:   3,
		Tolerance: 0.2,
	}
}

func defaultAnalysis() Analysis {
	return Analysis{
		Interval: Duration(time.Minute), Looks: 5, Alpha: 0.02, Compare: CompareLive, Days: 7, Wider: 2,
		Settle: Duration(3 * time.Minute), SettleFactor: 3, History: Duration(6 * time.Hour), Noise: 0.3,
		Score: Score{Pass: 95, Marginal: 75},
	}
}

// defaultMetric has the defaults of all judges; those of the others are dropped
// when the metric's own is known.
func defaultMetric(name string) Metric {
	return Metric{Name: name, Node: "instance", Allowed: 1.1, Margin: 0.5, Require: RequireNoWorse, Weight: 1}
}

// defaultHarmless is the share of failed or slow requests that no service is
// halted for. Without one, a service without any would never be known well enough.
const defaultHarmless = 0.001

const defaultExporter = "promhttp"

// defaultMannWhitney is what Kayenta's NetflixACAJudge has built in.
func defaultMannWhitney() MannWhitney {
	return MannWhitney{
		Direction: "either", NaN: "remove", Outliers: "keep", OutlierFactor: 3,
		Tolerance: 0.25, Confidence: 0.98, Measure: "meanRatio", Group: "others",
	}
}

// defaultApproval leaves the deadline to that of the phase; see complete.
func defaultApproval(name string) Approval {
	return Approval{Hold: Hold{At: []string{PointSwitch}}, Name: name, MinApprovers: 1}
}

func defaultWait(name string) WaitFor {
	return WaitFor{
		Hold: defaultHold(24 * time.Hour), Name: name, Passing: 1, Status: 200,
		Every: Duration(10 * time.Second), Timeout: Duration(10 * time.Second),
	}
}

// defaultWindow has no deadline: it opens by itself.
func defaultWindow(name string) Window {
	return Window{Hold: Hold{At: []string{PointSwitch}}, Name: name, TimeZone: "UTC"}
}

func defaultFreeze(name string) Freeze { return Freeze{Name: name} }

func defaultSilence(name string) Silence { return Silence{Hold: defaultHold(time.Hour), Name: name} }

func defaultHold(deadline time.Duration) Hold {
	return Hold{At: []string{PointSwitch}, Deadline: Deadline{After: Duration(deadline), Then: ThenHalt}}
}

func defaultNotify() Notify {
	return Notify{
		Events: []string{EventWaiting, EventDone, EventHalted, EventFailed, EventRolledBack},
		Remind: Duration(4 * time.Hour),
	}
}

func defaultUpstream(name string) Upstream {
	return Upstream{Environment: name, For: Duration(time.Hour)}
}

func defaultAlert(name string) Alert { return Alert{Name: name, Then: ThenHalt} }

func defaultAlertSources() AlertSources { return AlertSources{Every: Duration(15 * time.Second)} }

func defaultDeadlines() map[string]Deadline {
	deadlines := map[string]Deadline{
		"queued":     {After: Duration(time.Hour)},
		"staging":    {After: Duration(15 * time.Minute)},
		"rolling":    {After: Duration(30 * time.Minute)},
		"smoke":      {After: Duration(5 * time.Minute)},
		"warmup":     {After: Duration(10 * time.Minute)},
		"canary":     {After: Duration(time.Hour)},
		"approval":   {After: Duration(24 * time.Hour)},
		"switching":  {After: Duration(5 * time.Minute)},
		"draining":   {After: Duration(15 * time.Minute), Then: ThenContinue},
		"converging": {After: Duration(time.Hour)},
	}
	for phase, d := range deadlines {
		if d.Then == "" {
			d.Then = ThenHalt
			deadlines[phase] = d
		}
	}
	return deadlines
}

func defaultDeadline(phase string) Deadline { return defaultDeadlines()[phase] }
