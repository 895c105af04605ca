package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"switchd/testenv/devconsul"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

// quorumOf is a Consul of three servers, each on a loopback address.
type quorumOf struct {
	group   *proc.Group
	program string
	dir     string
	hosts   []string
	ports   devconsul.Ports
	running []*proc.Process
	spent   time.Duration // CPU of servers that were killed
}

func startServers(ctx context.Context, dir string) (*quorumOf, error) {
	program, err := servers.Find(ctx, os.Stderr, servers.Consul)
	if err != nil {
		return nil, err
	}
	group, err := proc.NewGroup()
	if err != nil {
		return nil, err
	}
	prefix := fmt.Sprintf("127.%d.%d.", 100+rand.IntN(100), rand.IntN(256))
	q := &quorumOf{
		group: group, program: program, dir: dir, hosts: []string{prefix + "1", prefix + "2", prefix + "3"},
		ports: devconsul.Ports{HTTP: 18500, Server: 18300, Serf: 18301}, running: make([]*proc.Process, 3),
	}
	for i := range q.hosts {
		if err := q.start(ctx, i); err != nil {
			return q, errors.Join(err, group.Close())
		}
	}
	if _, err := q.leader(ctx); err != nil {
		return q, errors.Join(err, group.Close())
	}
	return q, nil
}

func (q *quorumOf) start(ctx context.Context, i int) error {
	var join []string
	for _, host := range q.hosts {
		join = append(join, net.JoinHostPort(host, strconv.Itoa(q.ports.Serf)))
	}
	name := fmt.Sprintf("consul%d", i+1)
	file, err := devconsul.Write(filepath.Join(q.dir, name), name, q.hosts[i], q.ports, map[string]any{
		"server": true, "bootstrap_expect": 3, "retry_join": join, "retry_interval": "1s",
		"limits": map[string]any{"http_max_conns_per_client": 15000},
		// Consul's default: three servers and all nodes share this machine's
		// cores, on which a leader would be given up for busy otherwise.
		"performance": map[string]any{"raft_multiplier": 5},
	})
	if err != nil {
		return err
	}
	q.running[i], err = q.group.Start(ctx, name, filepath.Join(q.dir, name+".log"), []string{q.program, "agent", "-config-file=" + file}, nil)
	return err
}

func (q *quorumOf) addrs() []string {
	var addrs []string
	for _, host := range q.hosts {
		addrs = append(addrs, net.JoinHostPort(host, strconv.Itoa(q.ports.HTTP)))
	}
	return addrs
}

// leader waits until there is one and tells which of the servers it is.
func (q *quorumOf) leader(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		for _, addr := range q.addrs() {
			answer, err := ask(ctx, "http://"+addr+"/v1/status/leader")
			if err != nil {
				continue
			}
			for i, host := range q.hosts {
				if strings.Contains(answer, `"`+host+":") {
					return i, nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for Consul's leader: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ask(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return string(text), err
}

// killLeader kills the leader and starts it again as what it then is.
func (q *quorumOf) killLeader(ctx context.Context) (string, error) {
	i, err := q.leader(ctx)
	if err != nil {
		return "", err
	}
	q.spent += q.running[i].CPU()
	if err := q.running[i].Kill(); err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(5 * time.Second): // long enough for another one to lead
	}
	return fmt.Sprintf("consul%d", i+1), q.start(ctx, i)
}

// cpu is what all servers have used since they were started.
func (q *quorumOf) cpu() time.Duration {
	sum := q.spent
	for _, p := range q.running {
		sum += p.CPU()
	}
	return sum
}
