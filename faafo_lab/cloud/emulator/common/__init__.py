"""The ground floor: what every service stands on, and nothing that knows one of them.

service      routes, tokens, JSON in and out, error forms
store        the state
schema       checks of requests
lists        tags and pages
names        what every cloud has
forwarding   how one service asks another
"""
