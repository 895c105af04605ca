package spec

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// WaitFor waits until something outside holds. Exactly one of Key, Service, URL
// and Command is set. They, Value and Body may use ${service},
// ${pool}, ${other_pool} and ${version} of the rollout; in Body these stand for
// their text, not for a pattern.
type WaitFor struct {
	Hold

	Name string `json:"name"`
	// Key is a key of Consul's KV, which must have Value, or be there and not
	// empty if that is "".
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
	// Service is one in Consul of which Passing instances must pass.
	Service string `json:"service,omitempty"`
	Passing int    `json:"passing,omitempty"`
	// URL must answer a GET with Status, and a body that Body matches if it is
	// not "": a regular expression, RE2.
	URL    string `json:"url,omitempty"`
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	// Command must exit with status 0. Its first word is the name of a program
	// in the directory that replicas allow (serve --gate-commands).
	Command []string `json:"command,omitempty"`
	// Every is the time between two tries of a URL or command, Timeout the
	// longest that one of them takes. Keys and services are watched.
	Every   Duration `json:"every"`
	Timeout Duration `json:"timeout"`
	// Remind is how often the owner is told again while it waits; 0: as often as
	// Notify says.
	Remind Duration `json:"remind,omitempty"`
}

// maxArguments bounds a command.
const maxArguments = 100

func (w *WaitFor) form() form {
	return form{
		attrs: append(w.attrs(),
			text("key", &w.Key, keyInKVRule()),
			text("value", &w.Value, ofRollout(varRule())),
			text("service", &w.Service, ofRollout(catalogRule())),
			whole("passing", &w.Passing, 1, maxNodes),
			text("url", &w.URL, askedURLRule()),
			whole("status", &w.Status, 100, 599),
			text("body", &w.Body, ofRollout(patternRule())),
			texts("command", &w.Command, ofRollout(argumentRule()), false),
			span("every", &w.Every, time.Second),
			span("timeout", &w.Timeout, shortest),
			span("remind", &w.Remind, shortest),
		),
		check: w.validate,
	}
}

func (w *WaitFor) validate(at scope) {
	w.own(at)
	var said []string
	for _, name := range []string{"key", "service", "url", "command"} {
		if at.set(name) {
			said = append(said, name)
		}
	}
	switch len(said) {
	case 1:
	case 0:
		at.wrong("", "Nothing to wait for", "The wait %q doesn't say what it waits for. Add one of key, service, url and command, such as: key = \"migrations/${service}/${version}\"", w.Name)
		return
	default:
		at.wrong(said[1], "Waits for several things", "The wait %q has %s and %s, but waits for one thing. Give each a wait block of its own: a rollout goes on when all of them hold.",
			w.Name, strings.Join(said[:len(said)-1], ", "), said[len(said)-1])
		return
	}
	for _, detail := range []struct {
		name string
		of   []string
	}{
		{"value", []string{"key"}},
		{"passing", []string{"service"}},
		{"status", []string{"url"}},
		{"body", []string{"url"}},
		{"every", []string{"url", "command"}},
		{"timeout", []string{"url", "command"}},
	} {
		if at.set(detail.name) && !slices.Contains(detail.of, said[0]) {
			at.wrong(detail.name, "Not for this wait", "The wait %q has %s, and %s belongs to %s. Remove it.", w.Name, said[0], detail.name, strings.Join(detail.of, " or "))
		}
	}
	if len(w.Command) > 0 && (!programRule().ok(w.Command[0]) || len(w.Command) > maxArguments) {
		at.wrong("command", "Invalid command", "The command of the wait %q begins with %q and has %d arguments, but must begin with %s, and have at most %d. Which programs there are is said by who runs the replicas (serve --gate-commands).",
			w.Name, w.Command[0], len(w.Command)-1, programRule().want, maxArguments-1)
	}
}

// String is what is waited for.
func (w *WaitFor) String() string {
	switch {
	case w.Key != "" && w.Value != "":
		return fmt.Sprintf("key %s is %q", w.Key, w.Value)
	case w.Key != "":
		return fmt.Sprintf("key %s is there", w.Key)
	case w.Service != "":
		return fmt.Sprintf("%d passing of service %s", w.Passing, w.Service)
	case w.URL != "":
		return fmt.Sprintf("%s answers %d", w.URL, w.Status)
	default:
		return fmt.Sprintf("command %s exits with 0", strings.Join(w.Command, " "))
	}
}

// keyInKVRule is a key of Consul's KV.
func keyInKVRule() rule {
	r := ofRollout(lineRule().and(func(s string) bool {
		return s != "" && len(s) <= 512 && !strings.HasPrefix(s, "/") && !strings.HasSuffix(s, "/")
	}))
	r.want = "a key of Consul's KV on one line, without \"/\" at its ends, of at most 512 bytes, such as \"migrations/${service}/${version}\"; it" + mayUse
	return r
}

// catalogRule is the name of a service in Consul's catalog, which may be one
// that DNS can't have.
func catalogRule() rule {
	r := wordRule().and(func(s string) bool { return len(s) <= 128 && !strings.ContainsAny(s, "/?") })
	r.want = "the name of a service in Consul, without spaces, \"/\" and \"?\", at most 128 bytes"
	return r
}

// programRule is the name of a file in one directory, and no other.
func programRule() rule {
	return matching("the name of a program without its directory: letters, digits, \".\", \"_\" and \"-\", a letter or digit first", `[A-Za-z0-9][A-Za-z0-9._-]*`, 128)
}

// askedURLRule refuses user and password, because everybody who may read the
// compiled state would see them.
func askedURLRule() rule {
	r := ofRollout(wordRule().and(func(s string) bool {
		u, err := url.Parse(sample(s))
		return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.Fragment == ""
	}))
	r.want = "an http or https URL without user, password and fragment, such as \"http://127.0.0.1:8080/migrated?version=${version}\"; it" + mayUse
	return r
}
