package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/artifact"
	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
)

// UseKind is a way in which a release is in use.
type UseKind string

// The ways in which a release is in use. Each of them keeps it.
const (
	UseLive     UseKind = "live"     // users are on it
	UsePrevious UseKind = "previous" // a rollback leads to it
	UseRuns     UseKind = "runs"     // nodes of a pool run it
	UseRollout  UseKind = "rollout"  // it is being rolled out
	UseFormer   UseKind = "former"   // it was live when the current or last rollout began
	UseStaged   UseKind = "staged"   // nodes have fetched it, or fetch it
	UseNext     UseKind = "next"     // it is live in the environment before this one
)

// Use says where a release is in use.
type Use struct {
	Kind  UseKind  `json:"kind"`
	Pool  string   `json:"pool,omitempty"`
	Nodes []string `json:"nodes,omitempty"`
	// Idle tells whether the pool is not the live one.
	Idle    bool          `json:"idle,omitempty"`
	Rollout string        `json:"rollout,omitempty"`
	Phase   rollout.Phase `json:"phase,omitempty"`
}

// String is the use for people.
func (u Use) String() string {
	nodes := fmt.Sprintf("%d nodes", len(u.Nodes))
	if len(u.Nodes) == 1 {
		nodes = "1 node"
	}
	switch u.Kind {
	case UseLive:
		return "live (" + u.Pool + ")"
	case UsePrevious:
		return "rollback target"
	case UseRuns:
		if u.Idle {
			return "idle pool (" + nodes + ")"
		}
		return "live pool (" + nodes + ")"
	case UseRollout:
		return fmt.Sprintf("rollout %s (%s)", u.Rollout, u.Phase)
	case UseFormer:
		return "live before the last rollout"
	case UseStaged:
		return "staged (" + nodes + ")"
	case UseNext:
		return "live in the environment before"
	}
	return string(u.Kind)
}

// Published is a release with its uses.
type Published struct {
	artifact.Manifest

	Uses []Use

	index, created uint64 // of its key in Consul
}

// inUse is all that a service's releases can be in use for.
type inUse struct {
	releases []Published // the newest first
	live     *pools.Live
	record   *rollout.Record
	pools    map[string]pools.Pool
	staged   map[string][]string // nodes by version
	next     string              // the SHA-256 of what comes from the environment before
}

// Published lists a service's releases with their uses, the newest first. It
// fails rather than leave out what the token may not see.
func (l *Ledger) Published(ctx context.Context, service string) ([]Published, error) {
	u, err := l.inUse(ctx, service)
	return u.releases, err
}

// Publishers lists the services that have releases, by name.
func (l *Ledger) Publishers(ctx context.Context) ([]string, error) {
	folders, err := l.Consul.Folders(ctx, l.Keys.AllReleases())
	if err != nil {
		return nil, err
	}
	for i := range folders {
		folders[i] = strings.TrimSuffix(folders[i], "/")
	}
	return folders, nil
}

