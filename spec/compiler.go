package spec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// compiler fills the sections of one environment or one service from its
// tree, and remembers where each value was set.
type compiler struct {
	owners  map[string]string // by file
	ctx     *hcl.EvalContext
	home    hcl.Range            // of the whole
	places  map[string]hcl.Range // by path
	origins Origins
	diags   hcl.Diagnostics
}

func newCompiler(src *Source, ctx *hcl.EvalContext, home hcl.Range) *compiler {
	return &compiler{
		owners:  src.owners,
		ctx:     ctx,
		home:    home,
		places:  make(map[string]hcl.Range),
		origins: make(Origins),
	}
}

// fill gives the form its values. The form's check runs only if they are all
// right: it would repeat their errors in other words.
func (c *compiler) fill(t *tree, f form, path string) {
	before := len(c.diags)
	for _, a := range f.attrs {
		c.attr(t, a, join(path, a.name))
	}
	for _, n := range f.blocks {
		blocks := t.blocks[n.name]
		for _, label := range slices.Sorted(maps.Keys(blocks)) {
			inner := n.path(path, label)
			c.setAt(inner, blocks[label].at, blocks[label].at)
			n.add(label, func(s section) { c.fill(blocks[label], s.form(), inner) })
		}
	}
	if f.check != nil && len(c.diags) == before {
		f.check(scope{c: c, path: path})
	}
}

// attr stores the attribute's value. Every place that sets it must agree; a
// null counts as not set.
func (c *compiler) attr(t *tree, a attr, path string) {
	var first *hcl.Attribute
	var kept string
	for _, set := range t.attrs[a.name] {
		v, ok := c.evaluate(set.Expr)
		if !ok {
			return
		}
		if v.IsNull() {
			continue
		}
		if f := a.set(v); f != nil {
			c.diags = append(c.diags, &hcl.Diagnostic{
				Severity:    hcl.DiagError,
				Summary:     "Invalid value for " + path,
				Detail:      f.detail(path),
				Subject:     f.rangeIn(set.Expr).Ptr(),
				Expression:  set.Expr,
				EvalContext: c.ctx,
			})
			return
		}
		value := render(a.to)
		if first == nil {
			first, kept = set, value
			c.setAt(path, set.Range, set.Expr.Range())
			continue
		}
		if value != kept {
			c.diags = append(c.diags, &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Conflicting values for " + path,
				Detail: fmt.Sprintf("The value is %s here%s, but %s at %s%s. Agree on one value, or set it in one place only.",
					value, c.by(set.Range), kept, place(first.Range), c.by(first.Range)),
				Subject: set.Range.Ptr(),
			})
		}
	}
	if a.required && first == nil {
		c.diags = append(c.diags, &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Missing " + path,
			Detail:   fmt.Sprintf("The argument %q is required here, but no file sets it.", a.name),
			Subject:  t.at.Ptr(),
		})
	}
}

// by names the owner of a file where there is one.
func (c *compiler) by(r hcl.Range) string {
	if owner := c.owners[r.Filename]; owner != "" {
		return " (owner " + owner + ")"
	}
	return ""
}

func (c *compiler) setAt(path string, set, value hcl.Range) {
	c.places[path] = value
	c.origins[path] = Origin{File: set.Filename, Line: set.Start.Line, Owner: c.owners[set.Filename]}
}

func (c *compiler) evaluate(expr hcl.Expression) (cty.Value, bool) {
	v, diags := expr.Value(c.ctx)
	for _, d := range diags {
		c.hint(d)
	}
	c.diags = append(c.diags, diags...)
	return v, !diags.HasErrors() && v.IsWhollyKnown()
}

// hint adds to HCL's complaint about an unknown name what could have been
// meant, and the same in every run.
func (c *compiler) hint(d *hcl.Diagnostic) {
	t, ok := d.Expression.(*hclsyntax.ScopeTraversalExpr)
	if !ok || c.ctx == nil {
		return
	}
	root := t.Traversal.RootName()
	v, ok := c.ctx.Variables[root]
	if !ok {
		names := slices.Sorted(maps.Keys(c.ctx.Variables))
		d.Detail = fmt.Sprintf("There is no variable named %q, but these: %s.%s", root, quoted(names), DidYouMean(root, names))
		return
	}
	for _, step := range t.Traversal[1:] {
		a, ok := step.(hcl.TraverseAttr)
		if !ok || !v.Type().IsObjectType() {
			return
		}
		if !v.Type().HasAttribute(a.Name) {
			d.Detail += DidYouMean(a.Name, slices.Sorted(maps.Keys(v.Type().AttributeTypes())))
			return
		}
		v = v.GetAttr(a.Name)
	}
}
