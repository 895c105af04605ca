package main

import (
	"switchd/spec"
)

type validateCmd struct {
	Dir string `arg:"" help:"Directory of *.hcl files." type:"path"`
}

func (c *validateCmd) Help() string {
	return "Needs nothing but the files. With several environments and no --env, all of them are checked.\n\n" +
		"What policies have made stricter is told line by line, with the policy that asks for it."
}

func (c *validateCmd) Run(a *app) error {
	envs := []string{a.flags.Env}
	if a.flags.Env == "" {
		if src, diags := spec.Load(c.Dir); !diags.HasErrors() && len(src.Environments()) > 0 {
			envs = src.Environments()
		}
	}
	for _, env := range envs {
		desired, _, err := a.compile(c.Dir, env)
		if err != nil {
			return err
		}
		a.printf("%s: valid, %s\n", desired.Environment.Name, plural(len(desired.Services), "service"))
		a.printTightened(nil, desired)
	}
	return nil
}
