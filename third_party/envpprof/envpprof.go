// Package envpprof stands in for github.com/anacrolix/envpprof, which
// github.com/anacrolix/torrent imports for its effects: it would have every
// program listen with a profiler, and write profiles, as an environment
// variable says. Nothing here listens unless it is configured to.
package envpprof
