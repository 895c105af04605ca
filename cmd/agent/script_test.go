package main

import (
	"flag"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"switchd/testenv/script"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

func TestMain(m *testing.M) {
	script.Main(m, map[string]func(){"agent": main})
}

func TestCommands_SayWhatTheyDo(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
			script.Hurry(env)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": script.Exits(mask)},
	})
}

func mask(ts *testscript.TestScript, text string) string {
	return strings.ReplaceAll(text, ts.Getenv("WORK"), "WORK")
}
