"""Jupyter's server configuration, on Binder and by `make lab`: both name this folder in JUPYTER_CONFIG_PATH.

It shows the learner's copies of the chapters (`faafo_lab.chapters`), and, through jupyter-server-proxy, the instances'
web pages to a browser on another machine, and nothing else.
"""

from faafo_lab import chapters
from faafo_lab.links import allowed

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - Jupyter runs this file with it
c.ServerProxy.host_allowlist = allowed
c.ServerApp.root_dir = str(chapters.folder())
c.ServerApp.default_url = c.LabApp.default_url = "/lab/tree/00_start_here.ipynb"
# Looking for language servers, which the workbook does not need, runs programs such as npm.
c.LanguageServerManager.autodetect = False
