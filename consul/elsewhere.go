package consul

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

// Elsewhere says how another environment's Consul is reached.
type Elsewhere struct {
	Address       string // host:port, or a URL of http or https
	Datacenter    string // the agent's own if empty
	CAFile        string
	CAPath        string
	ClientCert    string
	ClientKey     string
	TLSServerName string
	// Token gives the token, and is asked before each request; nil: there is
	// none.
	Token func() (string, error)
}

// NewClientElsewhere returns a client for another environment's Consul, and the
// clock that it is found to have. Consul's environment variables say nothing
// here: they are about this environment, and its token must never reach the
// other one's servers.
func NewClientElsewhere(e Elsewhere) (*Client, *Clock, error) {
	if e.Address == "" {
		return nil, nil, errors.New("set up the Consul client: the address of the other environment's Consul is not known")
	}
	if strings.HasPrefix(e.Address, "unix:") {
		return nil, nil, fmt.Errorf("set up the Consul client: another environment is reached by TCP, not at %s", e.Address)
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: CallTimeout}).DialContext,
		TLSHandshakeTimeout: CallTimeout, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
	}
	client, err := api.NewHttpClient(transport, api.TLSConfig{
		Address: e.TLSServerName, CAFile: e.CAFile, CAPath: e.CAPath, CertFile: e.ClientCert, KeyFile: e.ClientKey,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("set up the Consul client: %w", err)
	}
	clock := &Clock{}
	client.Transport = &foreign{next: transport, token: e.Token, clock: clock}
	c, err := api.NewClient(&api.Config{Address: e.Address, Scheme: "http", Datacenter: e.Datacenter, HttpClient: client})
	if err != nil {
		return nil, nil, fmt.Errorf("set up the Consul client: %w", err)
	}
	return &Client{api: c, addr: e.Address, dc: e.Datacenter}, clock, nil
}

// foreign gives each request the other environment's token, whatever Consul's
// client has found in the environment variables, and looks at the clock.
type foreign struct {
	next  *http.Transport
	token func() (string, error)
	clock *Clock
}

// RoundTrip implements http.RoundTripper.
func (f *foreign) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("X-Consul-Token")
	r.Header.Del("Authorization")
	if f.token != nil {
		token, err := f.token()
		if err != nil {
			return nil, err
		}
		if token != "" {
			r.Header.Set("X-Consul-Token", token)
		}
	}
	response, err := f.next.RoundTrip(r)
	if err == nil {
		f.clock.note(response.Header.Get("Date"), time.Now())
	}
	return response, err
}

// CloseIdleConnections is what http.Client calls.
func (f *foreign) CloseIdleConnections() { f.next.CloseIdleConnections() }

// Clock is how far another environment's clock is ahead of this process'. The
// Date of each answer tells (RFC 9110 section 6.6.1).
type Clock struct{ ahead atomic.Int64 }

// sameClock is how far two clocks may be apart that are taken for the same:
// Date has whole seconds, and an answer takes its time.
const sameClock = 5 * time.Second

func (c *Clock) note(date string, now time.Time) {
	there, err := http.ParseTime(date)
	if err != nil {
		return
	}
	// What is known stands until it is clearly wrong, so that times that are
	// derived from it don't waver.
	ahead := there.Sub(now)
	if (ahead - c.Ahead()).Abs() > sameClock {
		c.ahead.Store(int64(ahead.Round(time.Second)))
	}
}

// Ahead is by how much the other clock is ahead, negative if it is behind; 0
// while the two are about the same, or not known yet.
func (c *Clock) Ahead() time.Duration { return time.Duration(c.ahead.Load()) }

// Here is a time of the other clock by this process' own.
func (c *Clock) Here(there time.Time) time.Time { return there.Add(-c.Ahead()).UTC() }
