#!/usr/bin/env bash
# Builds SQLite's test programs from Debian's source package, and prepares a copy of SQLite's tests. It does nothing if
# both are there. `npm run sqlite-suite` and `infra/setup.sh --test-tools` run it; test/sqlite-suite uses the result.
set -euo pipefail
cd "$(dirname "$0")/.."
. infra/debian-source.sh

# The Debian release whose SQLite is tested. The list of expected differences is for its version.
readonly SUITE=bookworm
# Increased with every change below.
readonly RECIPE=2
readonly DIR=$PWD/node_modules/.cache/tools/sqlite-suite
readonly PROGRAMS='testfixture sqlite3 mptester threadtest3'
# Features that tests skip without: of these, Debian's SQLite has UNLOCK_NOTIFY and RBU's and recover's tables.
readonly FEATURES='-DSQLITE_ENABLE_SNAPSHOT -DSQLITE_ENABLE_SETLK_TIMEOUT -DSQLITE_ENABLE_UNLOCK_NOTIFY
  -DSQLITE_ENABLE_ATOMIC_WRITE -DSQLITE_ENABLE_8_3_NAMES -DSQLITE_ENABLE_RBU -DSQLITE_ENABLE_DBSTAT_VTAB
  -DSQLITE_ENABLE_SESSION -DSQLITE_ENABLE_PREUPDATE_HOOK'

fail() {
  printf 'sqlite-suite: %s\n' "$@" >&2
  exit 1
}

main() {
  if [ "$(cat "$DIR/recipe" 2>/dev/null)" = "$SUITE $RECIPE" ]; then return; fi
  local program
  for program in apt-get gcc make tclsh xz; do
    command -v "$program" >/dev/null || fail "it needs $program; on Debian, as root: apt-get install gcc make tcl-dev xz-utils"
  done
  [ -n "$(find /usr/include -maxdepth 2 -name tcl.h -print -quit)" ] || fail 'it needs tcl.h; on Debian, as root: apt-get install tcl-dev'
  printf "sqlite-suite: building SQLite's test programs (a minute)\n" >&2
  fetch
  build
  rm -rf "$DIR"
  mkdir -p "$DIR/ext"
  (cd "$WORK/build" && mv $PROGRAMS "$DIR")
  (cd "$WORK/source" && rm test/fuzzdata*.db && mv test mptest VERSION "$DIR" && mv ext/rbu ext/recover "$DIR/ext")
  (cd "$DIR" && adapt_tests)
  rm -rf "$WORK"
  printf '%s\n' "$SUITE $RECIPE" >"$DIR/recipe"
}

readonly WORK=$DIR.building

fetch() {
  private_apt "$WORK" deb-src "$SUITE"
  cd "$WORK"
  apt-get "${apt_options[@]}" update && apt-get "${apt_options[@]}" source --download-only sqlite3 ||
    fail "apt-get could not fetch the source package sqlite3 of Debian $SUITE"
  mkdir source build
  tar -xf sqlite3_*.orig.tar.xz -C source --strip-components=1
}

build() {
  cd "$WORK/build"
  # mptester gives up after ten seconds, and its clients know no option for that.
  sed -i 's/DEFAULT_TIMEOUT 10000/DEFAULT_TIMEOUT 600000/; s/atoi(azArg\[1\]) : 10000/atoi(azArg[1]) : 600000/' \
    ../source/mptest/mptest.c
  # With -O2, compiling takes longer than all tests gain.
  if ! { ../source/configure --disable-shared CFLAGS=-O1 && make -j"$(nproc)" OPTS="$(echo $FEATURES)" $PROGRAMS; } >log 2>&1; then
    tail -n 20 log >&2
    fail "SQLite's test programs do not build: see $WORK/build/log"
  fi
}

adapt_tests() {
  # The tests move the bytes that SQLite locks, so as to test the page that holds them in small files. Locks of two
  # programs that differ in this do not see each other, and no application does this. pager1 puts the bytes back.
  find test ext \( -name '*.test' -o -name '*.tcl' \) ! -name pager1.test -exec \
    sed -i -E 's/(sqlite3_test_control_pending_byte) 0x0*10{4,7}\b/\1 0x40000000/' {} +
  # Tests that make files longer than the place of these bytes keep the length that they had.
  sed -i 's/\$\(::\)\?sqlite_pending_byte/65536/' test/backup.test test/backup_ioerr.test
  # As root it ends in the middle. Without this one check fails, as on a plain directory.
  sed -i '/Tests do not work when run as root/,/exit 1/{/exit 1/d}' test/attach.test
}

main "$@"
