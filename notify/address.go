package notify

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
)

// Address is where somebody is told: a URL as shoutrrr has them. All of it is
// secret but for its kind and its place.
type Address struct {
	url  string
	kind string
	file string
	line int
}

// Kind is how it is told there, such as "slack" or "smtp".
func (a Address) Kind() string { return a.kind }

// Place is the line that has the address, as FILE:LINE.
func (a Address) Place() string { return fmt.Sprintf("%s:%d", a.file, a.line) }

// Format keeps the address out of whatever is printed.
func (a Address) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s (%s)", a.kind, a.Place()) }

// jsonWebhook has shoutrrr post JSON to a plain URL.
const jsonWebhook = "generic"

// parseAddress reads a URL. Its errors tell nothing of what the URL has but the
// name of its kind.
func parseAddress(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return Address{}, fmt.Errorf("it is no URL such as smtp://mail.apps.test:25/?from=switchd@apps.test&to=web@apps.test")
	}
	kind, _, custom := strings.Cut(strings.ToLower(u.Scheme), "+")
	switch {
	case !custom && (kind == "http" || kind == "https"):
		kind, u.Scheme = jsonWebhook, jsonWebhook+"+"+kind
		query := u.Query()
		if !query.Has("template") {
			query.Set("template", "json")
		}
		u.RawQuery = query.Encode()
	case !slices.Contains(kinds(), kind):
		return Address{}, fmt.Errorf("nobody can be told by a URL that begins so; known are http, https, %s", strings.Join(kinds(), ", "))
	}
	if u.Host == "" {
		return Address{}, fmt.Errorf("the %s URL has nothing behind its //", kind)
	}
	return Address{url: u.String(), kind: kind}, nil
}

// kinds are those of the library, but for the one that only logs.
func kinds() []string {
	all := new(router.ServiceRouter).ListServices()
	all = slices.DeleteFunc(all, func(kind string) bool { return kind == "logger" })
	slices.Sort(all)
	return all
}
