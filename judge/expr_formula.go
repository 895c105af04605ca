package judge

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"switchd/spec"
)

// liveName is what the control's values stand behind: live.errors.
const liveName = "live"

// maxFormula bounds an expression, in bytes. What it may hold has no loops and
// makes no values but numbers, so that this bounds its time and memory too.
const maxFormula = 4096

// formula is a compiled expression over numbers with a name.
type formula struct {
	source  string
	program *vm.Program
	// names are the experiment's values that it uses, and live the control's.
	names, live map[string]bool
}

// word is what a value's name must look like to be one in an expression.
var word = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// The functions and operators that an expression may use.
var (
	functions = []string{"abs", "ceil", "floor", "max", "min", "round"}
	operators = []string{"+", "-", "*", "/", "^", "**", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "and", "or"}
	reserved  = []string{liveName, "and", "else", "false", "if", "in", "let", "matches", "contains", "startsWith", "endsWith", "nil", "not", "or", "true"}
)

// CheckExpr compiles the expression of a metric of the judge expr over the names
// of its queries, and tells what is wrong with it.
//
// An expression is one boolean: numbers and names, compared and joined by
// + - * / ^ (or **), == != < <= > >=, && || ! (or and, or, not), c ? a : b,
// parentheses, and abs, ceil, floor, max, min and round. A name stands for
// the new version's value, live.NAME for the live one's. Where a part of it is
// NaN or infinite, as a division by zero is, nothing is said for or against the
// version; "requests == 0 || errors / requests < 0.01" says what such a look is.
func CheckExpr(m spec.Metric) error {
	_, err := compile(m)
	return err
}

// compile checks and compiles a metric's expression.
func compile(m spec.Metric) (*formula, error) {
	if err := checkNames(m.Queries); err != nil {
		return nil, err
	}
	if len(m.Expr) > maxFormula {
		return nil, fmt.Errorf("the expression has %d bytes, at most %d are allowed", len(m.Expr), maxFormula)
	}
	tree, err := parser.Parse(m.Expr)
	if err != nil {
		return nil, spoken(err)
	}
	f := &formula{source: shortened(m.Expr), names: make(map[string]bool), live: make(map[string]bool)}
	if err := f.admit(tree.Node, m.Queries); err != nil {
		return nil, err
	}
	numbers := make(types.Map, len(m.Queries)+1)
	for name := range m.Queries {
		numbers[name] = types.Float64
	}
	env := maps.Clone(numbers)
	env[liveName] = numbers
	typed := []expr.Option{expr.Env(env), expr.AsBool()}
	if _, err := expr.Compile(m.Expr, typed...); err != nil { // as it was written
		return nil, spoken(err)
	}
	f.program, err = expr.Compile(m.Expr, append(typed, expr.Patch(finiteParts{}),
		expr.Function(finiteName, finite, new(func(float64) float64)))...)
	if err != nil {
		return nil, spoken(err)
	}
	return f, nil
}

// maxShownFormula bounds what a sentence shows of an expression, in bytes.
const maxShownFormula = 200

// shortened puts an expression on one line and cuts it, to fit into a sentence.
func shortened(source string) string {
	line := strings.Join(strings.Fields(source), " ")
	if len(line) > maxShownFormula {
		return strings.ToValidUTF8(line[:maxShownFormula], "") + "…"
	}
	return line
}

// checkNames refuses what no expression could name.
func checkNames(queries map[string]string) error {
	if len(queries) == 0 {
		return errors.New("the expression has no queries, so that there is nothing it could be of")
	}
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		switch {
		case !word.MatchString(name):
			return fmt.Errorf("query %q can't be named in an expression: a name has letters, digits and _, and begins with no digit", name)
		case slices.Contains(reserved, name) || slices.Contains(functions, name):
			return fmt.Errorf("query %q can't be named in an expression, where this word has another meaning; take another", name)
		}
	}
	return nil
}

