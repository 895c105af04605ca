package consul

import (
	"context"
	"errors"

	"github.com/hashicorp/consul/api"
)

// errPart says that an answer is not the whole.
var errPart = errors.New("the token may see only a part of it, and what can't be seen must not be taken for gone")

// ListWhole is List for those who remove what is not there: an answer from
// which Consul has left out what the token may not read is ErrDenied. Of an
// anonymous token Consul doesn't tell.
// Source: https://developer.hashicorp.com/consul/api-docs/api-structure#results-filtered-by-acls
func (c *Client) ListWhole(ctx context.Context, prefix string) ([]Entry, error) {
	entries, meta, err := c.list(ctx, prefix)
	if err = whole("list "+prefix, meta, err); err != nil {
		return nil, err
	}
	return entries, nil
}

// ServiceWhole is Service in the same way.
func (c *Client) ServiceWhole(ctx context.Context, name string) ([]*api.ServiceEntry, error) {
	entries, meta, err := c.service(ctx, name)
	if err = whole("read the health of service "+name, meta, err); err != nil {
		return nil, err
	}
	return entries, nil
}

func whole(action string, meta *api.QueryMeta, err error) error {
	if err == nil && meta.ResultsFilteredByACLs {
		return &Error{Action: action, Kind: ErrDenied, Err: errPart}
	}
	return wrap(action, err)
}
