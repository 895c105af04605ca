package status

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// Across is what every environment has of every service.
type Across struct {
	At time.Time `json:"at"`
	// Environments are in the order in which releases go through them.
	Environments []Place `json:"environments"`
}

// Place is one environment. One that can't be read says why.
type Place struct {
	Name  string `json:"name"`
	After string `json:"after,omitempty"`
	Error string `json:"error,omitempty"`
	// Contact is how it gets on with reading the environment before it.
	Contact *rollout.Contact `json:"contact,omitempty"`
	// Services are sorted by name.
	Services []Standing `json:"services,omitempty"`
}

// Standing is what one environment has of one service.
type Standing struct {
	Name string `json:"name"`
	// Error says what of it can't be read.
	Error      string    `json:"error,omitempty"`
	Version    string    `json:"version,omitempty"` // live; empty: nothing
	Since      time.Time `json:"since,omitzero"`    // of the live record
	RolledBack bool      `json:"rolled_back,omitempty"`
	// Rollout is the one under way, or the last one if that went wrong.
	Rollout *Underway `json:"rollout,omitempty"`
	// Next is the version of the environment before, if it is another one.
	Next *Next `json:"next,omitempty"`
}

// Underway is a rollout in a few words.
type Underway struct {
	Version string        `json:"version"`
	Phase   rollout.Phase `json:"phase"`
	Since   time.Time     `json:"since"`
	Waits   string        `json:"waits,omitempty"`
}

// Next is what comes from the environment before.
type Next struct {
	Version string `json:"version"`
	// Eligible tells whether it may be promoted, From when it may or might.
	Eligible bool      `json:"eligible"`
	From     time.Time `json:"from,omitzero"`
	// Waits is what it lacks, or why it isn't promoted by itself.
	Waits string `json:"waits,omitempty"`
}

// acrossTimeout bounds the reading of one environment.
const acrossTimeout = 10 * time.Second

// Elsewhere is an environment that is to be read; Err says why it can't be.
type Elsewhere struct {
	Name, After string
	Ledger      *ledger.Ledger
	Err         error
}

// ReadAcross reads environments, all at once. None of them waits for another
// one that doesn't answer.
func ReadAcross(ctx context.Context, environments []Elsewhere) Across {
	across := Across{At: time.Now().UTC(), Environments: make([]Place, len(environments))}
	var group errgroup.Group
	for i, e := range environments {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, acrossTimeout)
			defer cancel()
			place := Place{Name: e.Name, After: e.After}
			err := e.Err
			if err == nil {
				err = place.read(ctx, e.Ledger, across.At)
			}
			if err != nil {
				place = Place{Name: e.Name, After: e.After, Error: err.Error()}
			}
			across.Environments[i] = place
			return nil
		})
	}
	_ = group.Wait() // which nothing above fails
	return across
}

