package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/consul/api"
)

// local does for one node what its own Consul agent would: it keeps the node's
// registrations and has the catalog show them. Everything else goes to the
// servers. A thousand real Consul agents would not fit on one machine.
type local struct {
	node, address string
	servers       []string // host:port
	first         int      // where its requests go, until that server fails
	next          http.RoundTripper
	writes        atomic.Int64

	mu       sync.Mutex
	services map[string]*registered
}

type registered struct {
	api.AgentServiceRegistration

	status      string
	maintenance string // the reason; empty: none
	// ended tells that the catalog may still show a maintenance that has ended.
	ended bool
}

// RoundTrip answers what is the local agent's and passes on the rest.
func (l *local) RoundTrip(r *http.Request) (*http.Response, error) {
	path, mine := strings.CutPrefix(r.URL.Path, "/v1/agent/")
	if !mine {
		return l.pass(r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case strings.HasPrefix(path, "health/service/id/"):
		return l.health(r, strings.TrimPrefix(path, "health/service/id/"))
	case path == "services":
		return l.list(r)
	case path == "service/register":
		return l.register(r)
	case strings.HasPrefix(path, "service/deregister/"):
		id := strings.TrimPrefix(path, "service/deregister/")
		delete(l.services, id)
		return l.catalog(r, "deregister", api.CatalogDeregistration{Node: l.node, ServiceID: id})
	case strings.HasPrefix(path, "service/maintenance/"):
		return l.maintain(r, strings.TrimPrefix(path, "service/maintenance/"))
	}
	return answer(r, http.StatusNotFound, "the simulated agent knows no "+path), nil
}

// pass sends a request to a server; after a failure the next one goes to
// another server, as with an agent that has lost its server.
func (l *local) pass(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	at := l.first
	l.mu.Unlock()
	return l.send(r, at)
}

func (l *local) send(r *http.Request, at int) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = l.servers[at%len(l.servers)]
	if writes(r) {
		l.writes.Add(1)
	}
	response, err := l.next.RoundTrip(r)
	if err != nil && r.Context().Err() == nil {
		go l.turnFrom(at) // the caller may hold the lock
	}
	return response, err
}

func (l *local) turnFrom(at int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == at {
		l.first++
	}
}

// writes tells whether a request is a write that Consul's servers replicate;
// renewals of sessions are not.
func writes(r *http.Request) bool {
	return r.Method != http.MethodGet && !strings.HasPrefix(r.URL.Path, "/v1/session/renew/")
}

func (l *local) health(r *http.Request, id string) (*http.Response, error) {
	s := l.services[id]
	switch {
	case s == nil:
		return answer(r, http.StatusNotFound, `{"AggregatedStatus":"critical"}`), nil
	case s.maintenance != "" || s.status != api.HealthPassing:
		return answer(r, http.StatusServiceUnavailable, `{"AggregatedStatus":"critical"}`), nil
	}
	return answer(r, http.StatusOK, `{"AggregatedStatus":"passing"}`), nil
}

func (l *local) list(r *http.Request) (*http.Response, error) {
	services := make(map[string]api.AgentService)
	for id, s := range l.services {
		services[id] = api.AgentService{ID: id, Service: s.Name, Tags: s.Tags, Meta: s.Meta, Address: s.Address, Port: s.Port}
	}
	text, err := json.Marshal(services)
	if err != nil {
		return nil, fmt.Errorf("list the services: %w", err)
	}
	return answer(r, http.StatusOK, string(text)), nil
}

func (l *local) register(r *http.Request) (*http.Response, error) {
	var given api.AgentServiceRegistration
	if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	former := l.services[given.ID]
	now := &registered{AgentServiceRegistration: given, status: given.Check.Status}
	if former != nil {
		if former.Check.CheckID == given.Check.CheckID {
			now.status = former.status
		}
		if r.URL.Query().Get("replace-existing-checks") == "" {
			now.maintenance = former.maintenance
		}
		now.ended = former.ended || former.maintenance != "" && now.maintenance == ""
	}
	l.services[given.ID] = now
	if response, err := l.sync(r, now); err != nil || response.StatusCode != http.StatusOK || !now.ended {
		return response, err
	}
	return l.end(r, now)
}

// end has the catalog show that a maintenance has ended. It is remembered until
// that is so, as a real agent's anti-entropy would.
func (l *local) end(r *http.Request, s *registered) (*http.Response, error) {
	response, err := l.catalog(r, "deregister", api.CatalogDeregistration{Node: l.node, CheckID: maintenanceID(s.ID)})
	if err == nil && response.StatusCode == http.StatusOK {
		s.ended = false
	}
	return response, err
}

func (l *local) maintain(r *http.Request, id string) (*http.Response, error) {
	s := l.services[id]
	if s == nil {
		return answer(r, http.StatusNotFound, "unknown service "+id), nil
	}
	if r.URL.Query().Get("enable") == "true" {
		s.maintenance, s.ended = r.URL.Query().Get("reason"), false
		return l.sync(r, s)
	}
	if s.maintenance == "" && !s.ended {
		return answer(r, http.StatusOK, ""), nil
	}
	s.maintenance, s.ended = "", true
	return l.end(r, s)
}

func maintenanceID(service string) string { return "_service_maintenance:" + service }

// sync has the catalog show a registration.
func (l *local) sync(r *http.Request, s *registered) (*http.Response, error) {
	checks := api.HealthChecks{{Node: l.node, CheckID: s.Check.CheckID, Name: s.Check.Name, Status: s.status, ServiceID: s.ID}}
	if s.maintenance != "" {
		checks = append(checks, &api.HealthCheck{
			Node: l.node, CheckID: maintenanceID(s.ID), Name: "Service Maintenance Mode", Status: api.HealthCritical, Notes: s.maintenance, ServiceID: s.ID,
		})
	}
	return l.catalog(r, "register", api.CatalogRegistration{
		Node: l.node, Address: l.address, SkipNodeUpdate: true, Checks: checks,
		Service: &api.AgentService{ID: s.ID, Service: s.Name, Tags: s.Tags, Meta: s.Meta, Address: s.Address, Port: s.Port},
	})
}

// catalog writes to the catalog on behalf of a request.
func (l *local) catalog(r *http.Request, what string, value any) (*http.Response, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("write to the catalog: %w", err)
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPut, "http://consul/v1/catalog/"+what, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("write to the catalog: %w", err)
	}
	return l.send(request, l.first)
}

func answer(r *http.Request, status int, text string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r,
	}
}
