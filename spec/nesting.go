package spec

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// HCL's parser and evaluator call themselves for each nested bracket and each
// operand, and a goroutine that runs out of stack takes the process with it.
// These bounds of one file are far above what a person writes and far below
// what stack and memory hold.
const (
	maxNesting   = 100
	maxOperators = 10000
	maxNumber    = 20 // characters
)

// tooDeep looks at the tokens before the parser does.
func tooDeep(text []byte, name string) hcl.Diagnostics {
	// What the scanner complains about, the parser will too.
	tokens, _ := hclsyntax.LexConfig(text, name, hcl.InitialPos)
	depth, operators := 0, 0
	for _, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp:
			depth++
		case hclsyntax.TokenOBrack, hclsyntax.TokenTemplateControl:
			depth++
			operators++ // a[b][c] and %{if a}%{if b} nest too
		case hclsyntax.TokenCBrace, hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenTemplateSeqEnd:
			depth--
		case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent,
			hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
			hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr,
			hclsyntax.TokenBang, hclsyntax.TokenQuestion:
			operators++
		case hclsyntax.TokenNumberLit:
			if hugeNumber(token.Bytes) {
				return hcl.Diagnostics{{
					Severity: hcl.DiagError,
					Summary:  "Number out of range",
					Detail:   fmt.Sprintf("A number may have at most %d characters and an exponent of one digit. Write it out.", maxNumber),
					Subject:  token.Range.Ptr(),
				}}
			}
		default: // does not nest
		}
		if depth > maxNesting || operators > maxOperators {
			return hcl.Diagnostics{{
				Severity: hcl.DiagError,
				Summary:  "Too complex",
				Detail: fmt.Sprintf("A file may nest brackets and blocks at most %d deep and use at most %d operators and lists. Split the file, or simplify it.",
					maxNesting, maxOperators),
				Subject: token.Range.Ptr(),
			}}
		}
	}
	return nil
}

// hugeNumber finds the likes of 1e999999999, which would take a gigabyte as
// text, and of 1e999, of which a product would.
func hugeNumber(literal []byte) bool {
	_, exponent, _ := bytes.Cut(bytes.ToLower(literal), []byte("e"))
	return len(literal) > maxNumber || len(bytes.TrimLeft(exponent, "+-0")) > 1
}

// noLoops refuses for expressions: nested ones could take time and memory
// without a bound, and an input is better read as it will be used.
func noLoops(file *hcl.File) hcl.Diagnostics {
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	return hclsyntax.VisitAll(body, func(node hclsyntax.Node) hcl.Diagnostics {
		if _, ok := node.(*hclsyntax.ForExpr); !ok {
			return nil
		}
		return hcl.Diagnostics{{
			Severity: hcl.DiagError,
			Summary:  "No loops",
			Detail:   "A for expression is not allowed here. Write the values out.",
			Subject:  node.Range().Ptr(),
		}}
	})
}
