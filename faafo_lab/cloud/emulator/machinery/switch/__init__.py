"""The switch: the only way into an instance.

switch          listens on an instance's addresses where its security groups allow
plug            what it is told of an instance
relay           joins a connection and an instance's socket
faults          what is wrong with a link
"""
