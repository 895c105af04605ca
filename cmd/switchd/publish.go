package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"switchd/artifact"
	"switchd/ledger"
	"switchd/replica"
)

type publishCmd struct {
	Service string `arg:"" help:"Service that the release is of."`
	Release string `arg:"" name:"version" help:"Version of the release."`
	Path    string `arg:"" help:"Directory, file or archive (.tar, .tar.gz, .tar.zst)." type:"path"`
	Key     string `help:"minisign private key to sign with." env:"SWITCHD_KEY" type:"path" placeholder:"FILE"`
}

func (c *publishCmd) Help() string {
	return "The archive is stored on every replica of `switchd serve`, then its signed manifest is written to Consul. A release never changes: the same version with other bytes is an error. The same bytes go on where their upload broke off, and reach the replicas that have not got them yet."
}

func (c *publishCmd) Run(a *app) error {
	if c.Key == "" {
		return &usageError{"agents run nothing unsigned: name a private key with --key or SWITCHD_KEY (`switchd keygen FILE` makes one)"}
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	if _, err := l.Service(a.ctx, c.Service); err != nil {
		return err
	}
	key, err := artifact.LoadPrivateKey(c.Key, a.password)
	if err != nil {
		return err
	}
	archive, err := os.CreateTemp("", "switchd-publish-*.tar.zst")
	if err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	defer func() { _ = archive.Close() }() // it has no name any more
	// Without a name it goes away with this process, however that ends. The
	// next one packs the same bytes and goes on with their upload.
	if err := os.Remove(archive.Name()); err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	info, err := artifact.Pack(a.ctx, c.Path, archive)
	if err != nil {
		return err
	}
	manifest := artifact.NewManifest(c.Service, c.Release, a.by(l), time.Now(), info)
	if err := manifest.AddMetainfo(a.ctx, archive); err != nil {
		return err
	}
	if err := artifact.Sign(&manifest, key); err != nil {
		return err
	}
	former, err := l.Release(a.ctx, c.Service, c.Release)
	switch {
	case err == nil && former.SHA256 != manifest.SHA256:
		return fmt.Errorf("%s: %w (SHA-256 %.12s, now %.12s); publish it under another version", manifest, ledger.ErrPublished, former.SHA256, manifest.SHA256)
	case err == nil:
		manifest = former
	case !errors.Is(err, ledger.ErrUnknownRelease):
		return err
	}
	stored, err := c.store(a, l, manifest, archive)
	if err != nil {
		return err
	}
	if err := l.Publish(a.ctx, manifest); err != nil {
		return err
	}
	a.printf("%s: published, %s, SHA-256 %.12s, %s\n", manifest, bytes(manifest.Size), manifest.SHA256, stored)
	return nil
}

// store uploads the archive to every replica that has not got it; one is
// enough for agents to fetch it. It tells where the archive is now.
func (c *publishCmd) store(a *app, l *ledger.Ledger, m artifact.Manifest, archive io.ReaderAt) (string, error) {
	replicas, err := replica.List(a.ctx, l.Consul, l.Keys.Env)
	if err != nil {
		return "", err
	}
	if len(replicas) == 0 {
		return "", fmt.Errorf("no `switchd serve` is registered in environment %s; one has to store the archive", l.Keys.Env)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil, ExpectContinueTimeout: 10 * time.Second}}
	defer client.CloseIdleConnections()
	var took, had, without []string
	for _, r := range replicas {
		meter := a.meter(r.Name)
		uploader := artifact.Uploader{Client: client, Progress: func(done, total int64) { meter.at(time.Now(), done, total) }}
		there, err := uploader.Upload(a.ctx, r.URL(), m, archive)
		meter.end()
		switch {
		case a.ctx.Err() != nil:
			return "", a.ctx.Err()
		case err != nil:
			a.notef("switchd: %v\n", err)
			without = append(without, r.Name)
		case there:
			had = append(had, r.Name)
		default:
			took = append(took, r.Name)
		}
	}
	if len(took)+len(had) == 0 {
		return "", fmt.Errorf("%s is not published: no replica took its archive", m)
	}
	if len(without) > 0 {
		a.notef("switchd: %s will go without the archive (%s); publish the same again when they are back\n", plural(len(without), "replica"), strings.Join(without, ", "))
	}
	var parts []string
	if len(took) > 0 {
		parts = append(parts, "stored on "+strings.Join(took, ", "))
	}
	if len(had) > 0 {
		parts = append(parts, "was already on "+strings.Join(had, ", "))
	}
	return strings.Join(parts, ", "), nil
}

// password asks for the private key's password, or takes it from the
// environment where nobody can be asked.
func (a *app) password() (string, error) {
	if p, ok := os.LookupEnv("SWITCHD_KEY_PASSWORD"); ok {
		return p, nil
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return "", errors.New("the private key is encrypted and there is no terminal to ask for its password; set SWITCHD_KEY_PASSWORD")
	}
	a.notef("password of the private key: ")
	text, err := term.ReadPassword(fd)
	a.notef("\n")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(text), nil
}

// bytes prints a size for people.
func bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/unit, 0
	for ; value >= unit && i < 3; i++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f %s", value, []string{"KiB", "MiB", "GiB", "TiB"}[i])
}
