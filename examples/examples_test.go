// Package examples_test holds the examples to what they teach.
package examples_test

import (
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"switchd/spec"
)

func TestShop_CompilesForEachEnvironment(t *testing.T) {
	t.Parallel()
	for env, quorum := range map[string]int{"staging": 1, "prod": 2} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			desired := compile(t, os.DirFS("shop"), env)
			if len(desired.Services) != 3 {
				t.Fatalf("services: got %d, want cart, media and web", len(desired.Services))
			}
			web := desired.Services[2]
			if web.Roll.Quorum != spec.Nodes(quorum) {
				t.Errorf("quorum: got %v, want %d", web.Roll.Quorum, quorum)
			}
			if got, want := web.Origins["roll.quorum"].Owner, "platform"; got != want {
				t.Errorf("owner of the quorum: got %q, want %q", got, want)
			}
			if got, want := web.Owner, "web-team"; got != want {
				t.Errorf("owner of the service: got %q, want %q", got, want)
			}
		})
	}
}

// What a line's comment calls the default must be what holds without the
// line: the line is taken out, and the default put in, and both must compile
// to the same.
func TestShop_TellsTheTrueDefaults(t *testing.T) {
	t.Parallel()
	// "default X", up to a comma, a colon or the end, where X is not "none".
	told := regexp.MustCompile(`default ("[^"]*"|\[[^\]]*\]|[a-z.]+|[0-9.]*[0-9])(?:[,:]|$)`)
	checked := 0
	for _, a := range attributes(t) {
		m := told.FindStringSubmatch(a.comment)
		if m == nil || m[1] == "none" {
			continue
		}
		checked++
		t.Run(a.path, func(t *testing.T) {
			t.Parallel()
			without := bare(t, compile(t, a.replace(""), "prod"))
			with := bare(t, compile(t, a.replace(a.name+" = "+m[1]), "prod"))
			if changes := spec.Diff(without, with); len(changes) > 0 {
				t.Errorf("%s:%d says %q, but then: %v", a.file, a.line, m[0], changes)
			}
		})
	}
	if checked < 30 {
		t.Errorf("checked %d defaults only", checked)
	}
}

// Whoever looks for an attribute must find it here: each field of the desired
// state that inputs can set is set.
func TestShop_TeachesEveryAttribute(t *testing.T) {
	t.Parallel()
	desired := compile(t, os.DirFS("shop"), "prod")
	media, web := desired.Services[1], desired.Services[2]
	for _, path := range zeroes(reflect.ValueOf(desired.Environment), "environment") {
		if path == "environment.Zone.DNSSEC" { // shown by staging, since prod has secondaries
			if !compile(t, os.DirFS("shop"), "staging").Environment.Zone.DNSSEC {
				t.Errorf("%s is not set, nor in staging", path)
			}
			continue
		}
		t.Errorf("%s is not set", path)
	}
	for _, path := range zeroes(reflect.ValueOf(web), "web") {
		switch path {
		case "web.Pools[blue].NodeMeta", "web.Pools[blue].Port", "web.Pools[green].Nodes": // shown by the other pool
		case "web.Roll.Quorum.Percent": // shown by max_unavailable
		case "web.Roll.Quorum.And", "web.Roll.MaxUnavailable.And": // of a policy that counts in another way
		case "web.Runtime.Settings", "web.Runtime.Hooks": // no process has them
			if len(media.Runtime.Settings) == 0 || len(media.Runtime.Hooks) == 0 {
				t.Errorf("%s is not set, nor in media", path)
			}
		case "web.Windows.Hold.Deadline.After", "web.Windows.Hold.Deadline.Then": // a window opens by itself
		case "web.Metrics.Min": // a bound of zero
		case "web.Switch.Server", "web.Switch.Zone", "web.Switch.Key": // only an update has them
			if media.Switch.Server == "" || media.Switch.Zone == "" || media.Switch.Key == "" {
				t.Errorf("%s is not set, nor in media", path)
			}
		default:
			t.Errorf("%s is not set", path)
		}
	}
}

// Every attribute of "web", of its environment and of its policy has a comment, behind it or
// above it, that tells the default or that it is required; one that is set in
// several files has it once.
func TestShop_CommentsEveryAttribute(t *testing.T) {
	t.Parallel()
	explained := make(map[string]bool)
	for _, a := range attributes(t) {
		explained[a.path] = explained[a.path] || strings.Contains(a.comment, "default") || strings.Contains(a.comment, "required")
	}
	for path, ok := range explained {
		if !ok {
			t.Errorf("no comment tells the default of %s, or that it is required", path)
		}
	}
}

// attribute is one that the examples explain.
type attribute struct {
	file, path, name string
	line             int
	comment          string
	text             []byte // of the file
	at               hcl.Range
}

// replace is the examples with another line for the attribute.
func (a attribute) replace(line string) fs.FS {
	files := fstest.MapFS{}
	for _, name := range []string{"environment.hcl", "web.hcl", "policy.hcl", "apps.zone"} {
		text, err := os.ReadFile("shop/" + name)
		if err == nil {
			files[name] = &fstest.MapFile{Data: text}
		}
	}
	changed := string(a.text[:a.at.Start.Byte]) + line + string(a.text[a.at.End.Byte:])
	files[a.file] = &fstest.MapFile{Data: []byte(changed)}
	return files
}

