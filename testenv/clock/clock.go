//go:build linux

// Package clock sets the clock of one process wrong, for tests of what depends
// on it: that process alone takes it to be another time of day, from one
// instruction to the next, as after a step of its machine's clock. Clocks that
// count from the boot go on as they were.
//
// The kernel has no such thing (time namespaces shift only the clocks that
// count from the boot), and libfaketime needs a libc. But every process has a
// copy of its own of the vDSO, which is where programs, those in Go too, read
// the clock (vdso(7)). Its clock_gettime is replaced by a call of the kernel
// and an addition.
package clock

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds the wait for a moment in which no thread reads the clock.
const patience = 5 * time.Second

// Shift sets the time of day of a running process wrong by an offset, to the
// second, up to 68 years. A second call replaces the first. Programs that the
// process starts have the right time again. It takes the right to trace the
// process (ptrace(2)), which root has.
func Shift(pid int, by time.Duration) error {
	if err := shift(pid, by); err != nil {
		return fmt.Errorf("set the clock of process %d wrong: %w", pid, err)
	}
	return nil
}

func shift(pid int, by time.Duration) error {
	seconds := int64(by / time.Second)
	if seconds != int64(int32(seconds)) || by%time.Second != 0 {
		return fmt.Errorf("%v is no whole number of seconds up to %d", by, math.MaxInt32)
	}
	code, err := gettime(int32(seconds))
	if err != nil {
		return err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open its memory: %w", err)
	}
	defer func() { _ = memory.Close() }()
	at, err := find(pid, memory)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Kill(pid, unix.SIGCONT) }()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err := stop(pid); err != nil {
			return err
		}
		inside, err := reads(pid, at)
		if err != nil {
			return err
		}
		if !inside {
			if _, err := memory.WriteAt(code, int64(at.start)); err != nil { //nolint:gosec // A user's address is below 1<<63.
				return fmt.Errorf("write to its vDSO: %w", err)
			}
			return nil
		}
		if err := unix.Kill(pid, unix.SIGCONT); err != nil {
			return fmt.Errorf("let it go on: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("it reads the clock all the time")
}

// gettime is the machine code of clock_gettime(2) with an offset, in seconds,
// of CLOCK_REALTIME, which is clock 0.
func gettime(seconds int32) ([]byte, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("this is not written for %s", runtime.GOARCH)
	}
	code := []byte{
		0xb8, unix.SYS_CLOCK_GETTIME, 0, 0, 0, // mov eax, clock_gettime
		0x0f, 0x05, //                            syscall
		0x85, 0xff, //                            test edi, edi: which clock
		0x75, 0x07, //                            jne over the addition
		0x48, 0x81, 0x06, //                      add qword [rsi], seconds
	}
	code = binary.LittleEndian.AppendUint32(code, uint32(seconds)) //nolint:gosec // Two's complement is meant.
	return append(code, 0xc3), nil                                 // ret
}

// span is where code lies in a process.
type span struct{ start, end uint64 }

// find finds clock_gettime in the vDSO of a process.
func find(pid int, memory io.ReaderAt) (span, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return span{}, fmt.Errorf("find its vDSO: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		var area span
		if _, err := fmt.Sscanf(line, "%x-%x", &area.start, &area.end); err != nil {
			return span{}, fmt.Errorf("find its vDSO in %q: %w", line, err)
		}
		image := make([]byte, area.end-area.start)
		if _, err := memory.ReadAt(image, int64(area.start)); err != nil { //nolint:gosec // A user's address is below 1<<63.
			return span{}, fmt.Errorf("read its vDSO: %w", err)
		}
		return symbol(image, area.start)
	}
	return span{}, errors.New("it has no vDSO")
}

// symbol finds clock_gettime in the image of a vDSO, which begins at base.
func symbol(image []byte, base uint64) (span, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return span{}, fmt.Errorf("read its vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return span{}, fmt.Errorf("read its vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return span{base + s.Value, base + s.Value + s.Size}, nil
		}
	}
	return span{}, errors.New("its vDSO has no __vdso_clock_gettime")
}

// stop stops a process and waits until all its threads have stopped.
func stop(pid int) error {
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return fmt.Errorf("stop it: %w", err)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		running := false
		err := threads(pid, func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, "stat"))
			// The state follows the name, which may have anything in it.
			state := bytes.LastIndexByte(text, ')') + 2
			running = running || err == nil && state < len(text) && !bytes.ContainsRune([]byte("TtZX"), rune(text[state]))
			return nil
		})
		if err != nil || !running {
			return err
		}
	}
	return errors.New("it does not stop")
}

// reads tells whether a thread of a stopped process is in the code, where
// something else must not be written under it.
func reads(pid int, code span) (bool, error) {
	inside := false
	err := threads(pid, func(dir string) error {
		file, err := os.Open(filepath.Join(dir, "syscall"))
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		line := bufio.NewScanner(file)
		line.Scan()
		// The last field is the program counter, see proc_pid_syscall(5).
		fields := strings.Fields(line.Text())
		if len(fields) < 2 {
			return nil // It has ended.
		}
		var at uint64
		if _, err := fmt.Sscanf(fields[len(fields)-1], "0x%x", &at); err != nil {
			return fmt.Errorf("read where a thread is in %q: %w", line.Text(), err)
		}
		inside = inside || at >= code.start && at < code.end
		return nil
	})
	return inside, err
}

// threads visits the folders of a process's threads in /proc.
func threads(pid int, visit func(dir string) error) error {
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(dirs) == 0 {
		return errors.Join(err, os.ErrProcessDone)
	}
	for _, dir := range dirs {
		if err := visit(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("look at its threads: %w", err)
		}
	}
	return nil
}
