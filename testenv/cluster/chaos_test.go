package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchd/rolling"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/clock"
	"switchd/testenv/cluster"
)

// TestChaos has users on two pools of five nodes while everything else goes
// wrong that does in a data center. No request may fail, and after each
// chapter every node must run what it should, once, with nothing left over.
func TestChaos(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{Nodes: 5, Replicas: 2, LeaseTTL: 2 * time.Second, SessionTTL: 4 * time.Second})
	l, err := c.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	k := &killing{T: t, cluster: c, ledger: l, service: cluster.DefaultService()}
	k.service.Analysis, k.service.Warmup, k.service.Drain, k.service.Weights = false, false, false, nil
	k.service.Bake, k.service.StopGrace = time.Second, time.Second
	// Nothing is lost while nothing runs.
	k.service.Quorum, k.service.MaxUnavailable = 1, 4
	k.apply()
	k.publish("0.9.0")
	k.first("0.9.0")
	k.publish("1.0.0")
	k.first("1.0.0")
	k.service.Quorum, k.service.MaxUnavailable = 2, 1
	k.apply()
	stop := k.watch()
	defer stop()
	stopTwice := k.watchTwice()
	defer stopTwice()

	k.badNight()
	k.killAtRandom()
	k.wrongMachines()
	k.diesLater()

	stopTwice()
	k.judge(stop)
	for _, a := range c.Agents {
		logs, err := filepath.Glob(filepath.Join(a.Data(), "logs", "*.log"))
		if err != nil || len(logs) == 0 {
			t.Errorf("no logs of the service on %s: %v", a.Node, err)
		}
		for _, path := range logs {
			if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "address already in use") {
				t.Errorf("a second process was started on %s, or that can't be told (%v)", a.Node, err)
			}
		}
	}
}

func (k *killing) apply() {
	k.Helper()
	if err := k.cluster.Apply(k.Context(), k.service); err != nil {
		k.Fatal(err)
	}
}

// release publishes a version of the app that takes a moment for each answer.
func (k *killing) release(app cluster.App) {
	k.Helper()
	app.Latency = "20ms"
	if err := k.cluster.Publish(k.Context(), app); err != nil {
		k.Fatal(err)
	}
}

// pool are the agents of a pool.
func (k *killing) pool(colour string) []*cluster.Agent {
	return slices.DeleteFunc(slices.Clone(k.cluster.Agents), func(a *cluster.Agent) bool { return a.Pool != colour })
}

// until waits for what is to come true, and fails with what is missing.
func (k *killing) until(what string, patience time.Duration, missing func() string) {
	k.Helper()
	last := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = missing(); last == "" {
			return
		}
	}
	k.Fatalf("%s: not within %v: %s", what, patience, last)
}

// settled waits until all nodes of a pool run a version and are done with all
// else: one process each, no slot, no replacement under way.
func (k *killing) settled(colour, version string) {
	k.Helper()
	k.until("pool "+colour+" with "+version, time.Minute, func() string {
		now, err := k.ledger.Observe(k.Context(), "web")
		if err != nil {
			return err.Error()
		}
		if n := now.Pools[colour].Passing(version); n != k.cluster.Nodes {
			return fmt.Sprintf("%d nodes pass: %+v", n, now.Pools[colour])
		}
		slots, err := k.ledger.Consul.List(k.Context(), k.ledger.Keys.Slots("web", colour))
		if err != nil {
			return err.Error()
		}
		for _, s := range slots {
			if s.Session != "" {
				return fmt.Sprintf("%s is held by %s", s.Key, s.Value)
			}
		}
		running, err := k.cluster.Instances()
		if err != nil {
			return err.Error()
		}
		for _, a := range k.pool(colour) {
			if len(running[a.Node]) != 1 {
				return fmt.Sprintf("%s runs %+v", a.Node, running[a.Node])
			}
			if got, err := a.Get(k.Context(), "/version"); err != nil || !strings.Contains(got, `"`+version+`"`) {
				return fmt.Sprintf("%s answers %q (%v)", a.Node, got, err)
			}
			if unit := k.unit(a); unit.Move != nil || unit.Running == nil || unit.Running.Version != version {
				return fmt.Sprintf("the journal of %s has %+v", a.Node, unit)
			}
		}
		return ""
	})
}

// unit is what a node's journal has of its service.
func (k *killing) unit(a *cluster.Agent) rolling.Unit {
	k.Helper()
	journal, err := rolling.ReadJournal(a.Data())
	if err != nil {
		k.Fatal(err)
	}
	return journal.Unit("web-" + a.Pool)
}

