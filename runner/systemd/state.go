package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"switchd/runner"
)

// How a process ended, waitid(2).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// state is what systemd says of a unit, by the names of its properties in
// org.freedesktop.systemd1(5).
type state struct {
	unit             string
	loadState        string
	loadError        string
	needDaemonReload bool
	activeState      string
	subState         string
	result           string
	restarts         uint32
	exitCode         int32 // cldExited, cldKilled or cldDumped
	exitStatus       int32
	killSignal       int32
	timeoutStop      time.Duration
}

func newState(unit string, props map[string]dbus.Variant) state {
	s := state{
		unit:             unit,
		loadState:        property[string](props, "LoadState"),
		needDaemonReload: property[bool](props, "NeedDaemonReload"),
		activeState:      property[string](props, "ActiveState"),
		subState:         property[string](props, "SubState"),
		result:           property[string](props, "Result"),
		restarts:         property[uint32](props, "NRestarts"),
		exitCode:         property[int32](props, "ExecMainCode"),
		exitStatus:       property[int32](props, "ExecMainStatus"),
		killSignal:       property[int32](props, "KillSignal"),
		timeoutStop:      time.Duration(property[uint64](props, "TimeoutStopUSec")) * time.Microsecond,
	}
	if loadError := property[[]any](props, "LoadError"); len(loadError) == 2 {
		s.loadError, _ = loadError[1].(string)
	}
	return s
}

func property[T any](props map[string]dbus.Variant, name string) T {
	value, _ := props[name].Value().(T)
	return value
}

// ended tells whether nothing of the unit is there, nor will be by itself.
func (s state) ended() bool {
	return s.activeState == "inactive" || s.activeState == "failed" || s.activeState == ""
}

// tried tells whether a unit whose start failed did execute its command and is
// going to do so again.
func (s state) tried() bool {
	return !s.ended() && (s.result == "signal" || s.result == "core-dump" || s.result == "exit-code" && !isOwnStatus(s.exitStatus))
}

// loaded is an error that says why the unit can't be started, if it can't.
func (s state) loaded() error {
	if s.loadState == "loaded" {
		return nil
	}
	why := s.loadError
	if why == "" {
		why = "it is " + s.loadState
	}
	return fmt.Errorf("systemd can't load unit %s: %s; systemctl status '%s' and the journal say more", s.unit, why, s.unit)
}

// status is that of the unit, whose last end the file end tells, if there was
// one.
func (s state) status(end string) (runner.Status, error) {
	status := runner.Status{Running: !s.ended(), Restarts: int(s.restarts), Why: s.why()}
	if s.ended() || s.restarts == 0 || s.exitCode != 0 {
		return status, nil
	}
	text, err := os.ReadFile(filepath.Clean(end))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return status, fmt.Errorf("read how the unit ended: %w", err)
	}
	how, code, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	switch how {
	case "exited":
		status.Why = join("exit status "+code, status.Why)
	case "killed", "dumped":
		status.Why = join("killed by SIG"+code, status.Why)
	}
	return status, nil
}

// why says how the main process ended last, and what systemd makes of it.
func (s state) why() string {
	// systemd forgets the rest of a unit that hasn't failed.
	if s.activeState == "inactive" {
		return "ended without a failure"
	}
	var last string
	switch s.exitCode {
	case cldExited:
		last = fmt.Sprintf("exit status %d", s.exitStatus)
		if meaning := ownStatus(s.exitStatus); meaning != "" {
			last += ", " + meaning
		}
	case cldKilled, cldDumped:
		last = "killed by " + unix.SignalName(unix.Signal(s.exitStatus))
	}
	if s.result != "" && s.result != "success" && s.result != "exit-code" && s.result != "signal" {
		last = join(last, "systemd says "+s.result)
	}
	if s.restarts > 0 {
		last = join(last, fmt.Sprintf("restarted %d times", s.restarts))
	}
	if s.subState == "auto-restart" {
		last = join(last, "waits for its next start")
	}
	return last
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// isOwnStatus tells whether systemd itself sets this exit status, when it can't
// execute the command, systemd.exec(5).
func isOwnStatus(status int32) bool {
	return status >= 200 && status <= 245
}

// ownStatus says what the best known of them mean.
func ownStatus(status int32) string {
	switch status {
	case 200:
		return "the directory of the release can't be entered"
	case 203:
		return "the command can't be executed"
	case 205:
		return "a resource limit can't be set"
	case 209:
		return "the log can't be opened"
	case 216, 217:
		return "the user or group is unknown"
	}
	return ""
}
