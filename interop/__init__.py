"""What others wrote, run against an embedded cloud: `make interop`.

suites        a package per suite: suite.py is what only it needs, tests.txt its tests, requirements.txt its environment
suite         which suites there are, and what one is
place         where a suite runs: an environment, a cloud and a home of its own; how it starts processes
results       what became of each test: passed, failed, or not applicable, with the reason
scripts       suites whose tests are commands with what they print
debian        programs out of Debian's packages
clouds        what suites tell clients of the cloud: clouds.yaml, variables
pythontests   suites that report in subunit, as OpenStack's own do; events turns that into lines of JSON
__main__      run suites, one after another, and report
"""
