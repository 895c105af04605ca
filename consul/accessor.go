package consul

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Accessor is the accessor ID of the client's token, which is no secret; empty
// where ACLs are off.
// Source: https://developer.hashicorp.com/consul/api-docs/acl/tokens#read-self-token
func (c *Client) Accessor(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	token, _, err := c.api.ACL().TokenReadSelf((&api.QueryOptions{}).WithContext(ctx))
	if status, ok := errors.AsType[api.StatusError](err); ok && status.Code == http.StatusUnauthorized && strings.Contains(status.Body, "ACL support disabled") {
		return "", nil
	}
	if err != nil || token == nil {
		return "", wrap("ask Consul whose token this is", err)
	}
	return token.AccessorID, nil
}
