package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"switchd/testenv/cluster"
	"switchd/train"
)

// TestTrain sends a train through a whole cluster whose middle service fails:
// cart needs stock, web needs cart, mail needs nobody.
func TestTrain(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{Nodes: 2, Replicas: 2})
	l, err := c.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	inputs := t.TempDir()
	if err := os.WriteFile(filepath.Join(inputs, "shop.hcl"), []byte(shop(c)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Switchd(t.Context(), "apply", inputs); err != nil {
		t.Fatal(err)
	}
	release, err := c.Pack(cluster.App{Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"stock", "cart", "web", "mail"} {
		if _, err := c.Switchd(t.Context(), "publish", service, "1.0.0", release); err != nil {
			t.Fatal(err)
		}
	}
	out, err := c.Switchd(t.Context(), "promote", "web=1.0.0", "mail=1.0.0", "cart=1.0.0", "stock=1.0.0")
	if cluster.Status(err) != failed || !strings.Contains(err.Error(), "web 1.0.0 was not started: cart 1.0.0 failed") {
		t.Errorf("got %v, want exit status %d\n%s", err, failed, out)
	}
	trains, err := l.Trains(t.Context())
	if err != nil || len(trains) != 1 {
		t.Fatalf("got %d trains, %v", len(trains), err)
	}
	var got []string
	for _, car := range trains[0].Cars {
		got = append(got, car.Service+" "+string(car.State))
	}
	slices.Sort(got)
	if want := []string{"cart failed", "mail done", "stock done", "web stopped"}; !slices.Equal(got, want) || trains[0].Ended.IsZero() {
		t.Errorf("got %v, want %v", got, want)
	}
	behind(t, trains[0], func(service string) bool {
		live, err := l.Live(t.Context(), service)
		if err != nil {
			t.Fatal(err)
		}
		return live != nil
	})
	if record, err := l.Record(t.Context(), "web"); err != nil || record != nil {
		t.Errorf("web was touched: %+v, %v", record, err)
	}
}

const failed = 10

// behind checks that exactly those services are live that the train says so of.
func behind(t *testing.T, made *train.Train, live func(service string) bool) {
	t.Helper()
	for _, car := range made.Cars {
		if got := live(car.Service); got != (car.State == train.Done) {
			t.Errorf("%s is %s; it is live: %v", car.Service, car.State, got)
		}
	}
}

// shop are the inputs: services beside each other on the same nodes. The smoke
// test of cart never passes.
func shop(c *cluster.Cluster) string {
	name, mark := c.Group.Mark()
	text := fmt.Sprintf("owner = \"shop-team\"\n\nenvironment %q {\n  zone %q {\n    name_servers = [\"ns1.%[2]s\"]\n    ttl          = \"2s\"\n    negative_ttl = \"1s\"\n  }\n}\n", cluster.Env, cluster.Zone)
	needs := map[string]string{"cart": `depends_on = ["stock"]`, "web": `depends_on = ["cart"]`}
	smoke := map[string]string{"cart": `smoke "version" {
    path      = "/version"
    want_body = "another"
    retries   = 1
  }`}
	for i, service := range []string{"stock", "cart", "web", "mail"} {
		text += fmt.Sprintf(`
service %q {
  %s
  port = %d
  pool "blue"  { nodes = ["web-b1", "web-b2"] }
  pool "green" { nodes = ["web-g1", "web-g2"] }
  runtime "process" {
    command = ["./app", "--addr", "${address}:${port}", "--node", "${node}"]
    env     = { %q = %q }
  }
  health {
    interval = "1s"
    timeout  = "1s"
  }
  roll {
    quorum           = 1
    min_healthy_time = "200ms"
  }
  %s
  switch "dns" { ttl = "1s" }
  drain { least = "100ms" }
  bake = "500ms"
}
`, service, needs[service], c.AppPort()+i, name, mark, smoke[service])
	}
	return text
}
