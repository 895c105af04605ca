//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"switchd/testenv/netns"
)

// link is what one link of a scenario really carries.
type link struct {
	payload float64 // bytes a second
	wire    float64 // bytes on the wire for each of payload
}

// linkTime is about how long a link is measured, after a third of that in which
// TCP finds its speed.
const linkTime = 3 * time.Second

// measureLink sends from one host to another, and nothing else.
func measureLink(ctx context.Context, s scenario) (l link, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*linkTime)
	defer cancel()
	net, err := netns.New(ctx, netns.Options{Hosts: 2, Rate: uint64(s.rate)})
	if err != nil {
		return link{}, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	from, to := net.Hosts()[0], net.Hosts()[1]
	listener, err := to.Listen(ctx, peerPort)
	if err != nil {
		return link{}, err
	}
	defer listener.Close() //nolint:errcheck // It has served.
	sender, err := from.Dial(ctx, to.AddrPort(peerPort))
	if err != nil {
		return link{}, err
	}
	defer sender.Close() //nolint:errcheck // It has served.
	receiver, err := listener.Accept()
	if err != nil {
		return link{}, fmt.Errorf("measure the link: %w", err)
	}
	defer receiver.Close() //nolint:errcheck // It has served.
	go func() {
		block := make([]byte, 64<<10)
		for {
			if _, err := sender.Write(block); err != nil {
				return // The measurement is over.
			}
		}
	}()
	context.AfterFunc(ctx, func() { _ = receiver.Close() })

	amount := int64(float64(s.rate) / 8 * linkTime.Seconds())
	if _, err := io.CopyN(io.Discard, receiver, amount/3); err != nil {
		return link{}, fmt.Errorf("measure the link: %w", err)
	}
	before, err := to.Traffic()
	if err != nil {
		return link{}, err
	}
	began := time.Now()
	if _, err := io.CopyN(io.Discard, receiver, amount); err != nil {
		return link{}, fmt.Errorf("measure the link: %w", err)
	}
	took := time.Since(began)
	after, err := to.Traffic()
	if err != nil {
		return link{}, err
	}
	return link{
		payload: float64(amount) / took.Seconds(),
		wire:    float64(after.Received-before.Received) / float64(amount),
	}, nil
}

// floor is the time in which a link carries size once: nobody can be faster.
func (l link) floor(size byteSize) time.Duration {
	return time.Duration(float64(size) / l.payload * float64(time.Second))
}

// copies tells how many plain transfers of size the sent bytes on the wire
// make.
func (l link) copies(sent uint64, size byteSize) float64 {
	return float64(sent) / (float64(size) * l.wire)
}
