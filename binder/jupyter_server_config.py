"""Jupyter's server configuration, on Binder and by `make lab`: both name this folder in JUPYTER_CONFIG_PATH.

It shows the learner's copies of the chapters (`faafo_lab.chapters`), and, through jupyter-server-proxy, the instances'
web pages to a browser on another machine, and nothing else.
"""

import os

from faafo_lab import chapters
from faafo_lab.links import allowed
from faafo_lab.paths import home
from faafo_lab.workbook import settings_in

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - Jupyter runs this file with it
c.ServerProxy.host_allowlist = allowed
c.ServerApp.root_dir = str(chapters.folder())
c.ServerApp.default_url = c.LabApp.default_url = "/lab/tree/00_start_here.ipynb"
# Where the kernels find what `faafo_lab.restarts` installed.
os.environ["IPYTHONDIR"] = settings_in(home())["IPYTHONDIR"]
# The workbook needs no language servers, and looking for them runs programs such as npm.
c.ServerApp.jpserver_extensions = {"jupyter_lsp": False}
