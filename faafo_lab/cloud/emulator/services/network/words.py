"""Neutron's refusals, by the names of their types: each with its status, and its words as Neutron has them."""

from __future__ import annotations

from collections.abc import Mapping

from faafo_lab.cloud.emulator.common.service import Fault

_ONE_REMOTE = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
_NEEDED = "Router interface for subnet {} on router {} cannot be deleted, as it is required by one or more {}."
_GATEWAY_NEEDED = "since a gateway to external network is required by one or more floating IPs."
_PREFIX_LENGTH = "Unable to allocate subnet with prefix length {}, {} allowed prefix is {}."

WORDS: Mapping[int, Mapping[str, str]] = {
    400: {
        "AddressesAlreadyExist": "Addresses {} already exist in the address group {}.",
        "AllowedAddressPairExhausted": "Exceeded maximum amount of allowed address pair {}.",
        "AllowedAddressPairsMissingIP": "AllowedAddressPair must contain ip_address",
        "BadRequest": "Bad {} request: {}.",
        "DuplicateAddressPairInRequest": "Request contains duplicate address pair.",
        "HTTPBadRequest": "{}",
        "IllegalSubnetPoolIpVersionAssociationToAddressScope": "Illegal subnetpool association: subnetpool {} cannot"
        " associate with address scope {} because subnetpool ip_version is not {}.",
        "IllegalSubnetPoolPrefixBounds": "Illegal prefix bounds: {}={}, {}={}.",
        "IllegalSubnetPoolPrefixUpdate": "Illegal update to prefixes: Existing prefixes must be a subset of the new"
        " prefixes.",
        "InvalidAllocationPool": "The allocation pool {} is not valid on subnet {}.",
        "InvalidCIDR": "Invalid CIDR {} given as IP prefix.",
        "InvalidInput": "Invalid input for operation: {}.",
        "InvalidIpForSubnet": "IP address {} is not a valid IP for the specified subnet.",
        "InvalidRoutes": "Invalid format for routes: {}, {}",
        "MaxPrefixSubnetAllocationError": _PREFIX_LENGTH,
        "MinPrefixSubnetAllocationError": _PREFIX_LENGTH,
        "PrefixVersionMismatch": "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.",
        "SecurityGroupInvalidIcmpValue": "Invalid value for ICMP {} (port_range_{}) {}. It must be 0 to 255.",
        "SecurityGroupInvalidPortRange": "For TCP/UDP protocols, port_range_min must be <= port_range_max",
        "SecurityGroupInvalidPortValue": "Invalid value for port {}",
        "SecurityGroupInvalidProtocolForPort": "Ports cannot be specified for protocol {}."
        " Ports are only supported for {}.",
        "SecurityGroupMissingIcmpType": "ICMP code (port-range-max) {} is provided but ICMP type (port-range-min) is"
        " missing.",
        "SecurityGroupMultipleRemoteEntites": _ONE_REMOTE,
        "SecurityGroupProtocolRequiredWithPorts": "Must also specify protocol if port range is given.",
        "SecurityGroupRuleInvalidProtocol": "Security group rule protocol {} not supported. Only protocol values {}"
        " and integer representations [0 to 255] are supported.",
        "SecurityGroupRuleParameterConflict": "Conflicting value ethertype {} for CIDR {}",
        "SubnetMismatchForPort": "Subnet on port {} does not match the requested subnet {}.",
        "SubnetPoolDeleteError": "Unable to delete subnet pool: Subnet pool has existing allocations.",
    },
    403: {
        "NotAuthorized": "Tenant {} not allowed to create port on this network",
        "PolicyNotAuthorized": "{} is disallowed by policy",
    },
    404: {
        "AddressGroupNotFound": "Address group {} could not be found.",
        "AddressScopeNotFound": "Address scope {} could not be found.",
        "ExternalGatewayForFloatingIPNotFound": "External network {} is not reachable from subnet {}. "
        " Therefore, cannot associate Port {} with a Floating IP.",
        "FloatingIPNotFound": "Floating IP {} could not be found",
        "AddressesNotFound": "Addresses {} not found in the address group {}.",
        "HTTPNotFound": "{}",
        "NetworkNotFound": "Network {} could not be found.",
        "NoDefaultSubnetpoolFound": "No default subnetpool found for IPv{}",
        "PortNotFound": "Port {} could not be found.",
        "RbacPolicyNotFound": "RBAC policy with ID {} not found",
        "RouterInterfaceNotFound": "Router {} does not have an interface with id {}",
        "RouterInterfaceNotFoundForSubnet": "Router {} has no interface on subnet {}",
        "RouterNotFound": "Router {} could not be found.",
        "SecurityGroupNotFound": "Security group {} does not exist",
        "SecurityGroupRuleNotFound": "Security group rule {} does not exist",
        "SubnetNotFound": "Subnet {} could not be found.",
        "SubnetPoolNotFound": "Subnet pool {} could not be found.",
        "TagNotFound": "Tag {} could not be found.",
    },
    409: {
        "AddressScopePrefixConflict": "Failed to associate address scope: subnetpools within an address scope must have"
        " unique prefixes.",
        "AddressGroupInUse": "Address group {} is in use on one or more security group rules.",
        "AddressScopeInUse": "Unable to complete operation on address scope {}. There are one or more subnet pools in"
        " use on the address scope.",
        "AutoAllocationFailure": "Deployment error: {}.",
        "DuplicateRbacPolicy": "An RBAC policy already exists with those values.",
        "FloatingIPPortAlreadyAssociated": "Cannot associate floating IP {} ({}) with port {} using fixed IP {}, as"
        " that fixed IP already has a floating IP on external network {}.",
        "GatewayConflictWithAllocationPools": "Gateway ip {} conflicts with allocation pool {}.",
        "GatewayIpInUse": "Current gateway ip {} already in use by a router. Unable to update.",
        "IpAddressGenerationFailure": "No more IP addresses available on network {}.",
        "IpAddressGenerationFailureNoMatchingSubnet": "No valid service subnet for the given device owner.",
        "IpAddressInUse": "Unable to complete operation for network {}. The IP address {} is in use.",
        "MacAddressInUse": "Unable to complete operation for network {}. The mac address {} is in use.",
        "NetworkInUse": "Unable to complete operation on network {}. There are one or more ports still in use on the"
        " network.",
        "OverQuota": "Quota exceeded for resources: {}.",
        "OverlappingAllocationPools": "Found overlapping allocation pools: {} {} for subnet {}.",
        "PortInUse": "Unable to complete operation on port {} for network {}. Port already has an attached device {}.",
        "RbacPolicyInUse": "RBAC policy on object {} cannot be removed because other objects depend on it.",
        "RouterExternalGatewayInUseByFloatingIp": "Gateway cannot be updated for router {}, " + _GATEWAY_NEEDED,
        "RouterInUse": "Router {} still has ports",
        "RouterInterfaceInUseByFloatingIP": _NEEDED,
        "RouterInterfaceInUseByRoute": _NEEDED,
        "SecurityGroupCannotRemoveDefault": "Insufficient rights for removing default security group.",
        "SecurityGroupCannotUpdateDefault": "Updating default security group not allowed.",
        "SecurityGroupDefaultAlreadyExists": "Default security group already exists.",
        "SecurityGroupInUse": "Security Group {} in use.",
        "SecurityGroupRuleExists": "Security group rule already exists. Rule id is {}.",
        "ServicePortInUse": "Port {} cannot be deleted directly via the port API: has device owner {}.",
        "SubnetAllocationError": "Failed to allocate subnet: {}.",
        "SubnetInUse": "Unable to complete operation on subnet {}: One or more ports have an IP allocation from this"
        " subnet.",
        "SubnetPoolQuotaExceeded": "Per-tenant subnet pool prefix quota exceeded.",
    },
}
_STATUSES = {type: status for status, types in WORDS.items() for type in types}


def refused(type: str, *what: object) -> Fault:
    """The refusal of this type; `what` fills the gaps in its words, in their order."""
    status = _STATUSES[type]
    return Fault(status, WORDS[status][type].format(*what), type=type)


def invalid(name: str, reason: str) -> Fault:
    """The answer for an attribute whose value does not fit."""
    return refused("HTTPBadRequest", f"Invalid input for {name}. Reason: {reason}")