// attributes finds those in "web", "prod" and "safety", whose comments are
// complete.
func attributes(t *testing.T) []attribute {
	t.Helper()
	var all []attribute
	for _, name := range []string{"environment.hcl", "web.hcl", "policy.hcl"} {
		text, err := os.ReadFile("shop/" + name)
		if err != nil {
			t.Fatal(err)
		}
		file, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		lines := strings.Split(string(text), "\n")
		var visit func(body *hclsyntax.Body, path string)
		visit = func(body *hclsyntax.Body, path string) {
			for _, a := range body.Attributes {
				all = append(all, attribute{
					file: name, path: path + a.Name, name: a.Name,
					line: a.NameRange.Start.Line, comment: comment(lines, a.NameRange.Start.Line),
					text: text, at: a.SrcRange,
				})
			}
			for _, b := range body.Blocks {
				label := strings.Join(b.Labels, ".")
				if path == "" && label != "web" && label != "prod" && label != "safety" {
					continue
				}
				visit(b.Body, fmt.Sprintf("%s%s %s.", path, b.Type, label))
			}
		}
		visit(file.Body.(*hclsyntax.Body), "")
	}
	return all
}

// comment is what stands behind the line or, if nothing does, above it.
func comment(lines []string, line int) string {
	if _, behind, ok := strings.Cut(lines[line-1], "# "); ok {
		return behind
	}
	var above []string
	for i := line - 2; i >= 0; i-- {
		text, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "#")
		if !ok {
			// Two attributes may share the comment above the first one.
			if len(above) == 0 && strings.Contains(lines[i], " = ") {
				continue
			}
			break
		}
		above = append([]string{strings.TrimSpace(text)}, above...)
	}
	return strings.Join(above, " ")
}

// zeroes are the fields that have no value.
func zeroes(v reflect.Value, path string) []string {
	var found []string
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return []string{path}
		}
		if v.Elem().Kind() == reflect.Struct {
			return zeroes(v.Elem(), path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			found = append(found, zeroes(v.Field(i), path+"."+v.Type().Field(i).Name)...)
		}
	case reflect.Map:
		if v.Len() == 0 {
			return []string{path}
		}
		for _, key := range v.MapKeys() {
			if v.MapIndex(key).Kind() == reflect.Struct {
				found = append(found, zeroes(v.MapIndex(key), fmt.Sprintf("%s[%v]", path, key))...)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return []string{path}
		}
		// Some take other attributes than others: one that has a value will do.
		for i := range v.Len() {
			if v.Index(i).Kind() != reflect.Struct {
				continue
			}
			unset := zeroes(v.Index(i), path)
			if i > 0 {
				unset = slices.DeleteFunc(unset, func(path string) bool { return !slices.Contains(found, path) })
			}
			found = unset
		}
	default:
		if v.IsZero() {
			return []string{path}
		}
	}
	return found
}

// bare is a desired state without its origins, which differ on purpose.
func bare(t *testing.T, d *spec.Desired) *spec.Desired {
	t.Helper()
	d.Environment.Origins = nil
	for i := range d.Services {
		d.Services[i].Origins = nil
	}
	return d
}

func compile(t *testing.T, files fs.FS, env string) *spec.Desired {
	t.Helper()
	src, diags := spec.LoadFS(files)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	desired, diags := src.Compile(env)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return desired
}

// What docs/ANALYSIS.md shows must compile: each indented example that begins
// with a block of an analysis.
func TestAnalysisManual_ShowsWhatCompiles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/ANALYSIS.md")
	if err != nil {
		t.Fatal(err)
	}
	begins := regexp.MustCompile(`^(analysis|errors|latency|saturation|score|metric "[a-z0-9-]+") \{`)
	checked := 0
	for _, part := range regexp.MustCompile(`(?m)(?:^    .*\n|^\n)+`).FindAllString(string(text), -1) {
		example := strings.TrimSpace(regexp.MustCompile(`(?m)^    `).ReplaceAllString(part, ""))
		example = strings.TrimPrefix(example, "weights = [5, 25]\n") // of the service around it
		if !begins.MatchString(example) {
			continue
		}
		checked++
		if !strings.HasPrefix(example, "analysis") {
			example = "analysis {\n looks = 50\n" + example + "\n}"
		}
		if _, err := spec.ParseAnalysis("ANALYSIS.md", []byte(example)); err != nil {
			t.Errorf("%s\n%v", example, err)
		}
	}
	if checked < 6 {
		t.Errorf("found %d examples only", checked)
	}
}

// What docs/GATES.md shows must compile: each indented example that begins with a
// service or a policy.
func TestGatesManual_ShowsWhatCompiles(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../docs/GATES.md")
	if err != nil {
		t.Fatal(err)
	}
	environment, err := os.ReadFile("shop/environment.hcl")
	if err != nil {
		t.Fatal(err)
	}
	zone, err := os.ReadFile("shop/apps.zone")
	if err != nil {
		t.Fatal(err)
	}
	const web = `service "web" {
  port    = 8080
  weights = [5, 25]
  pool "blue" {
    nodes = ["web-b1", "web-b2"]
  }
  pool "green" {
    nodes = ["web-g1", "web-g2"]
  }
  runtime "process" {
    command = ["./app"]
  }
}
`
	checked := 0
	for _, part := range regexp.MustCompile(`(?m)(?:^    .*\n|^\n)+`).FindAllString(string(manual), -1) {
		example := strings.TrimSpace(regexp.MustCompile(`(?m)^    `).ReplaceAllString(part, ""))
		if !strings.HasPrefix(example, "service ") && !strings.HasPrefix(example, "policy ") {
			continue
		}
		checked++
		hcl, _, _ := strings.Cut(example, "\n#!") // a script beside it
		desired := compile(t, fstest.MapFS{
			"environment.hcl": {Data: environment}, "apps.zone": {Data: zone},
			"web.hcl": {Data: []byte(web)}, "example.hcl": {Data: []byte(hcl)},
		}, "prod")
		if len(desired.Services[0].Gates()) == 0 {
			t.Errorf("no gate in:\n%s", hcl)
		}
	}
	if checked < 6 {
		t.Errorf("found %d examples only", checked)
	}
}
