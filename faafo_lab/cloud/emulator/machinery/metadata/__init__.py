"""The metadata service: tells each instance of itself, and nobody else anything.

api     the service at 127.N.169.254; what it tells is the compute service's (`services.compute.guests`)
"""
