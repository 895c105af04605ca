package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"switchd/notify"
)

type notifyCmd struct {
	Test    notifyTestCmd    `cmd:"" help:"Send a message to a name's addresses, to see whether it arrives."`
	Deliver notifyDeliverCmd `cmd:"" hidden:"" help:"Send the message that standard input has; other commands do this."`
}

type notifyTestCmd struct {
	NotifyFile string `help:"File of addresses." required:"" type:"path" placeholder:"FILE"`
	Name       string `arg:"" help:"Whom to tell."`
}

func (c *notifyTestCmd) Help() string {
	return `Reads the file that "switchd serve --notify-file" reads, and sends a message to each address of the name, once. It needs no Consul.`
}

// testTime bounds one message.
const testTime = 20 * time.Second

func (c *notifyTestCmd) Run(a *app) error {
	addresses, err := notify.Load(c.NotifyFile)
	if err != nil {
		return err
	}
	found := addresses.Of(c.Name)
	if len(found) == 0 {
		return fmt.Errorf("%s has no address of %q; it has those of: %s", c.NotifyFile, c.Name, strings.Join(addresses.Names(), ", "))
	}
	courier, err := newCourier()
	if err != nil {
		return err
	}
	failed := 0
	for _, address := range found {
		ctx, cancel := context.WithTimeout(a.ctx, testTime)
		err := courier.Send(ctx, address, testMessage(c.Name))
		cancel()
		if err != nil {
			failed++
			a.printf("%s: failed: %v\n", address, err)
			continue
		}
		a.printf("%s: sent\n", address)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d addresses of %q could not be told", failed, len(found), c.Name)
	}
	return nil
}

func testMessage(name string) notify.Message {
	return notify.Message{
		Title:  "switchd: a test",
		Text:   fmt.Sprintf("%s has asked whether %q can be told here. Nothing is to be done.", account(), name),
		Fields: map[string]string{"event": "test"},
	}
}

type notifyDeliverCmd struct{}

func (c *notifyDeliverCmd) Run(*app) error { return notify.Deliver(os.Stdin) }
