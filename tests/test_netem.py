"""What `tc` is told on a real server. (That a kernel understands it, the last test sees where it may.)"""

import subprocess

import pytest

from faafo_lab.chaos import ChaosError
from faafo_lab.chaos.netem import CLEAR, LINKS_MAX, Shape, netem, script
from tests.programs import possible

DATABASE = Shape("10.0.0.5", 5432, "latency", {"latency": 100, "jitter": 20})
ALL = Shape(None, None, "loss", {"percent": 10})


def lines(*shapes: Shape) -> list[str]:
    return [line.removeprefix("sudo ") for line in script(shapes).splitlines() if line.startswith("sudo tc")]


def test_a_link_has_a_band_of_its_own_and_ssh_is_spared() -> None:
    assert lines(DATABASE) == [
        "tc qdisc add dev $device root handle 1: prio bands 2 priomap" + " 0" * 16,
        "tc filter add dev $device parent 1: protocol ip prio 1 u32 match ip sport 22 0xffff flowid 1:1",
        "tc qdisc add dev $device parent 1:2 handle 20: netem delay 100ms 20ms",
        "tc filter add dev $device parent 1: protocol ip prio 2 u32 match ip dst 10.0.0.5 match ip sport 5432 0xffff "
        "flowid 1:2",
    ]
    assert "route get 10.0.0.5" in script([DATABASE])
    assert "route show default" in script([ALL])


def test_the_narrower_link_goes_first_whatever_the_order_of_faults() -> None:
    assert lines(ALL, DATABASE) == lines(DATABASE, ALL)
    assert lines(ALL, DATABASE)[-2:] == [
        "tc qdisc add dev $device parent 1:3 handle 30: netem loss 10%",
        "tc filter add dev $device parent 1: protocol ip prio 3 u32 match ip dst 0.0.0.0/0 flowid 1:3",
    ]


def test_faults_of_one_link_are_one_netem() -> None:
    slow = Shape(None, None, "latency", {"latency": 30, "jitter": 0})
    narrow, wide = (Shape(None, None, "bandwidth", {"rate": rate}) for rate in (100, 400))
    assert netem([slow]) == "delay 30ms"
    assert netem([slow, slow, ALL, ALL, wide, narrow]) == "delay 60ms loss 19% rate 800kbit"


def test_no_faults_are_no_queues_and_too_many_are_refused() -> None:
    assert script([]) == CLEAR
    many = [Shape(f"10.0.0.{number}", None, "loss", {"percent": 1}) for number in range(LINKS_MAX + 1)]
    assert script(many[:-1])
    with pytest.raises(ChaosError, match="15 links at once"):
        script(many)


def test_a_kernel_understands_it_and_forgets_it_again() -> None:
    inside = ("unshare", "--user", "--map-root-user", "--net", "sh", "-ec")
    device = "ip link add eth7 type dummy; ip link set eth7 up; ip address add 10.0.0.1/24 dev eth7"
    if not possible(*inside, f"{device}; tc qdisc add dev eth7 root netem delay 1ms"):
        pytest.skip("no network namespace, or no tc with netem here")
    commands = script([DATABASE, ALL]).replace("sudo ", "").replace("route show default", "route get 10.0.0.5")
    clear = CLEAR.replace("sudo ", "")
    done = subprocess.run(
        [*inside, f"{device}\n{commands}\ntc qdisc show dev eth7\n{clear}\necho after; tc qdisc show dev eth7"],
        capture_output=True,
        text=True,
        check=True,
    )
    before, _, after = done.stdout.partition("after")
    assert "netem 20: parent 1:2" in before
    assert "netem" not in after
