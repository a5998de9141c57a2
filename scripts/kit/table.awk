# SPDX-License-Identifier: MIT
#
# In:  rows of `moevk bench --json`, and lines "peer SHAPE FORMAT TOKENS gate|down MICROSECONDS"; read= and
#      peak= are the measured GB/s and GFLOP/s of the device (0: unknown), shape= the shape to print.
# Out: the shape's table as markdown: our times, and the peer's beside them.
# Why: awk is on every machine that a kit is carried to.

function field(name, text) {  # of a line of JSON
  text = $0
  if (!sub(".*\"" name "\": *\"?", "", text)) return ""
  if (text ~ /^[0-9]+,[0-9]/) sub(/".*/, "", text); else sub(/[",}].*/, "", text)
  return text
}
function number(value) {  # three digits, or all before the point
  if (value == "") return "–"
  value += 0
  return sprintf(value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : value >= 1 ? "%.2f" : "%.3f", value)
}
function percent(value, of) { return value == "" || of <= 0 ? "–" : sprintf("%.1f %%", 100 * value / of) }

/"median_ms"/ && field("shape") == shape {
  key = field("format") " " field("tokens")
  calls = field("calls_per_submit") + 0
  if (!(key in alone)) { order[++rows] = key; alone[key] = "" }
  if (calls == 1) alone[key] = field("median_ms")
  if (calls >= most[key]) {
    most[key] = calls; best[key] = field("median_ms"); p95[key] = field("p95_ms")
    gbps[key] = field("gbps"); gflops[key] = field("gflops"); experts[key] = field("distinct_experts")
  }
}
$1 == "peer" && $2 == shape {
  key = $3 " " $4
  peer[key " " $5] = $6 / 1000
}
END {
  if (!rows) exit
  print "| format | T | experts | ms, 1 call | ms, of n calls | n | GB/s | of read | GFLOP/s | of peak | peer gate | peer down | peer sum | sum / ours |"
  print "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
  for (i = 1; i <= rows; ++i) {
    key = order[i]
    split(key, word, " ")
    gate = peer[key " gate"]; down = peer[key " down"]
    sum = gate == "" || down == "" ? "" : 2 * gate + down
    printf "| %s | %s | %s | %s | %s | %d | %s | %s | %s | %s | %s | %s | %s | %s |\n", word[1], word[2],
      number(experts[key]), number(alone[key]), number(best[key]), most[key], number(gbps[key]),
      percent(gbps[key], read), number(gflops[key]), percent(gflops[key], peak), number(gate), number(down),
      number(sum), sum == "" ? "–" : sprintf("%.2f", sum / best[key])
  }
}
