package status

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Detail prints all that is known of each service of the document, and the
// replicas. Times of day are in now's location.
func Detail(w io.Writer, doc Document, now time.Time, opts Options) error {
	p := &page{opts: opts}
	for _, s := range doc.Services {
		p.service(doc.Environment, s, now)
	}
	p.replicas(doc.Replicas)
	p.trains(doc, now)
	p.undriven(doc)
	return p.flush(w)
}

func (p *page) service(env string, s Service, now time.Time) {
	title := []cell{{s.Name, strong}, {text: " in " + env}}
	if s.Owner != "" {
		title = append(title, cell{text: ", owned by " + s.Owner})
	}
	p.line(0, title...)
	if s.Error != "" {
		p.line(0, cell{"unknown: " + s.Error, bad})
		p.line(0)
		return
	}
	rows := [][]cell{{{"live", faint}, {text: s.Live.line(now)}}}
	if s.Live != nil && s.Live.Previous.Pool != "" {
		rows = append(rows, []cell{{"rollback", faint}, {text: "leads to " + s.Live.Previous.String()}})
	}
	if s.Rollout != nil {
		rows = append(rows, s.Rollout.rows(now)...)
	}
	if next := nextOf(s.Eligible, s.Live.side().Version, now); next != nil {
		rows = append(rows, []cell{{"next", faint}, {text: next.line(now)}})
	}
	p.table(0, rows...)
	p.line(0)
	for _, colour := range colours() {
		p.pool(colour, s.Pools[colour])
		p.line(0)
	}
}

func (l *Live) line(now time.Time) string {
	if l == nil {
		return "nothing; `switchd promote` makes the first release live"
	}
	text := fmt.Sprintf("%s since %s, generation %d, by %s", l.side(), Span(now.Sub(l.Since)), l.Generation, l.By)
	if l.RolledBack {
		text += ", rolled back"
	}
	if l.Why != "" {
		text += ": " + l.Why
	}
	return text
}

// rows are what is known of a rollout, each with its name.
func (r *Rollout) rows(now time.Time) [][]cell {
	rows := [][]cell{
		{{"rollout", faint}, {text: fmt.Sprintf("%s to %s, begun %s ago by %s (%s)", r.Version, r.Pool, Span(now.Sub(r.Begun)), r.By, r.ID)}},
		{{"phase", faint}, {r.Line(now), look(r.Phase)}},
	}
	if share := r.Share; share != nil {
		rows = append(rows, []cell{{"share", faint}, {text: fmt.Sprintf("%d %% set, %.1f %% measured %s ago", share.Set, share.Measured, Span(now.Sub(share.At)))}})
	}
	for i, g := range lastGates(r.Gates) {
		label := cell{text: ""}
		if i == 0 {
			label = cell{"gates", faint}
		}
		rows = append(rows, []cell{label, {g.Line(now), g.look()}})
	}
	if !r.SwitchedAt.IsZero() {
		proof := "not proved yet"
		if !r.ProvedAt.IsZero() {
			proof = fmt.Sprintf("proved %s later", r.ProvedAt.Sub(r.SwitchedAt).Round(time.Millisecond))
		}
		rows = append(rows, []cell{{"switched", faint}, {text: Clock(r.SwitchedAt, now) + ", " + proof}})
	}
	if len(r.LeftOut) > 0 {
		rows = append(rows, []cell{{"left out", faint}, {text: strings.Join(r.LeftOut, ", ")}})
	}
	return rows
}

func (p *page) pool(colour string, pool Pool) {
	p.line(0, cell{colour, strong}, cell{text: "  "}, cell{pool.Line(), pool.look()})
	rows := make([][]cell, 0, len(pool.Nodes))
	for _, n := range pool.Nodes {
		state, version := cell{n.State(), good}, cell{text: n.Version}
		if !n.Passing {
			state.style = bad
		}
		if n.Stale {
			version.style = notable
		}
		rows = append(rows, []cell{{text: "  " + n.Node}, {text: n.Address}, version, state, {text: n.Remarks()}})
	}
	p.table(0, rows...)
}

// Line says in words what the pool is and how many of its nodes pass.
func (p Pool) Line() string {
	role := "idle"
	if p.Live {
		role = "live"
	}
	return fmt.Sprintf("%s, %d %% of users, %d of %d nodes pass, quorum %d", role, p.Share, p.Passing, len(p.Nodes), p.Quorum)
}

// State is a node's health in one word.
func (n Node) State() string {
	switch {
	case n.Passing:
		return "passing"
	case n.Address == "":
		return "absent"
	default:
		return "failing"
	}
}

// Remarks are what is to be said of a node beyond its state.
func (n Node) Remarks() string {
	var remarks []string
	for _, text := range []string{n.Why, n.Reason, n.Agent} {
		if text != "" {
			remarks = append(remarks, text)
		}
	}
	return strings.Join(remarks, "; ")
}

func (p *page) replicas(replicas []Replica) {
	rows := make([][]cell, 0, len(replicas))
	for _, r := range replicas {
		state := cell{"passing", good}
		if !r.Passing {
			state = cell{"failing", bad}
		}
		dns := "no DNS"
		if r.DNS != "" {
			dns = "DNS " + r.DNS
		}
		rows = append(rows, []cell{{text: "  " + r.Name}, {text: "HTTP " + r.HTTP}, {text: dns}, state})
	}
	if len(replicas) == 0 {
		p.line(0, cell{"replicas", strong}, cell{text: "  none of `switchd serve` is registered"})
		return
	}
	p.line(0, cell{"replicas", strong})
	p.table(0, rows...)
}
