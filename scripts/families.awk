# SPDX-License-Identifier: MIT
# In:  lines "family<tab>NAME<tab>what it computes", then lines of results (scripts/families.sh has their form).
# Out: the table of docs/families.md, and its notes.
#      Functions subject() and otherwise() come from scripts/family-table, which runs this.
# Why: one place decides what a cell may claim: a device stands in it only if all that was judged there passed.

function shortened(device) {
  if (device ~ /^llvmpipe Mesa /) {
    sub(/^llvmpipe Mesa /, "", device)
    match(device, /^[0-9]+\.[0-9]+/)
    return "lavapipe " substr(device, 1, RLENGTH)
  }
  sub(/ driver$/, "", device)
  return device
}

# note(text): "(n)" of a note with that text, a new one if there is none.
function note(text) {
  if (!(text in note_number)) {
    note_number[text] = ++notes
    note_text[notes] = text
  }
  return "(" note_number[text] ")"
}

# listed(devices): sorted, versions of one driver together: "lavapipe 22.3, 25.0; reference".
function listed(devices, count,    i, j, swap, text, driver, last) {
  for (i = 1; i < count; i++)
    for (j = i + 1; j <= count; j++)
      if (devices[j] < devices[i]) { swap = devices[i]; devices[i] = devices[j]; devices[j] = swap }
  for (i = 1; i <= count; i++) {
    driver = devices[i]
    sub(/ [0-9.]+$/, "", driver)
    if (driver == last && driver != devices[i]) text = text ", " substr(devices[i], length(driver) + 2)
    else text = text (text == "" ? "" : "; ") devices[i]
    last = driver
  }
  return text
}

# remark(key, text): a note of the cells of this family and oracle.
function remark(key, text) {
  if ((key, text) in told) return
  told[key, text] = 1
  reason_text[key, ++reasons[key]] = text
}

# A device passes where something passed and nothing failed; what was skipped is a note.
function cell(family, oracle,    key, i, device, good, count, text, failed) {
  key = family FS oracle
  for (i = 1; i <= devices[key]; i++) {
    device = device_name[key, i]
    if ((key, device) in fails) failed = failed (failed == "" ? "" : "; ") device
    else if ((key, device) in passes) good[++count] = device
  }
  if (count > 0) text = (reasons[key] > 0 ? "in part: " : "") listed(good, count)
  if (failed != "") text = text (text == "" ? "" : "; ") "**fails** on " failed
  if (text == "") text = "–"
  if (key in twins) text = "`" twins[key] "`: " text
  for (i = 1; i <= reasons[key]; i++) text = text " " note(reason_text[key, i])
  return text
}

/^#/ { next }

$1 == "family" && NF == 3 { family[++families] = $2; title[$2] = $3; next }

{
  key = $1 FS $2
  if (!($1 in title)) { family[++families] = $1; title[$1] = "(no vector of its own)" }
  device = shortened($3)
  if (!((key, device) in known)) { known[key, device] = 1; device_name[key, ++devices[key]] = device }
  if ($4 == "fail") fails[key, device] = 1
  if ($4 == "pass") passes[key, device] = 1
  name = subject($5)
  if ($4 == "skip") remark(key, name == "" ? $5 : "`" name "`" substr($5, length(name) + 1))
  else if (otherwise($2, $5) != "") remark(key, otherwise($2, $5))
  if ($2 == "float64" && $4 != "skip" && sub(/^family_/, "", name) && !((key, name) in told)) {
    told[key, name] = 1
    twins[key] = twins[key] (twins[key] == "" ? "" : ", ") name
  }
}

END {
  count = split("hand float64 model onnxruntime llama.cpp", column, " ")
  line = "| family | what is its own |"
  rule = "|---|---|"
  for (c = 1; c <= count; c++) { line = line " " column[c] (column[c] == "float64" ? ", by twin" : "") " |"; rule = rule "---|" }
  print line
  print rule
  for (f = 1; f <= families; f++) {
    line = "| " family[f] " | " title[family[f]] " |"
    for (c = 1; c <= count; c++) line = line " " cell(family[f], column[c]) " |"
    print line
  }
  if (notes > 0) print "\nNotes:\n"
  for (n = 1; n <= notes; n++) print "- (" n ") " note_text[n]
}
