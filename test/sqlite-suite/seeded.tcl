# testfixture seeded.tcl SCRIPT…: runs a script of SQLite's with Tcl's random numbers beginning alike in every run.
expr srand(1)
set argv0 [lindex $argv 0]
set argv [lrange $argv 1 end]
source $argv0
