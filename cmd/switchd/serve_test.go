package main

import (
	"errors"
	"testing"
)

func TestAdvertised_NeverSaysAllAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, advertise, want string }{
		{"10.0.0.2:53", "", "10.0.0.2:53"},
		{"[2001:db8::2]:53", "", "[2001:db8::2]:53"},
		{"[::]:53", "10.0.0.2", "10.0.0.2:53"},
		{"0.0.0.0:53", "2001:db8::2", "[2001:db8::2]:53"},
		{"127.0.0.1:8700", "10.0.0.2", "10.0.0.2:8700"},
		{"[::]:53", "", ""},
		{"0.0.0.0:8700", "", ""},
	} {
		got, err := advertised(c.listen, c.advertise)
		if got != c.want {
			t.Errorf("listening on %s, advertising %q: got %q, want %q", c.listen, c.advertise, got, c.want)
		}
		if _, usage := errors.AsType[*usageError](err); usage != (c.want == "") {
			t.Errorf("listening on %s, advertising %q: got %v", c.listen, c.advertise, err)
		}
	}
}
