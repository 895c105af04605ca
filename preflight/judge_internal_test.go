package preflight

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// want fails unless a finding has the level, and its texts the parts.
func want(t *testing.T, f Finding, level Level, parts ...string) {
	t.Helper()
	text := fmt.Sprintf("%s: have %s; need %s; fix %s", f.What, f.Have, f.Need, f.Fix)
	if f.Level != level {
		t.Errorf("%s: level is %s, want %s", text, f.Level, level)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
	switch f.Level {
	case OK:
		if f.Fix != "" || f.Have == "" {
			t.Errorf("%q has something to fix, or says nothing", text)
		}
	case Warning, Missing:
		if f.Have == "" || f.Need == "" && f.Fix == "" {
			t.Errorf("%q says too little", text)
		}
	}
}

func TestLimits_CountWhatTheUnitMayDo(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	l := limits{whose: "switchd-agent.service", files: 1024, lock: 8 << 20}
	want(t, openFiles(l, 1024), OK, "1024 (RLIMIT_NOFILE of switchd-agent.service)")
	want(t, openFiles(l, 4096), Missing, "1024", "at least 4096", "LimitNOFILE=4096")
	l.files = infinity
	want(t, openFiles(l, 4096), OK, "unlimited")

	want(t, lockedMemory(l, 8<<20), OK, "8192 KiB (RLIMIT_MEMLOCK of switchd-agent.service)")
	want(t, lockedMemory(l, gib), Missing, "8192 KiB", "1024 MiB", "LimitMEMLOCK=infinity")
	l.lock = infinity
	want(t, lockedMemory(l, gib), OK, "unlimited")
	want(t, lockedMemory(limits{mayLock: true}, gib), OK, "CAP_IPC_LOCK")
	l.err = errors.New("no /proc")
	want(t, lockedMemory(l, gib), Warning, "can't be told: no /proc", "LimitMEMLOCK")
	want(t, openFiles(l, 1), Warning, "can't be told: no /proc")
}

func TestUnit_IsReadFromItsProperties(t *testing.T) {
	t.Parallel()
	properties := map[string]any{
		"KillMode": "control-group", "User": "switchd", "LimitNOFILE": uint64(524288), "LimitNOFILESoft": uint64(1024),
		"LimitMEMLOCK": uint64(1 << 40), "LimitMEMLOCKSoft": uint64(8 << 20),
		"AmbientCapabilities": uint64(0), "CapabilityBoundingSet": uint64(1<<unix.CAP_IPC_LOCK | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID),
	}
	u := unitFrom("switchd-agent.service", properties)
	if want := (limits{whose: "switchd-agent.service", files: 524288, lock: 8 << 20}); u.limits != want {
		t.Errorf("limits are %+v, want %+v", u.limits, want)
	}
	want(t, supervision(u), Missing, "KillMode=control-group (switchd-agent.service)", "[Service]", "KillMode=process")
	if got := limitsOf(u); got != u.limits {
		t.Errorf("limits are %+v, want the unit's", got)
	}

	properties["AmbientCapabilities"], properties["KillMode"] = uint64(1<<unix.CAP_IPC_LOCK), "process"
	u = unitFrom("switchd-agent.service", properties)
	if !u.limits.mayLock || u.limits.root {
		t.Errorf("limits are %+v, want the right to lock and none to be others", u.limits)
	}
	want(t, supervision(u), OK, "KillMode=process")
	delete(properties, "User")
	if u = unitFrom("switchd-agent.service", properties); !u.limits.root || !u.limits.mayLock {
		t.Errorf("limits are %+v, want root's", u.limits)
	}
	want(t, supervision(unit{}), Warning, "no unit")
	want(t, supervision(unit{name: "a.service", err: errors.New("no bus")}), Warning, "no bus")
	// A systemd that leaves properties out, or gives them other types.
	want(t, supervision(unitFrom("a.service", map[string]any{"KillMode": 7})), Missing, "KillMode=")
}

func TestUnitOf_FindsTheService(t *testing.T) {
	t.Parallel()
	for cgroup, want := range map[string]string{
		"0::/system.slice/switchd-agent.service\n":                             "switchd-agent.service",
		"0::/system.slice/switchd-agent.service/child\n":                       "switchd-agent.service",
		"0::/system.slice/system-agent.slice/agent@web.service":                "agent@web.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                        "",
		"0::/user.slice/user-0.slice/user@0.service/init.scope\n":              "",
		"0::/user.slice/user-1.slice/user@1.service/app.slice/agent.service\n": "agent.service",
		"9:name=systemd:/system.slice/a.service\n4:memory:/b.service\n0::/\n":  "a.service",
		"4:memory:/system.slice/b.service\n9:name=systemd:/\n0::/\n":           "",
		"12:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n":                 "",
		"0::/\n": "", "": "", "nonsense": "", "0::relative.service": "relative.service",
	} {
		if got := unitOf(cgroup); got != want {
			t.Errorf("unit of %q is %q, want %q", cgroup, got, want)
		}
	}
}

func FuzzUnitOf(f *testing.F) {
	f.Add("0::/system.slice/switchd-agent.service\n")
	f.Add("9:name=systemd:/user.slice/user@0.service/x\n0::/")
	f.Add("0::a/../..//.service:b\n\n:::")
	f.Fuzz(func(t *testing.T, cgroup string) {
		if got := unitOf(cgroup); got != "" && (!strings.HasSuffix(got, ".service") || strings.Contains(got, "/")) {
			t.Errorf("unit of %q is %q", cgroup, got)
		}
	})
}

func TestClock_WarnsWhereNothingKeepsItRight(t *testing.T) {
	t.Parallel()
	want(t, clock(true, nil), OK)
	want(t, clock(false, nil), Warning, "nothing synchronises it", "systemd-timesyncd")
	want(t, clock(false, errors.New("not permitted")), Warning, "can't be told: not permitted")
}

func TestDisk_JudgesRoomAndMount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		have, need := rapid.Uint64().Draw(r, "have"), rapid.Uint64().Draw(r, "need")
		if got := free("/data", have, need).Level; (got == OK) != (have >= need) {
			r.Fatalf("%d of %d bytes: %s", have, need, got)
		}
	})
	want(t, free("/data", 5<<30, 20<<30), Missing, "5120 MiB free for /data", "20 GiB")
	want(t, executable("/data", unix.ST_NOEXEC|unix.ST_RELATIME), Missing, "noexec", "/data")
	want(t, executable("/data", unix.ST_NOSUID), OK)
}

