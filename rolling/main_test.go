package rolling_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/runner/process"
)

// appVar names the sample app's program to the tests.
const appVar = "ROLLING_TEST_APP"

// shimArg makes this program a shim of the services that the tests run.
const shimArg = "shim"

// TestMain builds the sample app once. The tests mostly wait for Consul's
// health checks, so more of them run at a time than there are cores.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == shimArg {
		os.Exit(process.Shim(context.Background()))
	}
	dir, err := os.MkdirTemp("", "rolling-app")
	if err != nil {
		panic(err)
	}
	if err := buildApp(filepath.Join(dir, "app")); err != nil {
		panic(err)
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "6"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir) // a temporary folder
		os.Exit(code)
	}))
}

func buildApp(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "switchd/testenv/app")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the sample app: %w\n%s", err, out)
	}
	return os.Setenv(appVar, path)
}
