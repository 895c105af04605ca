package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"switchd/consul"
)

// rememberNode writes what the node is called, when that has changed.
func rememberNode(file string, node consul.Node) error {
	if former, err := recallNode(file); err == nil && reflect.DeepEqual(former, node) {
		return nil
	}
	text, err := json.Marshal(node)
	if err != nil {
		return fmt.Errorf("remember the node: %w", err)
	}
	temp := file + ".tmp"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return fmt.Errorf("remember the node: %w", err)
	}
	if err := os.Rename(temp, file); err != nil {
		return fmt.Errorf("remember the node: %w", err)
	}
	return nil
}

func recallNode(file string) (consul.Node, error) {
	var node consul.Node
	text, err := os.ReadFile(file)
	if err != nil {
		return node, fmt.Errorf("recall the node: %w", err)
	}
	if err := json.Unmarshal(text, &node); err != nil {
		return node, fmt.Errorf("recall the node: %w", err)
	}
	if node.Name == "" {
		return node, fmt.Errorf("recall the node: %s names none", file)
	}
	return node, nil
}
