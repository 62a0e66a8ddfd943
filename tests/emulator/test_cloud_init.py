"""User data in all its forms, as cloud-init takes them; and what it cannot do is said clearly."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from faafo_lab.cloud.emulator.machinery.guest import cloudconfig, userdata
from faafo_lab.cloud.emulator.machinery.guest.userdata import BOOTHOOK, CONFIG, SCRIPT, Part
from tests.emulator import machine_room
from tests.emulator.machine_room import Room
from tests.emulator.test_guest import in_instance
from tests.waiting import wait_for

machine, room = machine_room.machine, machine_room.room

CLOUD_CONFIG = """#cloud-config
hostname: renamed
bootcmd:
  - echo boot as $INSTANCE_ID >> $HOME/order
write_files:
  - path: /etc/app/settings.conf
    content: |
      size = 3
    permissions: '0640'
    owner: root:root
  - path: /home/ubuntu/packed
    encoding: gz+b64
    content: {packed}
  - path: /home/ubuntu/order
    content: "deferred\\n"
    append: true
    defer: true
runcmd:
  - cat $INSTANCE_ROOT/etc/app/settings.conf
  - [sh, -c, 'echo "two words" in a list']
  - hostname; uname -n > node
  - echo run >> $HOME/order
ssh_authorized_keys:
  - ssh-ed25519 AAAA another
