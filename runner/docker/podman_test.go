package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// engine is a podman service with a storage of its own.
type engine struct {
	dir   string
	ended <-chan error
	stop  func() error
}

// started is the engine that all tests use.
var started = sync.OnceValues(startEngine)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for the engine, not for a CPU. Fuzzing would get as many
	// workers.
	if flag.Lookup("test.fuzz").Value.String() == "" {
		if err := flag.Set("test.parallel", "6"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"), goleak.Cleanup(func(code int) {
		if e, err := started(); err == nil {
			if err := e.end(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		os.Exit(code)
	}))
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	e, err := started()
	if err != nil {
		t.Fatalf("start podman: %v; this needs root and Debian's packages podman and runc", err)
	}
	return e
}

func (e *engine) socket() string { return "unix://" + e.path("podman.sock") }

func (e *engine) path(name string) string { return filepath.Join(e.dir, name) }

// podman is a command on the engine's storage.
func (e *engine) podman(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "podman", append([]string{
		"--root", e.path("root"), "--runroot", e.path("run"), "--tmpdir", e.path("tmp"),
		"--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
	}, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+e.path("containers.conf"))
	return cmd
}

func startEngine() (*engine, error) {
	dir, err := os.MkdirTemp("", "switchd-podman-")
	if err != nil {
		return nil, err
	}
	e := &engine{dir: dir}
	if err := e.start(); err != nil {
		return nil, errors.Join(err, e.end())
	}
	return e, nil
}

func (e *engine) start() error {
	// A machine without CAP_SYS_RESOURCE can't raise limits, as podman does by
	// itself; nor has every one a journal.
	conf := "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\nlog_driver = \"k8s-file\"\n"
	if err := os.WriteFile(e.path("containers.conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	output, err := os.Create(e.path("service.log"))
	if err != nil {
		return err
	}
	defer output.Close() //nolint:errcheck // Nothing was written through it.
	cmd := e.podman(context.Background(), "system", "service", "--time", "0", e.socket())
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begun, ended := make(chan error), make(chan error, 1)
	go func() {
		// The death signal is sent when the thread that has started it ends.
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			begun <- err
			return
		}
		begun <- nil
		ended <- cmd.Wait()
	}()
	if err := <-begun; err != nil {
		return err
	}
	e.ended, e.stop = ended, func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return e.ready()
}

func (e *engine) ready() error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("unix", e.path("podman.sock")) //nolint:noctx // Answers at once.
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-e.ended:
			e.stop = nil
			log, _ := os.ReadFile(e.path("service.log")) // The rest says enough.
			return fmt.Errorf("it ended: %w: %s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

func (e *engine) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	if e.stop != nil {
		if out, err := e.podman(ctx, "rm", "--all", "--force", "--time", "0").CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("remove containers: %w: %s", err, out))
		}
		errs = append(errs, e.stop())
		<-e.ended //nolint:errcheck // Its status is that of the signal.
	}
	return errors.Join(append(errs, os.RemoveAll(e.dir))...)
}

// root is the file system of the test's image as an archive without its end: a
// shell and a few programs of this machine with the libraries that they need.
var root = sync.OnceValues(func() ([]byte, error) {
	files := map[string]string{"etc/passwd": "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", "etc/group": "root:x:0:\nnogroup:x:65534:\n"}
	programs := map[string]bool{}
	for _, name := range []string{"sh", "sleep", "setsid", "id"} {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, err
		}
		libraries, err := exec.Command("ldd", path).Output()
		if err != nil {
			return nil, fmt.Errorf("ldd %s: %w", path, err)
		}
		for _, library := range regexp.MustCompile(`/[^ ]+`).FindAllString(string(libraries), -1) {
			programs[library] = true
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files["bin/"+name] = string(text)
	}
	for path := range programs {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files[path[1:]] = string(text)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, text := range files {
		if err := add(w, name, text); err != nil {
			return nil, err
		}
	}
	err := w.Flush()
	return archive.Bytes(), err
})

func add(w *tar.Writer, name, text string) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err := w.Write([]byte(text))
	return err
}

// writeArchive writes the image as docker save does, under names. It has a
// layer of its own: see Runtime.images, which the tests' values don't share.
func writeArchive(t *testing.T, path string, names ...string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := root()
	must(err)
	var made bytes.Buffer
	w := tar.NewWriter(&made)
	must(errors.Join(add(w, "made", path), w.Close()))
	sum := sha256.New()
	sum.Write(files)
	sum.Write(made.Bytes())
	config := asJSON(t, map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum.Sum(nil))}},
	})
	digest := sha256.Sum256(config)
	configName := hex.EncodeToString(digest[:]) + ".json"
	manifest := asJSON(t, []any{map[string]any{"Config": configName, "RepoTags": names, "Layers": []string{"layer.tar"}}})
	archive, err := os.Create(path)
	must(err)
	w = tar.NewWriter(archive)
	must(errors.Join(
		add(w, configName, string(config)), add(w, "manifest.json", string(manifest)),
		w.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: int64(len(files) + made.Len())}),
	))
	for _, part := range [][]byte{files, made.Bytes()} {
		_, err := w.Write(part)
		must(err)
	}
	must(errors.Join(w.Close(), archive.Close()))
}

func asJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
