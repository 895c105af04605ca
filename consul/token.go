package consul

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Whose tells whose the client's token is: its accessor ID, which is no secret,
// and what it is called, by its accessor ID if it has no description. Both are
// empty where ACLs are off.
// Source: https://developer.hashicorp.com/consul/api-docs/acl/tokens#read-self-token
func (c *Client) Whose(ctx context.Context) (accessor, name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	token, _, err := c.api.ACL().TokenReadSelf((&api.QueryOptions{}).WithContext(ctx))
	if status, ok := errors.AsType[api.StatusError](err); ok && status.Code == http.StatusUnauthorized && strings.Contains(status.Body, "ACL support disabled") {
		return "", "", nil
	}
	if err != nil || token == nil {
		return "", "", wrap("ask Consul whose token this is", err)
	}
	return token.AccessorID, cmp.Or(token.Description, token.AccessorID), nil
}

// Identity names the owner of the token as Consul knows it, "" where ACLs
// are off or Consul does not tell.
func (c *Client) Identity(ctx context.Context) string {
	_, name, _ := c.Whose(ctx) // without an answer, it has no name
	return name
}