// watchTwice looks for two processes of one instance all the time.
func (k *killing) watchTwice() (stop func()) {
	ctx, cancel := context.WithCancel(k.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			all, err := k.cluster.Instances()
			if err != nil {
				k.Error(err)
				return
			}
			for node, running := range all {
				// The list is not of one moment: the first must have outlived
				// the look at the second.
				if len(running) > 1 && running[0].Alive() && running[1].Alive() {
					k.Errorf("%s runs %+v at the same time", node, running)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		work.Wait()
	})
}

// badNight rolls the idle pool blue while two of its nodes are dead, a third
// one has a slow disk, and a replica sends others than the released bytes. The
// dead ones converge when they return, and nobody gets their old version.
func (k *killing) badNight() {
	k.Helper()
	k.load.Mark("a bad night")
	blue := k.pool(spec.Blue)
	slow, dead := blue[0], blue[3:]
	k.setBlind(true) // of the three that are left, all count from here on
	for _, a := range dead {
		if err := a.PowerOff(); err != nil {
			k.Fatal(err)
		}
	}
	k.until("that Consul misses the dead nodes", time.Minute, func() string {
		s, err := k.ledger.Observe(k.Context(), "web")
		if err != nil {
			return err.Error()
		}
		for _, m := range s.Members[spec.Blue] {
			if m.Alive == slices.ContainsFunc(dead, func(a *cluster.Agent) bool { return a.Node == m.Node }) {
				return fmt.Sprintf("%+v", s.Members[spec.Blue])
			}
		}
		return ""
	})
	k.setBlind(false)
	k.release(cluster.App{Version: "2.0.0", IgnoreSIGTERM: true})
	k.corrupt(k.cluster.Replicas[1], "2.0.0")
	quick := k.slowDown(slow)
	k.promote("2.0.0")
	k.await("2.0.0", func(r *rollout.Record) bool {
		if r.Phase == rollout.Done {
			k.Logf("2.0.0:\n%s", timeline(r))
			if want := []string{dead[0].Node, dead[1].Node}; !slices.Equal(r.LeftOut, want) {
				k.Errorf("left out %v, want %v", r.LeftOut, want)
			}
		}
		return r.Phase == rollout.Done
	})
	quick()
	k.load.Mark("the dead return")
	for _, a := range dead {
		k.powerOn(a)
	}
	k.settled(spec.Blue, "2.0.0")
	chapters := k.load.Snapshot()
	if last := chapters[len(chapters)-1].String(); strings.Contains(last, "0.9.0") {
		k.Errorf("users got the old version of the nodes that returned: %s", last)
	}
}

// powerOn starts what PowerOff has ended.
func (k *killing) powerOn(a *cluster.Agent) {
	k.Helper()
	if err := a.StartConsul(k.Context()); err != nil {
		k.Fatal(err)
	}
	if err := a.Start(k.Context()); err != nil {
		k.Fatal(err)
	}
}

// corrupt changes a byte in the middle of what a replica has of a version, in
// place.
func (k *killing) corrupt(r *cluster.Replica, version string) {
	k.Helper()
	m, err := k.ledger.Release(k.Context(), "web", version)
	if err != nil {
		k.Fatal(err)
	}
	path := ""
	k.until("that "+r.Name+" has the archive", 20*time.Second, func() string {
		err := filepath.WalkDir(r.Data(), func(p string, _ os.DirEntry, _ error) error {
			if strings.HasPrefix(filepath.Base(p), m.SHA256) {
				path = p
			}
			return nil
		})
		if err != nil || path == "" {
			return fmt.Sprintf("nothing called %s (%v)", m.SHA256, err)
		}
		return ""
	})
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		k.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	piece := make([]byte, 1)
	if _, err := file.ReadAt(piece, m.Size/2); err != nil {
		k.Fatal(err)
	}
	piece[0] ^= 0xff
	if _, err := file.WriteAt(piece, m.Size/2); err != nil {
		k.Fatal(err)
	}
}

// slowDown has an agent stand still most of the time, as one does whose disk
// takes a quarter of a second for everything.
func (k *killing) slowDown(a *cluster.Agent) (quick func()) {
	ctx, cancel := context.WithCancel(k.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			for _, pulse := range []struct {
				signal unix.Signal
				lasts  time.Duration
			}{{unix.SIGSTOP, 250 * time.Millisecond}, {unix.SIGCONT, 50 * time.Millisecond}} {
				if err := a.Signal(pulse.signal); err != nil {
					k.Error(err)
				}
				time.Sleep(pulse.lasts)
			}
		}
	})
	return func() {
		cancel()
		work.Wait() // it goes on after the last pulse
	}
}

