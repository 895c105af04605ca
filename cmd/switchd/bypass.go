package main

import (
	"fmt"
	"strings"
	"time"

	"switchd/ledger"
	"switchd/rollout"
)

// bypassFlags name gates that a rollout goes on without.
type bypassFlags struct {
	Bypass []string `help:"Gate to go on without, also while the rollout is under way; smoke, warmup and analysis are gates too. Needs a right of its own. Repeat it for more." placeholder:"GATE" sep:"none"`
	Why    string   `help:"Reason of the bypass, or of leading a train back, for the history." placeholder:"TEXT"`
}

func (f bypassFlags) validate() error {
	if given := strings.TrimSpace(f.Why) != ""; given != (len(f.Bypass) > 0) {
		return &usageError{"--bypass and --why need each other: --bypass GATE --why TEXT"}
	}
	return nil
}

// bypasses are in the name of whoever runs the command.
func (f bypassFlags) bypasses(a *app, l *ledger.Ledger) ([]rollout.Bypass, error) {
	if len(f.Bypass) == 0 {
		return nil, nil
	}
	me, err := a.me(l)
	if err != nil {
		return nil, err
	}
	var all []rollout.Bypass
	for _, gate := range f.Bypass {
		all = append(all, rollout.Bypass{Gate: gate, Who: me.who, By: me.by, Why: f.Why, At: time.Now().UTC()})
	}
	return all, nil
}

// goAround adds bypasses to a version's rollout if that is under way; nil: it
// isn't.
func (a *app) goAround(l *ledger.Ledger, service, version string, bypasses []rollout.Bypass) (*rollout.Record, error) {
	if len(bypasses) == 0 {
		return nil, nil //nolint:nilnil // nothing to go around is the ordinary state
	}
	var s rollout.Situation
	var err error
	if s.Record, err = l.Record(a.ctx, service); err != nil || s.Record == nil || s.Record.Phase.Ended() || s.Record.Version != version {
		return nil, err
	}
	if s.Spec, err = l.Service(a.ctx, service); err != nil {
		return nil, err
	}
	if bypasses, err = rollout.GoAround(s, bypasses...); err != nil {
		return nil, err
	}
	for _, b := range bypasses {
		if err := l.Bypass(a.ctx, service, b); err != nil {
			return nil, fmt.Errorf("%s: %w", service, err)
		}
		a.printf("%s %s: %s is bypassed by %s: %s\n", service, version, b.Gate, b.By, b.Why)
	}
	return s.Record, nil
}