func (p *Place) read(ctx context.Context, l *ledger.Ledger, now time.Time) error {
	env, err := l.Environment(ctx)
	if err != nil {
		return err
	}
	services, err := l.Services(ctx)
	if err != nil {
		return err
	}
	var lives, records, eligibles map[string]consul.Entry
	var contact rollout.Contact
	group, groupCtx := errgroup.WithContext(ctx)
	for folder, into := range map[string]*map[string]consul.Entry{l.Keys.Lives(): &lives, l.Keys.Rollouts(): &records, l.Keys.Eligibles(): &eligibles} {
		group.Go(func() error {
			entries, err := l.Consul.List(groupCtx, folder)
			*into = make(map[string]consul.Entry, len(entries))
			for _, e := range entries {
				(*into)[e.Key[len(folder):]] = e
			}
			return err
		})
	}
	group.Go(func() (err error) {
		contact, err = l.Contact(groupCtx)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if env.After != nil {
		p.After = env.After.Environment
		if contact.Upstream == p.After || contact.Unreadable() {
			p.Contact = &contact
		}
	}
	for _, s := range services {
		p.Services = append(p.Services, standing(s.Name, lives[s.Name], records[s.Name], eligibles[s.Name], env.After, contact, now))
	}
	return nil
}

// standing is made of what an environment's keys have of a service.
func standing(name string, liveEntry, recordEntry, eligible consul.Entry, after *spec.Upstream, contact rollout.Contact, now time.Time) Standing {
	s := Standing{Name: name}
	live, err := pools.ParseLive(liveEntry.Value, liveEntry.Index)
	if err != nil {
		return Standing{Name: name, Error: err.Error()}
	}
	record, err := rollout.ParseRecord(recordEntry.Value, recordEntry.Index)
	if err != nil {
		return Standing{Name: name, Error: err.Error()}
	}
	if live != nil {
		s.Version, s.Since, s.RolledBack = live.Version, live.At, live.RolledBack
	}
	if record != nil && record.Phase != rollout.Done {
		s.Rollout = &Underway{Version: record.Version, Phase: record.Phase, Since: record.Entered}
		if record.Wait != nil {
			s.Rollout.Waits = record.Wait.For
		}
	}
	if after == nil || record != nil && !record.Phase.Ended() {
		return s
	}
	s.Next = nextOf(ledger.EligibleFrom(eligible, *after, name, contact), s.Version, now)
	return s
}

// nextOf is what comes from the environment before, beside what is live here;
// nil: nothing.
func nextOf(e *rollout.Eligibility, live string, now time.Time) *Next {
	if e == nil || e.Version == "" || e.Version == live {
		return nil
	}
	return &Next{Version: e.Version, Eligible: e.Eligible(e.Version), From: e.From(), Waits: cmp.Or(e.Lacks(e.Version, now), waits(e.Waits))}
}

// line is all of it in one line.
func (n *Next) line(now time.Time) string {
	if !n.Eligible {
		return n.Version + " is not eligible: " + n.Waits
	}
	return join(fmt.Sprintf("%s is eligible since %s", n.Version, Clock(n.From, now)), n.Waits)
}

// before says that the environment before this one can't be read.
func (p *page) before(doc Document, now time.Time) {
	for _, s := range doc.Services {
		if e := s.Eligible; e != nil && e.Contact.Error != "" {
			p.line(0, cell{fmt.Sprintf("%s can't be read since %s: %s", e.Upstream, Clock(e.Contact.Since, now), e.Contact.Error), bad})
			return
		}
	}
}

// waits says why an eligible version is not promoted by itself.
func waits(why string) string {
	if why == "" {
		return ""
	}
	return "is not promoted: " + why
}

// AcrossText prints a table of services and environments. Times of day are in
// now's location.
func AcrossText(w io.Writer, across Across, now time.Time, opts Options) error {
	p := &page{opts: opts}
	head := []cell{{"SERVICE", faint}}
	cells := make(map[string][]cell) // by service
	var notes []cell
	for i, place := range across.Environments {
		head = append(head, cell{place.Name, faint})
		for _, s := range place.Services {
			if s.Next != nil && s.Next.Waits != "" {
				notes = append(notes, cell{fmt.Sprintf("%s in %s: %s %s", s.Name, place.Name, s.Next.Version, s.Next.Waits), notable})
			}
			if cells[s.Name] == nil {
				cells[s.Name] = make([]cell, len(across.Environments))
			}
			cells[s.Name][i] = s.cell(now)
		}
	}
	rows := [][]cell{head}
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		row := []cell{{name, strong}}
		for i, c := range cells[name] {
			if c.text == "" {
				c = cell{text: "-"}
				if across.Environments[i].Error != "" {
					c = cell{"?", bad}
				}
			}
			row = append(row, c)
		}
		rows = append(rows, row)
	}
	p.table(opts.Width, rows...)
	for _, note := range notes {
		p.line(0, note)
	}
	for _, place := range across.Environments {
		switch contact := place.Contact; {
		case place.Error != "":
			p.line(0, cell{fmt.Sprintf("%s can't be read: %s", place.Name, place.Error), bad})
		case contact != nil && contact.Unreadable():
			p.line(0, cell{fmt.Sprintf("how %s reads %s is not known: %s", place.Name, place.After, contact.Error), bad})
		case contact != nil && contact.Error != "":
			p.line(0, cell{fmt.Sprintf("%s can't read %s since %s: %s", place.Name, place.After, Clock(contact.Since, now), contact.Error), bad})
		case place.After != "" && contact == nil:
			p.line(0, cell{fmt.Sprintf("%s has never read %s: no replica of `switchd serve` has driven it", place.Name, place.After), bad})
		}
	}
	return p.flush(w)
}

// cell is what an environment has of a service, in one cell.
func (s Standing) cell(now time.Time) cell {
	if s.Error != "" {
		return cell{s.Error, bad}
	}
	c := cell{text: cmp.Or(s.Version, "nothing")}
	if r := s.Rollout; r != nil {
		c.text += fmt.Sprintf(", %s %s since %s", r.Version, r.Phase, Span(now.Sub(r.Since)))
		c.style = look(r.Phase)
	}
	switch n := s.Next; {
	case n == nil:
	case n.Eligible:
		c.text += fmt.Sprintf(", %s eligible since %s", n.Version, Clock(n.From, now))
	case !n.From.IsZero() && now.Before(n.From):
		c.text += fmt.Sprintf(", %s eligible at %s", n.Version, Clock(n.From, now))
	default:
		c.text += fmt.Sprintf(", %s not eligible", n.Version)
	}
	return c
}
