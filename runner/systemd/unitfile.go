package systemd

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"switchd/runner"
)

// The directives of the resource limits, systemd.exec(5).
func limitDirectives() map[string]string {
	return map[string]string{
		"as":      "LimitAS",
		"core":    "LimitCORE",
		"memlock": "LimitMEMLOCK",
		"nofile":  "LimitNOFILE",
		"nproc":   "LimitNPROC",
	}
}

// unitFile is a unit of its own for an instance. program is its command's
// absolute path.
//
// The back-off grows from systemd 254 on; older ones log that they don't know
// RestartSteps, and wait a second each time.
//
// How it ended last goes to the file end, since systemd forgets that at the
// next start.
func unitFile(inst runner.Instance, program, env, end string) (string, error) {
	body, err := service(inst, program, env)
	if err != nil {
		return "", err
	}
	return `# Written by the switchd agent.
[Unit]
Description=` + specifiers(inst.ID+" "+inst.Version) + `
StartLimitIntervalSec=0

` + body + `Type=exec
ExecStopPost=:+-/bin/sh -c "echo $EXIT_CODE $EXIT_STATUS >\"$0\"" ` + quote(end) + `
Restart=on-failure
RestartSec=1s
RestartSteps=5
RestartMaxDelaySec=30s
KillMode=control-group
SendSIGKILL=yes
`, nil
}

// dropIn is what an operator's template gets of an instance: what the release
// says goes over what the template says.
func dropIn(inst runner.Instance, program, env string) (string, error) {
	body, err := service(inst, program, env)
	return "# Written by the switchd agent.\n" + body, err
}

// service is the section of what the release says.
func service(inst runner.Instance, program, env string) (string, error) {
	sig, err := inst.Signal()
	if err != nil {
		return "", err
	}
	for what, text := range map[string]string{"ID": inst.ID, "version": inst.Version, "directory": inst.Dir, "log file": inst.LogFile, "user": inst.User} {
		if !plain(text) {
			return "", fmt.Errorf("its %s %q has a character that a unit can't have", what, text)
		}
	}
	var b strings.Builder
	set := func(name, value string) { b.WriteString(name + "=" + value + "\n") }
	b.WriteString("[Service]\n")
	set("WorkingDirectory", specifiers(inst.Dir))
	set("EnvironmentFile", pattern().Replace(specifiers(env)))
	if program != "" {
		// What is there already, in a template, is taken away. The colon keeps
		// systemd from expanding variables.
		set("ExecStart", "")
		line := []string{":" + quote(program)}
		for _, arg := range inst.Command[1:] {
			if !utf8.ValidString(arg) || strings.ContainsRune(arg, 0) {
				return "", fmt.Errorf("the argument %q is not UTF-8 text, which a unit needs", arg)
			}
			line = append(line, quote(arg))
		}
		set("ExecStart", strings.Join(line, " "))
	}
	if inst.LogFile != "" {
		set("StandardOutput", "append:"+specifiers(inst.LogFile))
		set("StandardError", "append:"+specifiers(inst.LogFile))
	}
	if user, group, grouped := strings.Cut(inst.User, ":"); user != "" {
		set("User", specifiers(user))
		if grouped {
			set("Group", specifiers(group))
		}
	}
	directives := limitDirectives()
	for _, name := range slices.Sorted(maps.Keys(inst.Limits)) {
		directive, ok := directives[name]
		if !ok {
			return "", fmt.Errorf("limit %q is unknown: use one of %s", name, strings.Join(slices.Sorted(maps.Keys(directives)), ", "))
		}
		set(directive, limit(inst.Limits[name]))
	}
	set("KillSignal", unix.SignalName(sig))
	set("TimeoutStopSec", microseconds(inst.StopGrace))
	return b.String(), nil
}

// stopDropIn is what Stop adds when it is asked for another way of stopping
// than the one that is loaded.
func stopDropIn(sig unix.Signal, grace time.Duration) string {
	return "# Written by the switchd agent for one stop.\n[Service]\nKillSignal=" + unix.SignalName(sig) + "\nTimeoutStopSec=" + microseconds(grace) + "\n"
}

func limit(value uint64) string {
	if value == math.MaxUint64 {
		return "infinity"
	}
	return strconv.FormatUint(value, 10)
}

// microseconds writes a grace. To systemd, zero would be forever.
func microseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Microseconds(), 1), 10) + "us"
}

// plain tells whether a directive can hold s unquoted.
func plain(s string) bool {
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unicode.IsControl) && !strings.HasSuffix(s, `\`)
}

// specifiers keeps systemd from expanding the percent signs in s.
func specifiers(s string) string {
	return strings.ReplaceAll(s, "%", "%%")
}

// pattern keeps systemd from taking a path for a pattern, glob(7).
func pattern() *strings.Replacer {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
}

// quote writes a word of a command line, systemd.service(5).
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range specifiers(s) {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
