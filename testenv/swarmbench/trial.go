//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/testenv/netns"
)

// trial is one contender in one scenario.
type trial struct {
	scenario
	contender contender
	payload   payload
	floor     time.Duration
}

// outcome is what was measured.
type outcome struct {
	last              time.Duration // from the start of the nodes until the last one had the file
	sent              uint64        // by the seed, bytes on the wire
	seedCPU, nodeCPU  time.Duration // of all nodes together
	seedPeak, maxPeak int64         // bytes; of the node that had most
	busy              float64       // share of the machine's cores
}

const (
	// settle is for what a seed does after it has begun to listen: to announce
	// itself, or to check its file.
	settle = 2 * time.Second
	// slack is added to what a trial may take.
	slack = 30 * time.Second
	// listenEvery is how often a seed is tried until it listens.
	listenEvery = 20 * time.Millisecond
)

// limit bounds the distribution: what is worse than a star has failed.
func (t trial) limit() time.Duration { return time.Duration(t.nodes+1)*t.floor + slack }

// run makes a new network, distributes the file, and verifies every copy.
func (t trial) run(ctx context.Context, parent string) (o outcome, err error) {
	dir, err := os.MkdirTemp(parent, t.contender.name()+"-")
	if err != nil {
		return outcome{}, fmt.Errorf("make a folder for the trial: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	net, err := netns.New(ctx, netns.Options{Hosts: t.nodes + extraHosts, Rate: uint64(t.rate)})
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()

	ctx, cancel := context.WithTimeoutCause(ctx, t.limit(), fmt.Errorf("it took longer than %s", t.limit().Round(time.Second)))
	defer cancel()
	s := newStage(dir, t.payload, t.rate, net.Hosts())
	if err := t.contender.prepare(ctx, s); err != nil {
		return outcome{}, fmt.Errorf("prepare: %w", err)
	}
	copies, o, err := t.distribute(ctx, s)
	if err != nil {
		return outcome{}, err
	}
	for _, path := range copies {
		if err := t.payload.verify(path); err != nil {
			return outcome{}, err
		}
	}
	return o, nil
}

// distribute runs the programs until each node has the file and returns where
// it is. The programs have ended when it returns.
func (t trial) distribute(ctx context.Context, s *stage) (copies []string, o outcome, err error) {
	ctx, stop := context.WithCancel(ctx)
	var all []*process
	defer func() {
		stop()
		for _, p := range all {
			<-p.ended
		}
		if err == nil {
			o.seedCPU = all[0].cpu
			for _, node := range all[1:] {
				o.nodeCPU += node.cpu
			}
		}
	}()
	seed, err := startProcess(ctx, s.seed, seedName, s.dir, t.contender.seed(s))
	if err != nil {
		return nil, o, err
	}
	all = append(all, seed)
	if err := awaitSeed(ctx, s, seed); err != nil {
		return nil, o, err
	}

	sentBefore, err := s.seed.Traffic()
	if err != nil {
		return nil, o, err
	}
	cpuBefore, err := readCPU()
	if err != nil {
		return nil, o, err
	}
	began := time.Now()
	for i, host := range s.nodes {
		args, file := t.contender.node(s, i)
		if err := os.MkdirAll(s.nodeDir(i), 0o700); err != nil {
			return nil, o, fmt.Errorf("make a node's folder: %w", err)
		}
		node, err := startProcess(ctx, host, nodeName(i), s.dir, args)
		if err != nil {
			return nil, o, err
		}
		all, copies = append(all, node), append(copies, file)
	}
	var waits errgroup.Group
	for _, node := range all[1:] {
		waits.Go(func() error {
			err := node.await(ctx)
			if err != nil {
				stop() // One is enough.
			}
			return err
		})
	}
	if err := waits.Wait(); err != nil {
		return nil, o, err
	}
	for _, node := range all[1:] {
		o.last = max(o.last, node.doneAt.Sub(began))
	}
	sentAfter, err := s.seed.Traffic()
	if err != nil {
		return nil, o, err
	}
	cpuAfter, err := readCPU()
	if err != nil {
		return nil, o, err
	}
	o.sent, o.busy = sentAfter.Sent-sentBefore.Sent, cpuAfter.busySince(cpuBefore)
	if o.seedPeak, err = seed.peak(); err != nil {
		return nil, o, err
	}
	for _, node := range all[1:] {
		peak, err := node.peak()
		if err != nil {
			return nil, o, err
		}
		o.maxPeak = max(o.maxPeak, peak)
	}
	return copies, o, nil
}

// awaitSeed waits until the seed listens and has settled.
func awaitSeed(ctx context.Context, s *stage, seed *process) error {
	ticker := time.NewTicker(listenEvery)
	defer ticker.Stop()
	for {
		conn, err := s.tracker.Dial(ctx, s.seed.AddrPort(peerPort))
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-ticker.C:
		case <-seed.ended:
			return fmt.Errorf("the seed ended: %w\n%s", seed.err, seed.logTail())
		case <-ctx.Done():
			return fmt.Errorf("the seed doesn't listen: %w", context.Cause(ctx))
		}
	}
	select {
	case <-time.After(settle):
		return nil
	case <-seed.ended:
		return fmt.Errorf("the seed ended: %w\n%s", seed.err, seed.logTail())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
