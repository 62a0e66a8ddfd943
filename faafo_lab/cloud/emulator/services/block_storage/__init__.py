"""Block storage (Cinder 3.0): volumes. Source: https://docs.openstack.org/api-ref/block-storage/v3/

api             the service, its words and its microversion
base            volumes and snapshots as tables: names, lists, how they are shown
resources       what volumes and snapshots have alike: list, show, change, metadata
quotas          what a project may have, and has
volumes         and snapshots, which are copies that stay as they are: create and delete
actions         extend, read-only, upload as an image …
types           the one type, the zone
life            what happens to volumes after their requests; files: how, on disk
mounts          where they meet servers; rows: what the store keeps of each
"""
