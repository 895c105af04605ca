package artifact_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/artifact"
)

func manifests() *rapid.Generator[artifact.Manifest] {
	return rapid.Custom(func(t *rapid.T) artifact.Manifest {
		zone := time.FixedZone("", rapid.IntRange(-12, 14).Draw(t, "zone")*3600)
		return artifact.Manifest{
			Service:   rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`).Draw(t, "service"),
			Version:   rapid.StringMatching(`[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}`).Draw(t, "version"),
			Size:      rapid.Int64Range(1, 1<<50).Draw(t, "size"),
			SHA256:    rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "sha256"),
			Format:    artifact.FormatTarZstd,
			Unpacked:  rapid.Int64Range(1, 1<<50).Draw(t, "unpacked"),
			Created:   time.Unix(rapid.Int64Range(0, 1<<36).Draw(t, "created"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).In(zone),
			By:        rapid.StringMatching(`[\pL\pN <>&@"\\.]{0,60}`).Draw(t, "by"),
			Signature: rapid.StringMatching(`[ -~\n]{0,100}`).Draw(t, "signature"),
		}
	})
}

func TestParseManifest_ReadsBackEveryValidManifest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := manifests().Draw(t, "manifest")
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := artifact.ParseManifest(text)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Payload(), want.Payload()) || got.Signature != want.Signature || !got.Created.Equal(want.Created) {
			t.Fatalf("%s reads back as %+v", text, got)
		}
	})
}

func TestPayload_LeavesOutWhatIsNotSigned(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := manifests().Draw(t, "manifest")
		same := m
		same.Signature += "x"
		same.Created = m.Created.In(time.UTC)
		if !bytes.Equal(m.Payload(), same.Payload()) {
			t.Fatalf("%s is not %s", m.Payload(), same.Payload())
		}
		if bytes.Contains(m.Payload(), []byte(`"signature"`)) {
			t.Fatalf("%s has a signature", m.Payload())
		}
	})
}

// The payload is what old signatures are over: its bytes may never change.
func TestPayload_StaysAsItEverWas(t *testing.T) {
	t.Parallel()
	m := artifact.NewManifest("web", "1.4.2", "Ana <ana@example.net>", published.Add(time.Millisecond),
		artifact.Info{Size: 7, SHA256: strings.Repeat("ab", 32), Unpacked: 4096})
	want := `{"service":"web","version":"1.4.2","size":7,"sha256":"` + strings.Repeat("ab", 32) +
		`","format":"tar.zst","unpacked":4096,"created":"2026-03-01T12:00:00Z","by":"Ana \u003cana@example.net\u003e"}`
	if got := string(m.Payload()); got != want {
		t.Errorf("payload is\n%s, want\n%s", got, want)
	}
}

func TestParseManifest_RefusesAndSaysWhy(t *testing.T) {
	t.Parallel()
	valid := artifact.NewManifest("web", "1.4.2", "ana", published, artifact.Info{Size: 7, SHA256: strings.Repeat("ab", 32), Unpacked: 4096})
	text, err := json.Marshal(valid)
	must(t, err)
	for name, test := range map[string]struct{ old, changed, want string }{
		"not JSON":           {`{`, `[`, "parse manifest"},
		"unknown field":      {`{"service"`, `{"root":true,"service"`, `unknown field "root"`},
		"two values":         {`"by":"ana"}`, `"by":"ana"}{}`, "more than one value"},
		"too large":          {`"by":"ana"`, `"by":"` + strings.Repeat("a", 17<<10) + `"`, "more than the 16384 allowed"},
		"path as service":    {`"web"`, `"../web"`, `service "../web"`},
		"upper-case service": {`"web"`, `"Web"`, `service "Web"`},
		"hyphen at the end":  {`"web"`, `"web-"`, `service "web-"`},
		"long service":       {`"web"`, `"` + strings.Repeat("w", 64) + `"`, "service"},
		"line feed":          {`"web"`, `"web\n"`, `service "web\n"`},
		"hidden version":     {`"1.4.2"`, `".4.2"`, `version ".4.2"`},
		"path as version":    {`"1.4.2"`, `"1/../2"`, `version "1/../2"`},
		"empty version":      {`"1.4.2"`, `""`, `version ""`},
		"short digest":       {`"abab`, `"ab`, "sha256"},
		"upper-case digest":  {`"abab`, `"ABab`, "sha256"},
		"no size":            {`"size":7`, `"size":0`, "size 0"},
		"negative size":      {`"size":7`, `"size":-7`, "size -7"},
		"nothing in it":      {`"unpacked":4096`, `"unpacked":0`, "unpacked 0"},
		"other format":       {`tar.zst`, `zip`, `format "zip"`},
		"no time":            {`2026-03`, `0001-01`, "created"},
		"control character":  {`"ana"`, `"a\u001b[2Jna"`, "by"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := strings.Replace(string(text), test.old, test.changed, 1)
			if name == "no time" {
				changed = strings.Replace(string(text), "2026-03-01T12", "0001-01-01T00", 1)
			}
			if _, err := artifact.ParseManifest([]byte(changed)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: error is %v, want one with %q", changed, err, test.want)
			}
		})
	}
	if _, err := artifact.ParseManifest(text); err != nil {
		t.Errorf("the unchanged manifest: %v", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	text, err := json.Marshal(artifact.NewManifest("web", "1.4.2", "ana", published,
		artifact.Info{Size: 7, SHA256: strings.Repeat("ab", 32), Unpacked: 4096}))
	must(f, err)
	for _, seed := range []string{string(text), "", "null", "{}", `{"service":".."}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := artifact.ParseManifest(text)
		if err != nil {
			return
		}
		for _, name := range []string{m.Service, m.Version, m.SHA256} {
			if !filepath.IsLocal(name) || filepath.Base(name) != name || strings.HasPrefix(name, ".") {
				t.Errorf("%q is no safe file name", name)
			}
		}
		again, err := json.Marshal(m)
		must(t, err)
		back, err := artifact.ParseManifest(again)
		must(t, err)
		if len(m.Payload()) == 0 || !bytes.Equal(back.Payload(), m.Payload()) {
			t.Errorf("%q reads back as %q", m.Payload(), back.Payload())
		}
	})
}
