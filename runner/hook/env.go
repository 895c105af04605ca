package hook

import (
	"maps"
	"slices"

	"switchd/runner"
)

// Environment returns the whole environment of an instance's hooks, sorted: a
// minimal one, what the instance adds, and what switchd tells, which nothing
// can replace. extra is told too, by its full names.
func Environment(inst runner.Instance, extra map[string]string) []string {
	vars := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG": "C.UTF-8",
	}
	maps.Copy(vars, inst.Env)
	maps.Copy(vars, map[string]string{
		"SWITCHD_INSTANCE": inst.ID,
		"SWITCHD_VERSION":  inst.Version,
		"SWITCHD_DIR":      inst.Dir,
		"SWITCHD_LOG":      inst.LogFile,
	})
	maps.Copy(vars, extra)
	env := make([]string, 0, len(vars))
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}
