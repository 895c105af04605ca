# Writes wilcoxon.json, the reference values of shift_test.go: what R's
# wilcox.test(x, y, conf.int = TRUE, exact = FALSE) computes (R 4.2.2), but with
# the continuity correction left in the estimate, as Kayenta has it.
#
#   R --no-echo --vanilla < wilcoxon.R > wilcoxon.json
set.seed(1)
shift <- function(x, y, confidence) {
  m <- as.double(length(x))
  n <- as.double(length(y))
  low <- min(x) - max(y)
  high <- max(x) - min(y)
  deviation <- function(mu, z) {
    r <- rank(c(x - mu, y))
    ties <- table(r)
    d <- sum(r[seq_along(x)]) - m * (m + 1) / 2 - m * n / 2
    sigma <- sqrt((m * n / 12) * ((m + n + 1) - sum(ties^3 - ties) / ((m + n) * (m + n - 1))))
    (d - sign(d) / 2) / sigma - z
  }
  root <- function(z) uniroot(deviation, c(low, high), tol = 1e-4, z = z)$root
  end <- function(z) if (deviation(low, z) <= 0) low else if (deviation(high, z) >= 0) high else root(z)
  z <- qnorm((1 - confidence) / 2)
  c(end(-z), end(z), root(0))
}
sample_of <- function(n, kind, by) switch(kind,
  by + rnorm(n),
  round(10 * (by + rnorm(n))) / 10,
  1 + rpois(n, 2 + by),
  1e-4 * exp(by + rnorm(n)),
  1e6 * (by + rexp(n)))
list_of <- function(v) paste0("[", paste(sprintf("%.17g", v), collapse = ","), "]")
lines <- c()
for (i in 0:39) {
  kind <- i %% 5 + 1
  x <- sample_of(2 + sample.int(28, 1), kind, runif(1, 0, 2))
  y <- sample_of(2 + sample.int(28, 1), kind, 0)
  confidence <- c(0.9, 0.95, 0.98, 0.99)[i %% 4 + 1]
  s <- shift(x, y, confidence)
  lines <- c(lines, sprintf('{"confidence":%g,"lower":%.17g,"upper":%.17g,"estimate":%.17g,\n"experiment":%s,\n"control":%s}',
    confidence, s[1], s[2], s[3], list_of(x), list_of(y)))
}
cat("[\n", paste(lines, collapse = ",\n"), "\n]\n", sep = "")
