"""The operating system's things: tree (processes), channel (messages between them), sockets, durable (files)."""
