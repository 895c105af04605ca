package intercept

import (
	"encoding/json"
	"net/http"

	"github.com/hashicorp/consul/api"
)

// Op is an operation on a key within a transaction.
type Op struct {
	Verb    api.KVOp
	Key     string
	Value   string
	Index   uint64 // that the key must have
	Session string
	// Failed tells that the operation is why the transaction was refused.
	Failed bool
	// Written is the key's index after a transaction that was done.
	Written uint64
}

// Txn is the transaction that the call is about; false: it is about something
// else.
func (c *Call) Txn() ([]Op, bool) {
	if c.Method != http.MethodPut || c.Path != "/v1/txn" {
		return nil, false
	}
	var asked []struct {
		KV *struct {
			Verb    api.KVOp
			Key     string
			Value   []byte
			Index   uint64
			Session string
		}
	}
	if json.Unmarshal(c.Body, &asked) != nil {
		return nil, false
	}
	var ops []Op
	places := make(map[int]int) // in ops, by the place in the transaction
	for i, a := range asked {
		if a.KV == nil {
			continue
		}
		places[i] = len(ops)
		ops = append(ops, Op{Verb: a.KV.Verb, Key: a.KV.Key, Value: string(a.KV.Value), Index: a.KV.Index, Session: a.KV.Session})
	}
	var answered api.TxnResponse
	if json.Unmarshal(c.Answer, &answered) != nil {
		return ops, true // there is no answer yet, or Consul failed
	}
	for _, e := range answered.Errors {
		if at, ok := places[e.OpIndex]; ok {
			ops[at].Failed = true
		}
	}
	for _, result := range answered.Results {
		if result.KV == nil {
			continue
		}
		for i := range ops {
			if ops[i].Key == result.KV.Key {
				ops[i].Written = result.KV.ModifyIndex
			}
		}
	}
	return ops, true
}
