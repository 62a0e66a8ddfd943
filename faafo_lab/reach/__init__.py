"""Who can connect to whom, and on which port: measured, not looked up.

    matrix = reach.matrix(app)                         # real connections, tried on the servers over SSH
    matrix                                             # a table
    matrix["app-worker-1", "app-controller", 6379]     # "open", "shut", "private" or "nothing"

A port that listens and is shut to another server is one that a security group closes, or that lacks a rule.

Its rooms:

    connections  matrix, and the table that it returns; run_probe, for one server
    probe        tries connections, on this machine or, sent there, on a server
"""

from faafo_lab.reach.connections import CONNECT_SECONDS, YOU, Matrix, ProbeAnswer, State, matrix, run_probe

__all__ = ["CONNECT_SECONDS", "YOU", "Matrix", "ProbeAnswer", "State", "matrix", "run_probe"]
