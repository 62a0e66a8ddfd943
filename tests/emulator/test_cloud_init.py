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
from tests.emulator import machine_room, test_guest_ssh
from tests.emulator.machine_room import Room
from tests.emulator.test_guest import in_instance

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
    room.boot_again(text)
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


APPEND = "merge_how: list(append)+dict(no_replace,recurse_list)+str()\n"
AS_A_LIST = "merge_how:\n - {name: list, settings: [append]}\n - {name: dict, settings: [no_replace, recurse_array]}\n"


@pytest.mark.parametrize(
    ("first", "second", "commands", "hostname"),
    [
        ("", "", "c d", "two"),
        ("", APPEND, "a b c d", "one"),
        ("", AS_A_LIST, "a b c d", "one"),
        (APPEND, "", "c d", "two"),
        ("", "merge_type: 'list(prepend) + dict(recurse_list) + str()'\n", "c d a b", "one"),
        ("", "merge_how: dict(recurse_list)+list()\n", "c d", "one"),
        ("", "merge_how: dict(recurse_list,recurse_str)+list(no_replace)+str(append)\n", "a b", "onetwo"),
        ("", "merge_how: dict()\n", "a b", "one"),
    ],
)
def test_a_part_joins_those_before_it_as_its_rule_says(first: str, second: str, commands: str, hostname: str) -> None:
    found = merged(f"{first}runcmd: [a, b]\nhostname: one\n", f"{second}runcmd: [c, d]\nhostname: two\n")
    assert found.commands == b"#!/bin/sh\n" + "".join(f"{each}\n" for each in commands.split()).encode()
    assert (found.hostname, found.errors, found.warnings) == (hostname, [], [])


@pytest.mark.parametrize("rule", ["list(append)", "dict(replace)+set()", "append", "7", "[[]]", "[{name: dict}]"])
def test_a_rule_of_merging_that_is_none_is_told(rule: str) -> None:
    found = merged("runcmd: [a]", f"merge_how: {rule}\nruncmd: [b]")
    assert found.commands == b"#!/bin/sh\na\n"
    (error,) = found.errors
    assert error.startswith("The #cloud-config is not used: it asks for merging as ")


def test_a_messages_header_is_a_rule_of_merging(room: Room) -> None:
    parts = [MIMEText(f"#cloud-config\nruncmd: [echo {word} >> order]\n", "cloud-config") for word in ("one", "two")]
    parts[1]["X-Merge-Type"] = "list(append)+dict(recurse_list)+str()"
    room.boot(user_data=multipart(*parts))
    room.finished()
    assert (room.disk() / "home/ubuntu/order").read_text() == "one\ntwo\n"


def test_the_documentations_users_are_told_and_their_keys_open_the_instance() -> None:
    found = config(
        "users:\n  - default\n"
        "  - {name: foobar, gecos: Foo Bar, primary_group: foobar, groups: users, passwd: $6$x, lock_passwd: false}\n"
        "  - {name: barfoo, sudo: 'ALL=(ALL) NOPASSWD:ALL', ssh_import_id: [x], ssh_authorized_keys: [ssh-rsa A a]}\n"
        "  - {name: old, ssh-authorized-keys: [ssh-rsa B b, ssh-rsa C c]}\n  - bob\n"
        "ssh_authorized_keys: [ssh-rsa D d]\nuser: {name: admin, shell: /bin/zsh, ssh_authorized_keys: [ssh-rsa E e]}\n"
    )
    assert sorted(found.public_keys) == [f"ssh-rsa {key} {key.lower()}" for key in "ABCDE"]
    assert found.errors == []
    told = "is not created: an instance has one account, ubuntu, for every name; its keys open that"
    assert found.warnings == [
        f"users: foobar {told}, and gecos, groups, lock_passwd, passwd, primary_group has no effect.",
        f"users: barfoo {told}, and ssh_import_id, sudo has no effect.",
        f"users: old {told}.",
        f"users: bob {told}.",
        f"users: admin {told}, and shell has no effect.",
    ]


def test_a_key_of_a_user_logs_in(room: Room) -> None:
    key = test_guest_ssh.KEY.export_public_key().decode().strip()
    room.boot(user_data=f"#cloud-config\nusers:\n - name: eve\n   ssh_authorized_keys: ['{key}']\n")
    room.finished()
    assert test_guest_ssh.on(room, lambda made: made.run("echo in"), user="eve").stdout == "in\n"


def test_an_empty_command_is_none_and_words_may_be_of_any_plain_type() -> None:
    found = config("runcmd:\n  - echo a\n  -\n  # - echo b\n  - []\n  - [echo, 3, true, 'it''s']\n")
    assert found.errors == []
    assert found.commands == b"#!/bin/sh\necho a\n\necho 3 True 'it'\"'\"'s'\n"


def test_a_file_is_appended_to_where_the_text_says_yes() -> None:
    files = config("write_files: [{path: /a, append: 'false'}, {path: /b, append: 'True', defer: 'no'}]").files
    assert [(file.append, file.defer) for file in files] == [(False, False), (True, False)]


def test_a_host_name_is_the_first_part_of_a_qualified_one() -> None:
    assert config("hostname: web.example.com").hostname == "web"
    assert config("fqdn: web.example.com").hostname == "web"


