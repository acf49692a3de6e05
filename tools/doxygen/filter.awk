# Our comments as Doxygen reads them: those at a file's top are the file's, those behind code are of what stands
# before them, and nothing in them is a command.
function text_of(comment) {
  # A line of a table in the text: a name, a wide gap, what it is.
  if (comment ~ /^  +[^ -].*[^ ]  +[^ ]/) {
    sub(/^ +/, " - ", comment)
    sub(/  +/, ": ", comment)
  }
  gsub(/[\\@#<>%]/, "\\\\&", comment)
  return comment
}
BEGIN { top = 1 }
top && /^\/\// {
  print (NR == 1 ? "/// \\file\n///" : "///") text_of(substr($0, 3))
  next
}
{ top = 0 }
/^[ ]*\/\/( |$)/ {
  at = index($0, "//")
  print substr($0, 1, at) "//" text_of(substr($0, at + 2))
  next
}
/^[ ]*[^ }#].*  \/\/ / {
  at = index($0, "  // ")
  print substr($0, 1, at + 1) "///<" text_of(substr($0, at + 4))
  next
}
{ print }
