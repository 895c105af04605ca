package process

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

func TestOutput_LosesNothingThatADiskTakes(t *testing.T) {
	t.Parallel()
	var disk bytes.Buffer
	text := strings.Repeat("all work and no play\n", 100_000)
	o := capture(strings.NewReader(text), &disk)
	<-o.done
	if disk.String() != text || o.why() != "" {
		t.Errorf("%d of %d bytes arrived, why: %q", disk.Len(), len(text), o.why())
	}
}

// fullDisk takes nothing until it has room.
type fullDisk struct {
	bytes.Buffer

	full bool
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.full {
		return 0, errors.New("no space left")
	}
	return d.Buffer.Write(p)
}

func TestOutput_CountsWhatAFullDiskRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		disk := &fullDisk{full: true}
		o := capture(r, disk)
		io.WriteString(w, "lost\n") //nolint:errcheck // The log is looked at.
		synctest.Wait()
		if got, want := o.why(), "5 bytes of its output were dropped, last: no space left"; got != want {
			t.Errorf("why is %q, want %q", got, want)
		}
		disk.full = false
		io.WriteString(w, "kept\n") //nolint:errcheck // The log is looked at.
		w.Close()                   //nolint:errcheck // Never fails.
		<-o.done
		if got, want := disk.String(), "\nswitchd: 5 bytes of output were dropped here: no space left\nkept\n"; got != want {
			t.Errorf("log is %q, want %q", got, want)
		}
	})
}

// hangingDisk takes nothing, and does not say so, until it is let go.
type hangingDisk struct{ released chan struct{} }

func (d hangingDisk) Write(p []byte) (int, error) {
	<-d.released
	return len(p), nil
}

func TestOutput_DoesNotWaitForADiskThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		disk := hangingDisk{make(chan struct{})}
		o := capture(r, disk)
		const all = 4 * chunks * chunkSize
		for range all / chunkSize {
			w.Write(make([]byte, chunkSize)) //nolint:errcheck // A hang is what would fail.
		}
		synctest.Wait()
		if got, want := o.dropped.Load(), int64(all-chunks*chunkSize); got != want {
			t.Errorf("dropped %d bytes, want %d", got, want)
		}
		w.Close() //nolint:errcheck // Never fails.
		close(disk.released)
		<-o.done
	})
}
