"""How Jupyter's server is set up, on Binder and by `make lab`: both name this folder in JUPYTER_CONFIG_PATH.

Through jupyter-server-proxy it shows the instances' web pages to a browser on another machine, and nothing else.
"""

from faafo_lab.links import allowed

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - Jupyter runs this file with it
c.ServerProxy.host_allowlist = allowed
c.ServerApp.default_url = c.LabApp.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
