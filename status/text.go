package status

import (
	"fmt"
	"io"
	"slices"
	"time"

	"switchd/pools"
	"switchd/rollout"
)

// Text prints the overview: one line a service. Times of day are in now's
// location.
func Text(w io.Writer, doc Document, now time.Time, opts Options) error {
	p := &page{opts: opts}
	if len(doc.Services) == 0 {
		p.line(0, cell{text: fmt.Sprintf("environment %s has no services; `switchd apply DIR` declares them", doc.Environment)})
		return p.flush(w)
	}
	rows := [][]cell{{{"SERVICE", faint}, {"LIVE", faint}, {"BLUE", faint}, {"GREEN", faint}, {"ROLLOUT", faint}}}
	for _, s := range doc.Services {
		rows = append(rows, overview(s, now))
	}
	p.table(opts.Width, rows...)
	for _, s := range doc.Services {
		if next := nextOf(s.Eligible, s.Live.side().Version, now); next != nil {
			p.line(0, cell{s.Name + ": " + next.line(now), notable})
		}
	}
	p.before(doc, now)
	p.trains(doc, now)
	p.undriven(doc)
	return p.flush(w)
}

func overview(s Service, now time.Time) []cell {
	row := []cell{{s.Name, strong}}
	if s.Error != "" {
		return append(row, cell{"unknown", bad}, cell{}, cell{}, cell{s.Error, bad})
	}
	row = append(row, cell{text: s.Live.side().String()})
	for _, colour := range colours() {
		row = append(row, summary(s.Pools[colour], s.weighted()))
	}
	if r := s.Rollout; r != nil {
		return append(row, cell{r.Version + " to " + r.Pool + ": " + r.Line(now), look(r.Phase)})
	}
	return append(row, cell{text: "-"})
}

func (l *Live) side() pools.Side {
	if l == nil {
		return pools.Side{}
	}
	return pools.Side{Pool: l.Pool, Version: l.Version}
}

// weighted tells whether both pools may have users.
func (s Service) weighted() bool { return s.Live != nil && len(s.Live.Weights) > 0 }

// summary is a pool in one cell: its share while there are weights, how many
// of its nodes pass, and the version that most of them run.
func summary(p Pool, weighted bool) cell {
	text := fmt.Sprintf("%d/%d", p.Passing, len(p.Nodes))
	if weighted {
		text = fmt.Sprintf("%d %% %s", p.Share, text)
	}
	version, others := p.Majority()
	if version != "" {
		text += " " + version
	}
	if others > 0 {
		text += fmt.Sprintf(" (%d other)", others)
	}
	return cell{text, p.look()}
}

func (p Pool) look() style {
	switch {
	case p.Share > 0 && p.Passing < max(p.Quorum, 1):
		return bad
	case p.Passing < len(p.Nodes), slices.ContainsFunc(p.Nodes, func(n Node) bool { return n.Stale }):
		return notable
	default:
		return plain
	}
}

// undriven says that nobody drives, where somebody should.
func (p *page) undriven(doc Document) {
	waiting := slices.ContainsFunc(doc.Services, func(s Service) bool {
		return s.Rollout != nil && !s.Rollout.Phase.Ended() && s.Rollout.Phase != rollout.Halted
	})
	alive := slices.ContainsFunc(doc.Replicas, func(r Replica) bool { return r.Passing })
	if waiting && !alive {
		p.line(0, cell{"no replica of `switchd serve` passes its check: rollouts stand still, past their deadlines too, until one does", bad})
	}
}
