package spec

// Runtime says how a release is run on a node.
type Runtime struct {
	Kind    string            `json:"kind"`    // RuntimeProcess
	Command []string          `json:"command"` // relative paths start at the unpacked release
	Env     map[string]string `json:"env,omitempty"`
	// StopSignal is sent first, SIGKILL after StopGrace.
	StopSignal string   `json:"stop_signal"`
	StopGrace  Duration `json:"stop_grace"`
}

// RuntimeProcess runs the release as a process of the agent's machine.
const RuntimeProcess = "process"

func (r *Runtime) form() form {
	return form{
		attrs: []attr{
			texts("command", &r.Command, argumentRule(), false).must(),
			textMap("env", &r.Env, envNameRule(), argumentRule()),
			text("stop_signal", &r.StopSignal, signalRule()),
			span("stop_grace", &r.StopGrace, shortest),
		},
		check: r.validate,
	}
}

// signalRule names the signals that programs take as a wish to end.
func signalRule() rule {
	return oneOf("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")
}

func (r *Runtime) validate(at scope) {
	if r.Command[0] == "" {
		at.wrong("command", "Empty command", "The first element of command is the program to run, and it is empty.")
	}
}
