owner = "platform"

environment "prod" {
  prometheus = "http://127.0.0.1:9090"
  vars       = { domain = "apps.test" }
  zone "apps.test" {
    name_servers = ["ns1.apps.test"]
  }
}