@pytest.mark.parametrize("start", ["", "Content-Type: text/x-shellscript\r\nMIME-Version: 1.0\r\n\r\n"])
def test_a_script_from_windows_runs(room: Room, start: str) -> None:
    room.boot(user_data=f"{start}#!/bin/sh\r\nfor each in a b; do\r\n  echo $each >> order\r\ndone\r\n")
    room.finished()
    assert (room.disk() / "home/ubuntu/order").read_text() == "a\nb\n"


def test_scripts_run_by_how_often_and_then_by_name(room: Room) -> None:
    script = "#!/bin/sh\necho {} >> order\n"
    kinds = {
        "d": "x-shellscript",
        "a": "x-shellscript",
        "c": "x-shellscript-per-instance",
        "b": "x-shellscript-per-boot",
    }
    text = multipart(*(named(MIMEText(script.format(name), kind), name) for name, kind in kinds.items()))
    room.boot(user_data=text)
    room.finished()
    room.boot_again(text)
    assert (room.disk() / "home/ubuntu/order").read_text() == "b\nc\na\nd\nb\n"


def test_cloud_init_per_runs_a_command_once_an_instance_or_always(room: Room) -> None:
    text = (
        "#cloud-config\nbootcmd:\n"
        "  - [cloud-init-per, once, first-time, sh, -c, 'echo once >> $HOME/order']\n"
        "  - cloud-init-per instance mine sh -c 'echo instance >> $HOME/order; exit 3'\n"
        "  - cloud-init-per always each sh -c 'echo always >> $HOME/order'\n"
    )
    room.boot(user_data=text)
    room.finished()
    room.boot_again(text)
    assert (room.disk() / "home/ubuntu/order").read_text() == "once\ninstance\nalways\nalways\n"
    state = room.disk() / "var/lib/cloud"
    assert (state / "sem/bootper.first_time.once").read_text().startswith("0\t")
    assert (state / "instance/sem/bootper.mine.instance").read_text().startswith("3\t")
    refused = in_instance(room, "cloud-init-per daily x true")
    assert (refused.returncode, refused.stderr) == (1, "cloud-init-per: daily is none of once, instance, always\n")


def test_what_only_names_a_message_is_the_script_that_it_looks_like() -> None:
    script = b"#!/bin/sh\nprintf 'MIME-Version: 1.0\\n\\nhello' | sendmail x\n"
    assert [part.data for part in userdata.parts(encoded(script)).found] == [script]
    for data in (
        multipart(MIMEText("#cloud-config\nruncmd: [a]\n", "x-shellscript")),
        b"#Cloud-Config\n",
        b"#cloud-config-archive\n- 'runcmd: [a]'\n",
    ):
        assert [part.type for part in userdata.parts(encoded(data)).found] == [CONFIG]


def test_a_kubernetes_nodes_cloud_config_does_what_it_can_and_tells_the_rest(room: Room) -> None:
    """What node bootstrappers write: files, packages, kernel modules, a swap that is off, and kubeadm at the end."""
    room.boot(
        user_data="#cloud-config\nwrite_files:\n"
        "- path: /etc/modules-load.d/k8s.conf\n  content: |\n    overlay\n    br_netfilter\n"
        "- path: /run/kubeadm/kubeadm.yaml\n  owner: root:root\n  permissions: '0640'\n  content: |\n"
        "    ---\n    apiVersion: kubeadm.k8s.io/v1beta3\n    kind: JoinConfiguration\n"
        "swap: {filename: /swap, size: 0}\n"
        "apt: {sources: {docker.list: {source: 'deb https://download.docker.com/linux/ubuntu jammy stable'}}}\n"
        "packages: [docker-ce, [kubelet, 1.28.2-00], kubeadm]\n"
        "ntp: {enabled: true}\n"
        "runcmd:\n- 'grep -c . $INSTANCE_ROOT/etc/modules-load.d/k8s.conf'\n-\n"
        "- [sh, -c, \"echo $(hostname) ': joined'\"]\n"
        "power_state: {mode: reboot, timeout: 30}\n"
    )
    console = room.finished()
    assert "\n2\nvm-one : joined\n" in console
    assert (room.disk() / "run/kubeadm/kubeadm.yaml").stat().st_mode & 0o777 == 0o640
    assert "packages: docker-ce, ['kubelet', '1.28.2-00'], kubeadm cannot be installed" in console
    for name in ("swap", "apt", "ntp", "power_state"):
        assert f"{name} is not known to this cloud: it is ignored." in console
    assert in_instance(room, "cloud-init status --wait").stdout == "status: error\n"


NAMES = ("path", "content", "encoding", "permissions", "owner", "append", "name")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.integers(), below, max_size=4)
    ),
    max_leaves=12,
)
MODULES = (
    "bootcmd",
    "fqdn",
    "hostname",
    "merge_how",
    "packages",
    "runcmd",
    "ssh_authorized_keys",
    "users",
    "write_files",
    "other",
)
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
    if not any("asks for merging" in error for error in found.errors):
        assert ("other" in values) == any("other is not known" in each for each in found.warnings)


@settings(deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=60))
def test_any_user_data_are_read_or_refused_in_words(start: bytes, rest: bytes) -> None:
    with contextlib.suppress(userdata.UserDataError):
        found = userdata.parts(encoded(start + rest))
        assert all(part.type in (*userdata.SCRIPTS, CONFIG, BOOTHOOK) for part in found.found)
