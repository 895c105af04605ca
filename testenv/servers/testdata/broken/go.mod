module switchd/testenv/servers/testdata/broken

go 1.26.0

require example.net/hello v1.2.3

replace example.net/hello => ./dep
