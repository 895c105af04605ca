package process

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// account is whom a service runs as. The zero value is the agent's own.
type account struct {
	Set    bool  `json:"set,omitempty"`
	UID    int   `json:"uid,omitempty"`
	GID    int   `json:"gid,omitempty"`
	Groups []int `json:"groups,omitempty"`

	env map[string]string // what a login would set, see environ(7)
}

// lookUp finds the account that "user" or "user:group" names, either of which
// may be a number.
func lookUp(text string) (account, error) {
	if text == "" {
		return account{}, nil
	}
	name, group, grouped := strings.Cut(text, ":")
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if _, numeric := strconv.Atoi(name); errors.As(err, &unknown) && numeric == nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return account{}, fmt.Errorf("user %q: %w; create it on this node, or name another one", text, err)
	}
	a := account{Set: true, env: map[string]string{"HOME": u.HomeDir, "USER": u.Username, "LOGNAME": u.Username}}
	if a.UID, err = strconv.Atoi(u.Uid); err != nil {
		return account{}, fmt.Errorf("user %q: parse its number: %w", text, err)
	}
	if grouped {
		if u.Gid, err = groupID(group); err != nil {
			return account{}, fmt.Errorf("user %q: %w; create the group on this node, or name another one", text, err)
		}
	}
	if a.GID, err = strconv.Atoi(u.Gid); err != nil {
		return account{}, fmt.Errorf("user %q: parse the number of its group: %w", text, err)
	}
	if os.Geteuid() != 0 {
		if a.UID == os.Getuid() && a.GID == os.Getgid() {
			return account{env: a.env}, nil
		}
		return account{}, fmt.Errorf("user %q: only root can run a service as another user: run the agent as root, or leave the user out", text)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return account{}, fmt.Errorf("user %q: list its groups: %w", text, err)
	}
	for _, id := range ids {
		gid, err := strconv.Atoi(id)
		if err != nil {
			return account{}, fmt.Errorf("user %q: parse the number of a group: %w", text, err)
		}
		a.Groups = append(a.Groups, gid)
	}
	return a, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	var unknown user.UnknownGroupError
	if _, numeric := strconv.Atoi(name); errors.As(err, &unknown) && numeric == nil {
		g, err = user.LookupGroupId(name)
	}
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}
