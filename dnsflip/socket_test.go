package dnsflip

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// bound binds an address until the test ends, and returns its port.
func bound(t *testing.T, addr string) (k *socket, port string) {
	t.Helper()
	k, err := bind(t.Context(), addr, 1)
	if err != nil {
		t.Fatalf("bind %s: %v", addr, err)
	}
	t.Cleanup(func() {
		if err := k.close(); err != nil {
			t.Error(err)
		}
	})
	_, port, err = net.SplitHostPort(k.addr())
	if err != nil {
		t.Fatal(err)
	}
	return k, port
}

// bothFamilies binds one port on the first address and then on the second. A
// port that was free on one may be somebody else's on the other.
func bothFamilies(t *testing.T, first, second string) *socket {
	t.Helper()
	for try := 1; ; try++ {
		k, port := bound(t, net.JoinHostPort(first, "0"))
		other, err := bind(t.Context(), net.JoinHostPort(second, port), 1)
		if err == nil {
			if err := other.close(); err != nil {
				t.Error(err)
			}
			return k
		}
		if try == bindTries || !errors.Is(err, unix.EADDRINUSE) {
			t.Fatalf("bind %s beside %s: %v", second, k.addr(), err)
		}
	}
}

// option reads an option of a UDP socket.
func option(t *testing.T, p *packets, level, name int) (value int) {
	t.Helper()
	var problem error
	if err := p.raw.Control(func(fd uintptr) { value, problem = unix.GetsockoptInt(int(fd), level, name) }); err != nil {
		t.Fatal(err)
	}
	if problem != nil {
		t.Fatal(problem)
	}
	return value
}

func TestBind_KeepsTheFamiliesApart(t *testing.T) {
	t.Parallel()
	for first, second := range map[string]string{"0.0.0.0": "::", "::": "0.0.0.0"} {
		k := bothFamilies(t, first, second)
		family := map[string]int{"0.0.0.0": unix.AF_INET, "::": unix.AF_INET6}[first]
		if got := option(t, k.udp[0], unix.SOL_SOCKET, unix.SO_DOMAIN); got != family {
			t.Errorf("%s by UDP: got family %d, want %d", first, got, family)
		}
		if family == unix.AF_INET6 && option(t, k.udp[0], unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) == 0 {
			t.Errorf("%s by UDP takes packets to 0.0.0.0, too", first)
		}
	}
}

// TestBind_NeverFragments looks at what keeps an ICMP message, which anybody
// can forge, from having replies cut, RFC 9715 section 3.1.
func TestBind_NeverFragments(t *testing.T) {
	t.Parallel()
	v4, v6 := [2]int{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER}, [2]int{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER}
	for addr, options := range map[string][][2]int{"127.0.0.1:0": {v4}, "[::1]:0": {v6}, ":0": {v4, v6}} {
		k, _ := bound(t, addr)
		for _, o := range options {
			if got, want := option(t, k.udp[0], o[0], o[1]), map[[2]int]int{v4: unix.IP_PMTUDISC_OMIT, v6: unix.IPV6_PMTUDISC_OMIT}[o]; got != want {
				t.Errorf("%s: option %v is %d, want %d", addr, o, got, want)
			}
		}
	}
}
