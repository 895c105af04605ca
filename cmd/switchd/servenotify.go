package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/driver"
	"switchd/notify"
)

// notifyFlags say how this replica tells people what becomes of rollouts.
type notifyFlags struct {
	File string `help:"File of the addresses of those who can be told of rollouts, as NAME = URL. Without it, nobody is told." type:"path" placeholder:"FILE"`
	Page string `help:"URL of the status page, to be told along; that of --http-listen if others can reach it." placeholder:"URL"`
}

// notices reads the file that the flags name; http is where others reach this
// replica. Without a file it returns nil: nobody is told.
func (f notifyFlags) notices(ctx context.Context, http string, metrics prometheus.Registerer, log *slog.Logger) (*driver.Notices, error) {
	if f.File == "" {
		if f.Page != "" {
			return nil, &usageError{"--notify-page is for --notify-file"}
		}
		return nil, nil //nolint:nilnil // nobody to tell is the ordinary state
	}
	file, err := notify.Open(f.File, log)
	if err != nil {
		return nil, err
	}
	courier, err := newCourier()
	if err != nil {
		return nil, err
	}
	page := f.Page
	if at, err := netip.ParseAddrPort(http); page == "" && err == nil && !at.Addr().IsLoopback() {
		page = "http://" + http + "/"
	}
	log.InfoContext(ctx, "people are told of rollouts", "names", len(file.Addresses(ctx).Names()))
	return &driver.Notices{Page: page, Post: &notify.Post{File: file, Sender: courier, Log: log, Metrics: notify.NewMetrics(metrics)}}, nil
}

// newCourier sends messages by `switchd notify deliver`.
func newCourier() (notify.Courier, error) {
	program, err := os.Executable()
	if err != nil {
		return notify.Courier{}, fmt.Errorf("find this program: %w", err)
	}
	return notify.Courier{Program: program, Args: []string{"notify", "deliver"}}, nil
}
