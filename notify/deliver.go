package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"switchd/rollout"
)

const (
	maxOrder = 64 << 10 // bytes
	// maxMemory bounds a courier's process, in bytes: the library reads answers
	// to their end, however far that is.
	maxMemory = 512 << 20
)

// Deliver is the whole life of a courier's process: it reads an order, and sends
// the message. Its error may have secrets in it.
func Deliver(r io.Reader) (err error) {
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: maxMemory, Max: maxMemory}); err != nil {
		return fmt.Errorf("bound the memory: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxOrder))
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	// This process is for one message: what is set here is for nobody else.
	seen := &witness{next: http.DefaultTransport}
	http.DefaultTransport = seen
	defer func() {
		if cause := recover(); cause != nil {
			err = errors.Join(seen.err, fmt.Errorf("the library gave up: %v", cause))
		}
	}()
	service, err := open(o.URL, o.Kind)
	if err != nil {
		return err
	}
	message, params := o.fit()
	if err := service.Send(message, &params); err != nil {
		return err
	}
	return seen.err
}

// open makes the library's service of a URL.
func open(address, kind string) (types.Service, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	service, err := new(router.ServiceRouter).NewService(kind)
	if err != nil {
		return nil, err
	}
	if custom, ok := service.(types.CustomURLService); ok && u.Scheme != kind {
		if u, err = custom.GetConfigURLFromCustom(u); err != nil {
			return nil, err
		}
	}
	return service, service.Initialize(u, nil)
}

// fit makes the message fit for the kind of the address.
func (o order) fit() (message string, params types.Params) {
	m := o.Message
	params = types.Params{}
	switch o.Kind {
	case "googlechat", "hangouts", "ifttt", "mattermost", "pagerduty", "rocketchat", "signal", "wecom", "zulip":
		m.Text = m.Title + "\n" + m.Text // they have no title, or refuse one
	case "smtp":
		params.SetTitle(mime.QEncoding.Encode("utf-8", m.Title)) // RFC 2047
	case jsonWebhook:
		maps.Copy(params, m.Fields)
		params["at"] = time.Now().UTC().Format(time.RFC3339)
		params.SetTitle(m.Title)
	default:
		params.SetTitle(m.Title)
	}
	switch o.Kind {
	case "pagerduty", "pushover":
		m.Text = rollout.Clip(m.Text, 1000) // they refuse more than 1,024 characters
	}
	return m.Text, params
}

// witness sees whether a request went wrong: some of the library's services don't
// tell.
type witness struct {
	next http.RoundTripper
	err  error // of the last request
}

// RoundTrip implements http.RoundTripper.
func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	w.err = err
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		w.err = fmt.Errorf("%s answered %s", r.URL, resp.Status)
	}
	return resp, err
}
