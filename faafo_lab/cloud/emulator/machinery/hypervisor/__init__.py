"""The hypervisor: the instances' process trees, and what they may use. What runs in them is the package `guest`.

client          how the emulator starts, stops and asks after instances
daemon          the process that is the parent of all of them
governor        holds them to their share of the CPU
memory          holds them to their memory
freezer         paused ones
owners          whose process holds a socket
load            what they are told of themselves: their own /proc
"""
