package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"
)

// The kinds of errors that callers tell apart.
var (
	// ErrConflict says that a record was changed by another writer since it
	// was read; nothing was written.
	ErrConflict = errors.New("changed by another writer meanwhile")
	// ErrFenced says that the writer no longer holds its lease; nothing was
	// written.
	ErrFenced = errors.New("the lease is lost")
	// ErrDenied says that the token lacks a right.
	ErrDenied = errors.New("permission denied by Consul's ACL")
	// ErrUnreachable says that Consul did not answer, or has no leader.
	ErrUnreachable = errors.New("Consul can't be reached") //nolint:staticcheck // Consul is a name
)

// Error is what failed, of what kind, and why.
type Error struct {
	Action string
	Kind   error // one of the kinds above, or nil
	Err    error
}

// Error says the action and the cause.
func (e *Error) Error() string {
	if e.Kind == nil {
		return fmt.Sprintf("%s: %s", e.Action, cause(e.Err))
	}
	if e.Err == nil {
		return fmt.Sprintf("%s: %v", e.Action, e.Kind)
	}
	return fmt.Sprintf("%s: %v: %s", e.Action, e.Kind, cause(e.Err))
}

// cause is what Consul or the network said, without the URL and the words that
// Consul's client puts around it: the action says what was asked for.
func cause(err error) string {
	if status, ok := errors.AsType[api.StatusError](err); ok {
		return fmt.Sprintf("Consul answered %d: %s", status.Code, strings.TrimPrefix(strings.TrimSpace(status.Body), "Permission denied: "))
	}
	if call, ok := errors.AsType[*url.Error](err); ok {
		return call.Err.Error()
	}
	return err.Error()
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// wrap classifies an error of Consul's client. It keeps nil.
func wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Action: action, Kind: kindOf(err), Err: err}
}

func kindOf(err error) error {
	if status, ok := errors.AsType[api.StatusError](err); ok {
		switch {
		case status.Code == http.StatusForbidden, strings.Contains(status.Body, "Permission denied"):
			return ErrDenied
		case strings.Contains(status.Body, "No cluster leader"), strings.Contains(status.Body, "No known Consul servers"),
			strings.Contains(status.Body, "rpc error"), strings.Contains(status.Body, "leadership lost"):
			return ErrUnreachable
		}
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return ErrUnreachable
	}
	if strings.Contains(err.Error(), "Permission denied") {
		return ErrDenied
	}
	return nil
}
