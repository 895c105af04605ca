package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
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
	return "The archive is stored on every replica of `switchd serve`, then its signed manifest is written to Consul. A release never changes: the same version with other bytes is an error."
}

func (c *publishCmd) Run(a *app) (err error) {
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
	defer func() {
		_ = archive.Close()
		err = errors.Join(err, os.Remove(archive.Name()))
	}()
	info, err := artifact.Pack(a.ctx, c.Path, archive)
	if err != nil {
		return err
	}
	manifest := artifact.NewManifest(c.Service, c.Release, a.by(l), time.Now(), info)
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
	stored, err := c.store(a, l, manifest, archive.Name())
	if err != nil {
		return err
	}
	if err := l.Publish(a.ctx, manifest); err != nil {
		return err
	}
	a.printf("%s: published, %s, SHA-256 %.12s, stored on %s\n", manifest, bytes(manifest.Size), manifest.SHA256, stored)
	return nil
}

// store uploads the archive to every replica; one is enough for agents to
// fetch it.
func (c *publishCmd) store(a *app, l *ledger.Ledger, m artifact.Manifest, path string) (string, error) {
	replicas, err := replica.List(a.ctx, l.Consul, l.Keys.Env)
	if err != nil {
		return "", err
	}
	if len(replicas) == 0 {
		return "", fmt.Errorf("no `switchd serve` is registered in environment %s; one has to store the archive", l.Keys.Env)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil}}
	defer client.CloseIdleConnections()
	done := 0
	for _, r := range replicas {
		ctx, cancel := context.WithTimeout(a.ctx, time.Hour)
		err := artifact.Upload(ctx, client, "http://"+r.HTTP, m, path)
		cancel()
		if a.ctx.Err() != nil {
			return "", a.ctx.Err()
		}
		if err != nil {
			a.notef("switchd: %v\n", err)
			continue
		}
		done++
	}
	if done == 0 {
		return "", fmt.Errorf("%s is not published: no replica took its archive", m)
	}
	return fmt.Sprintf("%d of %s", done, plural(len(replicas), "replica")), nil
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
