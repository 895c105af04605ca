package dnsflip

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"switchd/zone"
)

func FuzzDecode_TakesOnlyWhatCanBeServed(f *testing.F) {
	f.Add([]byte(`{"zone":{"name":"a.test","name_servers":["ns.b","n.a.test"],"admin":"a@b","ttl":"1m","negative_ttl":"5s"},"serial":1,"name_server_addrs":{"n.a.test":["192.0.2.53"]},` +
		`"flips":{"w":{"live":"blue","ttl":"5s","pools":{"blue":["::ffff:192.0.2.1","2001:db8::1"],"green":[]}}}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"flips":{"":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := decode(data)
		if err != nil {
			return
		}
		again, err := encode(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(again)
		if err != nil {
			t.Fatalf("what was decoded can't be decoded again: %v\n%s", err, again)
		}
		if !reflect.DeepEqual(got, v) {
			t.Fatalf("got %+v, want %+v", got, v)
		}
		var b builder
		z, _, err := b.build(&v, nil)
		if err != nil {
			return // a clash of names is told when the view is published
		}
		for label, f := range v.Flips {
			name, err := zone.ParseName(strings.TrimPrefix(label+"."+v.Zone.Name, "@."))
			if err != nil {
				t.Fatal(err)
			}
			if n := z.Node([]byte(name)); n == nil || f.Live != "" && len(n.Sets)+len(n.Choices) == 0 {
				t.Fatalf("%s leads nowhere", label)
			}
		}
	})
}

func TestSave_LeavesNothingButTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "view.json")
	// What a crash left behind.
	if err := os.WriteFile(file+".tmp", []byte(strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	want := manyView().normal()
	if err := errors.Join(stage(file, want), settle(file)); err != nil {
		t.Fatal(err)
	}
	got, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	if !sameAnswers(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the directory holds %v", entries)
	}
}

// TestLoad_TakesTheNewestThatIsWhole crashes at each point of a save.
func TestLoad_TakesTheNewestThatIsWhole(t *testing.T) {
	t.Parallel()
	old, young := manyView(), manyView()
	young.Serial++
	for what, c := range map[string]struct {
		crash func(file string) error
		want  uint32
	}{
		"before it is staged":        {func(string) error { return nil }, old.Serial},
		"in the middle of staging":   {func(file string) error { return os.WriteFile(file+".tmp", []byte("{"), 0o600) }, old.Serial},
		"the process, once staged":   {func(file string) error { return stage(file, young) }, young.Serial},
		"the machine, once staged":   {func(file string) error { return os.WriteFile(next(file), nil, 0o600) }, old.Serial},
		"once settled":               {func(file string) error { return errors.Join(stage(file, young), settle(file)) }, young.Serial},
		"with an older one left":     {func(file string) error { return errors.Join(stage(file, young), settle(file), stage(file, old)) }, young.Serial},
		"the very first one, staged": {func(file string) error { return errors.Join(os.Remove(file), stage(file, young)) }, young.Serial},
	} {
		file := filepath.Join(t.TempDir(), "view.json")
		if err := errors.Join(stage(file, old), settle(file), c.crash(file)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got, err := load(file); err != nil || got.Serial != c.want {
			t.Errorf("crash %s: got serial %d (%v), want %d", what, got.Serial, err, c.want)
		}
	}
}

func TestLoad_RefusesAFileWithoutEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "view.json")
	data, err := encode(manyView())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, maxFile+10); err != nil { // sparse
		t.Fatal(err)
	}
	if _, err := load(file); err == nil || !strings.Contains(err.Error(), "is corrupt") {
		t.Errorf("got %v", err)
	}
}
