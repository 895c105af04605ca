package process

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// checkProgram tells beforehand what the kernel would refuse to execute: a
// binary of another machine, or one whose interpreter is missing.
func checkProgram(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrPermission) {
		return nil // What may be executed need not be readable.
	}
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	interpreter, err := interpreterOf(f)
	if err != nil {
		return explain(path, err)
	}
	if interpreter == "" {
		return nil
	}
	if _, err := os.Stat(interpreter); err != nil {
		return explain(path, err)
	}
	return nil
}

// interpreterOf returns the program that executes f: the one after #!, or the
// dynamic loader; empty for one that needs none. What is no program at all, or
// one for another machine, is ENOEXEC. A #! that is no absolute path starts at
// the service's directory and is left to the kernel.
func interpreterOf(f io.ReaderAt) (string, error) {
	const longest = 256 // BINPRM_BUF_SIZE of the kernel, which reads no more.
	head := make([]byte, longest)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	if script, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		line, _, _ := bufio.NewReader(bytes.NewReader(script)).ReadLine() // Of bytes in memory.
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			return "", syscall.ENOEXEC
		}
		if !strings.HasPrefix(fields[0], "/") {
			return "", nil
		}
		return fields[0], nil
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return "", syscall.ENOEXEC
	}
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	program, err := elf.NewFile(f)
	if err != nil {
		return "", errors.Join(syscall.ENOEXEC, err)
	}
	// A 64-bit kernel may run 32-bit programs too: only what it can't is refused.
	if program.Class == elf.ELFCLASS64 && machine != elf.EM_NONE && program.Machine != machine {
		return "", fmt.Errorf("%w: it is one for %s", syscall.ENOEXEC, program.Machine)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(io.LimitReader(p.Open(), longest))
			return strings.TrimRight(string(name), "\x00"), err
		}
	}
	return "", nil
}

// explain says what the kernel's refusal to execute path means.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s: is no program for this machine; it was built for another one, or is a script without a #! line: %w", path, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: the interpreter or the loader that it asks for is missing on this node: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: may not be executed; look at the modes of its directories and for a noexec mount: %w", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
