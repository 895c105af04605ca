package docker

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"switchd/runner"
	"switchd/runner/environ"
	"switchd/runner/program"
)

// networkSetting names the network in Instance.Settings.
const networkSetting = "network"

// check finds out what would keep a container of the instance from starting,
// as far as that can be known without one.
func check(inst runner.Instance) error {
	switch {
	case inst.ID == "":
		return errors.New("the instance has no ID")
	case inst.Version == "":
		return errors.New("the instance has no version")
	case !filepath.IsAbs(inst.Dir):
		return fmt.Errorf("its directory %q is no absolute path", inst.Dir)
	}
	if _, err := inst.Signal(); err != nil {
		return err
	}
	if _, err := ulimits(inst.Limits); err != nil {
		return err
	}
	if ofRelease(inst) {
		_, err := program.Released(inst.Dir, inst.Command[0])
		return err
	}
	return nil
}

// ofRelease tells whether the command is a file of the release and not of the
// image.
func ofRelease(inst runner.Instance) bool {
	return len(inst.Command) > 0 && strings.Contains(inst.Command[0], "/") && !filepath.IsAbs(inst.Command[0])
}

// options are those of the container of an instance.
func options(inst runner.Instance, image string) (client.ContainerCreateOptions, error) {
	limits, err := ulimits(inst.Limits)
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	sig, err := inst.Signal()
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	network := inst.Settings[networkSetting]
	if network == "" {
		network = "host"
	}
	grace := seconds(inst.StopGrace)
	config := &container.Config{
		Image:       image,
		User:        inst.User,
		Env:         environment(inst),
		Labels:      map[string]string{instanceLabel: inst.ID, versionLabel: inst.Version},
		StopSignal:  unix.SignalName(sig),
		StopTimeout: &grace,
	}
	if len(inst.Command) > 0 {
		// The whole command: the image's own entry point would take it as
		// arguments.
		config.Entrypoint, config.Cmd = inst.Command[:1], inst.Command[1:]
	}
	if ofRelease(inst) {
		config.Entrypoint = []string{filepath.Join(inst.Dir, inst.Command[0])}
		config.WorkingDir = inst.Dir
	}
	return client.ContainerCreateOptions{
		Name:   containerName(inst),
		Config: config,
		HostConfig: &container.HostConfig{
			NetworkMode:   container.NetworkMode(network),
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyOnFailure},
			Resources:     container.Resources{Ulimits: limits},
			Mounts:        []mount.Mount{{Type: mount.TypeBind, Source: inst.Dir, Target: inst.Dir, ReadOnly: true}},
		},
	}, nil
}

// environment is what is added to that of the image.
func environment(inst runner.Instance) []string {
	return environ.List(inst.Env, environ.Identity(inst), map[string]string{environ.Dir: inst.Dir})
}

func ulimits(limits map[string]uint64) ([]*container.Ulimit, error) {
	var ulimits []*container.Ulimit
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if !slices.Contains([]string{"core", "memlock", "nofile", "nproc"}, name) {
			return nil, fmt.Errorf("limit %q is none that a container engine sets: use core, memlock, nofile or nproc", name)
		}
		value := int64(-1) // Without a limit.
		if limits[name] <= math.MaxInt64 {
			value = int64(limits[name])
		}
		ulimits = append(ulimits, &container.Ulimit{Name: name, Soft: value, Hard: value})
	}
	return ulimits, nil
}

// seconds rounds up: engines count whole ones.
func seconds(d time.Duration) int {
	return int(math.Ceil(d.Seconds()))
}
