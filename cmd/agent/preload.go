package main

import (
	"context"
	"fmt"
	"strings"

	"switchd/pagecache"
	"switchd/spec"
)

// preloader has files of releases in the page cache, or locked by a process
// that outlives the agent.
type preloader struct{ pinner *pagecache.Pinner }

// May tells whether this machine lets memory be locked at all. How much will be
// needed is not known before the release is here.
func (p preloader) May(preload spec.Preload, _ int64) error {
	const page = 4 << 10
	return pagecache.Check(page, pagecache.Mode(preload.Kind))
}

// Can tells whether the files of an unpacked release fit.
func (p preloader) Can(ctx context.Context, id string, preload spec.Preload, dir string) error {
	if pinned, err := p.pinner.Find(ctx, id); err == nil && len(pinned) > 0 {
		return nil // a former agent has brought it there
	}
	files, err := find(preload, dir)
	if err != nil {
		return err
	}
	return pagecache.Check(files.Bytes, pagecache.Mode(preload.Kind))
}

// Load reads or locks the files.
func (p preloader) Load(ctx context.Context, id string, preload spec.Preload, dir string) error {
	files, err := find(preload, dir)
	if err != nil {
		return err
	}
	if preload.Kind == spec.PreloadCache {
		_, err := pagecache.Load(ctx, files.Paths...)
		return err
	}
	pinned, err := p.pinner.Find(ctx, id)
	if err != nil || len(pinned) > 0 {
		return err
	}
	_, err = p.pinner.Start(ctx, id, files.Paths)
	return err
}

// Unload lets go of what was locked; the page cache needs no word.
func (p preloader) Unload(ctx context.Context, id string) error {
	pinned, err := p.pinner.Find(ctx, id)
	if err != nil {
		return err
	}
	for _, h := range pinned {
		if err := p.pinner.Stop(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

func find(preload spec.Preload, dir string) (pagecache.Files, error) {
	files, err := pagecache.Glob(dir, preload.Files)
	if err == nil && len(files.Paths) == 0 {
		err = fmt.Errorf("preload: the release has no file that matches %s", strings.Join(preload.Files, ", "))
	}
	return files, err
}
