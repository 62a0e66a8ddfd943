"""The metadata service: tells each instance of itself, and nobody else anything.

api             the service at 127.N.169.254
datasource      what it tells: OpenStack's documents, and the EC2 form
"""
