"""The embedded OpenStack: its REST APIs, and the instances that it runs.

control         start, stop and find it
server          puts it together, and is the only module that knows all services; site: what each of them is given
gateway         takes requests to their services
admin           the one API of its own: network faults
addresses       which loopback network it may have, and which block of it has the floating IPs
coverage        writes COVERAGE.md: what of OpenStack is implemented
errors          what can go wrong with it as a program

common          the ground floor: store, routes, schemas, error forms
services        OpenStack's services, a package each
machinery       what runs behind them: hypervisor, guest, switch, balancing, metadata
system          processes, channels, sockets, durable files
"""
