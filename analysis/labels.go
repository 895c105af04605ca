package analysis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// nameLabel holds the name of a series' metric.
const nameLabel = "__name__"

// labelText writes a label set as Prometheus does.
func labelText(labels map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != nameLabel {
			pairs = append(pairs, fmt.Sprintf("%s=%q", name, labels[name]))
		}
	}
	return oneLine(labels[nameLabel] + "{" + strings.Join(pairs, ", ") + "}")
}

// labelKey writes a label set but for one label, as a key.
func labelKey(labels map[string]string, but string) string {
	pairs := make([]string, 0, len(labels))
	for name, value := range labels {
		if name != but {
			pairs = append(pairs, name+"\xff"+value)
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "\xfe")
}