final_message: ready after $UPTIME s by $DATASOURCE
"""


def multipart(*parts: MIMEText | MIMEApplication) -> bytes:
    message = MIMEMultipart()
    for part in parts:
        message.attach(part)
    return message.as_bytes()


def named(part: MIMEText, name: str) -> MIMEText:
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def config(text: str) -> cloudconfig.CloudInitConfig:
    return merged(text)


def merged(*texts: str) -> cloudconfig.CloudInitConfig:
    return cloudconfig.read([Part(CONFIG, "", text.encode()) for text in texts])


def test_a_cloud_config_makes_the_instance_what_it_says(room: Room) -> None:
    packed = encoded(gzip.compress(b"unpacked"))
    room.boot(user_data=CLOUD_CONFIG.format(packed=packed))
    console = room.finished()
    home = room.disk() / "home/ubuntu"
    settings = room.disk() / "etc/app/settings.conf"
    assert settings.read_text() == "size = 3\n"
    assert settings.stat().st_mode & 0o777 == 0o640
    assert (home / "packed").read_text() == "unpacked"
    assert (home / "order").read_text() == "boot as one\ndeferred\nrun\n"
    assert "\nsize = 3\ntwo words in a list\nrenamed\n" in console
    if "in HOSTNAME only" not in console:
        assert (home / "node").read_text() == "renamed\n"
    assert (home / ".ssh/authorized_keys").read_text() == "ssh-ed25519 AAAA another\n"
    assert "as $INSTANCE_ROOT/etc/app/settings.conf; its owner is ubuntu, not root:root" in console
    assert "s by DataSourceOpenStack" in console
    done = in_instance(room, "cloud-init status --wait")
    assert (done.returncode, done.stdout) == (0, "status: done\n")


def test_boot_commands_run_at_every_boot_and_the_rest_at_the_first(room: Room) -> None:
    text = CLOUD_CONFIG.format(packed=encoded(gzip.compress(b"")))
    room.boot(user_data=text)
    room.finished()
    room.kill()
    room.boot(first_boot=False, user_data=text)
    wait_for("the second boot", lambda: room.console().count("Startup finished") == 2)
    order = room.disk() / "home/ubuntu/order"
    assert order.read_text() == "boot as one\ndeferred\nrun\nboot as one\n"
    assert room.console().count("Hostname set to <renamed>") == 2


def test_a_mime_message_has_several_parts(room: Room) -> None:
    user_data = multipart(
        named(MIMEText("#!/bin/sh\necho second >> order\n", "x-shellscript"), "b.sh"),
        named(MIMEText("#!/bin/sh\necho first >> order\n", "x-shellscript"), "a.sh"),
        MIMEText("#cloud-config\nruncmd: [echo from-config >> order]\n", "cloud-config"),
        MIMEText("#cloud-boothook\n#!/bin/sh\necho hook of $INSTANCE_ID >> order\n", "cloud-boothook"),
        MIMEApplication(gzip.compress(b"#!/bin/sh\necho from-gzip >> order\n"), "gzip"),
    )
    room.boot(user_data=gzip.compress(user_data))
    room.finished()
    written = (room.disk() / "home/ubuntu/order").read_text().splitlines()
    assert written == ["hook of one", "first", "second", "from-gzip", "from-config"]
    assert in_instance(room, "cloud-init status --wait").returncode == 0


def test_what_fails_does_not_keep_the_rest_from_being_done(room: Room) -> None:
    user_data = multipart(
        named(MIMEText("#!/bin/sh\nexit 3\n", "x-shellscript"), "a.sh"),
        named(MIMEText("#!/bin/sh\necho still\n", "x-shellscript"), "b.sh"),
        MIMEText("#include\nhttp://example.com/\n", "x-include-url"),
    )
    room.boot(user_data=user_data)
    console = room.finished()
    assert "Failed to run module scripts-user (a.sh): a.sh failed: exit status 3." in console
    assert "an #include fetches user data from the network, which this cloud does not do" in console
    assert "\nstill\n" in console
    done = in_instance(room, "cloud-init status --wait --long")
    assert done.returncode == 1
    assert done.stdout.startswith("status: error\n")
    assert "a.sh failed: exit status 3." in done.stdout
    result = json.loads((room.disk() / "var/lib/cloud/data/result.json").read_text())
    assert len(result["v1"]["errors"]) == 2


def test_what_has_no_effect_is_a_warning(room: Room) -> None:
    room.boot(user_data="#cloud-config\nntp: {enabled: true}\nusers: [default, {name: eve}]\nruncmd: [echo well]\n")
    console = room.finished()
    assert "schema.py[WARNING]: ntp is not known to this cloud: it is ignored." in console
    assert "users: eve is not created: an instance has one account" in console
    assert "\nwell\n" in console
    done = in_instance(room, "cloud-init status --wait --long")
    assert done.returncode == 2
    assert done.stdout.startswith("status: done\nextended_status: degraded done\n")


@pytest.mark.parametrize("path", ["/../../outside", "/link/outside", "/"])
def test_written_files_stay_on_the_instances_disk(room: Room, path: str) -> None:
    text = f"#cloud-config\nbootcmd: [ln -s ../.. $INSTANCE_ROOT/link]\nwrite_files: [{{path: {path}, content: x}}]\n"
    room.boot(user_data=text)
    assert "is not written: it would be outside of the instance's disk." in room.finished()
    assert not list(room.directory.rglob("outside"))


def test_parts_are_found_by_their_first_line() -> None:
    found = userdata.parts(
        encoded(b"#cloud-config-archive\n- '#!/bin/sh'\n- type: text/cloud-config\n  content: 'a: 1'\n")
    )
    assert found.found == [Part(SCRIPT, "part-001", b"#!/bin/sh"), Part(CONFIG, "part-002", b"a: 1")]
    assert found.problems == []
    assert [part.type for part in userdata.parts(encoded(b"#cloud-boothook\n")).found] == [BOOTHOOK]


def test_a_parts_name_is_harmless() -> None:
    script = named(MIMEText("#!/bin/sh\n", "x-shellscript"), "../../etc/.profile x")
    assert [part.name for part in userdata.parts(encoded(multipart(script))).found] == ["profile_x"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8bxx",
        gzip.compress(b"x" * (userdata.BYTES_MAX + 1)),
        b"#cloud-config-archive\n{",
        b"#cloud-config-archive\na: 1",
    ],
    ids=["broken gzip", "boundless gzip", "broken archive", "archive that is no list"],
)
def test_user_data_that_cannot_be_read_is_one_sentence(data: bytes) -> None:
    with pytest.raises(userdata.UserDataError, match=r"^The .*\.$"):
        userdata.parts(encoded(data))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("packages: [nginx, git]", "packages: nginx, git cannot be installed"),
        ("runcmd: echo", "runcmd: it must be a list of commands."),
        ("runcmd: [echo, {a: 1}]", "runcmd: command 2 must be a text or a list of words."),
        ("bootcmd: [7]", "bootcmd: command 1 must be a text or a list of words."),
        ("write_files: [{path: x}]", "write_files: file 1: it needs a path that starts with /."),
        ('write_files: [{path: "/x\\0y"}]', "file 1: its path has a character that no path can have."),
        ("write_files: [{path: /x, content: [1]}]", "file 1: its content must be a text."),
        ("write_files: [{path: /x, encoding: zip, content: a}]", "file 1: the encoding zip is unknown"),
        ("write_files: [{path: /x, encoding: b64, content: a}]", "file 1: its content is no base64"),
        ("write_files: [{path: /x, permissions: rw}]", "file 1: permissions 'rw' are none"),
        ("write_files: [{path: /x, source: {uri: u}}]", "file 1: source is not known to this cloud"),
        ("hostname: a b", "hostname: 'a b' is no host name."),
        ("ssh_authorized_keys: key", "ssh_authorized_keys: it must be a list of public keys"),
        ("a: [", "The #cloud-config is no YAML"),
        ("- a", "The #cloud-config must be a mapping"),
    ],
)
def test_a_wrong_cloud_config_is_one_clear_sentence(text: str, sentence: str) -> None:
    (error,) = config(text).errors
    assert sentence in error


def test_permissions_may_be_a_number_or_a_text_and_later_parts_replace_earlier_ones() -> None:
    files = config("write_files: [{path: /a, permissions: 0755}, {path: /b, permissions: '600'}, {path: /c}]").files
    assert [file.permissions for file in files] == [0o755, 0o600, 0o644]
    both = merged("runcmd: [a]\nhostname: one", "runcmd: [b]")
    assert (both.commands, both.hostname) == (b"#!/bin/sh\nb\n", "one")


NAMES = ("path", "content", "encoding", "permissions", "owner", "append", "name")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.integers(), below, max_size=4)
    ),
    max_leaves=12,
)
MODULES = ("bootcmd", "fqdn", "hostname", "packages", "runcmd", "ssh_authorized_keys", "users", "write_files", "other")
MESSAGE = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"
STARTS = (
    *(b"#!", b"#cloud-config\n", b"#cloud-config-archive\n", b"\x1f\x8b", b"MIME-Version: 1.0\n", b""),
    MESSAGE,
    MESSAGE + b"Content-Disposition: attachment; filename*=utf-9''%ff\n\n",
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(MODULES), VALUES, max_size=6))
def test_any_cloud_config_is_read_or_refused_in_words(values: dict[str, object]) -> None:
    found = config(yaml.safe_dump(values))
    assert all(isinstance(each, str) and each for each in (*found.errors, *found.warnings))
    assert ("other" in values) == any("other is not known" in each for each in found.warnings)


@settings(deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=60))
def test_any_user_data_are_read_or_refused_in_words(start: bytes, rest: bytes) -> None:
    with contextlib.suppress(userdata.UserDataError):
        found = userdata.parts(encoded(start + rest))
        assert all(part.type in (*userdata.SCRIPTS, CONFIG, BOOTHOOK) for part in found.found)
