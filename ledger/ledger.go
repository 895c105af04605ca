// Package ledger keeps what switchd knows in Consul: desired state, releases,
// live records, rollout records and their history. Every write that matters is
// one fenced transaction.
package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"switchd/artifact"
	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// Ledger is one environment's state.
type Ledger struct {
	Consul *consul.Client
	Keys   consul.Keys
}

// The things that can be missing.
var (
	ErrUnknownService     = errors.New("unknown service")
	ErrUnknownRelease     = errors.New("unknown release")
	ErrUnknownEnvironment = errors.New("unknown environment")
)

// Environments lists the environments that this Consul holds.
func Environments(ctx context.Context, c *consul.Client) ([]string, error) {
	folders, err := c.Folders(ctx, consul.Root)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range folders {
		if name, ok := strings.CutSuffix(f, "/"); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// Environment reads the compiled environment.
func (l *Ledger) Environment(ctx context.Context) (spec.Environment, error) {
	var env spec.Environment
	entry, err := l.Consul.Get(ctx, l.Keys.Environment())
	if err != nil {
		return env, err
	}
	if entry.Index == 0 {
		return env, fmt.Errorf("%w %q: nothing was applied to it yet", ErrUnknownEnvironment, l.Keys.Env)
	}
	return env, parse(entry, &env)
}

// Driver is the name of the replica that drives the environment; empty: nobody
// does.
func (l *Ledger) Driver(ctx context.Context) (string, error) {
	lease, err := l.Consul.Get(ctx, l.Keys.Lease())
	if err != nil || lease.Session == "" {
		return "", err
	}
	return string(lease.Value), nil
}

// Service reads one service's desired state.
func (l *Ledger) Service(ctx context.Context, name string) (spec.Service, error) {
	var s spec.Service
	entry, err := l.Consul.Get(ctx, l.Keys.Spec(name))
	if err != nil {
		return s, err
	}
	if entry.Index == 0 {
		return s, fmt.Errorf("%w %q in environment %q", ErrUnknownService, name, l.Keys.Env)
	}
	return s, parse(entry, &s)
}

// Services reads all services' desired state, by name.
func (l *Ledger) Services(ctx context.Context) ([]spec.Service, error) {
	entries, err := l.Consul.List(ctx, l.Keys.Specs())
	if err != nil {
		return nil, err
	}
	services := make([]spec.Service, len(entries))
	for i, entry := range entries {
		if err := parse(entry, &services[i]); err != nil {
			return nil, err
		}
	}
	return services, nil
}

func parse(entry consul.Entry, into any) error {
	if err := json.Unmarshal(entry.Value, into); err != nil {
		return fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
	}
	return nil
}

// Observe reads one service's facts, consistently. A service without desired
// state is an ErrUnknownService.
func (l *Ledger) Observe(ctx context.Context, name string) (rollout.Situation, error) {
	s, err := l.look(ctx, name)
	if err == nil && s.Record != nil && !s.Record.Phase.Ended() {
		s.Consents, s.Bypasses, err = l.Consents(ctx, s.Spec)
	}
	return s, err
}

// look is Observe without what people have said of gates. No operation needs it,
// and none is to fail for it: least of all a rollback.
func (l *Ledger) look(ctx context.Context, name string) (rollout.Situation, error) {
	var s rollout.Situation
	var nodes []consul.Node
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.Spec, err = l.Service(groupCtx, name)
		return err
	})
	group.Go(func() (err error) {
		// The live record is read after the rollout record: a commit between
		// the two makes the rollout record a stale one, which can't be
		// written over. The other way round, a fresh one would be judged by
		// a stale live record.
		if s.Record, err = l.Record(groupCtx, name); err == nil {
			s.Live, err = l.Live(groupCtx, name)
		}
		return err
	})
	group.Go(func() (err error) {
		s.Pools, err = pools.Read(groupCtx, l.Consul, name)
		return err
	})
	group.Go(func() (err error) {
		nodes, err = l.Consul.Nodes(groupCtx)
		return err
	})
	err := group.Wait()
	if err != nil {
		return s, err
	}
	s.Members = make(map[string][]rollout.Member)
	for colour, pool := range s.Spec.Pools {
		for _, n := range pools.Members(pool, nodes) {
			s.Members[colour] = append(s.Members[colour], rollout.Member{Node: n.Name, Alive: n.Alive})
		}
	}
	if s.Record == nil || s.Record.Phase.Ended() {
		s.Eligible, err = l.Eligible(ctx, name)
		return s, err
	}
	return s, l.observeRollout(ctx, &s)
}

// observeRollout adds what matters while a rollout is under way.
func (l *Ledger) observeRollout(ctx context.Context, s *rollout.Situation) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.Reports, err = l.Reports(ctx, s.Spec.Name, s.Record.Version)
		return err
	})
	group.Go(func() error {
		entry, err := l.Consul.Get(ctx, l.Keys.Release(s.Spec.Name, s.Record.Version))
		s.Released = entry.Index != 0
		return err
	})
	if s.Record.Phase == rollout.Queued {
		group.Go(func() (err error) {
			s.Blockers, err = l.blockers(ctx, s.Spec)
			return err
		})
	}
	return group.Wait()
}

