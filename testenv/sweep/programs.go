package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchd/replica"
	"switchd/testenv/intercept"
	"switchd/testenv/proc"
)

// programs are what runs in a world.
type programs struct {
	kept    []*process
	work    sync.WaitGroup
	closers []func() error // in the order in which they were made
	ending  context.CancelFunc

	underWayMu sync.Mutex
	underWay   *exec.Cmd // a command
}

// process is a program of the world that is kept running.
type process struct {
	who  string
	node string // of an agent
	argv []string
	env  []string
	log  string

	mu  sync.Mutex
	now *proc.Process
}

// background runs something until the world is closed.
func (w *world) background(run func(), end func() error) {
	w.closers = append(w.closers, end)
	w.work.Go(run)
}

// proxy puts a proxy between a program and a Consul agent, and tells where it
// listens.
func (w *world) proxy(ctx context.Context, who, to string) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", who, err)
	}
	var labels sync.Map
	running := (&intercept.Proxy{To: to, Before: w.before(who, &labels), After: w.after(who, &labels)}).Serve(listener)
	w.closers = append(w.closers, running.Close)
	return listener.Addr().String(), nil
}

// start starts the replica and the agents.
func (w *world) start(ctx context.Context) error {
	to, err := w.proxy(ctx, controller, w.ground.server)
	if err != nil {
		return err
	}
	if err := w.watchJournal(); err != nil {
		return err
	}
	ctx, w.ending = context.WithCancel(ctx)
	w.keep(ctx, &process{
		who: controller, log: filepath.Join(w.dir, "serve.log"), env: []string{"CONSUL_HTTP_ADDR=" + to},
		argv: []string{
			w.ground.bin.Switchd, "serve", "--env", w.keys.Env, "--name", "ns1", "--data", filepath.Join(w.dir, "serve"),
			"--http-listen", w.http(), "--dns-listen", w.dns(), "--trusted-key", w.ground.public, "--lease-ttl", "1500ms", "--lock-delay", "100ms",
		},
	})
	// Agents that found no replica would look again after seconds only.
	if err := await(ctx, time.Minute, func() error { return w.replicaServes(ctx) }); err != nil {
		return err
	}
	for node, addr := range w.ground.nodes {
		who := "agent of " + node
		if node == greenNode {
			who = agent
			if addr, err = w.proxy(ctx, agent, addr); err != nil {
				return err
			}
		}
		w.keep(ctx, &process{
			who: who, node: node, log: filepath.Join(w.dir, node+".log"), env: []string{"CONSUL_HTTP_ADDR=" + addr},
			argv: []string{
				w.ground.bin.Agent, "--env", w.keys.Env, "--data", filepath.Join(w.dir, node), "run",
				"--trusted-key", w.ground.public, "--session-ttl", "2s", "--lock-delay", "100ms",
			},
		})
	}
	return w.aim()
}

// replicaServes tells whether the replica can be found.
func (w *world) replicaServes(ctx context.Context) error {
	replicas, err := replica.List(ctx, w.ledger.Consul, w.keys.Env)
	if err == nil && (len(replicas) == 0 || !replicas[0].Passing) {
		err = fmt.Errorf("the replicas are %+v", replicas)
	}
	return err
}

// aim tells the scripts which fault points are theirs to cut.
func (w *world) aim() error {
	for _, p := range w.cuts {
		file, ok := w.aimed(p)
		if !ok {
			continue
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return fmt.Errorf("aim at %s: %w", p, err)
		}
	}
	return nil
}

// aimed is the file that has a script cut a point, for as long as it has not;
// false: it is no script's.
func (w *world) aimed(p Point) (string, bool) {
	name, ok := strings.CutPrefix(p.Effect, scripted)
	if !ok {
		return "", false
	}
	name, times, again := strings.Cut(name, " #")
	if !again {
		times = "1"
	}
	when := "before"
	if p.After {
		when = "after"
	}
	return filepath.Join(w.dir, fmt.Sprintf("cut-%s-%s-%s-%s", greenNode, name, when, times)), true
}

// keep keeps a program running until the world is closed, as an init system
// does.
func (w *world) keep(ctx context.Context, p *process) {
	w.mu.Lock()
	w.kept = append(w.kept, p)
	w.mu.Unlock()
	w.work.Go(func() {
		for ctx.Err() == nil {
			if err := w.run(ctx, p); err != nil {
				w.breaks("%s: %v", p.who, err)
				return
			}
		}
	})
}

// run runs a program once.
func (w *world) run(ctx context.Context, p *process) error {
	started, err := w.ground.group.Start(ctx, w.service+" "+p.who, p.log, p.argv, p.env)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the world is being closed
		}
		return err
	}
	if p.node != "" {
		file := filepath.Join(w.dir, "pid-"+p.node)
		if err := errors.Join(os.WriteFile(file+".new", []byte(strconv.Itoa(started.Pid())+"\n"), 0o600), os.Rename(file+".new", file)); err != nil {
			return fmt.Errorf("note the process: %w", err)
		}
	}
	p.mu.Lock()
	p.now = started
	p.mu.Unlock()
	select {
	case <-started.Done():
		return nil
	case <-ctx.Done():
		return started.Kill()
	}
}

// kill kills a program of the world that is under way; it is dead when kill
// returns.
func (w *world) kill(who string) error {
	if who == promote || who == approve || who == rollback {
		w.underWayMu.Lock()
		defer w.underWayMu.Unlock()
		return w.underWay.Process.Kill() // it was waited for an answer, which will never come
	}
	w.mu.Lock()
	i := slices.IndexFunc(w.kept, func(p *process) bool { return p.who == who })
	p := w.kept[i] // it has just said something
	w.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now.Kill()
}

// operate runs a command of the CLI, again if it was killed, and tells its words
// and its status.
func (w *world) operate(ctx context.Context, who string, args ...string) (string, int, error) {
	to, err := w.proxy(ctx, who, w.ground.server)
	if err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var out bytes.Buffer
		command := exec.CommandContext(ctx, w.ground.bin.Switchd, args...)
		command.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+to, "SWITCHD_ENV="+w.keys.Env)
		command.Stdout, command.Stderr = &out, &out
		w.underWayMu.Lock()
		err := command.Start()
		w.underWay = command
		w.underWayMu.Unlock()
		if err != nil {
			return "", 0, fmt.Errorf("%s: %w", who, err)
		}
		err = command.Wait()
		if status := command.ProcessState.ExitCode(); status >= 0 {
			return out.String(), status, nil
		}
		if ctx.Err() != nil {
			return "", 0, fmt.Errorf("%s: %w: %s", who, err, out.String())
		}
	}
}

// close ends all that the world has started.
func (w *world) close() error {
	if w.ending != nil {
		w.ending()
	}
	var errs []error
	for _, end := range slices.Backward(w.closers) {
		errs = append(errs, end())
	}
	w.work.Wait()
	return errors.Join(errs...)
}
