package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds the programs of this checkout into a folder, as users get them:
// static, without cgo.
func Build(ctx context.Context, dir string) (Binaries, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Binaries{}, fmt.Errorf("make the folder of the programs: %w", err)
	}
	module, err := module(ctx)
	if err != nil {
		return Binaries{}, err
	}
	bin := Binaries{filepath.Join(dir, "switchd"), filepath.Join(dir, "agent"), filepath.Join(dir, "app")}
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+string(os.PathSeparator), "./cmd/switchd", "./cmd/agent", "./testenv/app")
	command.Dir = module
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("build switchd, agent and app: %w\n%s", err, out)
	}
	return bin, nil
}

// module is the folder of the checkout.
func module(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "switchd").Output()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w (run this inside of it)", err)
	}
	return string(out[:len(out)-1]), nil
}
