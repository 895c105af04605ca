package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

const manual = "../../docs/CLI.md"

// TestManual_HasTheExitStatuses compares the manual's table with the
// constants, each of which says its meaning in its comment.
func TestManual_HasTheExitStatuses(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "status") {
			return true
		}
		want = append(want, fmt.Sprintf("| %s | %s |", spec.Values[0].(*ast.BasicLit).Value, strings.TrimSpace(spec.Comment.Text())))
		return false
	})
	got := regexp.MustCompile(`(?m)^\| \d+ \| .*? \|`).FindAllString(read(t), -1)
	if strings.Join(got, "\n") != strings.Join(want, "\n") || len(want) == 0 {
		t.Errorf("the manual has\n%s\nand exit.go\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestManual_TellsEveryCommandWithAnExampleThatParses reads the lines that
// begin with "$ switchd".
func TestManual_TellsEveryCommandWithAnExampleThatParses(t *testing.T) {
	t.Parallel()
	examples := make(map[string]bool)
	for _, line := range regexp.MustCompile(`(?m)^\$ switchd .*$`).FindAllString(read(t), -1) {
		args := regexp.MustCompile(`'[^']*'|\S+`).FindAllString(line, -1)[2:]
		var flags cli
		p, err := newParser(&flags, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Parse(args); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		examples[args[0]] = true
	}
	var flags cli
	p, err := newParser(&flags, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range p.Model.Children {
		if !strings.Contains(read(t), "\n## switchd "+command.Name+"\n") || !examples[command.Name] {
			t.Errorf("%s has no section with an example of `switchd %s`", manual, command.Name)
		}
	}
}

func read(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
