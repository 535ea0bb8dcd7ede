#!/bin/sh
# Installs the servers that the tests run against. Idempotent; says what it does in a line each.
#
#   tests/servers/install.sh [debian] [clickhouse-modern] [kafka] [schema-registry]     (without a word: all of them)
#
# Into .servers/ (or PARAMEDIC_SERVERS): an npm library, jars from Maven, and, without root, Debian packages
# unpacked there. With root Debian packages are installed, and none of their daemons is started.
# Needs, as found: apt-get, npm, mvn and Java 17. What cannot be installed is named with its reason; that is an
# error (exit 1) only with STRICT=1, because each test says itself which server it misses.
set -u

HERE=$(cd "$(dirname "$0")" && pwd)
SERVERS=${PARAMEDIC_SERVERS:-$(cd "$HERE/../.." && pwd)/.servers}
PACKAGES="prometheus prometheus-alertmanager clickhouse-server postgresql wrk"
LOG=$(mktemp)
MISSING=0
trap 'rm -f "$LOG"' EXIT
mkdir -p "$SERVERS"

say() { printf '%s: %s\n' "$1" "$2"; }

missing() { # name, reason
    say "$1" "MISSING: $2"
    MISSING=1
}

reason() { # the first line of the log that tells of an error
    grep -iE 'error|unable|not found|could not|fail' "$LOG" | head -n 1 | cut -c1-200
}

run() { # name, command ...: quiet; its error becomes the reason
    name=$1
    shift
    if "$@" >"$LOG" 2>&1; then return 0; fi
    why=$(reason)
    missing "$name" "${why:-$(tail -n 1 "$LOG" | cut -c1-200)}"
    return 1
}

have() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] ||
        [ -n "$(find /usr/lib/postgresql -name "$1" 2>/dev/null | head -n 1)" ] # servers are kept off the PATH there
}

unpacked() {
    [ -x "$SERVERS/debian/usr/bin/$1" ] || [ -x "$SERVERS/debian/usr/sbin/$1" ] ||
        [ -n "$(find "$SERVERS/debian/usr/lib/postgresql" -name "$1" 2>/dev/null | head -n 1)" ]
}

executable() { # package -> the program it is wanted for
    case $1 in postgresql) echo initdb ;; *) echo "$1" ;; esac
}

lists() { # apt's lists, fetched only where there are none
    [ -n "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)" ] && return 0
    say apt "fetching the package lists"
    run apt apt-get -o Acquire::Retries=3 -q update
}

without_daemons() { # runs a command while Debian's policy forbids packages to start their daemons
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    "$@"
    code=$?
    rm -f "$policy"
    return $code
}

unpack() { # packages with what they need, without root: under .servers/debian
    mkdir -p "$SERVERS/debs" && cd "$SERVERS/debs" || return 1
    needed=$(apt-get install -s --no-install-recommends -o Debug::NoLocking=1 "$@" | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    # shellcheck disable=SC2086 # names of packages hold no spaces
    [ -z "$needed" ] || apt-get -o Acquire::Retries=3 -q download $needed || return 1
    for deb in ./*.deb; do dpkg -x "$deb" "$SERVERS/debian" || return 1; done
}

debian() {
    have apt-get || { missing debian "no apt-get: this is no Debian"; return; }
    wanted=""
    for package in $PACKAGES; do
        program=$(executable "$package")
        if have "$program" || unpacked "$program"; then say "$package" "there"; else wanted="$wanted $package"; fi
    done
    [ -n "$wanted" ] || return
    lists || return
    say debian "installing$wanted"
    if [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive run debian without_daemons \
            apt-get -o Acquire::Retries=3 -q -y install --no-install-recommends $wanted || return
    else
        # shellcheck disable=SC2086
        run debian unpack $wanted || return
    fi
    say debian "done"
}

clickhouse_modern() {
    have npm || { missing clickhouse-modern "no npm (Debian: apt-get install npm)"; return; }
    target=$SERVERS/npm
    if [ -f "$target/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so" ] &&
        cmp -s "$HERE/npm/package-lock.json" "$target/package-lock.json"; then
        say clickhouse-modern "there"
        return
    fi
    say clickhouse-modern "fetching 180 MB with npm"
    mkdir -p "$target" && cp "$HERE/npm/package.json" "$HERE/npm/package-lock.json" "$target/"
    run clickhouse-modern npm ci --prefix "$target" --no-audit --no-fund || return
    [ -f "$target/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so" ] ||
        { missing clickhouse-modern "this machine is no x86-64 with glibc"; return; }
    say clickhouse-modern "done"
}

kafka() {
    have java || { missing kafka "no java (Debian: apt-get install openjdk-17-jre-headless)"; return; }
    target=$SERVERS/kafka
    if [ -f "$target/pom.xml" ] && cmp -s "$HERE/maven/pom.xml" "$target/pom.xml"; then
        say kafka "there"
        return
    fi
    have mvn || { missing kafka "no mvn (Debian: apt-get install maven)"; return; }
    say kafka "fetching 45 MB with mvn"
    rm -rf "$target"
    run kafka mvn -q -B -f "$HERE/maven/pom.xml" dependency:copy-dependencies -DoutputDirectory="$target" || return
    cp "$HERE/maven/pom.xml" "$target/pom.xml" # last: it marks the folder as whole
    say kafka "done"
}

schema_registry() {
    have java || { missing schema-registry "no java (Debian: apt-get install openjdk-17-jre-headless)"; return; }
    target=$SERVERS/apicurio
    if [ -f "$target/pom.xml" ] && cmp -s "$HERE/maven/apicurio.xml" "$target/pom.xml"; then
        say schema-registry "there"
        return
    fi
    have mvn || { missing schema-registry "no mvn (Debian: apt-get install maven)"; return; }
    say schema-registry "fetching 136 MB with mvn"
    rm -rf "$target"
    # The plugin notes what it has unpacked, and would do nothing for another folder: its notes go along.
    run schema-registry mvn -q -B -f "$HERE/maven/apicurio.xml" dependency:unpack-dependencies \
        -DoutputDirectory="$target" -DmarkersDirectory="$target/markers" || return
    cp "$HERE/maven/apicurio.xml" "$target/pom.xml"
    say schema-registry "done"
}

[ $# -gt 0 ] || set -- debian clickhouse-modern kafka schema-registry
for what in "$@"; do
    case $what in
    debian | kafka) "$what" ;;
    clickhouse-modern) clickhouse_modern ;;
    schema-registry) schema_registry ;;
    *) missing "$what" "unknown; there are: debian clickhouse-modern kafka schema-registry" ;;
    esac
done
if [ "$MISSING" = 1 ] && [ "${STRICT:-}" = 1 ]; then exit 1; fi
exit 0
