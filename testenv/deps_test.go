// Package testenv_test checks what holds for the whole checkout.
package testenv_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestBinaries_HaveNothingOfTheirTools makes sure that the programs that are
// installed have no code of the task runner, of the servers and of the tests,
// though all are required in one go.mod or live in one repository. (The torrent
// library imports testing itself.)
func TestBinaries_HaveNothingOfTheirTools(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/switchd", "./cmd/agent")
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the packages of the programs: %v\n%s", err, stderr.String())
	}
	packages := strings.Fields(string(out))
	for _, want := range []string{"switchd/cmd/switchd", "switchd/cmd/agent"} {
		if !strings.Contains(string(out), want+"\n") {
			t.Errorf("%s isn't in the list", want)
		}
	}
	for _, p := range packages {
		for _, tool := range []string{"github.com/go-task/", "switchd/testenv", "pgregory.net/rapid", "github.com/envoyproxy", "google.golang.org/grpc"} {
			if p == strings.TrimSuffix(tool, "/") || strings.HasPrefix(p, strings.TrimSuffix(tool, "/")+"/") {
				t.Errorf("the programs have %s", p)
			}
		}
	}
}
