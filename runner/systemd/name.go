package systemd

import (
	"errors"
	"fmt"
	"strings"

	"switchd/runner"
)

// ownTemplate is the prefix of the units that no operator's template is for.
const ownTemplate = "switchd"

// maxUnitName is the longest name of a unit in bytes: those of its files have
// a few more, and a name of a file has 255 at most, as systemd's units.
const maxUnitName = 250

// unitName returns the unit that runs an instance: the version is part of its
// name, so that the next one can be loaded while this one runs. For web-blue
// 1.4.2 it is switchd@web\x2dblue:1.4.2.service, in which %I is web-blue:1.4.2.
func unitName(inst runner.Instance) (string, error) {
	switch {
	case inst.ID == "":
		return "", errors.New("the instance has no ID")
	case inst.Version == "":
		return "", errors.New("the instance has no version")
	}
	prefix := ownTemplate
	if template := inst.Settings[unitSetting]; template != "" {
		var instance string
		var ok bool
		if prefix, instance, ok = splitUnit(template); !ok || instance != "" {
			return "", fmt.Errorf("unit %q is no template: use a name such as %q, of a unit that is installed on each node", template, "web@.service")
		}
	}
	name := prefix + "@" + instancePrefix(inst) + strings.ReplaceAll(escape(inst.Version), ":", `\x3a`) + ".service"
	if len(name) > maxUnitName {
		return "", fmt.Errorf("the name of its unit, %s, would be longer than %d bytes; shorten the names of service or version", name, maxUnitName)
	}
	return name, nil
}

// instancePrefix is what the names of all versions' units have after the @.
func instancePrefix(inst runner.Instance) string {
	return escape(inst.ID) + ":"
}

// isOf tells whether a unit runs some version of the instance.
func isOf(unit string, inst runner.Instance) bool {
	_, instance, ok := splitUnit(unit)
	version, of := strings.CutPrefix(instance, instancePrefix(inst))
	return ok && of && version != "" && !strings.Contains(version, ":")
}

// splitUnit splits prefix@instance.service.
func splitUnit(name string) (prefix, instance string, ok bool) {
	name, isService := strings.CutSuffix(name, ".service")
	prefix, instance, isTemplate := strings.Cut(name, "@")
	return prefix, instance, isService && isTemplate && valid(prefix) && (instance == "" || valid(instance))
}

// valid tells whether systemd takes s as a part of a unit's name,
// systemd.unit(5).
func valid(s string) bool {
	return s != "" && strings.Trim(s, letters+digits+`:-_.\`) == "" && !strings.HasPrefix(s, ".")
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// escape writes s as systemd-escape(1) does.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/':
			b.WriteByte('-')
		case strings.IndexByte(letters+digits+":_", c) >= 0 || c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}
