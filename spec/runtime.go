package spec

import (
	"maps"
	"slices"
	"time"
)

// Runtime says how a release is run on a node. What a kind doesn't know, it
// doesn't take: see kinds.
type Runtime struct {
	Kind    string            `json:"kind"`              // one of RuntimeKinds
	Command []string          `json:"command,omitempty"` // relative paths start at the unpacked release
	Env     map[string]string `json:"env,omitempty"`
	User    string            `json:"user,omitempty"` // user or user:group; empty: the agent's
	// Limits are resource limits (setrlimit(2)) by their names in lower case.
	Limits map[string]uint64 `json:"limits,omitempty"`
	// StopSignal is sent first, SIGKILL after StopGrace.
	StopSignal string   `json:"stop_signal,omitempty"`
	StopGrace  Duration `json:"stop_grace,omitempty"`
	// Settings and Hooks are what one kind alone knows, by their names in the
	// inputs.
	Settings map[string]string   `json:"settings,omitempty"`
	Hooks    map[string][]string `json:"hooks,omitempty"`
	// HookTimeout bounds each run of a hook.
	HookTimeout Duration `json:"hook_timeout,omitempty"`
}

// The kinds of runtimes.
const (
	RuntimeProcess = "process" // a process of the agent's machine
	RuntimeSystemd = "systemd" // a systemd unit
	RuntimeDocker  = "docker"  // a container, by Docker's API
	RuntimeStatic  = "static"  // files behind a symbolic link
	RuntimeExec    = "exec"    // the owner's own scripts
)

// kind is what one kind of runtime takes besides the hooks' timeout. The
// values of the maps tell whether it must be given.
type kind struct {
	command, env, user, limits bool
	commandNeeded              bool
	settings, hooks            map[string]bool
}

func kinds() map[string]kind {
	return map[string]kind{
		RuntimeProcess: {command: true, commandNeeded: true, env: true, user: true, limits: true},
		RuntimeSystemd: {command: true, env: true, user: true, limits: true, settings: map[string]bool{"unit": false}},
		RuntimeDocker:  {command: true, env: true, user: true, limits: true, settings: map[string]bool{"image": true, "network": false, "socket": false}},
		RuntimeStatic:  {env: true, settings: map[string]bool{"link": true}, hooks: map[string]bool{"reload": false}},
		RuntimeExec: {env: true, hooks: map[string]bool{
			"stage": false, "start": true, "stop": true, "status": true, "cleanup": false,
		}},
	}
}

// RuntimeKinds are the kinds of runtimes, sorted.
func RuntimeKinds() []string { return slices.Sorted(maps.Keys(kinds())) }

// The names that the kinds know, sorted.
func settingNames() []string {
	return namesOf(func(k kind) map[string]bool { return k.settings })
}

func hookNames() []string {
	return namesOf(func(k kind) map[string]bool { return k.hooks })
}

func namesOf(of func(kind) map[string]bool) []string {
	all := make(map[string]bool)
	for _, k := range kinds() {
		maps.Copy(all, of(k))
	}
	return slices.Sorted(maps.Keys(all))
}

func (r *Runtime) form() form {
	attrs := []attr{
		texts("command", &r.Command, argumentRule(), false),
		textMap("env", &r.Env, envNameRule(), argumentRule()),
		text("user", &r.User, wordRule()),
		wholeMap("limits", &r.Limits, oneOf("as", "core", "memlock", "nofile", "nproc")),
		text("stop_signal", &r.StopSignal, signalRule()),
		span("stop_grace", &r.StopGrace, shortest),
		span("hook_timeout", &r.HookTimeout, time.Second),
	}
	for _, name := range settingNames() {
		attrs = append(attrs, in(name, &r.Settings, func(name string, to *string) attr { return text(name, to, wordRule()) }))
	}
	for _, name := range hookNames() {
		attrs = append(attrs, in(name, &r.Hooks, func(name string, to *[]string) attr { return texts(name, to, argumentRule(), false) }))
	}
	return form{attrs: attrs, check: r.validate}
}

// signalRule names the signals that programs take as a wish to end.
func signalRule() rule {
	return oneOf("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")
}

func (r *Runtime) validate(at scope) {
	k := kinds()[r.Kind]
	refuse := func(given bool, name string) {
		if given {
			at.wrong(name, "Not for this runtime", "A runtime of kind %q takes no %s. Remove it, or choose another kind (%s).", r.Kind, name, quoted(RuntimeKinds()))
		}
	}
	refuse(len(r.Env) > 0 && !k.env, "env")
	refuse(r.User != "" && !k.user, "user")
	refuse(len(r.Limits) > 0 && !k.limits, "limits")
	require := func(given, known, needed bool, name, example string) {
		refuse(given && !known, name)
		if known && needed && !given {
			at.wrong("", "Missing "+name, "A runtime of kind %q needs %s, such as: %s", r.Kind, name, example)
		}
	}
	require(len(r.Command) > 0, k.command, k.commandNeeded, "command", `command = ["./app"]`)
	for _, name := range settingNames() {
		needed, known := k.settings[name]
		require(r.Settings[name] != "", known, needed, name, map[string]string{
			"image": `image = "image.tar"`, "link": `link = "/srv/www/${service}-${pool}"`,
		}[name])
	}
	for _, name := range hookNames() {
		needed, known := k.hooks[name]
		require(len(r.Hooks[name]) > 0, known, needed, name, name+` = ["./`+name+`.sh"]`)
	}
	if len(r.Command) > 0 && r.Command[0] == "" {
		at.wrong("command", "Empty command", "The first element of command is the program to run, and it is empty.")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Hooks)) {
		if r.Hooks[name][0] == "" {
			at.wrong(name, "Empty command", "The first element of %s is the program to run, and it is empty.", name)
		}
	}
}
