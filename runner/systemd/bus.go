package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Names of systemd's D-Bus interface, org.freedesktop.systemd1(5).
const (
	busName      = "org.freedesktop.systemd1"
	managerPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
	propsIface   = "org.freedesktop.DBus.Properties"
)

// noSuchUnit is the error of systemd for a unit that it doesn't know.
const noSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"

// bus is one connection to a service manager. It ends with the context that it
// was made with. Replies and signals share it, so that none overtakes another.
type bus struct {
	conn    *dbus.Conn
	manager dbus.BusObject
	// direct is a connection to the manager itself: there is no bus that
	// filters signals, and all of them come.
	direct     bool
	subscribed bool
}

// dial connects to the service manager at a bus's name or address.
func dial(ctx context.Context, address string) (*bus, error) {
	b, err := connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd at %s: %w; look whether systemd runs there (systemctl status), and whether the agent's user may use it", place(address), err)
	}
	return b, nil
}

func connect(ctx context.Context, address string) (*bus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	open := func(address string) (*bus, error) {
		if strings.HasSuffix(address, "/systemd/private") {
			return private(ctx, address)
		}
		conn, err := dbus.Connect(address, dbus.WithContext(ctx))
		return newBus(conn, false, err)
	}
	switch address {
	case System:
		conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
		b, err := newBus(conn, false, err)
		if err == nil || os.Geteuid() != 0 {
			return b, err
		}
		// A machine without a bus: root may talk to systemd itself.
		b, direct := open("unix:path=/run/systemd/private")
		if direct != nil {
			return nil, errors.Join(err, direct)
		}
		return b, nil
	case User:
		return open("unix:path=" + filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd", "private"))
	}
	return open(address)
}

// private connects to the manager's own socket, on which no one says Hello.
func private(ctx context.Context, address string) (*bus, error) {
	conn, err := dbus.Dial(address, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	// By number: systemd knows no names here.
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return newBus(conn, true, nil)
}

func newBus(conn *dbus.Conn, direct bool, err error) (*bus, error) {
	if err != nil {
		return nil, err
	}
	return &bus{conn: conn, manager: conn.Object(busName, managerPath), direct: direct}, nil
}

func place(address string) string {
	switch address {
	case System:
		return "the system bus"
	case User:
		return "the user's service manager"
	}
	return address
}

func (b *bus) close() {
	b.conn.Close() //nolint:errcheck // Nothing is under way any more.
}

// call calls a method of the manager and stores its answer.
func (b *bus) call(ctx context.Context, method string, answer any, args ...any) error {
	call := b.manager.CallWithContext(ctx, managerIface+"."+method, 0, args...)
	if answer == nil {
		return call.Err
	}
	return call.Store(answer)
}

// reload has the manager read all unit files again.
func (b *bus) reload(ctx context.Context) error {
	if err := b.call(ctx, "Reload", nil); err != nil {
		return fmt.Errorf("have systemd read its units again: %w", err)
	}
	return nil
}

// job runs StartUnit or StopUnit and returns the result of the job that it
// makes: done, canceled, timeout, failed, dependency or skipped.
func (b *bus) job(ctx context.Context, method, unit string) (string, error) {
	removed, err := b.listen(ctx, dbus.WithMatchObjectPath(managerPath), dbus.WithMatchInterface(managerIface), dbus.WithMatchMember("JobRemoved"))
	if err != nil {
		return "", err
	}
	defer b.conn.RemoveSignal(removed)
	var job dbus.ObjectPath
	if err := b.call(ctx, method, &job, unit, "replace"); err != nil {
		return "", err
	}
	for {
		signal, err := b.next(ctx, removed)
		if err != nil {
			return "", err
		}
		var (
			id           uint32
			path         dbus.ObjectPath
			name, result string
		)
		if signal.Name == managerIface+".JobRemoved" && dbus.Store(signal.Body, &id, &path, &name, &result) == nil && path == job {
			return result, nil
		}
	}
}

// listen returns a channel of the signals that match; RemoveSignal ends it.
func (b *bus) listen(ctx context.Context, match ...dbus.MatchOption) (chan *dbus.Signal, error) {
	signals := make(chan *dbus.Signal, 64)
	b.conn.Signal(signals)
	var err error
	if !b.direct {
		err = b.conn.AddMatchSignalContext(ctx, append(match, dbus.WithMatchSender(busName))...)
	}
	if err == nil && !b.subscribed {
		err = b.call(ctx, "Subscribe", nil)
		b.subscribed = err == nil
	}
	if err != nil {
		b.conn.RemoveSignal(signals)
		return nil, fmt.Errorf("subscribe to systemd: %w", err)
	}
	return signals, nil
}

// next returns the next signal.
func (b *bus) next(ctx context.Context, signals <-chan *dbus.Signal) (*dbus.Signal, error) {
	select {
	case signal, ok := <-signals:
		if ok {
			return signal, nil
		}
	case <-b.conn.Context().Done():
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, errGone
}

// errGone is the end of a connection, as at the restart of a bus.
var errGone = errors.New("systemd closed the connection")

func disconnected(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, dbus.ErrClosed)
}

// unit returns what the manager knows of a unit, also of one that isn't there.
func (b *bus) unit(ctx context.Context, name string) (state, dbus.ObjectPath, error) {
	var path dbus.ObjectPath
	if err := b.call(ctx, "LoadUnit", &path, name); err != nil {
		return state{}, "", fmt.Errorf("load unit %s: %w", name, err)
	}
	var props map[string]dbus.Variant
	if err := b.conn.Object(busName, path).CallWithContext(ctx, propsIface+".GetAll", 0, "").Store(&props); err != nil {
		return state{}, "", fmt.Errorf("look at unit %s: %w", name, err)
	}
	return newState(name, props), path, nil
}

// resetFailed has the manager forget that a unit failed.
func (b *bus) resetFailed(ctx context.Context, unit string) error {
	err := b.call(ctx, "ResetFailedUnit", nil, unit)
	var refusal dbus.Error
	if errors.As(err, &refusal) && refusal.Name == noSuchUnit {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reset unit %s: %w", unit, err)
	}
	return nil
}