func TestVersion_WarnsOfWhatIsNotTested(t *testing.T) {
	t.Parallel()
	for have, level := range map[string]Level{
		"1.22.0": OK, "1.22.7": OK, "1.23.1": OK, "2.0.0": OK, "1.22.0-rc1": OK, "1.22.7+ent": OK,
		"1.21.9": Warning, "1.3.0": Warning, "": Warning, "latest": Warning,
	} {
		want(t, version(have), level, have)
	}
}

func TestAccount_WantsTheRightToBeOthers(t *testing.T) {
	t.Parallel()
	want(t, account("nobody", true), OK)
	want(t, account("nobody:nogroup", true), OK)
	want(t, account("65534:65534", true), OK)
	want(t, account("nobody", false), Missing, "may not start anything as another user", "User=root")
	want(t, account("no-such-user", true), Missing, "no-such-user", "useradd --system")
	want(t, account("nobody:no-such-group", true), Missing, "groupadd --system no-such-group")
	want(t, account("4294000000", true), Missing, "useradd")
}

func TestWorst_IsTheWorst(t *testing.T) {
	t.Parallel()
	levels := []Level{OK, Warning, Missing}
	rapid.Check(t, func(r *rapid.T) {
		var findings []Finding
		worst := 0
		for _, i := range rapid.SliceOf(rapid.IntRange(0, 2)).Draw(r, "levels") {
			findings = append(findings, Finding{Level: levels[i]})
			worst = max(worst, i)
		}
		if got := Worst(findings); got != levels[worst] {
			r.Fatalf("got %s, want %s", got, levels[worst])
		}
	})
}
