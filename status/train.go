package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"switchd/consul"
	"switchd/train"
)

// recent is how long a train is shown that has ended.
const recent = time.Hour

// queue reads the trains that are under way or have just ended, the oldest
// first; of named services, those that they have a car in. What can't be read is
// told in the document.
func (doc *Document) queue(ctx context.Context, r Reader, names []string) error {
	trains, err := r.Trains(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil, errors.Is(err, consul.ErrUnreachable):
		return fmt.Errorf("read the trains: %w", err)
	default:
		doc.TrainsError = err.Error()
	}
	for _, t := range trains {
		old := !t.Ended.IsZero() && doc.At.Sub(t.Ended) > recent
		foreign := len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return t.Car(name) != nil })
		if !old && !foreign {
			doc.Trains = append(doc.Trains, t)
		}
	}
	return nil
}

// TrainLine says whose a train is, and how far it has come.
func TrainLine(t *train.Train, now time.Time) string {
	done := 0
	for _, car := range t.Cars {
		if car.State == train.Done {
			done++
		}
	}
	parts := []string{
		fmt.Sprintf("begun %s ago by %s", Span(now.Sub(t.At)), t.By),
		fmt.Sprintf("%d of %d done, %d at a time", done, len(t.Cars), t.Parallel),
	}
	if b := t.Back; b != nil {
		back := fmt.Sprintf("rolled back %s ago by %s", Span(now.Sub(b.At)), b.By)
		if b.Why != "" {
			back += ": " + b.Why
		}
		parts = append(parts, back)
	}
	switch {
	case !t.Ended.IsZero():
		parts = append(parts, fmt.Sprintf("ended %s ago", Span(now.Sub(t.Ended))))
	case t.Stands():
		parts = append(parts, "stands still until what is halted is resumed or rolled back")
	}
	return join(parts...)
}

// CarLine says where a car of a train is and since when, and what it waits for.
func CarLine(car train.Car, now time.Time) string {
	span := Span(now.Sub(car.Since))
	switch {
	case car.State == train.Waits:
		return fmt.Sprintf("waits since %s %s", span, car.Why)
	case car.State.Ended():
		return join(fmt.Sprintf("%s %s ago", car.State, span), car.Why)
	default:
		return join(fmt.Sprintf("%s since %s", car.State, span), car.Why)
	}
}

// trains prints the trains below the services.
func (p *page) trains(doc Document, now time.Time) {
	if doc.TrainsError != "" {
		p.line(p.opts.Width, cell{"trains: " + doc.TrainsError, bad})
	}
	for _, t := range doc.Trains {
		p.line(0)
		p.line(p.opts.Width, cell{t.ID, strong}, cell{text: gap + TrainLine(t, now)})
		var rows [][]cell
		for _, car := range t.Cars {
			rows = append(rows, []cell{{text: gap + car.Release()}, {CarLine(car, now), lookOf(car.State)}})
		}
		p.table(p.opts.Width, rows...)
	}
}

// lookOf is how a car's state is painted.
func lookOf(s train.State) style {
	switch s {
	case train.Done:
		return good
	case train.Failed, train.Halted, train.RolledBack, train.Stopped:
		return bad
	case train.Runs, train.Baked:
		return notable
	case train.Waits, train.Dropped:
	}
	return plain
}
