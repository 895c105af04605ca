package main

import (
	"fmt"
	"os/user"
	"strconv"
	"syscall"
)

// drop makes the process one of an ordinary user, once it has bound its
// privileged ports.
func (c *serveCmd) drop() error {
	if c.User == "" {
		return nil
	}
	u, err := user.Lookup(c.User)
	if err != nil {
		return fmt.Errorf("become user %s: %w", c.User, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("become user %s: %w", c.User, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("become user %s: %w", c.User, err)
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
	return nil
}
