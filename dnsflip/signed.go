package dnsflip

import (
	"net/netip"
	"time"
)

// respondSigned answers a query that has a TSIG record (RFC 8945): the
// signature is checked before anything else is looked at, and the reply is
// signed by the same key.
func (w *worker) respondSigned(snap *snapshot, client netip.Addr, via transport) []byte {
	now := time.Now()
	tx, err := w.server.cfg.TSIG.Verify(w.query.packet, now)
	out := reply{client: client, via: via, now: now, signed: tx, reserved: tx.Size()}
	if err != nil {
		w.server.cfg.Log.Debug("DNS query with a wrong TSIG", "client", client, "error", err)
		w.reply = w.finish(w.reply[:0], nil, tx.Rcode(), &out)
	} else {
		w.reply = w.answer(w.reply[:0], snap, &out)
	}
	if len(w.reply) > 0 {
		w.reply = tx.Sign(w.reply, time.Now()) // a transfer takes its time
	}
	return w.reply
}
