"""The ground floor: what every service builds on, and nothing that knows one of them.

service      routes, JSON in and out, error forms; token: who asks
store        the state
schema       checks of requests; numbers: as clients write them
actions      requests whose body names the action
pages        lists: sorted, and a page at a time
quotas       how much a project may have
names        what every cloud has
forwarding   how one service asks another
"""
