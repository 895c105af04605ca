package spec

import (
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
)

// DidYouMean is the sentence that proposes the name nearest to given, if it
// differs by less than three edits (Levenshtein), as HCL does for attributes;
// empty: none is near. A space comes before it.
func DidYouMean[S ~string](given S, names []S) string {
	nearest, best := S(""), 3
	for _, name := range names {
		if d := levenshtein.Distance(string(given), string(name), nil); d < best {
			nearest, best = name, d
		}
	}
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", nearest)
}

// quoted lists names as people read them: "a", "b", "c".
func quoted(names []string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(parts, ", ")
}
