"""The clients of real OpenStack clouds, as the tests of several services run them."""

import os
import subprocess
import sys
from typing import Any

import openstack as openstacksdk
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import LIMIT_SECONDS

from .conftest import Api

OPENSTACK = os.path.join(os.path.dirname(sys.executable), "openstack")


def environment(running: Running) -> dict[str, str]:
    """What `openstack` has to be told to find this cloud."""
    return {**os.environ, "OS_CLOUD": "embedded", "OS_CLIENT_CONFIG_FILE": str(running.clouds_yaml)}


def openstack(running: Running, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script of `openstack` commands, one a line, in one process; its output has no prompts."""
    done = subprocess.run(
        [OPENSTACK],
        input=script,
        capture_output=True,
        text=True,
        timeout=3 * LIMIT_SECONDS,
        env=environment(running),
    )
    done.stdout = done.stdout.replace("(openstack) ", "")
    return done


def sdk(api: Api, **more: Any) -> Any:
    """Openstacksdk's connection. The versions are named since shade, in the same process, makes 2 their default."""
    wanted = {"auth": api.auth, "region_name": "RegionOne", "identity_api_version": "3", "volume_api_version": "3"}
    return openstacksdk.connect(load_yaml_config=False, load_envvars=False, **{**wanted, **more})


def libcloud(api: Api, **more: Any) -> Any:
    """Libcloud's driver for compute: 2.2 with `api_version="2.2"`, else 1.1, which is what tutorials call."""
    return get_driver(Provider.OPENSTACK)(
        api.auth["username"],
        api.auth["password"],
        ex_force_auth_url=api.auth["auth_url"],
        ex_force_auth_version="3.x_password",
        ex_tenant_name="demo",
        ex_domain_name="Default",
        **more,
    )
