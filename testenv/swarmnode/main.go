// Swarmnode is one node of the swarm bench: a process that offers a file, or
// fetches it and then offers it too.
//
//	swarmnode init -file F -nodes seed=10.0.0.1:7000,n1=10.0.0.2:7000 -out DIR
//	swarmnode seed  -listen 10.0.0.1:7000 -dir D -file F -members DIR/members.json -key DIR/seed.json
//	swarmnode fetch -listen 10.0.0.2:7000 -dir D -members DIR/members.json -key DIR/n1.json -manifest DIR/manifest.json
//
// init makes a key for each node, which real nodes never have on disk, the list
// of members, and the manifest. seed prints "ready" when others can fetch,
// fetch prints "done SECONDS". Both then go on until SIGTERM.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"switchd/artifact"
	"switchd/swarm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "swarmnode:", err)
		os.Exit(1)
	}
}

// options are the flags of all commands.
type options struct {
	listen, dir, file, members, key, manifest string
	nodes, out                                string
	origins                                   list
}

// list is a flag that may be given many times.
type list []string

// String joins the values.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds a value.
func (l *list) Set(v string) error {
	*l = append(*l, v)
	return nil
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("want a command: init, seed or fetch")
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "", "`address` to listen on")
	flags.StringVar(&o.dir, "dir", "", "`directory` of the store")
	flags.StringVar(&o.file, "file", "", "`file` to offer")
	flags.StringVar(&o.members, "members", "", "`file` with the list of members")
	flags.StringVar(&o.key, "key", "", "`file` with the node's key")
	flags.StringVar(&o.manifest, "manifest", "", "`file` with the manifest")
	flags.StringVar(&o.nodes, "nodes", "", "comma-separated `name=address`")
	flags.StringVar(&o.out, "out", "", "`directory` to write to")
	flags.Var(&o.origins, "origin", "base `URL` of a store to fall back to; may be repeated")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "init":
		return initialize(ctx, o)
	case "seed":
		return o.with(ctx, func(s *swarm.Swarm, town *town) error { return offer(ctx, s, town, o) })
	case "fetch":
		return o.with(ctx, func(s *swarm.Swarm, town *town) error { return fetch(ctx, s, town, o) })
	}
	return fmt.Errorf("unknown command %q: want init, seed or fetch", args[0])
}

// with runs a swarm for as long as do does, and then until the process is told
// to end.
func (o options) with(ctx context.Context, do func(*swarm.Swarm, *town) error) error {
	k, err := readKey(o.key)
	if err != nil {
		return err
	}
	id, err := swarm.IdentityOf(k.Private)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	town, err := openTown(o.members, id.Fingerprint())
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg := swarm.Config{
		Dir:      o.dir,
		Listen:   o.listen,
		Self:     town.self,
		Members:  town,
		Identity: id,
		Log:      log,
	}
	if len(o.origins) > 0 {
		cfg.Origin = artifact.NewHTTPFetcher(func(context.Context) ([]string, error) { return o.origins, nil }, &http.Client{}, log)
	}
	s, err := swarm.Open(cfg)
	if err != nil {
		return err
	}
	if err := do(s, town); err != nil {
		s.Close() //nolint:errcheck // The first error counts.
		return err
	}
	<-ctx.Done()
	return s.Close()
}

func offer(ctx context.Context, s *swarm.Swarm, town *town, o options) error {
	m, err := describe(ctx, o.file)
	if err != nil {
		return err
	}
	file, err := filepath.Abs(o.file)
	if err != nil {
		return err
	}
	stored := filepath.Join(o.dir, m.SHA256)
	if _, err := os.Lstat(stored); err != nil {
		if err := os.Symlink(file, stored); err != nil {
			return err
		}
	}
	if err := s.Seed(ctx, m); err != nil {
		return err
	}
	if err := town.has(); err != nil {
		return err
	}
	fmt.Println("ready")
	return nil
}

func fetch(ctx context.Context, s *swarm.Swarm, town *town, o options) error {
	text, err := os.ReadFile(o.manifest)
	if err != nil {
		return err
	}
	m, err := artifact.ParseManifest(text)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := s.Fetch(ctx, m, filepath.Join(o.dir, m.SHA256), nil); err != nil {
		return err
	}
	fmt.Printf("done %.3f\n", time.Since(begin).Seconds())
	return town.has()
}