// blockers are the service's dependencies that are under way themselves. One
// that converges has been through its bake, and stays live.
func (l *Ledger) blockers(ctx context.Context, s spec.Service) ([]string, error) {
	var blockers []string
	for _, name := range s.DependsOn {
		record, err := l.Record(ctx, name)
		if err != nil {
			return nil, err
		}
		if record != nil && !record.Phase.Ended() && record.Phase != rollout.Converging {
			blockers = append(blockers, fmt.Sprintf("%s %s (%s)", name, record.Version, record.Phase))
		}
	}
	return blockers, nil
}

// Record reads a service's current or last rollout, nil if there was none.
func (l *Ledger) Record(ctx context.Context, service string) (*rollout.Record, error) {
	return l.record(ctx, l.Keys.Rollout(service))
}

// Ended reads one of a service's ended rollouts, nil if the history hasn't got
// it.
func (l *Ledger) Ended(ctx context.Context, service, id string) (*rollout.Record, error) {
	return l.record(ctx, l.Keys.History(service, id))
}

func (l *Ledger) record(ctx context.Context, key string) (*rollout.Record, error) {
	entry, err := l.Consul.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	record, err := rollout.ParseRecord(entry.Value, entry.Index)
	if err != nil {
		return nil, fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
	}
	return record, nil
}

// Live reads a service's live record, nil if nothing is live.
func (l *Ledger) Live(ctx context.Context, service string) (*pools.Live, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.Live(service))
	if err != nil {
		return nil, err
	}
	live, err := pools.ParseLive(entry.Value, entry.Index)
	if err != nil {
		return nil, fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
	}
	return live, nil
}

// Reports reads what the nodes say of a version on its way, by node.
func (l *Ledger) Reports(ctx context.Context, service, version string) (map[string]rollout.Report, error) {
	entries, err := l.Consul.List(ctx, l.Keys.Stagings(service))
	if err != nil {
		return nil, err
	}
	reports := make(map[string]rollout.Report, len(entries))
	for _, entry := range entries {
		node, of, ok := l.Keys.SplitStaging(service, entry.Key)
		if !ok || of != version {
			continue
		}
		var r rollout.Report
		if err := parse(entry, &r); err != nil {
			// One node's broken report is that node's trouble. It must not
			// keep a rollout from its deadline, or anybody from a rollback.
			r = rollout.Report{Why: err.Error()}
		}
		reports[node] = r
	}
	return reports, nil
}

// Release reads one release's manifest.
func (l *Ledger) Release(ctx context.Context, service, version string) (artifact.Manifest, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.Release(service, version))
	if err != nil {
		return artifact.Manifest{}, err
	}
	if entry.Index == 0 {
		return artifact.Manifest{}, fmt.Errorf("%w %s of %s", ErrUnknownRelease, version, service)
	}
	return l.manifest(entry)
}

// Released tells whether a version is published.
func (l *Ledger) Released(ctx context.Context, service, version string) (bool, error) {
	_, err := l.Release(ctx, service, version)
	if errors.Is(err, ErrUnknownRelease) {
		return false, nil
	}
	return err == nil, err
}

// manifest reads what a release's key holds. A signature says what a manifest
// is of; filed under another key, it would have another release run.
func (l *Ledger) manifest(entry consul.Entry) (artifact.Manifest, error) {
	m, err := artifact.ParseManifest(entry.Value)
	if err != nil {
		return m, fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
	}
	if entry.Key != l.Keys.Release(m.Service, m.Version) {
		return m, fmt.Errorf("%s in Consul holds the manifest of %s; publish the release again", entry.Key, m)
	}
	return m, nil
}

// listByAge lists the entries under a prefix, the oldest first.
func (l *Ledger) listByAge(ctx context.Context, prefix string) ([]consul.Entry, error) {
	entries, err := l.Consul.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b consul.Entry) int { return cmp.Compare(a.Created, b.Created) })
	return entries, nil
}

// Releases lists the published versions of a service, the oldest first.
func (l *Ledger) Releases(ctx context.Context, service string) ([]artifact.Manifest, error) {
	entries, err := l.listByAge(ctx, l.Keys.Releases(service))
	if err != nil {
		return nil, err
	}
	releases := make([]artifact.Manifest, 0, len(entries))
	for _, entry := range entries {
		m, err := l.manifest(entry)
		if err != nil {
			return nil, err
		}
		releases = append(releases, m)
	}
	return releases, nil
}

// History lists a service's ended rollouts, the oldest first.
func (l *Ledger) History(ctx context.Context, service string) ([]*rollout.Record, error) {
	entries, err := l.listByAge(ctx, l.Keys.Histories(service))
	if err != nil {
		return nil, err
	}
	records := make([]*rollout.Record, 0, len(entries))
	for _, entry := range entries {
		record, err := rollout.ParseRecord(entry.Value, entry.Index)
		if err != nil {
			return nil, fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
		}
		records = append(records, record)
	}
	return records, nil
}
