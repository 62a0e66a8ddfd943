# How a server gets the application. Set before: either package (what pip installs), or name and sha256 of a wheel, and
# url, where it is fetched; without url, the lab uploads it to /tmp over SSH.
[ -z "${INSTANCE_ROOT-}" ] || {
    echo 'faafo-lab: an instance of the embedded cloud has the application in the image faafo-lab, and nowhere else.' >&2
    exit 1
}
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo 'faafo-lab: the application needs Python 3.11: choose an image of Debian 12, Ubuntu 24.04 or newer.' >&2
    exit 1
}
place=/opt/faafo-lab
mkdir -p "$place"
if [ -n "${package-}" ]; then
    export DEBIAN_FRONTEND=noninteractive
    if ! python3 -c 'import ensurepip' 2>"$place/why"; then
        left=60
        until apt-get update -q; do # while the machine's own updates have the lock
            left=$((left - 1))
            [ $left -gt 0 ]
            sleep 5
        done
        apt-get -o DPkg::Lock::Timeout=600 install -q -y --no-install-recommends python3-venv
    fi
    python3 -m venv /opt/faafo
    /opt/faafo/bin/pip install -q "$package"
    export PATH=/opt/faafo/bin:$PATH
else
    wheel=$place/$name left=900
    get() {
        [ -n "$url" ] || { cp "/tmp/$name" "$wheel" && return; }
        # any server may answer: the file is compared with the checksum
        python3 -c 'import ssl, sys, urllib.request as u
open(sys.argv[2], "wb").write(u.urlopen(sys.argv[1], timeout=60, context=ssl._create_unverified_context()).read())' \
            "$url" "$wheel"
    }
    if [ -n "$url" ]; then from='from the object store'; else from='which the lab uploads'; fi
    echo "faafo-lab: waiting for $name, $from"
    until get 2>"$place/why" && echo "$sha256  $wheel" | sha256sum --check --status; do
        left=$((left - 1))
        [ $left -gt 0 ] || { echo "faafo-lab: $name did not come: $(tail -n 1 "$place/why")" >&2; exit 1; }
        sleep 2
    done
    python3 -m zipfile -e "$wheel" "$place"
    faafo-install() { FAAFO_WHEEL=$wheel bash "$place/faafo_lab/app/install.sh" "$@"; }
fi