// killAtRandom rolls the idle pool green while its agents, shims and services
// are killed, one at a time. Whatever is killed, only the node that rolls may
// be down besides.
func (k *killing) killAtRandom() {
	k.Helper()
	seed := uint64(time.Now().UnixNano())
	k.Logf("the seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // To be repeated.
	k.load.Mark("kill -9")
	k.service.MaxFailures = 3
	k.apply()
	k.release(cluster.App{Version: "3.0.0"})
	lowest, stopCount := k.countAnswers(spec.Green)
	k.setBlind(true) // what was killed a moment ago, Consul may still hold for passing or not yet
	k.promote("3.0.0")
	ctx, cancel := context.WithCancel(k.Context())
	var work sync.WaitGroup
	kills := make(map[string]int)
	work.Go(func() {
		failures := 0
		for ctx.Err() == nil {
			victim := k.pool(spec.Green)[random.IntN(k.cluster.Nodes)]
			what := []string{"agent", "shim", "service"}[random.IntN(3)]
			reports, err := k.ledger.Reports(ctx, "web", "3.0.0")
			if err != nil {
				continue
			}
			if done := doneWith(reports); done >= k.cluster.Nodes-2 {
				// Consul takes a second to see what died, and users are led
				// to the pool soon. Of agents they know nothing.
				what = "agent"
			}
			if reports[victim.Node].State == rollout.Replacing && what != "agent" {
				if failures++; failures >= k.service.MaxFailures {
					continue // a version that is killed while it is proved has failed
				}
			}
			k.killOne(ctx, victim, what)
			kills[what]++
			time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		}
	})
	k.await("3.0.0", func(r *rollout.Record) bool {
		if r.Phase == rollout.Smoke {
			cancel()
		}
		return r.Phase == rollout.Done
	})
	cancel()
	work.Wait()
	stopCount()
	k.Logf("killed: %v; at least %d nodes of green answered at all times", kills, lowest.Load())
	if n := kills["agent"] + kills["shim"] + kills["service"]; n < 4 {
		k.Errorf("%d kills only, the roll was over too soon", n)
	}
	if want := int64(k.cluster.Nodes - 2); lowest.Load() < want {
		k.Errorf("%d nodes of green answered only, want %d: all but the one that was killed and the one that rolled", lowest.Load(), want)
	}
	k.settled(spec.Green, "3.0.0")
	k.setBlind(false)
	k.service.MaxFailures = 0
	k.apply()
}

// doneWith counts the nodes that have nothing more to do for a rollout.
func doneWith(reports map[string]rollout.Report) int {
	done := 0
	for _, r := range reports {
		if r.State == rollout.Running || r.State == rollout.Broken {
			done++
		}
	}
	return done
}

// killOne kills a part of a node and waits until the node answers again.
func (k *killing) killOne(ctx context.Context, a *cluster.Agent, what string) {
	running, err := a.Instances()
	if err != nil {
		k.Error(err)
		return
	}
	if what == "agent" {
		if err := a.Kill(); err != nil {
			k.Error(err)
		}
		if err := a.Start(k.Context()); err != nil {
			k.Error(err)
		}
	} else if len(running) > 0 {
		pid := running[0].Pid
		if what == "shim" {
			pid = running[0].Shim
		}
		_ = unix.Kill(pid, unix.SIGKILL) // it may have been stopped since
		for running[0].Alive() {
			time.Sleep(time.Millisecond)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := a.Get(k.Context(), "/healthz"); err == nil {
			return
		} else if time.Now().After(deadline) {
			k.Errorf("%s does not answer after its %s was killed: %v", a.Node, what, err)
			return
		} else if ctx.Err() != nil && k.Context().Err() != nil {
			return
		}
	}
}

// countAnswers notes the least number of nodes of a pool that answered at the
// same time, whatever Consul says.
func (k *killing) countAnswers(colour string) (lowest *atomic.Int64, stop func()) {
	lowest = new(atomic.Int64)
	lowest.Store(int64(k.cluster.Nodes))
	ctx, cancel := context.WithCancel(k.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			var answers int64
			for _, a := range k.pool(colour) {
				if _, err := a.Get(k.Context(), "/healthz"); err == nil {
					answers++
				}
			}
			lowest.Store(min(lowest.Load(), answers))
			time.Sleep(30 * time.Millisecond)
		}
	})
	return lowest, func() {
		cancel()
		work.Wait()
	}
}

