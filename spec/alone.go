package spec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// ParseAnalysis compiles a file of one analysis block and nothing else, such as
// one that recorded samples are judged by. Texts may use what is known only at
// run time, such as ${pool}, and ${env.prometheus}, which is not set; nothing
// else of an environment.
// The error is what WriteDiagnostics prints of the mistakes.
func ParseAnalysis(name string, text []byte) (Analysis, error) {
	src := newSource()
	var found *Analysis
	f := form{blocks: []nested{optional("analysis", &found, defaultAnalysis)}}
	if len(text) > maxFileSize {
		src.fail("Can't read an input", fmt.Sprintf("%s is larger than %d bytes.", name, maxFileSize))
	} else if src.parse(name, text, f) && !src.diags.HasErrors() {
		found = nil // what parse leaves is for the names only
		home := hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
		noEnvironment := map[string]cty.Value{"prometheus": cty.NullVal(cty.String)}
		c := newCompiler(src, withRuntimeVariables(noEnvironment), home)
		c.fill(src.root, f, "")
		src.diags = append(src.diags, c.diags...)
		if found == nil {
			src.fail("No analysis", fmt.Sprintf("%s has no analysis block, such as: analysis { errors {} }", name))
		}
	}
	if !src.diags.HasErrors() {
		return *found, nil
	}
	sortDiagnostics(src.diags)
	var printed strings.Builder
	if err := WriteDiagnostics(&printed, src, src.diags); err != nil {
		return Analysis{}, fmt.Errorf("print the mistakes: %w", err)
	}
	return Analysis{}, errors.New(strings.TrimSpace(printed.String()))
}
