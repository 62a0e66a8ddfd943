"""Block storage (Cinder 3.0 to 3.70): volumes. Source: https://docs.openstack.org/api-ref/block-storage/v3/

api             the service and its words; versions: its microversions
base            volumes and snapshots as tables: names, how they are found, listed and shown; query: lists
stock           what all operations are given
resources       what all kinds have alike: list, show, change, metadata
quotas          what a project may have, and has
volumes         and snapshots, which are copies that stay as they are: create and delete
actions         extend, read-only, upload as an image, back to a snapshot …
attachments     Cinder's own notes of where volumes are
backups         in the project's object store; archive: as tables and objects
transfers       to another project
types           the one type, the zone
life            what happens to volumes after their requests; files: how, on disk
mounts          where they meet servers; rows: what the store keeps of each; words: refusals
"""
