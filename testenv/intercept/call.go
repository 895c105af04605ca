package intercept

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Call is one request of a program to its Consul agent, and what became of it.
type Call struct {
	Method string
	Path   string // such as "/v1/kv/switchd/demo/live/web"
	Query  url.Values
	Body   []byte
	Sent   time.Time

	// What follows is known once the call is over.

	Returned time.Time
	// Status is Consul's; 0 where no answer came, so that nobody knows whether
	// the call was done.
	Status int
	Answer []byte
	// Unsent tells that there is no answer because Consul was never reached:
	// nothing was done.
	Unsent bool
}

// Writes tells whether the call changes something in Consul. Renewals of
// sessions, which come at any time, don't count.
func (c *Call) Writes() bool {
	return c.Method != http.MethodGet && !strings.HasPrefix(c.Path, "/v1/session/renew/")
}

// Key is the KV key that the call is about; false: it is about something else.
func (c *Call) Key() (string, bool) { return strings.CutPrefix(c.Path, "/v1/kv/") }
