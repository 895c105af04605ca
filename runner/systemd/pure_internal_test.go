package systemd

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/runner"
)

func TestUnitName_IsOneOfASingleInstanceAndVersion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		instance := rapid.Custom(func(t *rapid.T) runner.Instance {
			return runner.Instance{ID: rapid.StringN(1, 8, 16).Draw(t, "id"), Version: rapid.StringN(1, 8, 16).Draw(t, "version")}
		})
		a, b := instance.Draw(t, "a"), instance.Draw(t, "b")
		nameA, err := unitName(a)
		if err != nil {
			t.Fatal(err)
		}
		nameB, err := unitName(b)
		if err != nil {
			t.Fatal(err)
		}
		if same := a.ID == b.ID && a.Version == b.Version; same != (nameA == nameB) {
			t.Fatalf("unit %s of both", nameA)
		}
		if !isOf(nameA, a) || isOf(nameA, b) != (a.ID == b.ID) {
			t.Fatalf("unit %s is of %q, not of another", nameA, a.ID)
		}
		id := newIdentity(nameA)
		if got, err := parseHandle(id.handle()); err != nil || got != id {
			t.Fatalf("handle %q is read as %v, %v", id.handle(), got, err)
		}
	})
}

func TestEscape_WritesWhatSystemdEscapeWrites(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"web-blue", "/var/lib/switchd:web-blue", ".hidden", "a.b_c:d", "ü %\\x2d\"'", "web@1"} {
		want, err := exec.CommandContext(t.Context(), "systemd-escape", "--", text).Output()
		if err != nil {
			t.Fatalf("systemd-escape of Debian's package systemd: %v", err)
		}
		if got := escape(text); got != strings.TrimSpace(string(want)) {
			t.Errorf("escape(%q) is %s, want %s", text, got, want)
		}
	}
}

func TestRender_NeverWritesALineOfTheReleases(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// What the lines would be without anything odd in them.
		plain, err := unitFile(runner.Instance{ID: "i", Version: "v", Dir: "/d", LogFile: "/l", User: "u:g", Command: []string{"c", "a"}}, "/d/c", "/e", "/end")
		if err != nil {
			t.Fatal(err)
		}
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[\n\r\\"'%$\[\]=; a]{0,8}`))
		inst := runner.Instance{
			ID: text.Draw(t, "id"), Version: text.Draw(t, "version"), Dir: "/" + text.Draw(t, "dir"), LogFile: "/" + text.Draw(t, "log"),
			User: "u" + text.Draw(t, "user"), Command: []string{"c", text.Draw(t, "argument")},
		}
		got, err := unitFile(inst, "/d/c", "/e", "/end")
		if err != nil {
			return
		}
		if names(got) != names(plain) && names(got) != strings.Replace(names(plain), "Group\n", "", 1) {
			t.Fatalf("the unit is\n%s", got)
		}
	})
}

// names returns what the lines of a unit set.
func names(unit string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(unit, "\n") {
		name, _, _ := strings.Cut(line, "=")
		b.WriteString(name + "\n")
	}
	return b.String()
}

func TestEnvironment_NeverTellsAValueInAnError(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"PASSWORD": "xyzzy\xff", "NUL": "xyzzy\x00", "1ST": "xyzzy", "A-B": "xyzzy", "": "xyzzy"} {
		_, err := environment(runner.Instance{Env: map[string]string{name: value}}, "")
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "xyzzy") {
			t.Errorf("%q: %v, want an error with the name alone", name, err)
		}
	}
}

func FuzzParseHandle(f *testing.F) {
	f.Add("unit:switchd@web:1.service:" + strings.Repeat("0f", tokenSize))
	f.Add("unit::")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseHandle(runner.Handle(text))
		if err == nil && (string(id.handle()) != text || strings.Contains(id.unit, "/")) {
			t.Errorf("%q is read as %v", text, id)
		}
	})
}
