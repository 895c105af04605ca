package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"switchd/runner"
)

// imageSetting names a file of the release or an image that is there already,
// in Instance.Settings.
const imageSetting = "image"

// isArchive tells whether a setting means a file: it ends as archives do, or
// begins with a dot.
func isArchive(image string) bool {
	for _, suffix := range []string{".tar", ".tar.gz", ".tgz"} {
		if strings.HasSuffix(image, suffix) {
			return true
		}
	}
	return strings.HasPrefix(image, "./")
}

// image makes sure that the image of an instance is there and returns what it
// is called.
func (e *engine) image(ctx context.Context, inst runner.Instance) (string, error) {
	name := inst.Settings[imageSetting]
	switch {
	case name == "":
		return "", errors.New(`it names no image: set image to the archive in the release, such as "image.tar", or to the reference of an image that is on each node`)
	case isArchive(name):
		return e.load(ctx, inst, name)
	}
	switch there, err := e.has(ctx, name); {
	case err != nil:
		return "", err
	case !there:
		return "", fmt.Errorf("the engine at %s has no image %q, and switchd pulls none: load it on each node, or pack an archive of it (docker save) into the release", e.socket, name)
	}
	return name, nil
}

// An engine may stumble over what it is changing itself just then, as podman
// 4.3 does over an image while it removes another one, so it is asked a few
// times.
const (
	tries = 5
	pause = 200 * time.Millisecond
)

// patiently asks an engine about images until it doesn't stumble.
func patiently(ctx context.Context, ask func() error) error {
	for try := 1; ; try++ {
		err := ask()
		if try == tries || !errdefs.IsInternal(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// has tells whether the engine has an image.
func (e *engine) has(ctx context.Context, image string) (bool, error) {
	err := patiently(ctx, func() error {
		_, err := e.ImageInspect(ctx, image)
		return err
	})
	switch {
	case errdefs.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for image %s: %w", image, err)
	}
	return true, nil
}

// load loads an archive of the release, unless that has been done, under the
// name switchd/<instance>:<version>-<digest of the archive>.
func (e *engine) load(ctx context.Context, inst runner.Instance, name string) (string, error) {
	archive, err := openArchive(inst.Dir, name)
	if err != nil {
		return "", err
	}
	defer archive.Close() //nolint:errcheck // Opened for reading.
	hash := sha256.New()
	if _, err := io.Copy(hash, archive); err != nil {
		return "", fmt.Errorf("read image archive %s: %w", name, err)
	}
	image := repository(inst) + ":" + tagPrefix(inst) + hex.EncodeToString(hash.Sum(nil))[:digestDigits]
	if there, err := e.has(ctx, image); there || err != nil {
		return image, err
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read image archive %s: %w", name, err)
	}
	if err := e.loadAs(ctx, archive, image); err != nil {
		return "", fmt.Errorf("load image archive %s: %w; make it of one image by docker save or podman save", filepath.Join(inst.Dir, name), err)
	}
	return image, nil
}

// loadAs loads an archive under a name.
func (e *engine) loadAs(ctx context.Context, archive io.Reader, name string) error {
	r, w := io.Pipe()
	renamed := make(chan error, 1)
	go func() {
		err := rename(archive, w, "docker.io/"+name)
		w.CloseWithError(err)
		renamed <- err
	}()
	progress, err := e.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err == nil {
		err = errors.Join(loadError(progress), progress.Close())
	}
	r.Close() //nolint:errcheck // Returns none.
	if renameErr := <-renamed; renameErr != nil && !errors.Is(renameErr, io.ErrClosedPipe) {
		return renameErr
	}
	if err != nil {
		return err
	}
	there, err := e.has(ctx, name)
	if err == nil && !there {
		err = errors.New("the engine took it, and has no such image then")
	}
	return err
}

// openArchive opens a file that must lie within the release.
func openArchive(dir, name string) (*os.File, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("image archive %q leads out of the release %s", name, dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the release: %w", err)
	}
	defer root.Close() //nolint:errcheck // Opened for reading.
	f, err := root.Open(filepath.Clean(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("image archive %s: no such file; check image, and what was packed", filepath.Join(dir, name))
	}
	if err != nil {
		return nil, fmt.Errorf("open image archive: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, f.Close(), fmt.Errorf("image archive %s: is no regular file", filepath.Join(dir, name)))
	}
	return f, nil
}

// removeImages removes the images that were loaded for a version.
func (e *engine) removeImages(ctx context.Context, inst runner.Instance) error {
	var images client.ImageListResult
	err := patiently(ctx, func() (err error) {
		images, err = e.ImageList(ctx, client.ImageListOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	for _, image := range images.Items {
		for _, name := range image.RepoTags {
			if !isImageOf(name, inst) {
				continue
			}
			if _, err := e.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true}); err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("remove image %s: %w", name, err)
			}
		}
	}
	return nil
}

// isImageOf tells whether name is one that load gives to the version's image.
// podman puts a registry before it.
func isImageOf(name string, inst runner.Instance) bool {
	_, tag, ok := strings.Cut("/"+name, "/"+repository(inst)+":")
	sum, of := strings.CutPrefix(tag, tagPrefix(inst))
	_, err := hex.DecodeString(sum)
	return ok && of && err == nil && len(sum) == digestDigits
}