// admit walks through an expression and refuses what isn't about numbers and
// names. It notes the names.
func (f *formula) admit(node ast.Node, queries map[string]string) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf(format+", at character %d", append(args, node.Location().From+1)...)
	}
	parts := []ast.Node(nil)
	switch n := node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
	case *ast.IdentifierNode:
		if n.Value == liveName {
			return refuse("%s is no value; write %s.NAME", liveName, liveName)
		}
		if _, ok := queries[n.Value]; !ok {
			return refuse("there is no query %q; there are %s", n.Value, list(slices.Sorted(maps.Keys(queries))))
		}
		f.names[n.Value] = true
	case *ast.MemberNode:
		of, isName := n.Node.(*ast.IdentifierNode)
		name, isWord := n.Property.(*ast.StringNode)
		if !isName || of.Value != liveName || !isWord {
			return refuse("only %s has values with a name, as in %s.NAME", liveName, liveName)
		}
		if _, ok := queries[name.Value]; !ok {
			return refuse("there is no query %q; there are %s", name.Value, list(slices.Sorted(maps.Keys(queries))))
		}
		f.live[name.Value] = true
	case *ast.UnaryNode:
		parts = append(parts, n.Node)
	case *ast.BinaryNode:
		if !slices.Contains(operators, n.Operator) {
			return refuse("%q can't be used here", n.Operator)
		}
		parts = append(parts, n.Left, n.Right)
	case *ast.ConditionalNode:
		parts = append(parts, n.Cond, n.Exp1, n.Exp2)
	case *ast.BuiltinNode:
		if !slices.Contains(functions, n.Name) {
			return refuse("%q can't be used here; functions are %s", n.Name, list(functions))
		}
		parts = append(parts, n.Arguments...)
	case *ast.CallNode:
		return refuse("there is no such function; functions are %s", list(functions))
	default:
		return refuse("only numbers, names and operators can be used here")
	}
	for _, part := range parts {
		if err := f.admit(part, queries); err != nil {
			return err
		}
	}
	return nil
}

// spoken is an error of the expression's library on one line.
func spoken(err error) error {
	if at, ok := errors.AsType[*file.Error](err); ok {
		return fmt.Errorf("%s, at character %d", at.Message, at.From+1)
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
}

// holds evaluates the expression. An error says what isn't known.
func (f *formula) holds(experiment, control map[string]float64) (bool, error) {
	env := make(map[string]any, len(f.names)+1)
	live := make(map[string]any, len(f.live))
	if err := errors.Join(fill(env, f.names, experiment, ""), fill(live, f.live, control, liveName+".")); err != nil {
		return false, errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	env[liveName] = live
	result, err := vm.Run(f.program, env)
	if err != nil {
		if at, ok := errors.AsType[*file.Error](err); ok {
			return false, errors.New(at.Message)
		}
		return false, err
	}
	holds, ok := result.(bool)
	if !ok {
		return false, fmt.Errorf("the expression gave a %T", result)
	}
	return holds, nil
}

// fill takes over the wanted values, which must be there and finite.
func fill(env map[string]any, wanted map[string]bool, values map[string]float64, prefix string) error {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		v, ok := values[name]
		switch {
		case !ok:
			return fmt.Errorf("%s%s: no data", prefix, name)
		case math.IsNaN(v) || math.IsInf(v, 0):
			return fmt.Errorf("%s%s is %v", prefix, name, v)
		}
		env[name] = v
	}
	return nil
}

// maxShownValues bounds the values that a sentence shows.
const maxShownValues = 8

// values writes what the names stood for: "errors = 5, live.errors = 2".
func (f *formula) values(experiment, control map[string]float64) string {
	var shown []string
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		shown = append(shown, name+" = "+Short(experiment[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(f.live)) {
		shown = append(shown, liveName+"."+name+" = "+Short(control[name]))
	}
	if len(shown) > maxShownValues {
		shown = append(shown[:maxShownValues], "…")
	}
	return strings.Join(shown, ", ")
}

// finiteName is the function that finiteParts puts in. Nobody can call it by name
// in an expression, since admit refuses calls.
const finiteName = "finite"

// finiteParts makes every number a float64 and every calculation end in an error
// if it comes to no finite number: NaN < 1 is false, but it says nothing.
type finiteParts struct{}

// Visit replaces one node.
func (finiteParts) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IntegerNode:
		ast.Patch(node, &ast.FloatNode{Value: float64(n.Value)})
	case *ast.BinaryNode:
		if slices.Contains([]string{"+", "-", "*", "/", "^", "**"}, n.Operator) {
			ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: finiteName}, Arguments: []ast.Node{n}})
		}
	}
}

func finite(args ...any) (any, error) {
	v, ok := args[0].(float64)
	switch {
	case !ok:
		return nil, fmt.Errorf("a part of the expression is a %T", args[0])
	case math.IsNaN(v):
		return nil, errors.New("a part of the expression is NaN, as 0/0 is")
	case math.IsInf(v, 0):
		return nil, errors.New("a part of the expression is infinite, as a division by zero is")
	}
	return v, nil
}
