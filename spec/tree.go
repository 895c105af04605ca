package spec

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// tree is one block as all files together write it: blocks of the same type
// and label have become one, and each attribute is kept as often as it is
// set, in the order of files and lines.
type tree struct {
	at     hcl.Range // the first header
	attrs  map[string][]*hcl.Attribute
	blocks map[string]map[string]*tree // by type and label
}

func newTree(at hcl.Range) *tree {
	return &tree{at: at, attrs: make(map[string][]*hcl.Attribute), blocks: make(map[string]map[string]*tree)}
}

// add merges a body into the tree, as far as the form knows its names.
func (t *tree) add(body hcl.Body, f form) hcl.Diagnostics {
	content, diags := body.Content(f.schema())
	for name, a := range content.Attributes {
		t.attrs[name] = append(t.attrs[name], a)
	}
	for _, block := range content.Blocks {
		n := f.blocks[slices.IndexFunc(f.blocks, func(n nested) bool { return n.name == block.Type })]
		child, wrong := t.child(n, block)
		if wrong != nil {
			diags = append(diags, wrong)
			continue
		}
		n.add(n.labelOf(block), func(s section) {
			diags = append(diags, child.add(block.Body, s.form())...)
		})
	}
	return diags
}

// child is the tree that the block belongs to.
func (t *tree) child(n nested, block *hcl.Block) (*tree, *hcl.Diagnostic) {
	label := n.labelOf(block)
	if n.label != nil {
		if !n.label.ok(label) {
			return nil, &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  fmt.Sprintf("Invalid label for %s", n.name),
				Detail:   fmt.Sprintf("The label of this %s block is %q, but must be %s.%s", n.name, label, n.label.want, n.label.hint(label)),
				Subject:  block.LabelRanges[0].Ptr(),
			}
		}
	}
	siblings := t.blocks[n.name]
	if siblings == nil {
		siblings = make(map[string]*tree)
		t.blocks[n.name] = siblings
	}
	if siblings[label] == nil {
		for other := range siblings { // one at most that is the only one
			if !n.only(label) || !n.only(other) {
				continue
			}
			return nil, &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  fmt.Sprintf("Two different %s blocks", n.name),
				Detail:   fmt.Sprintf("There can be one %s only, but %q is already declared at %s. Keep one of the two.", n.name, other, place(siblings[other].at)),
				Subject:  block.LabelRanges[0].Ptr(),
			}
		}
		siblings[label] = newTree(block.DefRange)
	}
	return siblings[label], nil
}

// labelled are the blocks of a type, in the order of their labels.
func (t *tree) labelled(name string) iter.Seq2[string, *tree] {
	return func(yield func(string, *tree) bool) {
		blocks := t.blocks[name]
		for _, label := range slices.Sorted(maps.Keys(blocks)) {
			if !yield(label, blocks[label]) {
				return
			}
		}
	}
}

// labelOf is the block's label, empty if such a block has none.
func (n nested) labelOf(block *hcl.Block) string {
	if n.label == nil {
		return ""
	}
	return block.Labels[0]
}

// schema is the form as HCL wants to know it.
func (f form) schema() *hcl.BodySchema {
	schema := &hcl.BodySchema{}
	for _, a := range f.attrs {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: a.name})
	}
	for _, n := range f.blocks {
		header := hcl.BlockHeaderSchema{Type: n.name}
		if n.label != nil {
			header.LabelNames = []string{"name"}
		}
		schema.Blocks = append(schema.Blocks, header)
	}
	return schema
}
