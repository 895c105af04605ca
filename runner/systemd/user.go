package systemd

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"switchd/runner"
)

// checkUser looks the user and the group of the instance up: systemd would do
// so only when it is too late.
func checkUser(inst runner.Instance, manager string) error {
	name, group, grouped := strings.Cut(inst.User, ":")
	if inst.User == "" {
		return nil
	}
	if manager == User {
		return fmt.Errorf("user %q: a user's service manager can't run anything as another one", inst.User)
	}
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		if _, err := user.Lookup(name); err != nil {
			return fmt.Errorf("user %q: %w; create it on this node, or change user in the spec", inst.User, err)
		}
	}
	if !grouped {
		return nil
	}
	if _, err := strconv.ParseUint(group, 10, 32); err != nil {
		if _, err := user.LookupGroup(group); err != nil {
			return fmt.Errorf("user %q: %w; create it on this node, or change user in the spec", inst.User, err)
		}
	}
	return nil
}
