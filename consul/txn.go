package consul

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
)

// MaxOps is the most operations that one transaction may hold.
// Source: https://developer.hashicorp.com/consul/api-docs/txn
const MaxOps = 64

// Op is one operation of a transaction.
type Op struct {
	kv     api.KVTxnOp
	fences bool
}

// CAS writes a value if the key's index still is what was read; index 0
// creates the key only.
func CAS(key string, value []byte, index uint64) Op {
	return Op{kv: api.KVTxnOp{Verb: api.KVCAS, Key: key, Value: value, Index: index}}
}

// DeleteCAS deletes a key if its index still is what was read.
func DeleteCAS(key string, index uint64) Op {
	return Op{kv: api.KVTxnOp{Verb: api.KVDeleteCAS, Key: key, Index: index}}
}

// Unchanged holds the transaction to a key's index as it was read.
func Unchanged(key string, index uint64) Op {
	if index == 0 {
		return Op{kv: api.KVTxnOp{Verb: api.KVCheckNotExists, Key: key}}
	}
	return Op{kv: api.KVTxnOp{Verb: api.KVCheckIndex, Key: key, Index: index}}
}

// Txn does all operations or none, atomically. ErrConflict: a CAS did not
// hold. ErrFenced: a session's operation did not hold.
func (c *Client) Txn(ctx context.Context, action string, ops ...Op) error {
	if len(ops) > MaxOps {
		return fmt.Errorf("%s: %d operations in a transaction, Consul allows %d", action, len(ops), MaxOps)
	}
	txn := make(api.TxnOps, 0, len(ops))
	for i := range ops {
		txn = append(txn, &api.TxnOp{KV: &ops[i].kv})
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	ok, response, _, err := c.api.Txn().Txn(txn, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return wrap(action, err)
	}
	if ok {
		return nil
	}
	kind := ErrConflict
	var causes []error
	for _, e := range response.Errors {
		causes = append(causes, errors.New(strings.TrimPrefix(e.What, "Permission denied: ")))
		switch {
		case strings.Contains(e.What, "Permission denied"):
			kind = ErrDenied
		case e.OpIndex < len(ops) && ops[e.OpIndex].fences:
			kind = ErrFenced
		}
	}
	return &Error{Action: action, Kind: kind, Err: errors.Join(causes...)}
}
