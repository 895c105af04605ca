package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// disk looks at the data directory, or where it would be made.
func disk(dir string, room uint64) []Finding {
	home, err := existing(dir)
	if err != nil {
		return []Finding{{Level: Missing, What: "data directory", Have: err.Error(), Need: dir + " to be a directory", Fix: "move what is in its way, or choose another --data"}}
	}
	findings := []Finding{writable(dir, home)}
	if home == dir {
		findings = append(findings, oneFileSystem(dir))
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(home, &stat); err != nil {
		return append(findings, untold("disk", "", "", fmt.Errorf("look at the file system of %s: %w", home, err)))
	}
	return append(findings,
		free(dir, stat.Bavail*uint64(stat.Bsize), room), // A block's size is positive.
		executable(dir, uint64(stat.Flags)),
	)
}

// existing returns the directory, or the nearest one above it that is there.
func existing(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && info.IsDir():
			return at, nil
		case err == nil:
			return "", fmt.Errorf("%s is no directory", at)
		case !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at):
			return "", fmt.Errorf("look for %s: %w", dir, err)
		}
	}
}

// writable tries to make something: only that shows that it can be done,
// whatever modes, owners and mounts there are.
func writable(dir, home string) Finding {
	f := Finding{
		What: "data directory", Need: "the agent to write in " + dir,
		Fix: "in the [Service] section of the agent's unit: StateDirectory=switchd-agent (for /var/lib/switchd-agent), or ReadWritePaths=" + dir + "; or give the directory to the agent's user",
	}
	tried, err := os.MkdirTemp(home, ".preflight-")
	if err == nil {
		err = os.Remove(tried)
	}
	if err != nil {
		f.Level, f.Have = Missing, err.Error()
		return f
	}
	if home != dir {
		return ok(f.What, fmt.Sprintf("%s can be made in %s", dir, home))
	}
	return ok(f.What, dir+" can be written")
}

// oneFileSystem checks that whatever the agent renames stays on one file
// system: nothing may be mounted on a folder of the data directory.
func oneFileSystem(dir string) Finding {
	f := Finding{What: "one file system", Need: "all of " + dir + " on one file system, as releases are put in place by a rename"}
	device, err := deviceOf(dir)
	if err != nil {
		return untold(f.What, f.Need, "", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return untold(f.What, f.Need, "", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() && entry.Type() != fs.ModeSymlink {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		other, err := deviceOf(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return untold(f.What, f.Need, "", err)
		case other != device:
			f.Level, f.Have = Missing, path+" is on another one"
			f.Fix = "umount " + path + "; mount all of " + dir + " there instead"
			return f
		}
	}
	return ok(f.What, dir+" is")
}

func deviceOf(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, fmt.Errorf("the device of %s is unknown", path)
	}
	return stat.Dev, nil
}

func free(dir string, have, need uint64) Finding {
	f := Finding{
		What: "disk room", Have: bytes(have) + " free for " + dir, Need: bytes(need) + " free",
		Fix: "remove what is not needed there, or mount a larger disk on " + dir,
	}
	if have >= need {
		return ok(f.What, f.Have)
	}
	f.Level = Missing
	return f
}

// executable checks that programs of a release can be run where they are
// unpacked.
func executable(dir string, flags uint64) Finding {
	if flags&unix.ST_NOEXEC == 0 {
		return ok("programs of releases", "the file system of "+dir+" lets them run")
	}
	return Finding{
		Level: Missing, What: "programs of releases", Have: "the file system of " + dir + " is mounted noexec",
		Need: "releases to be run from there", Fix: "mount it without noexec, or choose another --data",
	}
}
