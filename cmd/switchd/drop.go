package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// drop makes the process one of an ordinary user, once it has bound its
// privileged ports.
func (c *serveCmd) drop(ctx context.Context, log *slog.Logger) error {
	if c.User == "" {
		return nil
	}
	uid, gid, err := c.ids()
	if err != nil {
		return err
	}
	// In this order: the last one takes away the right to the others. Go does
	// it for all threads of the process.
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("become user %s: set groups: %w", c.User, err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("become user %s: set group: %w", c.User, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("become user %s: %w", c.User, err)
	}
	log.InfoContext(ctx, "privileges dropped", "user", c.User)
	return nil
}

// ids are those of the user that the process becomes.
func (c *serveCmd) ids() (uid, gid int, err error) {
	u, err := user.Lookup(c.User)
	if err != nil {
		return 0, 0, fmt.Errorf("become user %s: %w", c.User, err)
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("become user %s: %w", c.User, err)
	}
	return uid, gid, nil
}

// makeData makes the data directory, if it isn't there, as one of the user that
// the process becomes.
func (c *serveCmd) makeData() error {
	if _, err := os.Stat(c.Data); err == nil {
		return nil
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if c.User == "" {
		return nil
	}
	uid, gid, err := c.ids()
	if err != nil {
		return err
	}
	if err := os.Chown(c.Data, uid, gid); err != nil {
		return fmt.Errorf("give the data directory to user %s: %w", c.User, err)
	}
	return nil
}
