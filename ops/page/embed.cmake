# Writes OUT, a C file with the files of the status page: DIR/status.{html,css,js}.
#   cmake -D DIR=ops/page -D OUT=page.c -P embed.cmake
set(text "#include \"ops/page/page.h\"\n")
foreach(kind html css js)
  file(READ ${DIR}/status.${kind} content)
  string(REPLACE "\\" "\\\\" content "${content}")
  string(REPLACE "\"" "\\\"" content "${content}")
  string(REPLACE "?" "\\?" content "${content}") # no trigraphs
  string(REPLACE "\n" "\\n\"\n\t\"" content "${content}")
  string(APPEND text "\nconst char page_status_${kind}[] =\n\t\"${content}\";\n")
endforeach()
file(WRITE ${OUT} "${text}")
