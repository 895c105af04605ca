package replica_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/replica"
	"switchd/testenv/devconsul"
)

func TestReplica_IsKnownAsLongAsItIsRegistered(t *testing.T) {
	t.Parallel()
	c := devconsul.Start(t, nil).Client()
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(answers.Close)
	http := strings.TrimPrefix(answers.URL, "http://")
	two := replica.Replica{Name: "ns2", Env: "prod", HTTP: http, DNS: "127.0.0.1:53"}
	one := replica.Replica{Name: "ns1", Env: "prod", HTTP: "127.0.0.1:1"} // nobody answers there
	for _, r := range []replica.Replica{two, one, {Name: "ns1", Env: "staging", HTTP: http}} {
		if err := replica.Register(t.Context(), c, r); err != nil {
			t.Fatal(err)
		}
	}
	two.Passing = true
	want := []replica.Replica{one, two}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []replica.Replica
	c.WatchService(ctx, replica.Service, func(seen consul.Seen[[]*api.ServiceEntry]) {
		if got = replica.FromHealth(seen.Value, "prod"); slices.Equal(got, want) {
			cancel()
		}
	})
	if !slices.Equal(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	// Registered again, as it is every few seconds, it goes on passing.
	if err := replica.Register(t.Context(), c, two); err != nil {
		t.Fatal(err)
	}
	if got, err := replica.List(t.Context(), c, "prod"); err != nil || !slices.Equal(got, want) {
		t.Errorf("registered again: got %+v (%v), want %+v", got, err, want)
	}
	if err := replica.Deregister(t.Context(), c, one); err != nil {
		t.Fatal(err)
	}
	if got, err := replica.List(t.Context(), c, "prod"); err != nil || !slices.Equal(got, want[1:]) {
		t.Errorf("after ns1 has gone: got %+v (%v)", got, err)
	}
	if got, err := replica.List(t.Context(), c, "staging"); err != nil || len(got) != 1 || got[0].DNS != "" {
		t.Errorf("the other environment: got %+v (%v)", got, err)
	}
	for _, address := range []string{"", "nowhere", "127.0.0.1:http"} {
		if err := replica.Register(t.Context(), c, replica.Replica{Name: "ns3", Env: "prod", HTTP: address}); err == nil || !strings.Contains(err.Error(), "HTTP address") {
			t.Errorf("address %q: %v", address, err)
		}
	}
}

func TestByHealth_HasThoseFirstThatPassAndKeepsTheOrderOtherwise(t *testing.T) {
	t.Parallel()
	replicas := []replica.Replica{{Name: "ns1"}, {Name: "ns2", Passing: true}, {Name: "ns3"}, {Name: "ns4", Passing: true, HTTP: "192.0.2.4:8080"}}
	want := []replica.Replica{replicas[1], replicas[3], replicas[0], replicas[2]}
	if replica.ByHealth(replicas); !slices.Equal(replicas, want) {
		t.Errorf("got %+v, want %+v", replicas, want)
	}
	if url := replicas[1].URL(); url != "http://192.0.2.4:8080" {
		t.Errorf("got %s", url)
	}
}
