package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// port tries whether a TCP address can be listened on.
func port(ctx context.Context, addr netip.AddrPort) Finding {
	f := Finding{What: "port " + addr.String(), Need: "to be free"}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr.String())
	if err == nil {
		err = listener.Close()
	}
	if err == nil {
		return ok(f.What, "free")
	}
	f.Level, f.Have = Missing, err.Error()
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		f.Have = "something listens there"
		f.Fix = fmt.Sprintf("end what this shows: ss -Hltnp 'sport = :%d'", addr.Port())
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.Have = "this machine has no such address"
		f.Need = "an address of this machine"
		f.Fix = "choose one that this shows: ip -brief address"
	case errors.Is(err, syscall.EACCES):
		f.Have = "this user may not listen there"
		f.Need = "the right to listen below 1024"
		f.Fix = "in the [Service] section of the agent's unit: AmbientCapabilities=CAP_NET_BIND_SERVICE"
	}
	return f
}
