package systemd

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"switchd/runner"
	"switchd/runner/environ"
)

// tokenVar is the variable of a start's token.
const tokenVar = "SWITCHD_START"

// environment is an EnvironmentFile, systemd.exec(5), of an instance. It
// begins with the token of the start that it is for.
func environment(inst runner.Instance, token string) (string, error) {
	// PATH is the unit's, unless the release sets it.
	vars := environ.Merge(map[string]string{"LANG": environ.Lang}, inst.Env, environ.Identity(inst), map[string]string{environ.Dir: inst.Dir})
	delete(vars, tokenVar)
	var b strings.Builder
	b.WriteString(tokenVar + "=" + token + "\n")
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if name == "" || strings.Trim(name, letters+digits+"_") != "" || strings.Trim(name[:1], digits) == "" {
			return "", fmt.Errorf("environment variable %q: systemd takes letters, digits and underscores only", name)
		}
		// Never the value: it may be a secret.
		if value := vars[name]; !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			return "", fmt.Errorf("environment variable %s: its value is not UTF-8 text, which systemd needs", name)
		}
		b.WriteString(name + `="` + assignment().Replace(vars[name]) + "\"\n")
	}
	return b.String(), nil
}

// assignment escapes a value between double quotes.
func assignment() *strings.Replacer {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`)
}

// token returns the token of the last start that wrote the file; it is empty
// when there was none.
func token(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("tell one start from another: %w", err)
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	line, _, err := bufio.NewReader(f).ReadLine()
	if err != nil {
		return "", fmt.Errorf("tell one start from another by %s: %w", path, err)
	}
	value, _ := strings.CutPrefix(string(line), tokenVar+"=")
	return value, nil
}

// replace writes a file whole, or changes nothing. It tells whether the file
// has changed.
func replace(path, text string, mode os.FileMode) (changed bool, err error) {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return false, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".switchd-*")
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return false, err
	}
	return true, os.Rename(f.Name(), path)
}