func (l *Ledger) inUse(ctx context.Context, service string) (inUse, error) {
	u := inUse{staged: make(map[string][]string)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		entries, err := l.Consul.ListWhole(ctx, l.Keys.Releases(service))
		if err != nil {
			return err
		}
		slices.SortFunc(entries, func(a, b consul.Entry) int { return cmp.Compare(b.Created, a.Created) })
		for _, entry := range entries {
			m, err := l.manifest(entry)
			if err != nil {
				return err
			}
			u.releases = append(u.releases, Published{Manifest: m, index: entry.Index, created: entry.Created})
		}
		return nil
	})
	group.Go(func() (err error) {
		if u.record, err = l.Record(ctx, service); err == nil {
			u.live, err = l.Live(ctx, service)
		}
		return err
	})
	group.Go(func() error {
		entries, err := l.Consul.ServiceWhole(ctx, service)
		u.pools = pools.FromHealth(entries)
		return err
	})
	group.Go(func() error {
		entries, err := l.Consul.ListWhole(ctx, l.Keys.Stagings(service))
		for _, entry := range entries {
			if node, version, ok := l.Keys.SplitStaging(service, entry.Key); ok {
				u.staged[version] = append(u.staged[version], node)
			}
		}
		return err
	})
	group.Go(func() error {
		e, err := l.Eligible(ctx, service)
		if e != nil {
			u.next = e.Release
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return inUse{}, err
	}
	for i := range u.releases {
		u.releases[i].Uses = u.of(u.releases[i].Manifest)
	}
	return u, nil
}

// of says where one release is in use.
func (u inUse) of(m artifact.Manifest) []Use {
	var uses []Use
	nodes := make(map[string][]string)
	for colour, pool := range u.pools {
		for _, in := range pool {
			if in.Version == m.Version || in.Release == m.SHA256 {
				nodes[colour] = append(nodes[colour], in.Node)
			}
		}
	}
	if u.live != nil && u.live.Version == m.Version {
		uses = append(uses, Use{Kind: UseLive, Pool: u.live.Pool, Nodes: nodes[u.live.Pool]})
		delete(nodes, u.live.Pool)
	}
	if r := u.record; r != nil && !r.Phase.Ended() && r.Version == m.Version {
		uses = append(uses, Use{Kind: UseRollout, Pool: r.Pool, Rollout: r.ID, Phase: r.Phase})
	}
	switch {
	case u.live != nil && u.live.Previous.Version == m.Version:
		uses = append(uses, Use{Kind: UsePrevious, Pool: u.live.Previous.Pool})
	case u.record != nil && u.record.From.Version == m.Version && len(uses) == 0:
		uses = append(uses, Use{Kind: UseFormer, Pool: u.record.From.Pool, Rollout: u.record.ID})
	}
	for _, colour := range slices.Sorted(maps.Keys(nodes)) {
		uses = append(uses, Use{Kind: UseRuns, Pool: colour, Nodes: nodes[colour], Idle: u.live == nil || u.live.Pool != colour})
	}
	if staged := u.staged[m.Version]; len(staged) > 0 {
		uses = append(uses, Use{Kind: UseStaged, Nodes: staged})
	}
	if u.next == m.SHA256 && len(uses) == 0 {
		uses = append(uses, Use{Kind: UseNext})
	}
	return uses
}

// Manifests reads the manifests of all releases of the environment. It fails
// rather than leave out what the token may not see, or what can't be read.
func (l *Ledger) Manifests(ctx context.Context) ([]artifact.Manifest, error) {
	// A release that is published in between is missing. Its archive is young.
	entries, err := l.Consul.ListWhole(ctx, l.Keys.AllReleases())
	if err != nil {
		return nil, err
	}
	manifests := make([]artifact.Manifest, 0, len(entries))
	keys := make(map[string]bool, len(entries))
	for _, entry := range entries {
		m, err := l.manifest(entry)
		if err != nil {
			return nil, err
		}
		manifests, keys[entry.Key] = append(manifests, m), true
	}
	// The answer must at least fit what users are on.
	lives, err := l.Consul.ListWhole(ctx, l.Keys.Lives())
	if err != nil {
		return nil, err
	}
	for _, entry := range lives {
		live, err := pools.ParseLive(entry.Value, entry.Index)
		if err != nil {
			return nil, fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
		}
		if key := l.Keys.Release(live.Service, live.Version); !keys[key] {
			return nil, fmt.Errorf("list the releases: %s %s is live, but %s is not there; publish it again", live.Service, live.Version, key)
		}
	}
	return manifests, nil
}

// Digests lists the digests of all releases' archives, for whoever removes the
// others. It fails when Manifests does.
func (l *Ledger) Digests(ctx context.Context) (map[string]bool, error) {
	manifests, err := l.Manifests(ctx)
	if err != nil {
		return nil, err
	}
	digests := make(map[string]bool, len(manifests))
	for _, m := range manifests {
		digests[m.SHA256] = true
	}
	return digests, nil
}

// Retention says what is kept of releases that are not in use.
type Retention struct {
	Newest    int           // how many of the newest
	OlderThan time.Duration // younger ones are kept; 0: no age keeps any
}

// Verdict says what becomes of a release, and why.
type Verdict struct {
	Published

	Removed bool
	Why     string
	// Freed is the bytes of the archive on each replica, 0 if another release
	// has the same.
	Freed int64
}

// Judge decides on releases, of which the newest is the first.
func (r Retention) Judge(releases []Published, now time.Time) []Verdict {
	verdicts := make([]Verdict, 0, len(releases))
	for i, release := range releases {
		v := Verdict{Published: release}
		switch age := now.Sub(release.Created); {
		case len(release.Uses) > 0:
			v.Why = release.InUse()
		case i < r.Newest:
			v.Why = fmt.Sprintf("one of the %d newest", r.Newest)
			if r.Newest == 1 {
				v.Why = "the newest"
			}
		case r.OlderThan > 0 && age < r.OlderThan:
			v.Why = "not old enough"
		default:
			v.Removed, v.Why = true, "not in use"
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// InUse is where a release is in use, for people.
func (p Published) InUse() string {
	words := make([]string, 0, len(p.Uses))
	for _, u := range p.Uses {
		words = append(words, u.String())
	}
	return strings.Join(words, ", ")
}

// ErrNobodyRuns is the error of a look at the catalog that can't be trusted.
var ErrNobodyRuns = errors.New("the catalog shows no node that runs anything of it")

// JudgeReleases decides what PruneReleases would do, and does nothing.
func (l *Ledger) JudgeReleases(ctx context.Context, service string, retention Retention, now time.Time) ([]Verdict, error) {
	verdicts, _, err := l.judge(ctx, service, retention, now)
	if err != nil {
		return nil, err
	}
	return verdicts, l.count(ctx, verdicts)
}

func (l *Ledger) judge(ctx context.Context, service string, retention Retention, now time.Time) ([]Verdict, inUse, error) {
	u, err := l.inUse(ctx, service)
	if err != nil {
		return nil, u, err
	}
	if len(u.releases) == 0 {
		_, err := l.Service(ctx, service) // A name that was mistyped.
		return nil, u, err
	}
	if u.live != nil && len(u.pools[u.live.Pool]) == 0 {
		return nil, u, fmt.Errorf("prune %s: %w, though %s is live; look at `switchd status %s`, and whether the token may read its nodes and services",
			service, ErrNobodyRuns, u.live.Side(), service)
	}
	return retention.Judge(u.releases, now), u, nil
}

// PruneReleases removes the manifests of the releases that are not in use and
// not to be kept. What steers users and rollouts must not change between the
// look and the removal: they are one transaction, under a short lease. The
// archives go with the stores' next sweep (Digests).
//
// It gives a verdict on every release that there was.
func (l *Ledger) PruneReleases(ctx context.Context, service, by string, retention Retention, now time.Time) ([]Verdict, error) {
	operator, err := l.Operate(ctx, by)
	if err != nil {
		return nil, err
	}
	defer func() { _ = operator.Close(context.WithoutCancel(ctx)) }() // its TTL ends it otherwise
	var removed []Verdict
	for try := 1; ; {
		verdicts, u, err := l.judge(ctx, service, retention, now)
		if err != nil {
			return removed, err
		}
		batch := going(verdicts)
		if len(batch) == 0 {
			verdicts = append(verdicts, removed...)
			slices.SortFunc(verdicts, func(a, b Verdict) int { return cmp.Compare(b.created, a.created) })
			return verdicts, l.count(ctx, verdicts)
		}
		batch = batch[:min(len(batch), consul.MaxOps-3)]
		err = l.remove(ctx, operator, u, batch)
		switch {
		case err == nil:
			removed = append(removed, batch...)
			try = 1
		case !errors.Is(err, consul.ErrConflict):
			return removed, err
		case try == tries:
			return removed, fmt.Errorf("%w; others were faster %d times in a row: try again", err, tries)
		default:
			try++
		}
	}
}

// remove removes manifests, if nothing has changed since the look.
func (l *Ledger) remove(ctx context.Context, fence Fence, u inUse, batch []Verdict) error {
	service := batch[0].Service
	var index uint64
	if u.record != nil {
		index = u.record.Index
	}
	ops := []consul.Op{consul.Unchanged(l.Keys.Live(service), u.live.Read()), consul.Unchanged(l.Keys.Rollout(service), index)}
	for _, v := range batch {
		ops = append(ops, consul.DeleteCAS(l.Keys.Release(service, v.Version), v.index))
	}
	return l.fenced(ctx, fence, "prune the releases of "+service, ops...)
}

func going(verdicts []Verdict) []Verdict {
	return slices.DeleteFunc(slices.Clone(verdicts), func(v Verdict) bool { return !v.Removed })
}

// count says of each removed release what its archive frees.
func (l *Ledger) count(ctx context.Context, verdicts []Verdict) error {
	if len(going(verdicts)) == 0 {
		return nil
	}
	entries, err := l.Consul.ListWhole(ctx, l.Keys.AllReleases())
	if err != nil {
		return err
	}
	leaves := make(map[string]bool, len(verdicts))
	for _, v := range going(verdicts) {
		leaves[l.Keys.Release(v.Service, v.Version)] = true
	}
	stays := make(map[string]bool, len(entries))
	for _, entry := range entries {
		var m struct {
			SHA256 string `json:"sha256"`
		}
		if err := json.Unmarshal(entry.Value, &m); err == nil && !leaves[entry.Key] { // Other services' faults are not ours.
			stays[m.SHA256] = true
		}
	}
	for i, v := range verdicts {
		if v.Removed && !stays[v.SHA256] {
			verdicts[i].Freed, stays[v.SHA256] = v.Size, true
		}
	}
	return nil
}
