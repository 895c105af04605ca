package docker

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// The annotations of an image's name in an OCI index: that of the image
// specification, and containerd's, which Docker goes by.
const (
	refNameAnnotation   = "org.opencontainers.image.ref.name"
	imageNameAnnotation = "io.containerd.image.name"
)

// maxIndex bounds the index of an archive, in bytes.
const maxIndex = 4 << 20

// rename copies an archive of one image, as docker save makes it or as an OCI
// layout, plain or by gzip, and gives the image another name on the way. What
// an archive calls its image is no name to load it by: it may be another
// image's already, and the two pools of a service would share it.
func rename(from io.Reader, to io.Writer, name string) error {
	text, err := uncompressed(from)
	if err != nil {
		return err
	}
	r, w := tar.NewReader(text), tar.NewWriter(to)
	named := false
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		var renamed func([]byte, string) ([]byte, error)
		switch path.Clean(header.Name) {
		case "manifest.json":
			renamed = renameManifest
		case "index.json":
			renamed = renameIndex
		case "repositories": // Names again, for engines of before 2016.
			continue
		}
		var body io.Reader = r
		if renamed != nil {
			named = true
			if body, err = renameFile(r, header, name, renamed); err != nil {
				return fmt.Errorf("%s: %w", header.Name, err)
			}
		}
		if err := w.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
		if _, err := io.Copy(w, body); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
	if !named {
		return errors.New("it is no archive of an image: it has neither a manifest.json nor an index.json")
	}
	return w.Close()
}

// uncompressed reads what is compressed by gzip, and everything else as it is.
func uncompressed(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	if magic, err := buffered.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return buffered, nil //nolint:nilerr // Too short for either; tar says so.
	}
	text, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	return text, nil
}

// renameFile returns a file's new text, and sets its size in the header.
func renameFile(r io.Reader, header *tar.Header, name string, renamed func([]byte, string) ([]byte, error)) (io.Reader, error) {
	if header.Size > maxIndex {
		return nil, fmt.Errorf("it has %d bytes, more than an index may have", header.Size)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if text, err = renamed(text, name); err != nil {
		return nil, err
	}
	header.Size = int64(len(text))
	return bytes.NewReader(text), nil
}

func renameManifest(text []byte, name string) ([]byte, error) {
	var images []map[string]any
	if err := json.Unmarshal(text, &images); err != nil {
		return nil, err
	}
	if len(images) != 1 || images[0] == nil {
		return nil, fmt.Errorf("the archive holds %d images, not one", len(images))
	}
	images[0]["RepoTags"] = []string{name}
	return json.Marshal(images)
}

func renameIndex(text []byte, name string) ([]byte, error) {
	// Its other members stay as they are, digits of sizes included.
	var index map[string]json.RawMessage
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, err
	}
	var manifests []map[string]json.RawMessage
	if err := json.Unmarshal(index["manifests"], &manifests); err != nil {
		return nil, err
	}
	if len(manifests) != 1 || manifests[0] == nil {
		return nil, fmt.Errorf("the archive holds %d images, not one", len(manifests))
	}
	annotations := make(map[string]string)
	if old, ok := manifests[0]["annotations"]; ok {
		if err := json.Unmarshal(old, &annotations); err != nil {
			return nil, err
		}
	}
	if annotations == nil {
		annotations = make(map[string]string)
	}
	annotations[refNameAnnotation], annotations[imageNameAnnotation] = name, name
	var err error
	if manifests[0]["annotations"], err = json.Marshal(annotations); err != nil {
		return nil, err
	}
	if index["manifests"], err = json.Marshal(manifests); err != nil {
		return nil, err
	}
	return json.Marshal(index)
}

// maxProgress bounds what an engine says while it loads an image, in bytes.
const maxProgress = 16 << 20

// loadError returns the error among the messages of an engine that loads an
// image: by then it has answered that all is well.
func loadError(progress io.Reader) error {
	for messages := json.NewDecoder(io.LimitReader(progress, maxProgress)); ; {
		var message struct {
			Error       string `json:"error"`
			ErrorDetail struct {
				Message string `json:"message"`
			} `json:"errorDetail"`
		}
		err := messages.Decode(&message)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the engine's answer: %w", err)
		case message.Error != "" || message.ErrorDetail.Message != "":
			return errors.New(strings.TrimSpace(message.Error + " " + message.ErrorDetail.Message))
		}
	}
}
