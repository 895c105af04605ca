package artifact

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// uploadStall is how long an upload may make no headway.
	uploadStall = 2 * time.Minute
	// verifyRate is how fast a store reads an archive at least to verify it,
	// in bytes a second; nothing moves meanwhile.
	verifyRate = 32 << 20
	// defaultPatience is how long a store that breaks an upload off may make
	// no headway.
	defaultPatience = 30 * time.Second
	// askTimeout is how long a store may think about where to go on.
	askTimeout = 30 * time.Second
	// uploadPause stands between two tries.
	uploadPause = 500 * time.Millisecond
)

// Uploader puts archives into stores over HTTP. It is safe for concurrent use
// if its Progress is.
type Uploader struct {
	// Client should wait for "100 Continue" a while; a Timeout would cut off
	// large archives.
	Client *http.Client
	// Patience is how long it is tried again after an upload broke off,
	// counted from the last headway; 0 means 30 s.
	Patience time.Duration
	// Progress, if not nil, is called with the bytes that are sent and the
	// total. They are fewer than before after a break.
	Progress func(done, total int64)
}

// Upload puts an archive into the store at a base URL. It goes on where a
// former upload of the same bytes broke off, whoever made it, and waits for
// the end of one that is under way. It tells whether the store had the archive
// already. The manifest must have its signature if the store wants one.
//
// A store that can't be reached or that refuses is an error at once. One that
// breaks the upload off is given some time to come back.
func (u *Uploader) Upload(ctx context.Context, baseURL string, m Manifest, archive io.ReaderAt) (had bool, err error) {
	if had, err = u.upload(ctx, baseURL, m, archive); err != nil {
		return false, fmt.Errorf("upload %s to %s: %w", m, baseURL, err)
	}
	return had, nil
}

func (u *Uploader) upload(ctx context.Context, baseURL string, m Manifest, archive io.ReaderAt) (had bool, err error) {
	if err := m.Validate(); err != nil {
		return false, err
	}
	if err := sized(archive, m); err != nil {
		return false, err
	}
	target, err := artifactURL(baseURL, m.SHA256)
	if err != nil {
		return false, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return false, fmt.Errorf("write the manifest: %w", err)
	}
	ctx, cancel := context.WithDeadline(ctx, Allowance(m.Size))
	defer cancel()
	up := &uploading{
		Uploader: u, target: target, manifest: m, header: base64.StdEncoding.EncodeToString(text), archive: archive,
		headway: time.Now(), best: -1,
	}
	return up.run(ctx)
}

// uploading is one upload to one store.
type uploading struct {
	*Uploader

	target   string
	manifest Manifest
	header   string
	archive  io.ReaderAt

	best    int64     // the offset that the store has come to
	headway time.Time // when it came there
	again   bool      // the store has thrown away what it had
}

// run asks where to go on and sends what is missing, again and again, until
// the store has it all or makes no more headway.
func (u *uploading) run(ctx context.Context) (had bool, err error) {
	var broke error
	for tries := 0; ; tries++ {
		at, err := u.ask(ctx)
		switch {
		case err == nil && at.stored:
			return tries == 0, nil
		case err == nil && at.offset > u.best:
			u.best, u.headway = at.offset, time.Now()
		case err != nil && (tries == 0 || refused(err)):
			return false, err
		}
		if err == nil && !at.busy {
			if err = u.send(ctx, at.offset); err == nil {
				return false, nil
			}
			if refused(err) && !u.fresh(err, at.offset) {
				return false, err
			}
		}
		if err != nil {
			broke = err
		}
		if wait := u.patience() - time.Since(u.headway); ctx.Err() != nil || wait <= 0 {
			if broke == nil {
				broke = ErrBusy
			}
			return false, cause(ctx, broke)
		}
		select {
		case <-ctx.Done():
		case <-time.After(uploadPause):
		}
	}
}

// patience is how long no headway is borne. While the store verifies what
// somebody else has sent, there is none.
func (u *uploading) patience() time.Duration {
	return cmp.Or(u.Patience, defaultPatience) + verifyTime(u.manifest.Size)
}

