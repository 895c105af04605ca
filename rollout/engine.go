package rollout

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"switchd/gate"
)

// World is what the engine acts on. Its implementation keeps every write
// fenced by the driver's lease.
type World interface {
	// Observe reads a service's facts: the record, the live record and the
	// health consistently. The jobs' progress is the engine's own.
	Observe(ctx context.Context, service string) (Situation, error)
	// Commit makes the change, all or nothing. It asks Change.Ready with a
	// fresh, consistent read first.
	Commit(ctx context.Context, change *Change) error
	// Run does a job until it has a verdict or ctx ends, and reports in
	// between what is missing.
	Run(ctx context.Context, job Job, s Situation, report func(gate.Verdict)) gate.Verdict
}

// Engine drives the rollouts of one environment while its process holds the
// lease.
type Engine struct {
	World World
	Log   *slog.Logger
}

// The pace of one service's loop.
const (
	// minorEvery bounds how often only the words of a wait are written.
	minorEvery = 2 * time.Second
	// lookAgain is the longest the loop trusts its wake-ups alone.
	lookAgain = 15 * time.Second
	// atRest is how long a loop without a rollout sleeps when nothing wakes
	// it.
	atRest = 24 * time.Hour
	// jobPause is between two runs of a job that ended without a verdict.
	jobPause = time.Second
	// restAfter is how many times as long as it looked a loop rests, up to
	// longestRest.
	restAfter   = 3
	longestRest = 2 * time.Second
	// commitPause follows a commit that was refused.
	commitPause = 200 * time.Millisecond
	// callTimeout bounds one observation or one commit.
	callTimeout = 10 * time.Second
)

// Drive runs one service's rollouts until ctx ends. Each value on changed makes
// it look again; while no rollout is under way it looks for nothing else.
func (e *Engine) Drive(ctx context.Context, service string, changed <-chan struct{}) {
	d := driver{engine: e, log: e.Log.With("service", service), service: service, wake: make(chan struct{}, 1), stops: make(map[Job]func()), verdicts: make(map[Job]gate.Verdict)}
	defer d.keepJobs(ctx, nil, Situation{})
	for ctx.Err() == nil {
		began := time.Now()
		wait := d.turn(ctx)
		// Facts of a thousand nodes take their time to be read. Whatever wakes
		// it, a loop looks at them for a quarter of the time at most.
		rest := time.NewTimer(min(restAfter*time.Since(began), longestRest))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-d.wake:
		case <-changed:
		}
		timer.Stop()
	}
}

// driver is one service's loop.
type driver struct {
	engine  *Engine
	log     *slog.Logger
	service string
	minor   time.Time // when a minor change was last written
	wake    chan struct{}
	stops   map[Job]func() // of the jobs that are under way: end it, wait for its end

	mu sync.Mutex
	// verdicts are those of the rollout's jobs so far. They outlast the jobs,
	// as the change that a verdict leads to may be refused.
	verdicts map[Job]gate.Verdict
}

// turn observes, plans and applies until there is nothing left to do, and
// tells how long to wait then.
func (d *driver) turn(ctx context.Context) time.Duration {
	for {
		if ctx.Err() != nil {
			return 0
		}
		s, err := d.observe(ctx)
		if err != nil {
			d.log.WarnContext(ctx, "observe", "error", err)
			return time.Second
		}
		if s.Record == nil || s.Record.Phase.Ended() {
			d.keepJobs(ctx, nil, s)
			d.forget()
			return atRest
		}
		now := time.Now()
		decision := Plan(s, now)
		d.keepJobs(ctx, decision.Jobs, s)
		change := decision.Change
		wait := lookAgain
		if !decision.Wake.IsZero() {
			wait = min(wait, max(decision.Wake.Sub(now), 0))
		}
		if change == nil {
			return wait
		}
		if change.Minor {
			if since := now.Sub(d.minor); since < minorEvery {
				return min(wait, minorEvery-since)
			}
			d.minor = now
		}
		commitCtx, cancel := context.WithTimeout(ctx, callTimeout)
		err = d.engine.World.Commit(commitCtx, change)
		cancel()
		if err != nil {
			// A conflict is somebody else's write, to be seen at the next
			// look; anything else may have been applied or not, and the next
			// look tells too.
			d.log.WarnContext(ctx, "commit", "change", change.What, "error", err)
			return commitPause
		}
		if !change.Minor {
			d.log.InfoContext(ctx, "rollout", "rollout", change.Record.ID, "phase", change.Record.Phase, "change", change.What)
		}
	}
}

func (d *driver) observe(ctx context.Context) (Situation, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := d.engine.World.Observe(ctx, d.service)
	if err != nil {
		return s, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Jobs = maps.Clone(d.verdicts)
	return s, nil
}

// keepJobs has exactly the wanted jobs under way.
func (d *driver) keepJobs(ctx context.Context, want []Job, s Situation) {
	for job, stop := range d.stops {
		if !slices.Contains(want, job) {
			stop()
			delete(d.stops, job)
			d.drop(job)
		}
	}
	for _, job := range want {
		if d.stops[job] == nil {
			d.stops[job] = d.start(ctx, job, s)
		}
	}
}

// start has a job under way until it has a verdict or is stopped.
func (d *driver) start(ctx context.Context, job Job, s Situation) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.do(ctx, job, s)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (d *driver) do(ctx context.Context, job Job, s Situation) {
	for ctx.Err() == nil {
		s = d.latest(job, s)
		verdict := d.engine.World.Run(ctx, job, s, func(v gate.Verdict) { d.report(ctx, job, v) })
		if job.Kind.watches() {
			verdict.Outcome = gate.Unknown // nobody is looking now
		}
		d.report(ctx, job, verdict)
		if verdict.Outcome == gate.Pass || verdict.Outcome == gate.Fail && !job.Kind.untilPassed() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(jobPause):
		}
		// The facts may be others by now: nodes that came back, or a spec
		// that was mended.
		if again, err := d.engine.World.Observe(ctx, d.service); err == nil && again.Record != nil && again.Record.ID == job.Rollout {
			s = again
		}
	}
}

// latest puts what the job itself found last in the place of what the record
// has, which may not have been written yet.
func (d *driver) latest(job Job, s Situation) Situation {
	d.mu.Lock()
	state := d.verdicts[job].State
	d.mu.Unlock()
	if s.Record != nil && state != nil && job.Kind == JobAnalysis {
		record := *s.Record
		record.Evidence = state
		s.Record = &record
	}
	return s
}

func (d *driver) report(ctx context.Context, job Job, v gate.Verdict) {
	if ctx.Err() != nil {
		return // a cancelled job's last words are about its cancellation
	}
	d.mu.Lock()
	d.verdicts[job] = v
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// drop forgets what a job has said that only says what is so now.
func (d *driver) drop(job Job) {
	if !job.Kind.watches() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.verdicts, job)
}

// forget drops the verdicts of a rollout that has ended.
func (d *driver) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.verdicts)
}

// Supervise drives every service that has a rollout under way. It is sent
// their names each time that anything of them may have changed, and returns
// when ctx ends and all drives have.
func (e *Engine) Supervise(ctx context.Context, active <-chan []string) {
	var drives sync.WaitGroup
	defer drives.Wait()
	running := make(map[string]chan struct{})
	for {
		var names []string
		select {
		case <-ctx.Done():
			return
		case names = <-active:
		}
		for _, name := range names {
			changed, found := running[name]
			if !found {
				changed = make(chan struct{}, 1)
				running[name] = changed
				drives.Go(func() { e.Drive(ctx, name, changed) })
				continue
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
}
