//go:build linux

package clock_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchd/testenv/clock"
)

// tells has the test's own program tell the time instead of testing.
const tells = "SWITCHD_TEST_TELLS_THE_TIME"

func TestMain(m *testing.M) {
	if os.Getenv(tells) == "" {
		os.Exit(m.Run())
	}
	go func() { // The clock is read on another thread all the time, too.
		for {
			_ = time.Now()
		}
	}()
	began := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(time.Now().Unix(), int64(time.Since(began)))
	}
}

func TestShift_SetsOnlyTheTimeOfDayWrong(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), tells+"=1")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, by := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		if by != 0 || lines.Text() != "" {
			if err := clock.Shift(child.Process.Pid, by); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := fmt.Fprintln(in); err != nil {
			t.Fatal(err)
		}
		lines.Scan()
		day, since, _ := strings.Cut(lines.Text(), " ")
		told, err := strconv.ParseInt(day, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Unix(told, 0).Sub(time.Now().Add(by)).Abs(); off > 3*time.Second {
			t.Errorf("shifted by %v, it tells a time that is %v off that", by, off)
		}
		ran, err := strconv.ParseInt(since, 10, 64)
		if err != nil || time.Duration(ran) < 0 || time.Duration(ran) > time.Since(began) {
			t.Errorf("shifted by %v, %v have passed (%v), want what has", by, time.Duration(ran), err)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

func TestShift_SaysWhyNot(t *testing.T) {
	t.Parallel()
	if err := clock.Shift(os.Getpid(), time.Millisecond); err == nil || !strings.Contains(err.Error(), "seconds") {
		t.Errorf("a millisecond: got %v", err)
	}
	const nobody = 1 << 30
	if err := clock.Shift(nobody, time.Hour); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("no such process: got %v", err)
	}
}