// wrongMachines rolls the idle pool blue, whose services ignore SIGTERM, with a
// full disk on one node, the clocks of two others an hour off, and a second
// agent on a fourth one.
func (k *killing) wrongMachines() {
	k.Helper()
	k.load.Mark("wrong machines")
	blue := k.pool(spec.Blue)
	full, early, late, doubled := blue[0], blue[1], blue[2], blue[3]
	disk := k.onDisk(full, 24<<20)
	for a, by := range map[*cluster.Agent]time.Duration{early: -time.Hour, late: time.Hour} {
		if err := clock.Shift(a.Pid(), by); err != nil {
			k.Fatal(err)
		}
	}
	twin := k.twin(doubled)
	k.release(cluster.App{Version: "4.0.0"})
	k.promote("4.0.0")
	k.until("word of the full disk", 30*time.Second, func() string {
		text, err := k.cluster.Switchd(k.Context(), "status", "web")
		if err != nil {
			return err.Error()
		}
		if !strings.Contains(text, "not enough room on the disk") || !strings.Contains(text, filepath.Join(full.Data(), "releases")) {
			return text
		}
		return ""
	})
	k.fullRestart(full)
	disk.grow(256 << 20)
	k.await("4.0.0", func(r *rollout.Record) bool {
		if r.Phase == rollout.Done {
			k.Logf("4.0.0:\n%s", timeline(r))
		}
		return r.Phase == rollout.Done
	})
	k.settled(spec.Blue, "4.0.0")
	for a, by := range map[*cluster.Agent]time.Duration{early: -time.Hour, late: time.Hour} {
		k.wantClock(a, by)
	}
	twin()
}

// disk is a node's data directory on a file system of its own.
type disk struct {
	*killing

	dir string
}

// onDisk restarts a node with its data directory on a disk that has little room
// left.
func (k *killing) onDisk(a *cluster.Agent, left int64) disk {
	k.Helper()
	if err := a.PowerOff(); err != nil {
		k.Fatal(err)
	}
	aside := a.Data() + ".aside"
	if err := os.RemoveAll(filepath.Join(a.Data(), "logs", ".shims")); err != nil { // sockets, which can't be copied
		k.Fatal(err)
	}
	if err := os.Rename(a.Data(), aside); err != nil {
		k.Fatal(err)
	}
	if err := os.Mkdir(a.Data(), 0o700); err != nil {
		k.Fatal(err)
	}
	if err := unix.Mount("tmpfs", a.Data(), "tmpfs", 0, "mode=0700"); err != nil {
		k.Fatalf("mount a disk for %s, which takes root: %v", a.Node, err)
	}
	d := disk{k, a.Data()}
	// What runs there ends only after this.
	k.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			k.Errorf("unmount the disk of %s: %v", a.Node, err)
		}
	})
	if err := os.CopyFS(d.dir, os.DirFS(aside)); err != nil {
		k.Fatal(err)
	}
	var used unix.Statfs_t
	if err := unix.Statfs(d.dir, &used); err != nil {
		k.Fatal(err)
	}
	d.grow(int64(used.Blocks-used.Bfree)*used.Bsize + left) //nolint:gosec // It is small.
	k.powerOn(a)
	return d
}

func (d disk) grow(size int64) {
	d.Helper()
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
		d.Fatal(err)
	}
}

// fullRestart fills a node's disk to the last byte, kills its agent and its
// service, and starts the agent: the service must come back.
func (k *killing) fullRestart(a *cluster.Agent) {
	k.Helper()
	ballast := filepath.Join(a.Data(), "ballast")
	file, err := os.Create(ballast)
	if err != nil {
		k.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = file.Write(block)
	}
	if err := file.Close(); err != nil {
		k.Fatal(err)
	}
	before, err := a.Instances()
	if err != nil || len(before) != 1 {
		k.Fatalf("%s runs %+v (%v)", a.Node, before, err)
	}
	if err := a.Kill(); err != nil {
		k.Fatal(err)
	}
	if err := unix.Kill(before[0].Shim, unix.SIGKILL); err != nil {
		k.Fatal(err)
	}
	if err := a.Start(k.Context()); err != nil {
		k.Fatal(err)
	}
	k.until("the service on a full disk", 20*time.Second, func() string {
		now, err := a.Instances()
		if err != nil || len(now) != 1 || now[0] == before[0] {
			return fmt.Sprintf("%s runs %+v (%v)", a.Node, now, err)
		}
		_, err = a.Get(k.Context(), "/healthz")
		if err != nil {
			return err.Error()
		}
		return ""
	})
	if err := os.Remove(ballast); err != nil {
		k.Fatal(err)
	}
}

