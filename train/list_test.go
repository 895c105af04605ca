package train_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"switchd/train"
)

func TestParseFile_ReadsOneReleaseALine(t *testing.T) {
	t.Parallel()
	text := "# the shop, for spring\n\nweb=2.0.0  # the new basket\n  cart = 1.5.0+a#b\r\nstock=1\n"
	items, err := train.ParseFile("spring.train", strings.NewReader(text))
	want := []train.Item{
		{Service: "web", Version: "2.0.0", Place: "spring.train:3"},
		{Service: "cart", Version: "1.5.0+a#b", Place: "spring.train:4"},
		{Service: "stock", Version: "1", Place: "spring.train:5"},
	}
	if err != nil || !slices.Equal(items, want) {
		t.Errorf("got %+v, %v", items, err)
	}
}

func TestParse_NamesThePlaceOfAMistake(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                       "f: it names no release; want SERVICE=VERSION, one a line",
		"# nothing\n":            "f: it names no release; want SERVICE=VERSION, one a line",
		"web=1\ncart 2\n":        `f:2: "cart 2" is no release; want SERVICE=VERSION, such as web=2.0.0`,
		"web=\n":                 `f:1: "web=" is no release; want SERVICE=VERSION, such as web=2.0.0`,
		"a/b=1\n":                `f:1: "a/b=1" is no release; want SERVICE=VERSION, such as web=2.0.0`,
		"web=1=2\n":              `f:1: "web=1=2" is no release; want SERVICE=VERSION, such as web=2.0.0`,
		"web=1\ncart=1\nweb=2\n": "f:3: web is named twice, with 1 and 2 (f:1); a train takes one release of a service",
		strings.Repeat(" ", 1e5): "f: it is larger than the 64 KiB of a train's file",
		"web=\x1b[2J\n":          `f:1: "web=\x1b[2J" is no release; want SERVICE=VERSION, such as web=2.0.0`,
		long(train.MaxCars + 1):  fmt.Sprintf("f:%d: a train has %d releases at most, this is one of %[1]d; make two of it", train.MaxCars+1, train.MaxCars),
	} {
		if _, err := train.ParseFile("f", strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, err := train.ParseArgs([]string{"web=1", "web=1"}); err == nil || err.Error() != "web is named twice, with 1 and 1; a train takes one release of a service" {
		t.Errorf("got %v", err)
	}
}

func long(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "s%d=1\n", i)
	}
	return text.String()
}

func FuzzParseFile(f *testing.F) {
	f.Add("web=2.0.0\ncart=1\n")
	f.Add("# for people\n web = 1 # more\n")
	f.Add("web\x00=1")
	f.Fuzz(func(t *testing.T, text string) {
		items, err := train.ParseFile("f", strings.NewReader(text))
		if err != nil {
			return
		}
		seen := make(map[string]bool)
		for _, item := range items {
			if item.Service == "" || item.Version == "" || seen[item.Service] || strings.ContainsAny(item.Service+item.Version, "/= \n") {
				t.Errorf("%q gives %+v", text, item)
			}
			seen[item.Service] = true
		}
		if len(items) == 0 || len(items) > train.MaxCars {
			t.Errorf("%q gives %d releases", text, len(items))
		}
	})
}
