"""What happens while a network is trained or applied: logs, checkpoints, records, guards."""
