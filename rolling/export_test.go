package rolling

// Connections counts the connections to a port.
func Connections(port int) (int, error) { return connections(port) }
