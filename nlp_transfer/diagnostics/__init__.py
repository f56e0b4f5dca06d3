"""What transfer promised and what it risked, measured: one file each, pure functions over arrays."""
