package main

import (
	"fmt"

	"switchd/waitfor"
)

// gateFlags say what gates may use of the machine.
type gateFlags struct {
	Commands string `help:"Directory of the programs that wait gates may run. Only root and the replica's user may be able to write there. Without it, they may run none." type:"path" placeholder:"DIR"`
}

// check tells why the directory can't be used. It is for the user that the process
// runs as in the end.
func (f gateFlags) check() error {
	if f.Commands == "" {
		return nil
	}
	if err := waitfor.CheckCommands(f.Commands); err != nil {
		return fmt.Errorf("--gate-commands: %w", err)
	}
	return nil
}
