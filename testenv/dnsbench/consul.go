//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"switchd/testenv/devconsul"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

// startConsul starts a lone Consul server and returns its HTTP address when it
// leads.
func startConsul(ctx context.Context, group *proc.Group, dir string) (string, error) {
	program, err := servers.Find(ctx, os.Stderr, servers.Consul)
	if err != nil {
		return "", err
	}
	var ports devconsul.Ports
	host, err := freePort(ctx)
	if err != nil {
		return "", err
	}
	// Nobody else has this address.
	ports.HTTP, ports.Server, ports.Serf = 8500, 8300, 8301
	file, err := devconsul.Write(dir, "consul", host.Addr().String(), ports, devconsul.Server())
	if err != nil {
		return "", err
	}
	process, err := group.Start(ctx, "consul", filepath.Join(dir, "log"), []string{program, "agent", "-config-file=" + file}, nil)
	if err != nil {
		return "", err
	}
	addr := fmt.Sprintf("%s:%d", host.Addr(), ports.HTTP)
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no leader of Consul after a minute"))
	defer cancel()
	for !leads(ctx, addr) {
		select {
		case <-process.Done():
			tail, _ := process.LogTail()
			return "", fmt.Errorf("start Consul: it has ended\n%s", tail)
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return addr, nil
}

// leads tells whether the server answers consistent reads and knows itself.
func leads(ctx context.Context, addr string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/catalog/nodes?consistent", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	return err == nil && response.StatusCode == http.StatusOK && len(body) > len("[]")+2
}
