package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Forbids says why a version must not be rolled out; empty if it may.
func (s *Service) Forbids(version string) string {
	i := slices.IndexFunc(s.Forbidden, func(pattern string) bool { return matches(pattern, version) })
	if i < 0 {
		return ""
	}
	pattern := s.Forbidden[i]
	for _, t := range s.Tightened {
		if t.What == forbiddenVersions && t.To == pattern {
			return fmt.Sprintf("policy %q forbids versions %q (%s)", t.Policy, pattern, t.origin())
		}
	}
	why := fmt.Sprintf("forbidden_versions has %q", pattern)
	if origin := s.Origins[forbiddenVersions].String(); origin != "" {
		why += " (" + origin + ")"
	}
	return why
}

const forbiddenVersions = "forbidden_versions"

// versionPatternRule has what versions have, and "*".
func versionPatternRule() rule {
	return matching("a version, in which \"*\" stands for any text, such as \"1.4.*\": letters, digits and . + _ - *, at most 64", `[A-Za-z0-9.+_*-]+`, 64)
}

// matches tells whether a text is what a pattern says, in which "*" stands for
// any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	last := len(parts) - 1
	if last == 0 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1:last] {
		if _, text, ok = strings.Cut(text, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(text, parts[last])
}
