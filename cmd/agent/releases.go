package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/members"
	"switchd/pagecache"
	"switchd/replica"
	"switchd/rolling"
	"switchd/rollout"
	"switchd/swarm"
)

// releases is how releases come to this node, and go on to others.
type releases struct {
	stager  *artifact.Stager
	swarm   *swarm.Swarm // nil: none
	dropper *pagecache.Dropper
	ledger  *ledger.Ledger
	log     *slog.Logger
}

func (c *runCmd) releases(a *app, client *consul.Client, self consul.Node, trusted artifact.TrustedKeys, log *slog.Logger) (*releases, error) {
	keys := consul.Keys{Env: a.flags.Env}
	r := &releases{ledger: &ledger.Ledger{Consul: client, Keys: keys}, log: log, dropper: new(pagecache.Dropper)}
	origin := artifact.NewHTTPFetcher(func(ctx context.Context) ([]string, error) { return origins(ctx, client, keys.Env) },
		&http.Client{Transport: &http.Transport{}}, log)
	var fetcher artifact.Fetcher = origin
	root := filepath.Join(a.flags.Data, "releases")
	// Services that run as other users have to get through to their release.
	if err := os.MkdirAll(root, 0o711); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("make the releases' directory: %w", err)
	}
	if err := os.MkdirAll(artifact.Archives(root), 0o700); err != nil {
		return nil, fmt.Errorf("make the releases' directory: %w", err)
	}
	if c.SwarmListen == "" {
		log.Info("no --swarm-listen: releases come over HTTP from the replicas, and go to no other node")
	} else {
		who := members.New(client, keys)
		var err error
		if r.swarm, err = c.swarm(root, self, who, origin, r, log); err != nil {
			return nil, err
		}
		fetcher = r.swarm
	}
	var err error
	if r.stager, err = artifact.NewStager(root, trusted, fetcher); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (c *runCmd) swarm(root string, self consul.Node, who *members.Of, origin swarm.Origin, r *releases, log *slog.Logger) (*swarm.Swarm, error) {
	identity, err := swarm.NewIdentity()
	if err != nil {
		return nil, err
	}
	rack := c.Rack
	if rack == "" {
		rack = self.Meta["rack"]
	}
	member := swarm.Member{Node: self.Name, Datacenter: self.Datacenter, Rack: rack}
	if at, err := netip.ParseAddr(self.Address); err == nil {
		member.Addr = netip.AddrPortFrom(at, 0)
	}
	return swarm.Open(swarm.Config{
		Dir: artifact.Archives(root), Listen: c.SwarmListen, Self: member, Members: who, Identity: identity, Origin: origin,
		UpRate: int64(c.UpRate), DownRate: int64(c.DownRate), RackUpRate: int64(c.RackUpRate),
		RackPeers: func() int { return who.RackPeers(member.Datacenter, member.Rack) },
		Drop:      r.dropper.Add,
		Log:       log,
	})
}

func origins(ctx context.Context, client *consul.Client, env string) ([]string, error) {
	replicas, err := replica.List(ctx, client, env)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, r := range replicas {
		urls = append(urls, r.URL())
	}
	return urls, nil
}

// presence is what other agents need to know of this one.
func (r *releases) presence(address string) members.Presence {
	p := members.Presence{Address: address}
	if r.swarm != nil {
		p.Swarm = r.swarm.Self()
	}
	return p
}

// Progress is how far the fetch of an archive is.
func (r *releases) Progress(digest string) (rollout.Progress, bool) {
	if r.swarm == nil {
		return rollout.Progress{}, false
	}
	for _, p := range r.swarm.Progress() {
		if p.SHA256 == digest {
			return rollout.Progress{Done: p.Done, Total: p.Total, Rate: p.Rate, Peers: p.Peers}, true
		}
	}
	return rollout.Progress{}, false
}

// seed offers what a former agent of this node has left, once Consul tells
// what that is.
func (r *releases) seed(ctx context.Context) {
	if r.swarm == nil {
		return
	}
	for ctx.Err() == nil {
		manifests, err := r.ledger.Manifests(ctx)
		if err == nil {
			for _, m := range manifests {
				r.offer(ctx, m)
			}
			return
		}
		r.log.DebugContext(ctx, "not known yet what to seed", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
}

func (r *releases) offer(ctx context.Context, m artifact.Manifest) {
	if m.InfoHash == "" || !r.stager.Archives().Has(m.SHA256) {
		return
	}
	if err := r.swarm.Seed(ctx, m); err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.WarnContext(ctx, "seed", "service", m.Service, "version", m.Version, "error", err)
	}
}

// prune removes old releases now and then.
func (r *releases) prune(ctx context.Context, agent *rolling.Agent) {
	const every = 10 * time.Minute
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		manifests, err := r.ledger.Manifests(ctx)
		published := make(map[string]bool, len(manifests))
		for _, m := range manifests {
			published[r.stager.Dir(m)] = true
		}
		pruned, pruneErr := r.stager.Prune(ctx, artifact.Retention{
			Needed:    func(s artifact.Staged) bool { return agent.Needs(s.Dir) },
			Published: func(s artifact.Staged) bool { return err != nil || published[s.Dir] },
			Drop: func(digest string) {
				if r.swarm != nil {
					r.swarm.Unseed(digest)
				}
			},
		})
		for _, p := range pruned {
			r.log.InfoContext(ctx, "pruned", "path", p.Path, "bytes", p.Bytes)
		}
		if pruneErr != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "prune", "error", pruneErr)
		}
	}
}

func (r *releases) close() error {
	var errs []error
	if r.swarm != nil {
		errs = append(errs, r.swarm.Close())
	}
	if err := errors.Join(append(errs, r.dropper.Close())...); err != nil {
		return fmt.Errorf("end the swarm: %w", err)
	}
	return nil
}
