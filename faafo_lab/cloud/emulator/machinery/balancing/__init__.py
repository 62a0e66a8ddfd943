"""The load balancers' data path: from a listener at a VIP to a member that is alive.

balancer        applies a plan: listeners come and go, connections are relayed
listeners       a listener at work; pools: which member gets the next connection
dial            the way to a member; tunnel: bytes in both directions
express         a listener of HTTP: each request chooses anew; proxy: what is odd there, read by h11
health          members that fail are taken out, and those that recover are taken back
"""
