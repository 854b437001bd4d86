# shellcheck shell=sh
# Makes .venv what the lock files say and finds the programs that the project needs. Read by run, check and
# systemd/install. Whatever is said here goes to standard error: standard output is the program's.

say() {
    printf 'matricula-watcher: %s\n' "$*" >&2
}

give_up() {
    say "$*"
    exit 1
}

# choose_lock CHECKOUT: set `lock` to the one of what runs there. WATCHER_LEAN=1 leaves the local reader rapidocr out,
# which is most of what is installed; WATCHER_LEAN=0 takes it in again. The choice is kept in .lean.
choose_lock() {
    case ${WATCHER_LEAN-} in
    '') ;;
    1)
        [ -e "$1/.lean" ] || say "without the local reader rapidocr from now on; WATCHER_LEAN=0 brings it back."
        : >"$1/.lean"
        ;;
    0) rm -f -- "$1/.lean" ;;
    *) give_up "WATCHER_LEAN is 1, without the local reader rapidocr, or 0, with it; not '$WATCHER_LEAN'." ;;
    esac
    unset WATCHER_LEAN
    lock=requirements.lock
    [ ! -e "$1/.lean" ] || lock=requirements-lean.lock
}

# set_up CHECKOUT LOCK...: come back when everything is there, quickly if it already was; else exit 1 with the remedy.
set_up() {
    checkout=$1
    shift
    if [ -z "$(missing_packages)" ] && up_to_date "$@"; then
        return
    fi
    # A second start at the same time waits here, and then finds the work done.
    exec 9<"$checkout"
    flock -n 9 || { say "waiting for another set-up of $checkout"; flock 9; }
    packages=$(missing_packages)
    up_to_date "$@" || made_here || find_python >/dev/null || packages="$packages python3 python3-venv"
    # shellcheck disable=SC2086 # names of packages are words
    [ -z "$packages" ] || apt_install $packages || give_up "the above is needed first."
    up_to_date "$@" || make_venv "$@" || give_up "the set-up failed; what is above says why."
    exec 9<&-
}

missing_packages() {
    command -v tesseract >/dev/null || echo tesseract-ocr
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        [ ! -e "$bundle" ] || return 0
    done
    echo ca-certificates
}

# find_python: print a Python that is new enough and can make virtual environments, with its version in its name where
# it has one, so that a .venv made with it is seen to be broken once that version is gone.
find_python() {
    probe='import ensurepip, os, sys, venv; sys.version_info < (3, 11) and exit(1); print(os.path.realpath(sys.executable))'
    for python in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        "$python" -I -c "$probe" 2>/dev/null && return
    done
    return 1
}

# apt_install PACKAGE...: return 1, having printed the line to type, where this user may not.
apt_install() {
    if ! command -v apt-get >/dev/null; then
        say "there is no apt-get here; install what these packages of Debian hold: $*"
        return 1
    elif [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    else
        say "type this: sudo apt-get update && sudo apt-get install --no-install-recommends $*"
        return 1
    fi
    say "installing $* with apt-get"
    apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
    $apt update </dev/null >/dev/null || say "not all package lists could be renewed; going on with those there are"
    $apt install -y --no-install-recommends "$@" </dev/null >/dev/null
}

# stamp LOCK: print what .venv holds under the name of that lock once it is installed.
stamp() {
    printf '# %s\n' "$checkout"
    cat "$checkout/pyproject.toml" "$checkout/$1"
}

up_to_date() {
    [ -x "$checkout/.venv/bin/python" ] || return 1
    for lock; do
        stamp "$lock" | cmp -s - "$checkout/.venv/$lock" || return 1
    done
}

# made_here: tell whether .venv is whole, of this folder, and only needs other packages.
made_here() {
    [ -x "$checkout/.venv/bin/python" ] && [ -x "$checkout/.venv/bin/uv" ] &&
        [ "$(sed q "$checkout/.venv/requirements.lock" "$checkout/.venv/requirements-lean.lock" 2>/dev/null)" = "# $checkout" ]
}

# make_venv LOCK...: a .venv without stamps was interrupted and is made anew.
make_venv() (
    exec >&2
    cd -- "$checkout" || return
    umask 022
    export UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true PIP_DISABLE_PIP_VERSION_CHECK=1
    made_here || new_venv "$1" || return
    rm -f .venv/requirements.lock .venv/requirements-lean.lock .venv/requirements-dev.lock
    say "installing the packages of $* into .venv"
    install_packages "$@" || return
    # The project itself, as it stands here: uv builds that alone, with nothing from outside.
    .venv/bin/uv -q pip install --python .venv/bin/python --offline --no-cache --no-deps --editable . || return
    for lock; do
        stamp "$lock" >.venv/stamp && mv .venv/stamp ".venv/$lock" || return
    done
)

# new_venv LOCK: with the uv of that lock and nothing else.
new_venv() {
    python=$(find_python) || { say "no Python 3.11 or newer with venv was found."; return 1; }
    say "making .venv with $python"
    "$python" -m venv --clear .venv || return
    sed -n '/^uv==/,/[^\\]$/p' "$1" >.venv/uv.lock
    .venv/bin/python -m pip -q install --require-hashes -r .venv/uv.lock
}

# install_packages LOCK...: by uv, which is quick; else by pip, which knows the mirrors of pip's own configuration.
install_packages() {
    .venv/bin/uv -q pip sync --python .venv/bin/python --require-hashes --compile-bytecode "$@" && return
    say "uv could not; trying pip"
    for lock; do
        .venv/bin/python -m pip -q install --require-hashes --no-deps -r "$lock" || return
    done
}
