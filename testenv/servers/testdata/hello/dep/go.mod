module example.net/hello

go 1.26.0