// verifyTime is how long a store may take to verify an archive.
func verifyTime(size int64) time.Duration { return time.Duration(size/verifyRate) * time.Second }

// fresh tells whether to send it all again: once, if it was somebody else's
// beginning, or one that the store's disk has spoiled, that was wrong.
func (u *uploading) fresh(err error, offset int64) bool {
	r, ok := errors.AsType[*refusedError](err)
	if !ok || r.status != http.StatusUnprocessableEntity || offset == 0 || u.again {
		return false
	}
	u.again, u.best, u.headway = true, -1, time.Now()
	return true
}

// place is where an upload is.
type place struct {
	stored bool
	offset int64
	busy   bool // somebody else brings it
}

// ask asks the store where to go on.
func (u *uploading) ask(ctx context.Context) (place, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := u.put(ctx, http.NoBody, 0, fmt.Sprintf("bytes */%d", u.manifest.Size))
	if err != nil {
		return place{}, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return place{stored: true}, nil
	case http.StatusAccepted:
		text := resp.Header.Get(OffsetHeader)
		offset, err := strconv.ParseInt(text, 10, 64)
		if err != nil || offset < 0 || offset >= u.manifest.Size {
			return place{}, &refusedError{resp.StatusCode, fmt.Sprintf("it says to go on at byte %.40q of %d", text, u.manifest.Size)}
		}
		return place{offset: offset, busy: resp.Header.Get("Retry-After") != ""}, nil
	}
	return place{}, refusal(resp)
}

// send sends the archive from an offset on.
func (u *uploading) send(ctx context.Context, offset int64) error {
	size := u.manifest.Size
	ctx, alive, stop := watch(ctx, uploadStall+verifyTime(size))
	defer stop()
	body := &sentReader{r: io.NewSectionReader(u.archive, offset, size-offset), done: offset, sent: func(done int64) {
		alive()
		if u.Progress != nil {
			u.Progress(done, size)
		}
	}}
	resp, err := u.put(ctx, body, size-offset, fmt.Sprintf("bytes %d-%d/%d", offset, size-1, size))
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return refusal(resp)
	}
	return nil
}

func (u *uploading) put(ctx context.Context, body io.Reader, length int64, contentRange string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.target, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	req.Header.Set(ManifestHeader, u.header)
	req.Header.Set("Content-Range", contentRange)
	if length > 0 {
		// A refusal then comes before the body is sent (RFC 9110 section 10.1.1).
		req.Header.Set("Expect", "100-continue")
	}
	resp, err := u.Client.Do(req)
	if call, ok := errors.AsType[*url.Error](err); ok {
		return nil, call.Err // The address is told with the whole.
	}
	return resp, err
}

// sentReader tells how far it was read.
type sentReader struct {
	r    io.Reader
	done int64
	sent func(done int64)
}

func (s *sentReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if n > 0 {
		s.done += int64(n)
		s.sent(s.done)
	}
	return n, err
}

// sized returns an error unless an archive ends where its manifest says.
func sized(archive io.ReaderAt, m Manifest) error {
	var two [2]byte
	n, err := archive.ReadAt(two[:], m.Size-1)
	if n == 1 && errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the archive: %w", err)
	}
	return fmt.Errorf("the archive has not the %d bytes of its manifest: %w", m.Size, ErrDigest)
}

func artifactURL(baseURL, digest string) (string, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return "", fmt.Errorf("parse the store's address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("the store's address %q is no http or https URL", baseURL)
	}
	return u.JoinPath(artifactsPath, digest).String(), nil
}

// refusedError is what a server answered instead of what was asked for.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

// refused tells whether a store won't take an archive, however often it is
// asked: a conflict or a break passes.
func refused(err error) bool {
	r, ok := errors.AsType[*refusedError](err)
	if !ok {
		return false
	}
	switch r.status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

// refusal is the error that a server answered with.
func refusal(resp *http.Response) error {
	text := "it answered " + resp.Status
	why, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if words := strings.TrimSpace(string(why)); err == nil && words != "" {
		text += ": " + words
	}
	return &refusedError{resp.StatusCode, text}
}
