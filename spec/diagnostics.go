package spec

import (
	"io"
	"os"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/term"
)

// WriteDiagnostics writes diagnostics for people, each with the lines of
// input that it is about. Where w is a terminal, they are wrapped to its
// width, and coloured unless NO_COLOR is set (https://no-color.org).
func WriteDiagnostics(w io.Writer, src *Source, diags hcl.Diagnostics) error {
	var files map[string]*hcl.File
	if src != nil {
		files = src.files
	}
	width, color := uint(0), false
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		color = os.Getenv("NO_COLOR") == ""
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			width = uint(columns)
		}
	}
	return hcl.NewDiagnosticTextWriter(w, files, width, color).WriteDiagnostics(diags)
}
