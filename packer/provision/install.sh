#!/usr/bin/env bash
# Installs drainhook from its package and enables the unit without starting it: see --help.
set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
Installs drainhook from its .deb or .rpm and enables its unit, which then starts with the next boot.

usage: install.sh PACKAGE [--config FILE]
       install.sh --url URL --sha256 SUM [--config FILE]

  PACKAGE        a package file on this machine
  --url URL      where to download the package
  --sha256 SUM   its SHA-256; a download with another checksum is not installed
  --config FILE  installed as /etc/drainhook/drainhook.toml if `drainhook config` accepts it, with the polkit rule that
                 lets the daemon drain the units it names
  --help         print this text

Needs root. Does not start the daemon. An upgrade restarts a running daemon, which continues its drain. A second run changes
nothing.
Exit codes: 0 done, 1 failed, 2 usage, 78 bad configuration.
END
}

say() { echo "install.sh: $1"; }

fail() {
    echo "install.sh: error: $1" >&2
    exit "${2:-1}"
}

wrong_usage() { fail "$1; see install.sh --help" 2; }

package='' url='' sha256='' config=''
changed=no

parse_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            --help)
                usage
                exit 0
                ;;
            --url | --sha256 | --config)
                [[ -n ${2:-} ]] || wrong_usage "$1 needs a value"
                printf -v "${1#--}" %s "$2"
                shift
                ;;
            -*) wrong_usage "there is no option $1" ;;
            *)
                [[ -z $package ]] || wrong_usage "two packages are given, $package and $1"
                package=$1
                ;;
        esac
        shift
    done
    if [[ -n $url ]]; then
        [[ -z $package ]] || wrong_usage "a package and a URL are given; give only one"
        [[ $url =~ ^https?:// ]] || wrong_usage "--url takes an http:// or https:// URL, not $url"
        [[ -n $sha256 ]] || wrong_usage "--url needs --sha256: a download without a checksum is not installed"
        [[ $sha256 =~ ^[0-9A-Fa-f]{64}$ ]] || wrong_usage "--sha256 takes 64 hexadecimal digits, not $sha256"
    else
        [[ -n $package ]] || wrong_usage "no package is given"
        [[ -z $sha256 ]] || wrong_usage "--sha256 goes with --url, which is missing"
    fi
}

# The kind of packages that this machine installs: deb or rpm.
kind_of_machine() {
    if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
        echo deb
    elif command -v dnf >/dev/null && command -v rpm >/dev/null; then
        echo rpm
    else
        fail "this machine has neither apt-get with dpkg nor dnf with rpm: install the binary by hand"
    fi
}

# The kind of a file by its first bytes: deb, rpm or unknown.
kind_of_file() {
    case $(head --bytes 8 "$1" | od --address-radix n --format x1 | tr --delete ' \n') in
        213c617263683e0a) echo deb ;; # !<arch>, an ar archive
        edabeedb*) echo rpm ;;
        *) echo unknown ;;
    esac
}

# download FILE
download() {
    say "downloading $url"
    if command -v curl >/dev/null; then
        curl --fail --location --silent --show-error --retry 3 --connect-timeout 20 --max-time 600 \
            --output "$1" "$url" ||
            fail "curl could not download $url (see its error above): check the URL, and that this machine can reach it"
    elif command -v wget >/dev/null; then
        wget --no-verbose --tries 3 --timeout 20 --output-document "$1" "$url" ||
            fail "wget could not download $url (see its error above): check the URL, and that this machine can reach it"
    else
        fail "cannot download $url: install curl or wget, or give the package as a file"
    fi
    local sum
    sum=$(sha256sum "$1" | cut --delimiter ' ' --fields 1)
    [[ $sum == "${sha256,,}" ]] ||
        fail "$url has the SHA-256 $sum, but ${sha256,,} was expected: compare both with the checksum of the release"
}

# Prints name, version and architecture of a package file. Fails if the file is damaged. identity KIND FILE
identity() {
    if [[ $1 == deb ]]; then
        # shellcheck disable=SC2016 # dpkg's fields
        dpkg-deb --contents "$2" >/dev/null &&
            dpkg-deb --show --showformat='${Package} ${Version} ${Architecture}\n' "$2"
    else
        rpm --checksig --nosignature "$2" >/dev/null &&
            rpm --query --package --nosignature --queryformat '%{NAME} %{VERSION}-%{RELEASE} %{ARCH}\n' "$2"
    fi
}

# Prints the installed version, or nothing. installed_version KIND
installed_version() {
    if [[ $1 == deb ]]; then
        # shellcheck disable=SC2016 # dpkg's fields
        { dpkg-query --show --showformat='${db:Status-Status} ${Version}\n' drainhook 2>/dev/null || true; } |
            sed --quiet 's/^installed //p'
    elif rpm --query --quiet drainhook; then
        rpm --query --queryformat '%{VERSION}-%{RELEASE}\n' drainhook
    fi
}

