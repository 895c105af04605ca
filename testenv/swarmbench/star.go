//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// star is HTTP without a swarm: every node fetches the file from the seed.
type star struct{ self string }

func newStar() (star, error) {
	self, err := os.Executable()
	if err != nil {
		return star{}, fmt.Errorf("find this program: %w", err)
	}
	return star{self: self}, nil
}

func (star) name() string { return "http" }

func (star) settings() string {
	return "every node fetches from the seed; measured once, as it takes as many floors as there are nodes"
}

func (star) prepare(context.Context, *stage) error { return nil }

func (h star) seed(s *stage) []string {
	return []string{h.self, "serve", s.seed.AddrPort(peerPort).String(), s.payload.path}
}

func (h star) node(s *stage, i int) (args []string, file string) {
	file = filepath.Join(s.nodeDir(i), "payload")
	return []string{h.self, "get", "http://" + s.seed.AddrPort(peerPort).String(), file}, file
}

type serveCmd struct {
	Listen string `arg:""`
	File   string `arg:"" type:"existingfile"`
}

// Run serves the file until ctx ends.
func (c *serveCmd) Run(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, c.File) }),
		ReadHeaderTimeout: time.Minute,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

type getCmd struct {
	URL  string `arg:""`
	File string `arg:""`
}

// Run fetches the file, says so, and waits for ctx to end.
func (c *getCmd) Run(ctx context.Context) error {
	began := time.Now()
	if err := c.fetch(ctx); err != nil {
		return fmt.Errorf("get %s: %w", c.URL, err)
	}
	fmt.Println("done", strconv.FormatFloat(time.Since(began).Seconds(), 'f', 3, 64))
	<-ctx.Done()
	return nil
}

func (c *getCmd) fetch(ctx context.Context) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", response.Status)
	}
	file, err := os.OpenFile(filepath.Clean(c.File), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, response.Body)
	return err
}
