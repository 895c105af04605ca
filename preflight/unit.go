package preflight

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"
)

// unit is what systemd knows of the agent's unit.
type unit struct {
	name     string // empty: there is none
	known    bool   // what follows was read from systemd
	killMode string
	limits   limits
	err      error // why nothing was read
}

// askUnit reads the agent's unit from systemd.
func askUnit(ctx context.Context, name string) unit {
	if name == "" {
		cgroup, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			return unit{err: fmt.Errorf("read the control group: %w", err)}
		}
		if name = unitOf(string(cgroup)); name == "" {
			return unit{}
		}
	}
	u := unit{name: name}
	ctx, cancel := context.WithTimeout(ctx, unitTimeout)
	defer cancel()
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		u.err = fmt.Errorf("ask systemd: %w", err)
		return u
	}
	defer conn.Close()
	loaded, err := conn.GetUnitPropertyContext(ctx, name, "LoadState")
	if err != nil {
		u.err = fmt.Errorf("ask systemd for %s: %w", name, err)
		return u
	}
	if state, _ := loaded.Value.Value().(string); state != "loaded" {
		u.err = fmt.Errorf("systemd has no unit %s (it is %q)", name, state)
		return u
	}
	properties, err := conn.GetUnitTypePropertiesContext(ctx, name, "Service")
	if err != nil {
		u.err = fmt.Errorf("ask systemd for %s: %w", name, err)
		return u
	}
	return unitFrom(name, properties)
}

// unitFrom reads the properties of org.freedesktop.systemd1.Service.
func unitFrom(name string, properties map[string]any) unit {
	text := func(property string) string { v, _ := properties[property].(string); return v }
	number := func(property string) uint64 { v, _ := properties[property].(uint64); return v }
	root := text("User") == "" || text("User") == "root" || text("User") == "0"
	held := number("AmbientCapabilities")
	if root {
		held = number("CapabilityBoundingSet")
	}
	return unit{
		name: name, known: true, killMode: text("KillMode"),
		limits: limits{
			whose: name, files: number("LimitNOFILE"), lock: number("LimitMEMLOCKSoft"),
			mayLock: held&(1<<unix.CAP_IPC_LOCK) != 0,
			root:    held&(1<<unix.CAP_SETUID) != 0 && held&(1<<unix.CAP_SETGID) != 0,
		},
	}
}

// unitOf returns the service that a process belongs to by its control groups,
// as cgroups(7) describes /proc/<pid>/cgroup: hierarchy:controllers:path. On a
// machine with both versions the unit is in the hierarchy of systemd.
func unitOf(cgroup string) string {
	found := ""
	for line := range strings.Lines(cgroup) {
		parts := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(parts) != 3 || parts[1] != "" && parts[1] != "name=systemd" {
			continue
		}
		for dir := parts[2]; dir != "/" && dir != "." && dir != ""; dir = path.Dir(dir) {
			// A manager of a user's units is a service, and its units aren't ours.
			if name := path.Base(dir); strings.HasSuffix(name, ".service") && !strings.HasPrefix(name, "user@") {
				found = name
				break
			}
		}
		if found != "" {
			break
		}
	}
	return found
}

// supervision tells whether what the agent started outlives it.
func supervision(u unit) Finding {
	f := Finding{
		What: "services outlive the agent", Need: "KillMode=process, so that a restart of the agent leaves services alone",
		Fix: "in the [Service] section of the agent's unit: KillMode=process",
	}
	switch {
	case u.err != nil:
		return untold(f.What, f.Need, f.Fix, u.err)
	case u.name == "":
		f.Level = Warning
		f.Have = "this is no unit of systemd, and none was named"
		f.Fix = "run the agent as a unit with KillMode=process, or have whatever supervises it end the agent's process only"
		return f
	}
	f.Have = fmt.Sprintf("KillMode=%s (%s)", u.killMode, u.name)
	if u.killMode == "process" || u.killMode == "none" {
		return ok(f.What, f.Have)
	}
	f.Level = Missing
	return f
}
