package sweep

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Result is what a sweep came to.
type Result struct {
	Points []Point // that there are, in the order in which they come
	Hit    []Point // at which something was killed
	Missed []Point // that the rollouts which were to be killed there did not come by
	// Lacking are those that must be hit and were not.
	Lacking []Point
	Broken  []string
	Took    time.Duration
}

// String tells it to people.
func (r Result) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d of %d fault points hit in %v, %d promises broken", len(r.Hit), len(r.Points), r.Took.Round(time.Second), len(r.Broken))
	for _, p := range r.Missed {
		fmt.Fprintf(&text, "\nnot come by: %s", p)
	}
	return text.String()
}

// Options say how a sweep goes.
type Options struct {
	// AtATime is how many rollouts are under way together.
	AtATime int
	// Kills is how often one rollout is killed, each time at another point, far
	// from the former one.
	Kills int
	// Extra is more HCL for the service.
	Extra string
	// Known are points that must be hit; one that was not come by gets a rollout
	// of its own. Others depend on when a node's health was looked at and the
	// like.
	Known []Point
	// Say is told of each broken promise at once; nil: nobody is.
	Say func(string)
}

// Sweep runs a rollout that nobody kills, to learn of the fault points, and
// then as many as it takes to kill one at each of them.
func (g *Ground) Sweep(ctx context.Context, opts Options) (Result, error) {
	began := time.Now()
	first, err := g.Run(ctx, nil, opts.Extra)
	if err != nil {
		return Result{}, err
	}
	s := &sweep{ground: g, opts: opts}
	s.note(nil, first, nil)
	for _, p := range first.Trace {
		if !p.counts() {
			continue
		}
		after := p
		after.After = true
		s.Points = append(s.Points, p, after)
	}
	rollouts := (len(s.Points) + opts.Kills - 1) / opts.Kills
	parts := make([][]Point, rollouts)
	for i, p := range s.Points {
		parts[i%rollouts] = append(parts[i%rollouts], p)
	}
	err = s.run(ctx, parts)
	if err == nil {
		err = s.run(ctx, slices.Collect(slices.Chunk(s.lacking(), 1)))
	}
	s.Missed, s.Lacking = s.without(s.Points), s.lacking()
	s.Took = time.Since(began)
	return s.Result, err
}

// sweep is one under way.
type sweep struct {
	ground *Ground
	opts   Options

	mu sync.Mutex
	Result
}

// run runs a rollout for each part of the points.
func (s *sweep) run(ctx context.Context, parts [][]Point) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.opts.AtATime)
	for _, cuts := range parts {
		group.Go(func() error {
			outcome, err := s.ground.Run(ctx, cuts, s.opts.Extra)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.note(cuts, outcome, err)
			return nil
		})
	}
	return group.Wait()
}

// note notes what came of a rollout.
func (s *sweep) note(cuts []Point, outcome Outcome, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Hit = append(s.Hit, outcome.Hit...)
	if err == nil && len(outcome.Broken) == 0 {
		return
	}
	broken := fmt.Sprintf("killed at %v: %s", cuts, strings.Join(outcome.Broken, "\n"))
	if err != nil {
		broken += err.Error()
	}
	s.Broken = append(s.Broken, broken)
	if s.opts.Say != nil {
		s.opts.Say(broken)
	}
}

// lacking are the known points that were not hit.
func (s *sweep) lacking() []Point { return s.without(s.opts.Known) }

func (s *sweep) without(points []Point) []Point {
	return slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return slices.Contains(s.Hit, p) })
}
