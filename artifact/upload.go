package artifact

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// uploadStall is how long an upload may make no headway, its storing at the
// other end included.
const uploadStall = 2 * time.Minute

// Upload puts an archive into the store at a base URL, unless it is there.
// The manifest must have its signature if the store wants one.
func Upload(ctx context.Context, client *http.Client, baseURL string, m Manifest, path string) error {
	if err := upload(ctx, client, baseURL, m, path); err != nil {
		return fmt.Errorf("upload %s to %s: %w", m, baseURL, err)
	}
	return nil
}

func upload(ctx context.Context, client *http.Client, baseURL string, m Manifest, path string) error {
	if err := m.Validate(); err != nil {
		return err
	}
	target, err := artifactURL(baseURL, m.SHA256)
	if err != nil {
		return err
	}
	ctx, alive, stop := watch(ctx, uploadStall)
	defer stop()
	there, err := stored(ctx, client, target)
	if err != nil || there {
		return cause(ctx, err)
	}
	if info, err := os.Stat(path); err != nil {
		return err
	} else if info.Size() != m.Size {
		return fmt.Errorf("%s has %d bytes: %w, which says %d", path, info.Size(), ErrDigest, m.Size)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	// The client closes what it is given, and opens it anew to send it again.
	open := func() (io.ReadCloser, error) {
		f, err := os.Open(filepath.Clean(path))
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{progressReader{f, alive}, f}, nil
	}
	body, err := open()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, body)
	if err != nil {
		return errors.Join(err, body.Close())
	}
	req.GetBody = open
	req.ContentLength = m.Size
	req.Header.Set(ManifestHeader, base64.StdEncoding.EncodeToString(text))
	// A refusal then comes before the body is sent (RFC 9110 section 10.1.1).
	req.Header.Set("Expect", "100-continue")
	resp, err := client.Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return refusal(resp)
	}
	return nil
}

// stored asks whether a store has an artifact.
func stored(ctx context.Context, client *http.Client, target string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, target, nil)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, refusal(resp)
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

// refusal is the error that a server answered with.
func refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if why := strings.TrimSpace(string(text)); err == nil && why != "" {
		return fmt.Errorf("it answered %s: %s", resp.Status, why)
	}
	return fmt.Errorf("it answered %s", resp.Status)
}
