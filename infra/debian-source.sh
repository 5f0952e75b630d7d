# Sourced. Packages of a Debian release, whatever release this machine has: apt works with lists and a cache in a
# directory of the caller's, so that the machine's own stay unchanged.

# private_apt DIR TYPE SUITE: prepares DIR, and sets apt_options for apt-get. TYPE is deb or deb-src.
private_apt() {
  local dir=$1
  rm -rf "$dir" && mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
  debian_source "$2" "$3" >"$dir/debian.sources" || return 1
  # apt's download user, _apt, may not write here.
  apt_options=(-qq -o Dir::Etc::SourceList="$dir/debian.sources" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$dir/lists"
    -o Dir::Cache="$dir/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none)
}

# debian_source TYPE SUITE: prints an apt source, of this machine's mirror, or else of Debian's.
debian_source() {
  local uri key
  uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -oE '^(deb .*|URIs:.*)' | grep -oE '[a-z+]+://[^ ]+/debian/?( |$)' | head -n1 | tr -d ' ') || true
  key=$(ls /usr/share/keyrings/debian-archive-keyring.gpg "/usr/share/keyrings/debian-archive-$2-stable.gpg" 2>/dev/null | head -n1) || true
  printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\n' "$1" "${uri:-http://deb.debian.org/debian}" "$2"
  # Without this, apt uses its own keys.
  if [ -n "$key" ]; then printf 'Signed-By: %s\n' "$key"; fi
}
