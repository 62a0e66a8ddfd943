"""The suites, a package each.

suite.py           `run(place, results)` runs the tests and notes what became of each; `figures(results)` names what
                   goes to build/interop.json
tests.txt          the names of its tests, one per line; those that are not applicable, with the reason. Where tests are
                   commands (rclone, restic, packer), they stand below their test's name, with what they print
requirements.in    what it installs: `make lock` writes requirements.txt from it (a suite may need none)
"""
