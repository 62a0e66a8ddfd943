"""The operating system's things: tree (processes), channel (messages between them), sockets, peers (what is at their
other ends), durable (files)."""
