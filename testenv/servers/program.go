package servers

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// program says how one server is built and how it tells its version.
type program struct {
	name string
	// dir is the folder of the pinned module, from the checkout's root.
	dir string
	// module is required in dir's go.mod at the pinned version.
	module string
	// pkg is the main package.
	pkg  string
	tags string
	// stamp is the variable that gets the version at link time; empty when
	// the module carries its version itself.
	stamp string
	// release turns the module's version into the one that the server tells.
	release func(module string) (string, error)
	// versionArg makes the server print its version.
	versionArg string
	// minimum is the oldest version on PATH that is good enough.
	minimum string
	// took is how long a build takes on two cores, for the progress line.
	took string
	// bench tells that only a bench needs it: Names leaves it out.
	bench bool
}

const prometheusVersion = "github.com/prometheus/common/version.Version"

func programs() []program {
	return []program{{
		name:       Consul,
		dir:        "testenv/servers/consul",
		module:     "github.com/hashicorp/consul",
		pkg:        "github.com/hashicorp/consul",
		release:    sameVersion,
		versionArg: "version",
		minimum:    "1.20.0",
		took:       "4 minutes",
	}, {
		name:       Prometheus,
		dir:        "testenv/servers/prometheus",
		module:     "github.com/prometheus/prometheus",
		pkg:        "github.com/prometheus/prometheus/cmd/prometheus",
		tags:       "remove_all_sd,enable_consul_sd",
		stamp:      prometheusVersion,
		release:    prometheusRelease,
		versionArg: "--version",
		minimum:    "3.0.0",
		took:       "2 minutes",
	}, {
		name:       Alertmanager,
		dir:        "testenv/servers/alertmanager",
		module:     "github.com/prometheus/alertmanager",
		pkg:        "github.com/prometheus/alertmanager/cmd/alertmanager",
		stamp:      prometheusVersion,
		release:    sameVersion,
		versionArg: "--version",
		minimum:    "0.27.0",
		took:       "1 minute",
	}, {
		name:       Promtool,
		dir:        "testenv/servers/prometheus",
		module:     "github.com/prometheus/prometheus",
		pkg:        "github.com/prometheus/prometheus/cmd/promtool",
		tags:       "remove_all_sd,enable_consul_sd", // as Prometheus, whose build it shares
		stamp:      prometheusVersion,
		release:    prometheusRelease,
		versionArg: "--version",
		minimum:    "3.0.0",
		took:       "1 minute",
	}, {
		name:       CoreDNS,
		dir:        "testenv/servers/coredns",
		module:     "github.com/coredns/coredns",
		pkg:        "github.com/coredns/coredns",
		release:    sameVersion,
		versionArg: "-version",
		minimum:    "1.12.0",
		took:       "2 minutes",
		bench:      true,
	}}
}

// sameVersion is the release of a module that is tagged as it is released.
func sameVersion(module string) (string, error) {
	if !semver.IsValid(module) {
		return "", fmt.Errorf("%q is no version", module)
	}
	return strings.TrimPrefix(module, "v"), nil
}

// prometheusRelease undoes how Prometheus tags its module: release 3.15.0 is
// v0.315.0, so that its Go API stays v0.
func prometheusRelease(module string) (string, error) {
	match := regexp.MustCompile(`^v0\.([1-9])(\d\d)\.(\d+)$`).FindStringSubmatch(module)
	if match == nil {
		return "", fmt.Errorf("%q is no version of Prometheus's module", module)
	}
	// The minor version is padded to two digits.
	minor := strings.TrimPrefix(match[2], "0")
	return match[1] + "." + minor + "." + match[3], nil
}

// versionTimeout bounds how long a program may take to print its version.
const versionTimeout = 20 * time.Second

// versionOf runs the program at path and returns the version that it prints.
func (p program) versionOf(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, p.versionArg)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w", path, p.versionArg, err)
	}
	version, err := parseVersion(string(out))
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w", path, p.versionArg, err)
	}
	return version, nil
}

// parseVersion finds the version in lines such as "Consul v1.22.7" and
// "prometheus, version 3.15.0 (branch: , revision: unknown)".
func parseVersion(out string) (string, error) {
	line, _, _ := strings.Cut(out, "\n")
	match := regexp.MustCompile(`\bv?(\d+\.\d+\.\d+\S*)`).FindStringSubmatch(line)
	if match == nil || !semver.IsValid("v"+match[1]) {
		return "", errors.New("it printed no version")
	}
	return match[1], nil
}
