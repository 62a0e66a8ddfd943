"""A body for each operation that takes one, by what the operation is about, as the API references write them.

"<networks>" stands for the id of a network that exists.
"""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, list[Any]] = {
    "tokens": [
        {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": "demo", "domain": {"name": "Default"}, "password": "wrong"}},
                },
                "scope": {"project": {"name": "demo", "domain": {"id": "default"}}},
            }
        },
        {"auth": {"identity": {"methods": ["token"], "token": {"id": "wrong"}}, "scope": "unscoped"}},
        {
            "auth": {
                "identity": {
                    "methods": ["application_credential"],
                    "application_credential": {"id": "<application_credentials>", "secret": "wrong"},
                }
            }
        },
    ],
    "application_credentials": [
        {"application_credential": {"name": "fuzz", "description": "", "roles": [{"name": "member"}]}}
    ],
    "networks": [{"network": {"name": "fuzz", "admin_state_up": True, "mtu": 1400}}],
    "subnets": [
        {
            "subnet": {
                "name": "fuzz",
                "network_id": "<networks>",
                "ip_version": 4,
                "cidr": "10.9.0.0/24",
                "gateway_ip": "10.9.0.1",
                "allocation_pools": [{"start": "10.9.0.10", "end": "10.9.0.20"}],
                "dns_nameservers": ["10.9.0.2"],
                "host_routes": [{"destination": "10.8.0.0/24", "nexthop": "10.9.0.3"}],
                "enable_dhcp": True,
            }
        }
    ],
    "rbac-policies": [
        {
            "rbac_policy": {
                "object_type": "network",
                "object_id": "<networks>",
                "action": "access_as_shared",
                "target_tenant": "fuzz",
            }
        }
    ],
    "address-scopes": [{"address_scope": {"name": "fuzz", "ip_version": 4}}],
    "address-groups": [{"address_group": {"name": "fuzz", "addresses": ["10.0.0.0/24"]}}],
    "add_addresses": [{"addresses": ["10.1.0.0/24"]}],
    "remove_addresses": [{"addresses": ["10.0.0.0/24"]}],
    "routers": [{"router": {"name": "fuzz", "external_gateway_info": {"network_id": "<public>"}}}],
    "add_router_interface": [{"subnet_id": "<subnets>"}, {"port_id": "<ports>"}],
    "remove_router_interface": [{"subnet_id": "<subnets>"}, {"port_id": "<ports>"}],
    "security-groups": [{"security_group": {"name": "fuzz", "description": "made by a test"}}],
    "security-group-rules": [
        {
            "security_group_rule": {
                "security_group_id": "<security-groups>",
                "direction": "ingress",
                "ethertype": "IPv4",
                "protocol": "tcp",
                "port_range_min": 1,
                "port_range_max": 65535,
                "remote_ip_prefix": "10.0.0.0/8",
                "description": "fuzz",
            }
        },
        {
            "security_group_rule": {
                "security_group_id": "<security-groups>",
                "direction": "egress",
                "protocol": "icmp",
                "remote_group_id": "<security-groups>",
            }
        },
    ],
    "ports": [
        {"port": {"name": "fuzz", "network_id": "<networks>"}},
        {
            "port": {
                "name": "fuzz",
                "network_id": "<networks>",
                "fixed_ips": [{"subnet_id": "<subnets>", "ip_address": "10.9.0.15"}],
                "security_groups": ["<security-groups>"],
                "allowed_address_pairs": [{"ip_address": "10.9.0.16"}],
                "device_id": "",
                "device_owner": "",
            }
        },
    ],
    "floatingips": [
        {"floatingip": {"floating_network_id": "<public>", "description": "fuzz"}},
        {"floatingip": {"floating_network_id": "<public>", "port_id": "<ports>", "fixed_ip_address": None}},
        {"floatingip": {"port_id": "<ports>"}},
    ],
    "images": [
        {
            "name": "fuzz",
            "disk_format": "raw",
            "container_format": "bare",
            "visibility": "private",
            "tags": ["a"],
            "min_ram": 0,
            "min_disk": 1,
            "property": "value",
        },
        {"id": "00000000-0000-4000-8000-00000000f000", "name": "named"},
        [{"op": "replace", "path": "/name", "value": "changed"}, {"op": "add", "path": "/other", "value": "x"}],
    ],
    "members": [
        {"member": "<projects>"},
        {"status": "accepted"},
        {"member": {"address": "10.9.0.5", "protocol_port": 80, "weight": 1}},
    ],
    "os-keypairs": [
        {"keypair": {"name": "fuzz"}},
        {"keypair": {"name": "fuzz", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA=="}},
    ],
    "servers": [
        {
            "server": {
                "name": "fuzz",
                "imageRef": "<plain-linux>",
                "flavorRef": "1",
                "networks": [{"uuid": "<private>"}],
                "security_groups": [{"name": "default"}],
                "metadata": {"a": "b"},
                "user_data": "IyEvYmluL3NoCg==",
                "key_name": None,
                "min_count": 1,
                "max_count": 1,
                "config_drive": False,
                "tags": ["a"],
                "block_device_mapping_v2": [
                    {
                        "boot_index": "0",
                        "uuid": "<plain-linux>",
                        "source_type": "image",
                        "destination_type": "local",
                        "volume_size": 1,
                    }
                ],
            },
            "os:scheduler_hints": {"group": "<os-server-groups>"},
        },
        {"server": {"name": "fuzz", "imageRef": "<plain-linux>", "flavorRef": "1", "networks": "none"}},
    ],
    "os-server-groups": [
        {"server_group": {"name": "fuzz", "policies": ["anti-affinity"]}},
        {"server_group": {"name": "fuzz", "policy": "affinity", "rules": {}}},
    ],
    "action": [
        {"reboot": {"type": "HARD"}},
        {"os-start": None},
        {"os-stop": None},
        {"rebuild": {"imageRef": "<plain-linux>", "name": "again", "metadata": {"a": "b"}}},
        {"resize": {"flavorRef": "2"}},
        {"confirmResize": None},
        {"revertResize": None},
        {"lock": {"locked_reason": "test"}},
        {"unlock": None},
        {"pause": None},
        {"unpause": None},
        {"suspend": None},
        {"resume": None},
        {"shelve": None},
        {"shelveOffload": None},
        {"unshelve": {"availability_zone": "nova"}},
        {"rescue": {"adminPass": "secret", "rescue_image_ref": "<plain-linux>"}},
        {"unrescue": None},
        {"createBackup": {"name": "backup", "backup_type": "daily", "rotation": 1, "metadata": {"a": "b"}}},
        {"createImage": {"name": "snapshot", "metadata": {"a": "b"}}},
        {"changePassword": {"adminPass": "secret"}},
        {"addSecurityGroup": {"name": "default"}},
        {"removeSecurityGroup": {"name": "default"}},
        {"addFixedIp": {"networkId": "<networks>"}},
        {"addFloatingIp": {"address": "10.0.0.1"}},
        {"os-getConsoleOutput": {"length": 10}},
        {"os-getVNCConsole": {"type": "novnc"}},
        {"os-attach": {"instance_uuid": "<servers>", "mountpoint": "/dev/vdb"}},
        {"os-detach": {"attachment_id": None}},
        {"os-extend": {"new_size": 2}},
        {"os-reserve": None},
        {"os-complete": {}},
        {"os-retype": {"new_type": "__DEFAULT__", "migration_policy": "never"}},
        {"os-reimage": {"image_id": "<plain-linux>"}},
        {"revert": {"snapshot_id": "<snapshots>"}},
        {"os-set_bootable": {"bootable": True}},
        {"os-update_readonly_flag": {"readonly": True}},
        {"os-volume_upload_image": {"image_name": "fuzz", "container_format": "bare", "disk_format": "raw"}},
    ],
    "metadata": [{"metadata": {"a": "b"}}, {"meta": {"a": "b"}}],
    "tags": [{"tags": ["a", "b"]}, {"tag": "a"}],
    "os-interface": [{"interfaceAttachment": {"net_id": "<networks>"}}],
    "os-volume_attachments": [{"volumeAttachment": {"volumeId": "<volumes>", "device": "/dev/vdb"}}],
    "volumes": [{"volume": {"name": "fuzz", "size": 1, "metadata": {"a": "b"}, "snapshot_id": None}}],
    "snapshots": [{"snapshot": {"name": "fuzz", "volume_id": "<volumes>", "force": True, "metadata": {"a": "b"}}}],
    "attachments": [{"attachment": {"instance_uuid": "<servers>", "volume_uuid": "<volumes>", "connector": {}}}],
    "backups": [{"backup": {"name": "fuzz", "volume_id": "<volumes>"}}],
    "restore": [{"restore": {"volume_id": "<volumes>"}}],
    "os-volume-transfer": [{"transfer": {"name": "fuzz", "volume_id": "<volumes>"}}],
    "accept": [{"accept": {"auth_key": "fuzz"}}],
    "loadbalancers": [{"loadbalancer": {"name": "fuzz", "vip_subnet_id": "<private-subnet>"}}],
    "listeners": [
        {"listener": {"name": "fuzz", "protocol": "HTTP", "protocol_port": 80, "loadbalancer_id": "<loadbalancers>"}}
    ],
    "pools": [
        {
            "pool": {
                "name": "fuzz",
                "protocol": "HTTP",
                "lb_algorithm": "ROUND_ROBIN",
                "loadbalancer_id": "<loadbalancers>",
                "session_persistence": None,
            }
        }
    ],
    "healthmonitors": [
        {
            "healthmonitor": {
                "type": "HTTP",
                "pool_id": "<pools>",
                "delay": 5,
                "timeout": 2,
                "max_retries": 3,
                "url_path": "/",
                "expected_codes": "200-204",
            }
        }
    ],
}  # fmt: skip
SEEDED = (  # what a test's world has, made from the first example that fits; in this order
    *("networks", "subnets", "routers", "security-groups", "security-group-rules", "ports", "floatingips", "images"),
    *("os-keypairs", "os-server-groups", "servers", "application_credentials", "volumes", "snapshots"),
    *("loadbalancers", "pools", "listeners", "healthmonitors"),
)
