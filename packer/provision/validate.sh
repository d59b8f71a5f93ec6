#!/usr/bin/env bash
# Checks the installation of drainhook, in an image or on a running machine: see --help.
set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
Checks the installation of drainhook. Prints one line for each check, with a remedy if it failed.

usage: validate.sh

Needs root, but neither AWS nor a running systemd. Changes nothing. To check AWS, the metadata service and the agent, run
`drainhook check`. Exit codes: 0 no check failed, 1 a check failed, 2 usage or not root.
END
}

unit=/usr/lib/systemd/system/drainhook.service
config=/etc/drainhook/drainhook.toml
environment=/etc/drainhook/drainhook.env
state=/var/lib/drainhook
failed=0

ok() { printf 'ok      %-14s %s\n' "$1" "$2"; }

# failed_check NAME WHAT REMEDY
failed_check() {
    printf 'failed  %-14s %s → %s\n' "$1" "$2" "$3"
    failed=1
}

# The end of a command's output, on one line.
one_line() { tr '\n' ' ' | sed 's/ *$//' | tail --bytes 600; }

systemd_runs() { [[ -d /run/systemd/system ]]; }

is_active() { systemd_runs && systemctl is-active --quiet drainhook.service; }

check_binary() {
    local words
    if words=$(drainhook --version 2>&1); then
        ok binary "$words"
    else
        failed_check binary "drainhook --version: $(one_line <<<"$words")" \
            "install the package for this machine (install.sh)"
    fi
}

check_unit() {
    local words
    if [[ ! -f $unit ]]; then
        failed_check unit "there is no $unit" "install the package (install.sh)"
    elif ! command -v systemd-analyze >/dev/null; then
        ok unit "$unit exists; not verified, because there is no systemd-analyze"
    elif words=$(systemd-analyze verify --man=no "$unit" 2>&1) && ! grep --quiet drainhook <<<"$words"; then
        ok unit "systemd-analyze verify finds no problem in $unit"
    else
        failed_check unit "systemd-analyze verify: $(one_line <<<"$words")" \
            "reinstall the package; look at drop-ins in /etc/systemd/system/drainhook.service.d"
    fi
}

check_enabled() {
    local words
    if words=$(systemctl is-enabled drainhook.service 2>&1); then
        ok enabled "drainhook.service starts at each boot"
    else
        failed_check enabled "drainhook.service is ${words:-unknown}" "systemctl enable drainhook.service"
    fi
}

check_user() {
    if getent passwd drainhook >/dev/null; then
        ok user "drainhook, uid $(id --user drainhook)"
    else
        failed_check user "there is no user drainhook" "systemd-sysusers drainhook.conf, or reinstall the package"
    fi
}

# Reads the unit's environment file into variables, for env. Quotes around a value are not part of it.
read_environment() {
    local line
    variables=()
    [[ -r $environment ]] || return 0
    while IFS= read -r line || [[ -n $line ]]; do
        if [[ $line =~ ^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)=[\"\']?(.*[^\"\'[:space:]])?[\"\']?[[:space:]]*$ ]]; then
            variables+=("${BASH_REMATCH[1]}=${BASH_REMATCH[2]}")
        fi
    done <"$environment"
}

check_configuration() {
    local words status=0
    local -a variables
    read_environment
    # Runs as the daemon's user, which must be able to read the file.
    words=$(runuser --user drainhook -- env --ignore-environment "${variables[@]}" drainhook config 2>&1 >/dev/null) ||
        status=$?
    case $status in
        0) ok configuration "drainhook config finds no problem" ;;
        78)
            failed_check configuration "$(one_line <<<"$words")" \
                "correct $config or $environment; until then the daemon exits with 78 and is not restarted"
            ;;
        *)
            failed_check configuration "drainhook config, as its user, exits with $status: $(one_line <<<"$words")" \
                "see the checks above"
            ;;
    esac
}

check_sandbox() {
    local words
    words=$(systemd-analyze security --offline=true "$unit" 2>/dev/null) || true
    if [[ $words =~ Overall\ exposure\ .*:\ ([0-9.]+\ [A-Z]+) ]]; then
        ok sandbox "exposure ${BASH_REMATCH[1]} (0 is best, 10 worst)"
    else
        ok sandbox "not rated: systemd-analyze security --offline is not available here"
    fi
}

# These files must be owned by root and writable only by root. A user who can write to them could become root.
check_files() {
    local path wrong=''
    for path in /usr/bin/drainhook "$unit" /usr/lib/sysusers.d/drainhook.conf /etc/drainhook "$config" \
        "$environment"; do
        if [[ -e $path ]]; then
            [[ -z $(find -L "$path" -maxdepth 0 \( ! -user root -o -perm /022 \)) ]] ||
                wrong+="$path is $(stat -L --format '%U %a' "$path"); "
        elif [[ $path != "$environment" && $path != "$config" ]]; then
            wrong+="$path is missing; "
        fi
    done
    if [[ -d $state && -n $(find "$state" -maxdepth 0 ! -user drainhook 2>/dev/null) ]]; then
        wrong+="$state is not drainhook's; "
    fi
    if [[ -z $wrong ]]; then
        ok files "owned by root, writable only by root"
    else
        failed_check files "${wrong%; }" \
            "restore the owner (chown), let only the owner write (chmod go-w), or reinstall the package"
    fi
}

# Only a running daemon should have a journal. Otherwise it is left from a drain that must continue, or would end up in an image.
check_journal() {
    local names
    names=$(find "$state" -mindepth 1 -printf '%P ' 2>/dev/null) || true
    if [[ -z $names ]]; then
        ok journal "none in $state"
    elif is_active; then
        ok journal "of the running daemon: ${names% }"
    else
        failed_check journal "no daemon is running, and $state has ${names% }" \
            "in an image: rm -r $state; on an instance: systemctl start drainhook, which continues its drain"
    fi
}

check_daemon() {
    local words
    if ! systemd_runs; then
        ok daemon "not running, because systemd is not running here"
        return
    fi
    words=$(systemctl show --property SubState --value drainhook.service)
    case $words in
        running)
            if words=$(drainhook status 2>&1 >/dev/null); then
                ok daemon "running, and answers"
            else
                failed_check daemon "running, but does not answer: $(one_line <<<"$words")" \
                    "journalctl --unit drainhook"
            fi
            ;;
        dead) ok daemon "not started; it starts at the next boot, or with systemctl start drainhook" ;;
        *) failed_check daemon "$words" "systemctl status drainhook; journalctl --unit drainhook" ;;
    esac
}

case "$#:${1:-}" in
    0:) ;;
    1:--help)
        usage
        exit 0
        ;;
    *)
        echo "validate.sh: error: takes no arguments; see validate.sh --help" >&2
        exit 2
        ;;
esac
if [[ $(id --user) -ne 0 ]]; then
    echo "validate.sh: error: needs root to read all files: run it with sudo" >&2
    exit 2
fi

check_binary
check_unit
check_enabled
check_user
check_configuration
check_sandbox
check_files
check_journal
check_daemon
exit "$failed"
