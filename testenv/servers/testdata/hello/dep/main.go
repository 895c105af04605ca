// Command hello prints the version that was stamped into it.
package main

import "fmt"

var version string

func main() { fmt.Println("hello, version " + version) }
