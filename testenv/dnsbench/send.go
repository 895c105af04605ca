//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// sendCmd runs a sender and prints its outcome as JSON.
type sendCmd struct {
	Server  netip.AddrPort `required:""`
	Set     string         `required:""`
	Names   int            `required:""`
	Cookie  bool
	Rate    int
	Window  int
	Sockets int
	For     time.Duration `required:""`
}

// Run implements a command.
func (c *sendCmd) Run() error {
	out, err := (&sender{
		server: c.Server, questions: questions(c.Set, c.Names), cookie: c.Cookie,
		rate: c.Rate, window: c.Window, sockets: c.Sockets, duration: c.For,
	}).run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// send runs the command on the cores.
func (c *sendCmd) send(ctx context.Context, cpus []int) (outcome, error) {
	var out outcome
	err := child(ctx, cpus, c.For, &out, "send", "--server", c.Server.String(), "--set", c.Set, "--names", strconv.Itoa(c.Names),
		"--cookie="+strconv.FormatBool(c.Cookie), "--rate", strconv.Itoa(c.Rate), "--window", strconv.Itoa(c.Window),
		"--sockets", strconv.Itoa(c.Sockets), "--for", c.For.String())
	if err == nil && out.Answered == 0 {
		err = errors.New("no answer at all")
	}
	return out, err
}

// child runs a command of this program on the cores, or on any, and reads the JSON that
// it prints.
func child(ctx context.Context, cpus []int, d time.Duration, out any, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	argv := append([]string{self}, args...)
	if cpus != nil {
		argv = append(pin(cpus), argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}
