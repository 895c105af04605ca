package alerts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"switchd/gate"
	"switchd/spec"
)

// maxFiring bounds the alerts that evidence names, and minLook the time between two
// looks.
const (
	maxFiring = 10
	minLook   = 100 * time.Millisecond
)

// Silence waits until no alert fires that meets all matchers. Alerts that are
// silenced or inhibited in Alertmanager don't count; Prometheus knows neither.
type Silence struct {
	// Of says which alerts, and for how long none may have fired.
	Of spec.Silence
	// Vars are what the variables in matchers mean.
	Vars spec.Vars
	// Sources are who is asked; nil: nobody is known.
	Sources *spec.AlertSources
}

// Watch reports what holds, first as soon as that is known and then each time that
// the outcome or its reason changes, until ctx ends. It asks each Sources.Every.
//
// A verdict is a Pass, or unknown with what is missing. It is quiet only if an
// Alertmanager says so, for each is sent all alerts, and every Prometheus, for each
// has rules of its own. What is not known begins Of.For anew, and so does an alert.
func (s Silence) Watch(ctx context.Context, report func(gate.Verdict)) {
	report = gate.WhenChanged(report)
	matchers, err := compile(s.Of.Match, s.Vars)
	switch {
	case err != nil:
		report(gate.Undecided("silence %q: %v", s.Of.Name, err))
	case s.Sources == nil || len(sourcesOf(*s.Sources)) == 0:
		report(gate.Undecided("silence %q: nobody can tell which alerts fire: the environment has no alerts block", s.Of.Name))
	default:
		h := hush{Silence: s, matchers: matchers, sources: sourcesOf(*s.Sources)}
		h.watch(ctx, report)
	}
	<-ctx.Done()
}

// hush is a silence with what its looks have found.
type hush struct {
	Silence

	matchers labels.Matchers
	sources  []source
	since    time.Time // zero: it is not quiet, or nobody knows
}

func (h *hush) watch(ctx context.Context, report func(gate.Verdict)) {
	every := max(h.Sources.Every.Std(), minLook)
	for {
		v := h.look(ctx)
		if ctx.Err() != nil {
			return // what it says now is only that
		}
		report(v)
		next := every
		if v.Outcome != gate.Pass && !h.since.IsZero() {
			next = min(next, max(time.Until(h.since.Add(h.Of.For.Std())), 0))
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look asks once.
func (h *hush) look(ctx context.Context) gate.Verdict {
	asked := time.Now()
	answers, errs := ask(ctx, h.sources)
	var firing []Alert
	for _, a := range slices.Concat(answers...) {
		if h.matchers.Matches(a.Labels) {
			firing = append(firing, a)
		}
	}
	what := "alert that meets " + strings.Join(h.words(), " and ")
	if len(firing) > 0 {
		h.since = time.Time{}
		return fire(firing)
	}
	if err := unknown(h.sources, errs); err != nil {
		h.since = time.Time{}
		return gate.Undecided("it is not known whether an %s fires: %v", what, err)
	}
	if h.since.IsZero() {
		h.since = time.Now()
	}
	switch lasts := h.Of.For.Std(); {
	case lasts == 0:
		return gate.Passed("no %s fires", what)
	case asked.Sub(h.since) < lasts:
		return gate.Undecided("no %s fires, as was seen first at %s; that must last for %s", what, h.since.UTC().Format(time.TimeOnly+" UTC"), h.Of.For)
	default:
		return gate.Passed("no %s has fired for %s", what, h.Of.For)
	}
}

func (h *hush) words() []string {
	words := make([]string, len(h.matchers))
	for i, m := range h.matchers {
		words[i] = m.String()
	}
	return words
}

// fire names the alerts, each once, as several servers may tell of it.
func fire(firing []Alert) gate.Verdict {
	slices.SortStableFunc(firing, func(a, b Alert) int {
		if c := a.StartsAt.Compare(b.StartsAt); c != 0 {
			return c
		}
		return strings.Compare(a.Labels.String(), b.Labels.String())
	})
	firing = slices.CompactFunc(firing, func(a, b Alert) bool { return a.Labels.Equal(b.Labels) })
	first := firing[0]
	v := gate.Undecided("alert %s fires since %s", first.Name(), first.StartsAt.UTC().Format(time.DateTime+" UTC"))
	if others := len(firing) - 1; others > 0 {
		v.Why += fmt.Sprintf(", and %d more", others)
	}
	for _, a := range firing[:min(len(firing), maxFiring)] {
		v.Evidence = append(v.Evidence, fmt.Sprintf("alert %s fires with %s, says %s", a.Name(), quote(a.Labels.String(), maxLabels), a.Source))
	}
	return v
}

// unknown tells why it is not known which alerts fire, nil if it is.
func unknown(sources []source, errs []error) error {
	var missing, managers []error
	answered := false
	for i, s := range sources {
		switch {
		case s.kind != Alertmanager:
			missing = append(missing, errs[i])
		case errs[i] == nil:
			answered = true
		default:
			managers = append(managers, errs[i])
		}
	}
	if !answered {
		missing = append(missing, managers...)
	}
	return errors.Join(missing...)
}
