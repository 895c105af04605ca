package status

import (
	"fmt"
	"io"
	"time"

	"switchd/rollout"
)

// Timeline prints what happened to a rollout, and where it is if it has not
// ended. Times are in now's location.
func Timeline(w io.Writer, r *rollout.Record, now time.Time, opts Options) error {
	p := &page{opts: opts}
	p.line(0, cell{r.Service + " " + r.Version, strong},
		cell{text: fmt.Sprintf(" to %s, from %s, by %s (%s)", r.Pool, r.From, r.By, r.ID)})
	p.events(r.Timeline, now)
	if !r.Phase.Ended() {
		p.line(0, cell{rolloutOf(rollout.Situation{Record: r}).Line(now), look(r.Phase)})
	}
	return p.flush(w)
}

func (p *page) events(events []rollout.Event, now time.Time) {
	for _, e := range events {
		at := e.At.In(now.Location()).Format(time.DateTime) + gap
		p.line(0, cell{at, faint}, cell{fmt.Sprintf("%-10s", e.Phase), look(e.Phase)}, cell{text: gap + e.What})
		if !p.opts.Facts {
			continue
		}
		for _, fact := range e.Facts {
			p.line(0, cell{fmt.Sprintf("%*s%s", len(at)+10+len(gap), "", fact), faint})
		}
	}
}
