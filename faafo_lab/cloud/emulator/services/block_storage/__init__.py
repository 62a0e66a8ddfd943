"""Block storage (Cinder 3.0): volumes. Source: https://docs.openstack.org/api-ref/block-storage/v3/

api             the service; metadata, types, zones
base            what its operations share: words, pages
quotas          what a project may have, and has
volumes         create, list, show, change, delete; actions: extend, read-only, upload as an image …
snapshots       copies that stay as they are
life            what happens to volumes after their requests; files: how, on disk
mounts          where they meet servers
"""
