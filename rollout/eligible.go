package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/spec"
)

// GateUpstream is the kind of the gate that the environment before this one is:
// its name is that environment's.
const GateUpstream = "upstream"

// PointPromote is where that gate stands: before a rollout begins.
const PointPromote = "promote"

// Eligibility is what is known of a service in the environment that a release
// must have been through before this one takes it. Its times are those of this
// environment's clock.
type Eligibility struct {
	Upstream string `json:"upstream"` // the environment
	Service  string `json:"service"`
	// Version is what is live there; empty: nothing.
	Version string `json:"version,omitempty"`
	// Rollout is the one there that has made the version live, and Done since when
	// that is done and the version live without a break; zero: it isn't, for
	// what Missing says.
	Rollout string    `json:"rollout,omitempty"`
	Done    time.Time `json:"done,omitzero"`
	Missing string    `json:"missing,omitempty"`
	// Release is the SHA-256 of the version's archive, once this environment has
	// taken it over; Trouble is why it can't.
	Release string `json:"release,omitempty"`
	Trouble string `json:"trouble,omitempty"`
	// Waits is why this environment does not promote the version by itself, though
	// it is to and the version is eligible.
	Waits string `json:"waits,omitempty"`
	// Seen is when all this was read; zero: it never was.
	Seen time.Time `json:"seen,omitzero"`

	// For is how long it must have been done there, of the spec.
	For spec.Duration `json:"-"`
	// Contact is how reading that environment goes.
	Contact Contact `json:"contact,omitzero"`

	// Index is the record's ModifyIndex in Consul, for CAS.
	Index uint64 `json:"-"`
}

// Contact is how the driving replica gets on with reading the environment
// before its own.
type Contact struct {
	Upstream string `json:"upstream,omitempty"`
	// At is when it was read last; zero: never.
	At time.Time `json:"at,omitzero"`
	// Error is why it can't be read, Since from when on; empty: it can.
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// Unreadable tells whether there was something that can't be read, as Error says.
func (c Contact) Unreadable() bool { return c.Upstream == "" && c.Error != "" }

// ParseEligibility reads a record. It gives nil for an empty value.
func ParseEligibility(value []byte, index uint64) (*Eligibility, error) {
	if len(value) == 0 {
		return nil, nil //nolint:nilnil // nothing known yet is an ordinary state
	}
	var e Eligibility
	if err := json.Unmarshal(value, &e); err != nil {
		return nil, fmt.Errorf("parse what is eligible: %w", err)
	}
	e.Index = index
	return &e, nil
}

// From is when the version is, or will be, eligible; zero: that can't be told.
func (e *Eligibility) From() time.Time {
	if e == nil || e.Done.IsZero() {
		return time.Time{}
	}
	return e.Done.Add(e.For.Std())
}

// Proven tells whether what is live there was seen to be so for as long as the
// spec asks. What could not be read since does not count.
func (e *Eligibility) Proven() bool {
	return e != nil && !e.Done.IsZero() && !e.Seen.Before(e.From())
}

// Eligible tells whether a version may be promoted here.
func (e *Eligibility) Eligible(version string) bool {
	return e == nil || e.Version == version && e.Proven() && e.Trouble == "" && e.Release != "" && !e.Contact.Unreadable()
}

// Lacks says what a version lacks to be eligible, "" if nothing. Times of day are
// in now's location.
func (e *Eligibility) Lacks(version string, now time.Time) string {
	switch {
	case e.Eligible(version):
		return ""
	case e.Contact.Unreadable():
		return fmt.Sprintf("how environment %s is read is not known: %s", e.Upstream, e.Contact.Error)
	case e.Seen.IsZero():
		return fmt.Sprintf("environment %s was not read yet", e.Upstream) + e.away(now)
	case e.Version == "" && e.Missing != "":
		return fmt.Sprintf("what %s holds of %s can't be read: %s", e.Upstream, e.Service, e.Missing)
	case e.Version == "":
		return fmt.Sprintf("nothing of %s is live in %s", e.Service, e.Upstream) + e.away(now)
	case e.Version != version:
		return fmt.Sprintf("not live in %s, where %s is", e.Upstream, e.Version) + e.away(now)
	case e.Done.IsZero():
		return fmt.Sprintf("not done in %s: %s", e.Upstream, e.Missing) + e.away(now)
	case !e.Proven() && now.Before(e.From()):
		return fmt.Sprintf("done in %s for %s of %s, eligible at %s", e.Upstream, span(now.Sub(e.Done)), span(e.For.Std()), clock(e.From(), now)) + e.away(now)
	case !e.Proven():
		return fmt.Sprintf("done in %s for %s of %s when that was read last, at %s",
			e.Upstream, span(e.Seen.Sub(e.Done)), span(e.For.Std()), clock(e.Seen, now)) + e.away(now)
	case e.Trouble != "":
		return fmt.Sprintf("its release can't be taken over from %s: %s", e.Upstream, e.Trouble)
	default:
		return fmt.Sprintf("its release is on its way here from %s", e.Upstream) + e.away(now)
	}
}

// away says that the environment can't be read.
func (e *Eligibility) away(now time.Time) string {
	switch {
	case e.Contact.Error != "":
		return fmt.Sprintf("; %s can't be read since %s: %s", e.Upstream, clock(e.Contact.Since, now), e.Contact.Error)
	case e.Contact.At.IsZero():
		return "; no replica of `switchd serve` reads it"
	}
	return ""
}

// clock is a time of day, with its date if that is not today's.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// span is a duration in whole seconds, without the zeros at its end.
func span(d time.Duration) string {
	text := d.Truncate(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// upstream holds a promote to the environment before this one, and says for the
// decision record what came of it; nil: there is none.
func (s Situation) upstream(version, by string, bypasses []Bypass, now time.Time) (*GateState, error) {
	e := s.Eligible
	if e == nil || s.Live != nil && s.Live.Version == version {
		return nil, nil //nolint:nilnil // no environment before this one is an ordinary state
	}
	state := GateState{Name: e.Upstream, Kind: GateUpstream, Point: PointPromote, Since: now, At: now, Outcome: GatePassed, By: []string{by}}
	lacks := e.Lacks(version, now)
	if lacks == "" {
		state.Why = fmt.Sprintf("done in %s since %s, rollout %s", e.Upstream, e.Done.Format(time.RFC3339), e.Rollout)
		return &state, nil
	}
	i := slices.IndexFunc(bypasses, func(b Bypass) bool { return b.Gate == e.Upstream })
	if i < 0 {
		return nil, refuse(NotEligible, "%s %s is not eligible: %s; `switchd promote %s %s --bypass %s --why TEXT` goes around that, with a right of its own",
			s.Spec.Name, version, lacks, s.Spec.Name, version, e.Upstream)
	}
	b := bypasses[i]
	state.Outcome, state.Why, state.By = GateBypassed, fmt.Sprintf("%s (%s)", b.Why, lacks), []string{b.By}
	return &state, nil
}
