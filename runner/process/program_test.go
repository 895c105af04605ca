package process

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestInterpreterOf_KnowsWhatTheKernelExecutes(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	foreign := bytes.Clone(own)
	binary.NativeEndian.PutUint16(foreign[18:], uint16(elf.EM_S390)) // e_machine
	for name, test := range map[string]struct {
		text []byte
		want string
		err  error
	}{
		"script":            {[]byte("#! /bin/sh -e\necho"), "/bin/sh", nil},
		"script without":    {[]byte("#!\n"), "", syscall.ENOEXEC},
		"relative":          {[]byte("#!bin/sh\n"), "", nil},
		"text":              {[]byte("echo hello\n"), "", syscall.ENOEXEC},
		"empty":             {nil, "", syscall.ENOEXEC},
		"torn":              {own[:40], "", syscall.ENOEXEC},
		"of this machine":   {own, loader(t, own), nil},
		"of another one":    {foreign, "", syscall.ENOEXEC},
		"nothing but magic": {[]byte(elf.ELFMAG), "", syscall.ENOEXEC},
	} {
		got, err := interpreterOf(bytes.NewReader(test.text))
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v, want %q, %v", name, got, err, test.want, test.err)
		}
	}
}

func loader(t *testing.T, text []byte) string {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if section := f.Section(".interp"); section != nil {
		name, err := section.Data()
		if err != nil {
			t.Fatal(err)
		}
		return string(bytes.TrimRight(name, "\x00"))
	}
	return ""
}

func FuzzInterpreterOf(f *testing.F) {
	own, err := os.ReadFile("/bin/true")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{own[:4096], []byte("#!/bin/sh"), []byte("\x7fELF"), {}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		name, err := interpreterOf(bytes.NewReader(text))
		if err != nil && name != "" || len(name) > 256 {
			t.Errorf("%.40q gives %q, %v", text, name, err)
		}
	})
}
