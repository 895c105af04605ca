package consul_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"switchd/consul"
)

// elsewhere is another environment's Consul, of which only the headers matter.
type elsewhere struct {
	*httptest.Server

	mu     sync.Mutex
	ahead  time.Duration
	tokens []string
}

func startElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.tokens = append(e.tokens, r.Header.Get("X-Consul-Token")+r.Header.Get("Authorization")+r.URL.Query().Get("token"))
		w.Header().Set("Date", time.Now().Add(e.ahead).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *elsewhere) saw() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.tokens, ",")
}

func (e *elsewhere) setClock(ahead time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ahead = ahead
}

func askElsewhere(t *testing.T, client *consul.Client) {
	t.Helper()
	if entry, err := client.Get(t.Context(), "switchd/staging/live/web"); err != nil || entry.Index != 0 {
		t.Fatalf("got %+v, %v", entry, err)
	}
}

// TestElsewhere_NeverGetsThisEnvironmentsToken is the wall between environments
// where it is thinnest: Consul's client takes its token from the environment
// variables whenever it has none.
func TestElsewhere_NeverGetsThisEnvironmentsToken(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "prods-secret")
	t.Setenv("CONSUL_HTTP_AUTH", "prod:secret")
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
	e := startElsewhere(t)
	client, _, err := consul.NewClientElsewhere(consul.Elsewhere{Address: e.URL})
	if err != nil {
		t.Fatal(err)
	}
	askElsewhere(t, client)
	token := "reads-staging"
	client, _, err = consul.NewClientElsewhere(consul.Elsewhere{
		Address: strings.TrimPrefix(e.URL, "http://"), Token: func() (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	askElsewhere(t, client)
	token = "rotated"
	askElsewhere(t, client)
	if got := e.saw(); got != ",reads-staging,rotated" {
		t.Errorf("it was shown %q", got)
	}
}

func TestElsewhere_AsksNothingWithoutTheTokenThatItIsToHave(t *testing.T) {
	t.Parallel()
	e := startElsewhere(t)
	gone := errors.New("others can read token")
	client, _, err := consul.NewClientElsewhere(consul.Elsewhere{Address: e.URL, Token: func() (string, error) { return "", gone }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(t.Context(), "switchd/staging/live/web"); !errors.Is(err, gone) || e.saw() != "" {
		t.Errorf("got %v, it was shown %q", err, e.saw())
	}
}

func TestElsewhere_WantsAnAddressOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "unix:///run/consul.sock", "gopher://consul.example.net"} {
		if _, _, err := consul.NewClientElsewhere(consul.Elsewhere{Address: address}); err == nil {
			t.Errorf("address %q was taken", address)
		}
	}
}

func TestClock_FollowsTheOtherOneAndDoesNotWaver(t *testing.T) {
	t.Parallel()
	e := startElsewhere(t)
	client, clock, err := consul.NewClientElsewhere(consul.Elsewhere{Address: e.URL})
	if err != nil {
		t.Fatal(err)
	}
	near := func(want time.Duration) {
		t.Helper()
		askElsewhere(t, client)
		if got := clock.Ahead(); (got - want).Abs() > 5*time.Second {
			t.Errorf("it is %s ahead, want about %s", got, want)
		}
	}
	near(0)
	if clock.Ahead() != 0 {
		t.Errorf("two clocks that are the same differ by %s", clock.Ahead())
	}
	e.setClock(40 * time.Minute)
	near(40 * time.Minute)
	was := clock.Ahead()
	e.setClock(40*time.Minute + 2*time.Second)
	near(40 * time.Minute)
	if clock.Ahead() != was {
		t.Errorf("it wavers: %s and %s", was, clock.Ahead())
	}
	e.setClock(-40 * time.Minute)
	near(-40 * time.Minute)
	at := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	if here := clock.Here(at); (here.Sub(at) - 40*time.Minute).Abs() > 5*time.Second {
		t.Errorf("noon there is %s here", here)
	}
}
