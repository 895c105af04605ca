owner = "web-team"

service "web" {
  port = 8080
  pool "blue" {
    nodes = ["web-b1", "web-b2", "web-b3"]
  }
  pool "green" {
    nodes = ["web-g1", "web-g2", "web-g3"]
  }
  runtime "process" {
    command = ["./app"]
  }
}
