package train

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Bounds of a train's file.
const (
	maxFile = 64 << 10 // bytes
	maxName = 64       // bytes of a service or version
)

// ListError is a mistake in what a train is asked for.
type ListError struct {
	Place string // such as "release.train:3"; empty: the command line
	Text  string
}

// Error has the place in front.
func (e *ListError) Error() string {
	if e.Place == "" {
		return e.Text
	}
	return e.Place + ": " + e.Text
}

// ParseFile reads a train's file: one SERVICE=VERSION a line. Empty lines, and
// what follows a "#" at the beginning of a line or behind a space, are for
// people. Mistakes are of type *ListError.
func ParseFile(name string, r io.Reader) ([]Item, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the train's file: %w", err)
	}
	if len(text) > maxFile {
		return nil, &ListError{Place: name, Text: fmt.Sprintf("it is larger than the %d KiB of a train's file", maxFile>>10)}
	}
	var items []Item
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	lines.Buffer(nil, maxFile+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(uncomment(lines.Text()))
		if line == "" {
			continue
		}
		item, err := parseItem(line)
		item.Place = fmt.Sprintf("%s:%d", name, n)
		if err != nil {
			return nil, &ListError{Place: item.Place, Text: err.Error()}
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return nil, &ListError{Place: name, Text: "it names no release; want SERVICE=VERSION, one a line"}
	}
	return items, check(items)
}

// ParseArgs reads the arguments of a command line: SERVICE=VERSION each.
// Mistakes are of type *ListError.
func ParseArgs(args []string) ([]Item, error) {
	items := make([]Item, 0, len(args))
	for _, arg := range args {
		item, err := parseItem(arg)
		if err != nil {
			return nil, &ListError{Text: err.Error()}
		}
		items = append(items, item)
	}
	return items, check(items)
}

// uncomment takes away what is for people.
func uncomment(line string) string {
	for i, c := range line {
		if c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

func parseItem(text string) (Item, error) {
	service, version, ok := strings.Cut(text, "=")
	service, version = strings.TrimSpace(service), strings.TrimSpace(version)
	if !ok || !isName(service) || !isName(version) {
		return Item{}, fmt.Errorf("%.200q is no release; want SERVICE=VERSION, such as web=2.0.0", text)
	}
	return Item{Service: service, Version: version}, nil
}

// isName tells what could be a name. Whether it is one, Consul knows.
func isName(text string) bool {
	return text != "" && len(text) <= maxName && !strings.ContainsFunc(text, func(c rune) bool {
		return c == '=' || c == '/' || unicode.IsSpace(c) || !unicode.IsPrint(c)
	})
}

// check finds what can't be asked for together.
func check(items []Item) error {
	if len(items) > MaxCars {
		return &ListError{Place: items[MaxCars].Place, Text: fmt.Sprintf("a train has %d releases at most, this is one of %d; make two of it", MaxCars, len(items))}
	}
	first := make(map[string]Item, len(items))
	for _, item := range items {
		before, ok := first[item.Service]
		if !ok {
			first[item.Service] = item
			continue
		}
		text := fmt.Sprintf("%s is named twice, with %s and %s", item.Service, before.Version, item.Version)
		if before.Place != "" {
			text += fmt.Sprintf(" (%s)", before.Place)
		}
		return &ListError{Place: item.Place, Text: text + "; a train takes one release of a service"}
	}
	return nil
}
