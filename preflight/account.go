package preflight

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// account checks that a user, or user:group, exists and that the agent may
// start something as such.
func account(name string, root bool) Finding {
	f := Finding{What: "user " + name, Need: "to exist"}
	login, group, grouped := strings.Cut(name, ":")
	if _, err := user.Lookup(login); err != nil && !numberOfOne(login, user.LookupId) {
		return absent(f, err, "useradd --system --no-create-home --shell /usr/sbin/nologin "+login)
	}
	if grouped {
		if _, err := user.LookupGroup(group); err != nil && !numberOfOne(group, user.LookupGroupId) {
			return absent(f, err, "groupadd --system "+group)
		}
	}
	if me, err := user.Current(); !root && (err != nil || me.Username != login && me.Uid != login) {
		f.Level, f.Have = Missing, "the agent may not start anything as another user"
		f.Need = "CAP_SETUID and CAP_SETGID"
		f.Fix = "in the [Service] section of the agent's unit: User=root"
		return f
	}
	return ok(f.What, "exists")
}

// numberOfOne tells whether a name is the number of somebody.
func numberOfOne[T any](name string, lookup func(string) (T, error)) bool {
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		return false
	}
	_, err := lookup(name)
	return err == nil
}

func absent(f Finding, err error, fix string) Finding {
	_, noUser := errors.AsType[user.UnknownUserError](err)
	_, noGroup := errors.AsType[user.UnknownGroupError](err)
	if !noUser && !noGroup {
		return untold(f.What, f.Need, fix, err)
	}
	f.Level, f.Have, f.Fix = Missing, fmt.Sprintf("there is none: %v", err), fix
	return f
}
