"""restic on Swift: backups, what they share, restored, checked, forgotten."""
