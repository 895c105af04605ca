package web

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"

	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
)

//go:embed page.html
var pageHTML string

func parsePage() *template.Template {
	return template.Must(template.New("page").Parse(pageHTML)) // it is part of the program
}

// view is what the page is made from.
type view struct {
	Nonce    string
	Env      string
	Self     string
	Now      time.Time
	At       time.Time // of the state shown; zero: none is known
	Error    string    // why the state can't be read now
	Services []serviceView
	Trains   []trainView
	// TrainsError says why trains are missing.
	TrainsError string
	Replicas    []status.Replica
}

// serviceView is one service on the page.
type serviceView struct {
	status.Service

	Pools   []poolView
	Line    string
	Steps   []step
	Formers []former
	// Unread says why the former rollouts are missing.
	Unread string
	now    time.Time
}

// poolView is one pool on the page.
type poolView struct {
	status.Pool

	Colour  string
	Version string
	Others  int
	Offset  int // where its part of the bar begins, in per cent
}

// step is one phase in the row of phases.
type step struct {
	Phase rollout.Phase
	State string // past, now, stopped or ahead
}

// servePage shows the status. When Consul is away it shows what was last
// known, with its age.
func (s *site) servePage(w http.ResponseWriter, r *http.Request) {
	state := s.now.read(r.Context())
	now := time.Now().UTC()
	v := view{Nonce: rand.Text(), Env: s.Ledger.Env(), Self: s.self(), Now: now, At: state.doc.At, TrainsError: state.doc.TrainsError, Replicas: state.doc.Replicas}
	code := http.StatusOK
	if state.err != nil {
		v.Error, code = state.err.Error(), http.StatusServiceUnavailable
	}
	for _, service := range state.doc.Services {
		one := viewOf(service, now)
		formers, err := s.past.of(r.Context(), service)
		if err != nil {
			s.Log.WarnContext(r.Context(), "former rollouts", "service", service.Name, "error", err)
			one.Unread = err.Error()
		}
		one.Formers = formers
		v.Services = append(v.Services, one)
	}
	for _, t := range state.doc.Trains {
		v.Trains = append(v.Trains, trainViewOf(t, now))
	}
	var page bytes.Buffer
	if err := s.page.Execute(&page, v); err != nil {
		s.Log.ErrorContext(r.Context(), "make the status page", "error", err)
		http.Error(w, "the status page can't be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", fmt.Sprintf(
		"default-src 'none'; script-src 'nonce-%[1]s'; style-src 'nonce-%[1]s'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", v.Nonce))
	w.WriteHeader(code)
	_, _ = page.WriteTo(w) // a client that went away needs no answer
}

func viewOf(s status.Service, now time.Time) serviceView {
	v := serviceView{Service: s, now: now}
	offset := 0
	for _, colour := range []string{spec.Blue, spec.Green} {
		pool, known := s.Pools[colour]
		if !known {
			continue
		}
		version, others := pool.Majority()
		v.Pools = append(v.Pools, poolView{Pool: pool, Colour: colour, Version: version, Others: others, Offset: offset})
		offset += pool.Share
	}
	if s.Rollout != nil {
		v.Line, v.Steps = s.Rollout.Line(now), steps(s.Rollout)
	}
	return v
}

// steps are the phases of a rollout that goes well, with where this one is.
func steps(r *status.Rollout) []step {
	order := rollout.Phases()
	reached := slices.Index(order, r.Reached)
	all := make([]step, len(order))
	for i, phase := range order {
		all[i] = step{phase, "ahead"}
		switch {
		case i < reached, r.Phase == rollout.Done:
			all[i].State = "past"
		case i == reached && r.Phase == r.Reached:
			all[i].State = "now"
		case i == reached:
			all[i].State = "stopped"
		}
	}
	return all
}

// Since is how long ago a moment was.
func (v view) Since(t time.Time) string { return status.Span(v.Now.Sub(t)) }

// Since is how long ago a moment was.
func (v serviceView) Since(t time.Time) string { return status.Span(v.now.Sub(t)) }

// Took is how long the rollout was under way.
func (f former) Took() string { return status.Span(f.Ended.Sub(f.Begun)) }