# Checks the package before anything is changed, and prints its version. checked_version KIND FILE
checked_version() {
    local kind=$1 file=$2 found identity name version architecture ours
    found=$(kind_of_file "$file")
    [[ $found != unknown ]] || fail "${package:-$url} is neither a .deb nor a .rpm: is the download complete?"
    [[ $found == "$kind" ]] ||
        fail "${package:-$url} is a .$found, but this machine installs .$kind packages: use the .$kind"
    identity=$(identity "$kind" "$file") ||
        fail "${package:-$url} is damaged (see the error above): download it again"
    read -r name version architecture <<<"$identity"
    [[ $name == drainhook ]] || fail "${package:-$url} is the package $name, not drainhook"
    if [[ $kind == deb ]]; then ours=$(dpkg --print-architecture); else ours=$(rpm --eval '%{_arch}'); fi
    [[ $architecture == "$ours" ]] ||
        fail "${package:-$url} is for $architecture, but this machine is $ours: use the package for $ours"
    echo "$version"
}

# Updates the package lists only if a dependency is missing. Otherwise, this needs no network.
install_deb() {
    local needed
    needed=$(apt-get --simulate install "$1" 2>/dev/null | grep --count '^Inst ') || true
    [[ $needed -eq 1 ]] || apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$1"
}

install_rpm() {
    local -a repositories=()
    if rpm --upgrade --test --nosignature "$1" 2>/dev/null; then repositories=(--disablerepo '*'); fi
    dnf install --assumeyes "${repositories[@]}" "$1"
}

# install_package KIND FILE VERSION
install_package() {
    local kind=$1 file=$2 version=$3 before after
    before=$(installed_version "$kind")
    if [[ $before == "$version" ]]; then
        say "drainhook $version is already installed"
        return
    fi
    say "installing drainhook $version${before:+ in place of $before}"
    if [[ $kind == deb ]]; then
        install_deb "$file" ||
            fail "apt-get could not install drainhook $version (see above; before a downgrade, remove drainhook)"
    else
        install_rpm "$file" ||
            fail "dnf could not install drainhook $version (see above; before a downgrade, remove drainhook)"
    fi
    after=$(installed_version "$kind")
    [[ $after == "$version" ]] ||
        fail "drainhook $version is not installed (installed: ${after:-none}): before a downgrade, remove drainhook"
    changed=yes
}

install_config() {
    local target=/etc/drainhook/drainhook.toml status=0
    [[ -n $config ]] || return 0
    if cmp --silent "$config" "$target"; then
        say "$target is already the same as $config"
        return
    fi
    env --ignore-environment drainhook config --config "$config" >/dev/null || status=$?
    [[ $status -ne 78 ]] ||
        fail "$config has a mistake (see above), so $target is unchanged: correct it and run this again" 78
    [[ $status -eq 0 ]] || fail "drainhook config --config $config exited with $status, so $target is unchanged"
    install -D --mode 0644 --owner root --group root "$config" "$target.new"
    mv "$target.new" "$target"
    say "$target is now $config; a running daemon reads it when you restart it"
    changed=yes
}

# Where `drainhook check` looks for the rule.
readonly polkit_rule=/etc/polkit-1/rules.d/50-drainhook.rules

# Permits the daemon what its configuration has it do to units. install_polkit_rule KIND
install_polkit_rule() {
    local rule
    # A mistake in the configuration is reported when the daemon starts.
    rule=$(env --ignore-environment drainhook config --polkit 2>/dev/null) || return 0
    if [[ -z $rule ]]; then
        [[ -e $polkit_rule ]] || return 0
        rm "$polkit_rule"
        say "removed $polkit_rule: no agent is a unit"
        changed=yes
        return
    fi
    if [[ ! -d /etc/polkit-1/rules.d ]]; then
        say "installing polkit, which lets the daemon stop and start the agent's unit"
        if [[ $1 == deb ]]; then
            { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends polkitd; } ||
                fail "apt-get could not install polkitd (see above), without which the daemon cannot drain a unit"
        else
            dnf install --assumeyes polkit ||
                fail "dnf could not install polkit (see above), without which the daemon cannot drain a unit"
        fi
    fi
    if cmp --silent <(echo "$rule") "$polkit_rule"; then
        say "$polkit_rule is already the rule for this configuration"
        return
    fi
    echo "$rule" | install -D --mode 0644 --owner root --group root /dev/stdin "$polkit_rule"
    say "installed $polkit_rule"
    changed=yes
}

enable_unit() {
    if systemctl is-enabled --quiet drainhook.service 2>/dev/null; then
        say "drainhook.service is already enabled"
        return
    fi
    systemctl enable --quiet drainhook.service ||
        fail "systemctl could not enable drainhook.service (see its error above)"
    say "enabled drainhook.service: it starts with the next boot, or with systemctl start drainhook"
    changed=yes
}

main() {
    parse_arguments "$@"
    [[ $(id --user) -eq 0 ]] || fail "needs root to install a package: run it with sudo"
    [[ -z $config || -f $config ]] || fail "there is no file $config for --config"
    [[ -z $package || -f $package ]] || fail "there is no file $package"

    local kind folder version
    kind=$(kind_of_machine)
    folder=$(mktemp --directory)
    # shellcheck disable=SC2064 # expand $folder now
    trap "rm -rf '$folder'" EXIT
    chmod 0755 "$folder" # apt reads the file as another user
    # Both package managers recognize a package file by its extension.
    if [[ -n $url ]]; then download "$folder/drainhook.$kind"; else cp "$package" "$folder/drainhook.$kind"; fi
    chmod 0644 "$folder/drainhook.$kind"
    version=$(checked_version "$kind" "$folder/drainhook.$kind")

    install_package "$kind" "$folder/drainhook.$kind" "$version"
    install_config
    install_polkit_rule "$kind"
    enable_unit
    [[ $changed == yes ]] || say "nothing has changed"
}

main "$@"
