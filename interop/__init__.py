"""OpenStack's own tests (tempest) against an embedded cloud: `make interop`.

required.txt      which tests: those that the interoperability guideline requires
requirements.txt  tempest and what it needs, locked: make keeps them in an environment of their own, build/tempest
config            tempest.conf and accounts.yaml, from what a cloud says of itself
events            run by tempest's Python: its stream of results as lines of JSON
results           which tests passed, by service
__main__          start a cloud, run, report
"""
