package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"switchd/ledger"
	"switchd/rollout"
	"switchd/train"
)

// trainFlags make promote one of several releases.
type trainFlags struct {
	Train         string   `help:"Promote all releases of a file, SERVICE=VERSION a line, each after those that it depends on; - is standard input." placeholder:"FILE"`
	Parallel      int      `help:"How many rollouts of a train may be under way at a time; what the environment says if not set." placeholder:"N"`
	RollbackTrain bool     `help:"Lead a train back, what depends on others first: the one that is named, or the last one."`
	More          []string `arg:"" optional:"" name:"more" help:"More releases of a train, SERVICE=VERSION each."`
}

// train does what promote was asked for if that is about a train.
func (c *promoteCmd) train(a *app) (mine bool, err error) {
	args := c.More
	for _, arg := range []string{c.Release, c.Service} {
		if arg != "" {
			args = append([]string{arg}, args...)
		}
	}
	switch {
	case c.RollbackTrain:
		return true, c.rollbackTrain(a, args)
	case c.Train != "" || strings.Contains(strings.Join(args, ""), "="):
		return true, c.promoteTrain(a, args)
	case c.Parallel != 0:
		return true, &usageError{"--parallel is for trains: --train FILE, or several SERVICE=VERSION"}
	case len(args) != 2:
		return true, &usageError{"expected SERVICE VERSION, or SERVICE=VERSION for each release of a train; `switchd promote --help` shows what there is"}
	}
	return false, nil
}

func (c *promoteCmd) promoteTrain(a *app, args []string) error {
	if len(c.Bypass) > 0 {
		return &usageError{"--bypass is for one rollout: when the train has begun it, `switchd promote SERVICE VERSION --bypass GATE`"}
	}
	if c.Parallel < 0 {
		return &usageError{fmt.Sprintf("--parallel is %d, want 1 or more", c.Parallel)}
	}
	items, err := c.items(args)
	if err != nil {
		return err
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	t, err := c.couple(a, l, items)
	if err != nil {
		return err
	}
	if err := a.board(l, t, items); err != nil {
		return err
	}
	facts, err := l.TrainFacts(a.ctx, t)
	if err != nil {
		return err
	}
	// So that the train says from the beginning what it waits for. What is to
	// start is left to whoever drives.
	if step := train.Plan(t, facts, time.Now()); step.Train != nil {
		t = step.Train
	}
	if !t.Ended.IsZero() {
		return &outcomeError{statusNothing, "every release of the train is live already"}
	}
	if err := a.putTrain(l, t); err != nil {
		return err
	}
	a.printf("%s: %s, %d at a time\n", t.ID, plural(len(t.Cars), "release"), t.Parallel)
	for _, car := range t.Cars {
		after := ""
		if len(car.After) > 0 {
			after = ", after " + strings.Join(car.After, " and ")
		}
		a.printf("  %s%s\n", car.Release(), after)
	}
	a.noteUndriven(l, "the train")
	if c.Detach {
		a.printf("follow it with: switchd status --watch\n")
		return nil
	}
	return a.followTrain(l, t)
}

// items are the releases that the train is asked for.
func (c *promoteCmd) items(args []string) ([]train.Item, error) {
	var items []train.Item
	var err error
	switch {
	case c.Train == "":
		items, err = train.ParseArgs(args)
	case len(args) > 0:
		return nil, &usageError{"name the releases of a train in its file or as arguments, not both"}
	case c.Train == "-":
		items, err = train.ParseFile("standard input", os.Stdin)
	default:
		var file *os.File
		if file, err = os.Open(c.Train); err != nil {
			return nil, &inputError{fmt.Sprintf("read the train's file: %v", err)}
		}
		defer func() { _ = file.Close() }() // it was only read
		items, err = train.ParseFile(c.Train, file)
	}
	if mistake, ok := errors.AsType[*train.ListError](err); ok {
		if mistake.Place == "" {
			return nil, &usageError{mistake.Text}
		}
		return nil, &inputError{mistake.Error()}
	}
	return items, err
}

// couple makes the train.
func (c *promoteCmd) couple(a *app, l *ledger.Ledger, items []train.Item) (*train.Train, error) {
	env, err := l.Environment(a.ctx)
	if err != nil {
		return nil, err
	}
	services, err := l.Services(a.ctx)
	if err != nil {
		return nil, err
	}
	parallel := cmp.Or(c.Parallel, env.Parallel, train.DefaultParallel)
	now := time.Now()
	t, err := train.New(ledger.NewTrainID(now), a.by(l), now, parallel, items, services)
	if cycle, ok := errors.AsType[*train.CycleError](err); ok {
		return nil, &inputError{cycle.Error()}
	}
	return t, err
}

// board refuses the whole train if one of its rollouts could never begin, and
// says so of all of them.
func (a *app) board(l *ledger.Ledger, t *train.Train, items []train.Item) error {
	var wrong []string
	status := statusOK
	for _, item := range items {
		err := l.TryCar(a.ctx, t, *t.Car(item.Service))
		refusal, refused := errors.AsType[*rollout.Refusal](err)
		switch {
		case err == nil, refused && refusal.Reason == rollout.AlreadyLive:
		case refused, errors.Is(err, ledger.ErrUnknownService):
			if item.Place != "" {
				err = fmt.Errorf("%s: %w", item.Place, err)
			}
			wrong = append(wrong, a.explain(err))
			if status == statusOK {
				status = statusOf(err)
			}
		default:
			return err
		}
	}
	if status == statusOK {
		return nil
	}
	return &outcomeError{status, "no release of the train is promoted:\n  " + strings.Join(wrong, "\n  ")}
}

func (a *app) putTrain(l *ledger.Ledger, t *train.Train) error {
	operator, err := l.Operate(a.ctx, t.By)
	if err != nil {
		return err
	}
	defer func() { _ = operator.Close(context.WithoutCancel(a.ctx)) }() // its TTL ends it otherwise
	return l.PutTrain(a.ctx, operator, t)
}

// noteUndriven warns that what was begun has to wait. A lease that can't be read
// is no reason to give up.
func (a *app) noteUndriven(l *ledger.Ledger, what string) {
	if driver, err := l.Driver(a.ctx); err == nil && driver == "" {
		a.notef("switchd: nobody drives environment %s now: no `switchd serve` holds the lease; %s begins when one does\n", l.Keys.Env, what)
	}
}

// prefixed writes lines with a word in front; each call has whole lines.
type prefixed struct {
	io.Writer

	word string
}

// Write writes one line.
func (p prefixed) Write(line []byte) (int, error) {
	_, err := io.WriteString(p.Writer, p.word+string(line))
	return len(line), err
}
