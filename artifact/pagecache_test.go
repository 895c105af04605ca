package artifact_test

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"testing"

	"switchd/artifact"
	"switchd/pagecache"
)

// wantUncached fails the test if anything below dir is in the page cache.
func wantUncached(t *testing.T, dir string) {
	t.Helper()
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		files++
		pages, total, err := pagecache.Resident(path)
		if pages > 0 {
			t.Errorf("%s: %d of %d pages are in the page cache", path, pages, total)
		}
		return err
	}))
	if files == 0 {
		t.Errorf("%s has no files", dir)
	}
}

func TestStager_LeavesThePageCacheToOthers(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 20<<20)
	server := bad(t, dying(r, 1<<40))
	root := t.TempDir()
	s, err := artifact.NewStager(root, r.keys, fetcher(t, sources(server.URL)))
	must(t, err)
	_, err = s.Stage(within(t), r.manifest, nil)
	must(t, err)
	wantUncached(t, root)
}

func TestStore_PutLeavesThePageCacheToOthers(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 20<<20)
	dir := t.TempDir()
	s, err := artifact.NewStore(dir)
	must(t, err)
	must(t, s.Put(within(t), r.manifest, bytes.NewReader(r.archive)))
	wantUncached(t, dir)
}
