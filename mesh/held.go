package mesh

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Held are the entries of one service as Consul holds them. One that has no
// ModifyIndex is not there.
type Held struct {
	Resolver api.ServiceResolverConfigEntry
	Splitter api.ServiceSplitterConfigEntry
	Defaults api.ServiceConfigEntry
	// Protocol is what Consul takes the service to speak, by whatever says so;
	// empty: that is not known, for the reason in Unknown.
	Protocol string
	Unknown  error
}

// resolver is the entry that follows the one that is there.
func (h Held) resolver(want *api.ServiceResolverConfigEntry) *api.ServiceResolverConfigEntry {
	next := h.Resolver
	next.Kind, next.Name, next.Meta = want.Kind, want.Name, marked(h.Resolver.Meta, want.Meta)
	next.DefaultSubset, next.Subsets, next.Redirect = want.DefaultSubset, want.Subsets, nil
	return &next
}

func (h Held) isResolver(next *api.ServiceResolverConfigEntry) bool {
	have := h.Resolver
	return have.DefaultSubset == next.DefaultSubset && maps.Equal(have.Subsets, next.Subsets) &&
		have.Redirect == nil && maps.Equal(have.Meta, next.Meta)
}

// splitter is the entry that follows the one that is there.
func (h Held) splitter(want *api.ServiceSplitterConfigEntry) *api.ServiceSplitterConfigEntry {
	next := *want
	next.Meta = marked(h.Splitter.Meta, want.Meta)
	return &next
}

func (h Held) isSplitter(next *api.ServiceSplitterConfigEntry) bool {
	return maps.Equal(h.Splitter.Meta, next.Meta) &&
		slices.EqualFunc(h.Splitter.Splits, next.Splits, func(a, b api.ServiceSplit) bool {
			// Consul fills in what it takes an empty one for.
			if a.Service == next.Name {
				a.Service = ""
			}
			a.Namespace, a.Partition = "", ""
			return reflect.DeepEqual(a, b)
		})
}

// marked is an entry's metadata with switchd's own.
func marked(have, own map[string]string) map[string]string {
	meta := make(map[string]string)
	maps.Copy(meta, have)
	maps.Copy(meta, own)
	return meta
}

func wordsOfResolver(e *api.ServiceResolverConfigEntry) string {
	if e.DefaultSubset == "" && len(e.Subsets) == 0 && e.Redirect == nil {
		return "none"
	}
	text := "default subset " + cmp.Or(e.DefaultSubset, "none") + " of " + cmp.Or(strings.Join(slices.Sorted(maps.Keys(e.Subsets)), ", "), "none")
	if e.Redirect != nil {
		text += ", redirected to " + cmp.Or(e.Redirect.Service, "another place")
	}
	return text + generation(e.Meta)
}

func wordsOfSplitter(e *api.ServiceSplitterConfigEntry) string {
	if len(e.Splits) == 0 {
		return "none"
	}
	var parts []string
	for _, s := range e.Splits {
		part := percentage(s.Weight) + " to " + cmp.Or(s.ServiceSubset, "the default subset")
		if s.Service != "" && s.Service != e.Name {
			part += " of " + s.Service
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ") + generation(e.Meta)
}

func percentage(share float32) string { return strconv.FormatFloat(float64(share), 'f', -1, 32) + " %" }

func wordsOfDefaults(e *api.ServiceConfigEntry) string {
	if e.Protocol == "" {
		return "no protocol"
	}
	return "protocol " + e.Protocol
}

func generation(meta map[string]string) string {
	if meta[MetaGeneration] == "" {
		return ""
	}
	return ", generation " + meta[MetaGeneration]
}
