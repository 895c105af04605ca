package notify_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"switchd/notify"
)

func TestLoad_TakesNoFileThatOthersCanRead(t *testing.T) {
	t.Parallel()
	path := write(t, "web = slack://hook:AAAA-BBBB-CCCC@webhook")
	if _, err := notify.Load(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil { //nolint:gosec // on purpose
		t.Fatal(err)
	}
	if _, err := notify.Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("mode 0640: got %v", err)
	}
	for _, path := range []string{filepath.Dir(path), path + "x"} {
		if _, err := notify.Load(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestLoad_KnowsSeveralAddressesOfAName(t *testing.T) {
	t.Parallel()
	found := load(t, "# chats", "web = slack://hook:AAAA-BBBB-CCCC@webhook", "", "  platform team=smtp://mail.apps.test/?from=a@apps.test&to=b@apps.test",
		"web = https://hooks.apps.test/x?key=SECRET")
	if got := found.Names(); !slices.Equal(got, []string{"platform team", "web"}) {
		t.Errorf("names: %q", got)
	}
	if got := fmt.Sprint(found.Of("web"), found.Of("nobody")); !strings.Contains(got, "slack (") || !strings.Contains(got, ":5)") || strings.Contains(got, "SECRET") {
		t.Errorf("addresses: %s", got)
	}
	if got := fmt.Sprintf("%v %+v %#v %s %q", found.Of("web"), found.Of("web"), found.Of("web"), found.Of("web"), found.Of("web")); strings.Contains(got, "AAAA") {
		t.Errorf("printed: %s", got)
	}
}

func TestLoad_SaysWhereAMistakeIsAndNotWhat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"web":                                ":2: a line is NAME = URL",
		"https://SECRET.test/?a=b":           ":2: a line is NAME = URL",
		"= slack://SECRET":                   ":2: a line is NAME = URL",
		strings.Repeat("n", 101) + " = x://": ":2: a line is NAME = URL",
		"web = SECRET":                       ":2: address of web: it is no URL",
		"web = http://[SECRET":               ":2: address of web: it is no URL",
		"web = SECRET://x":                   ":2: address of web: nobody can be told by a URL that begins so; known are http, https, bark",
		"web = logger://":                    ":2: address of web: nobody can be told",
		"web = slack:SECRET":                 ":2: address of web: the slack URL has nothing behind its //",
		"web = smtp://x\n web = smtp://x":    ":3: web has this address already",
		"web = slack://" + strings.Repeat("SECRET", 1000): ":2: bufio.Scanner: token too long; a line has 4096 bytes at most",
	} {
		_, err := notify.Load(write(t, "# a comment", text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%.40s: the secret is told: %v", text, err)
		}
	}
}

func TestFile_IsReadAgainWhenItHasChanged(t *testing.T) {
	t.Parallel()
	path := write(t, "web = smtp://one")
	var log bytes.Buffer
	f := open(t, path, &log)
	if len(f.Addresses(t.Context()).Of("api")) != 0 {
		t.Fatal("api is known")
	}
	rewrite(t, path, "web = smtp://one", "api = smtp://two")
	if len(f.Addresses(t.Context()).Of("api")) != 1 {
		t.Error("a new name is not known")
	}
	rewrite(t, path, "web = smtp://one", "nonsense")
	for range 3 {
		if len(f.Addresses(t.Context()).Of("api")) != 1 {
			t.Error("a broken file has taken the addresses away")
		}
	}
	if f.Err() == nil || strings.Count(log.String(), "addresses to notify stay what they were") != 1 || !strings.Contains(log.String(), ":2: a line is") {
		t.Errorf("the mistake is to be told once: %s", log.String())
	}
	rewrite(t, path, "db = smtp://three")
	if found := f.Addresses(t.Context()); len(found.Of("db")) != 1 || len(found.Of("web")) != 0 || f.Err() != nil {
		t.Errorf("the mended file is not read: %v", f.Err())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("web = slack://hook:AAAA-BBBB-CCCC@webhook\n")
	f.Add("# comment\n\nmail = smtp://user:pass@mail.apps.test:587/?from=a@b&to=c@d\nx=https://h/p?a=%zz")
	f.Add("a = generic+https://user:pass@h\na=teams://\x00")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := notify.Parse(strings.NewReader(text), "addresses")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "addresses:") {
				t.Errorf("no place in %q", err)
			}
			return
		}
		for _, name := range found.Names() {
			for _, a := range found.Of(name) {
				if !slices.Contains(notify.Kinds(), a.Kind()) || fmt.Sprint(a) != a.Kind()+" ("+a.Place()+")" {
					t.Errorf("%s: %v", name, a)
				}
			}
		}
	})
}
