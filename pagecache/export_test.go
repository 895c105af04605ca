package pagecache

// Room is Check's look at memory, by other files than the kernel's.
func Room(proc, cgroups string, bytes int64) error {
	return host{proc: proc, cgroups: cgroups}.room(bytes)
}