// wantClock makes sure that an agent worked with the wrong clock.
func (k *killing) wantClock(a *cluster.Agent, by time.Duration) {
	k.Helper()
	text, err := a.LogTail()
	if err != nil {
		k.Fatal(err)
	}
	at := strings.LastIndex(text, "time=")
	stamp, _, _ := strings.Cut(text[at+len("time="):], " ")
	told, err := time.Parse(time.RFC3339Nano, stamp)
	if off := time.Until(told) - by; err != nil || off.Abs() > 5*time.Minute {
		k.Errorf("%s tells %s (%v), which is %v off the time that it was set to", a.Node, stamp, err, off)
	}
}

// twin starts a second agent of a node on another data directory. What it
// returns ends it, and makes sure that it was refused and did nothing.
func (k *killing) twin(a *cluster.Agent) (end func()) {
	k.Helper()
	holder, err := k.ledger.Consul.Get(k.Context(), k.ledger.Keys.Presence()+a.Node)
	if err != nil {
		k.Fatal(err)
	}
	dir := filepath.Join(k.cluster.Dir, "twin")
	twin, err := a.StartOn(k.Context(), "twin", dir)
	if err != nil {
		k.Fatal(err)
	}
	k.until("word of the first agent", 20*time.Second, func() string {
		text, err := twin.LogTail()
		if err != nil || !strings.Contains(text, "another agent holds this node's name ("+holder.Key+")") {
			return fmt.Sprintf("the second one says %s (%v)", text, err)
		}
		return ""
	})
	return func() {
		k.Helper()
		if err := twin.Kill(); err != nil {
			k.Fatal(err)
		}
		now, err := k.ledger.Consul.Get(k.Context(), holder.Key)
		if err != nil || now.Session != holder.Session || string(now.Value) != string(holder.Value) {
			k.Errorf("%s is held by %s (%v), was by %s", holder.Key, now.Session, err, holder.Session)
		}
		staged := filepath.Join(dir, "releases", "web")
		if _, err := os.Stat(staged); !errors.Is(err, fs.ErrNotExist) {
			k.Errorf("the second agent has made %s (%v)", staged, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "journal.json")); err == nil && strings.Contains(string(text), "running") {
			k.Errorf("the second agent has noted %s", text)
		}
	}
}

// diesLater rolls a version over green that is healthy for longer than it must
// be and then ends, again and again. It must get no users, and the next version
// must get past it.
func (k *killing) diesLater() {
	k.Helper()
	k.load.Mark("it dies later")
	// The rest of the pool must not follow.
	k.service.Quorum = k.cluster.Nodes - 1
	k.service.Extra = `
  deadline "rolling" {
    after = "15s"
    then  = "rollback"
  }
`
	k.apply()
	before, err := k.ledger.Live(k.Context(), "web")
	if err != nil {
		k.Fatal(err)
	}
	k.setBlind(true) // it does not pass half of the time
	k.release(cluster.App{Version: "5.0.0", ExitAfter: "1500ms"})
	k.promote("5.0.0")
	var ended *rollout.Record
	k.until("the end of 5.0.0", time.Minute, func() string {
		ended, err = k.ledger.Record(k.Context(), "web")
		if err != nil {
			return err.Error()
		}
		if ended.Version != "5.0.0" || ended.Phase != rollout.Failed {
			return string(ended.Phase) + "\n" + timeline(ended)
		}
		return ""
	})
	k.Logf("5.0.0: %s", ended.Outcome)
	if !ended.SwitchedAt.IsZero() {
		k.Errorf("users were led to it:\n%s", timeline(ended))
	}
	live, err := k.ledger.Live(k.Context(), "web")
	if err != nil || live.Generation != before.Generation {
		k.Errorf("live at the end: %+v (%v), was generation %d", live, err, before.Generation)
	}
	k.service.Quorum, k.service.Extra = 2, ""
	k.apply()
	k.release(cluster.App{Version: "6.0.0"})
	k.first("6.0.0")
	k.settled(spec.Green, "6.0.0")
	k.setBlind(false)
}
