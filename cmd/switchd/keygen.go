package main

import (
	"switchd/artifact"
)

type keygenCmd struct {
	Path string `arg:"" help:"File of the private key; the public one gets the suffix .pub." type:"path"`
}

func (c *keygenCmd) Help() string {
	return "Keys are minisign's: `minisign -V` verifies what they sign. Give agents and replicas the public key with --trusted-key. The private key is not encrypted; guard the file, or make a pair with `minisign -G`."
}

func (c *keygenCmd) Run(a *app) error {
	if _, err := artifact.GenerateKey(c.Path+".pub", c.Path, ""); err != nil {
		return err
	}
	a.printf("%s      sign with it: switchd publish --key %s …\n%s.pub  trust it: agent run --trusted-key %s.pub\n", c.Path, c.Path, c.Path, c.Path)
	return nil
}
