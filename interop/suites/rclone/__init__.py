"""rclone on Swift: files of many names and sizes, copied, compared, moved, encrypted and deleted."""
