"""What ought to exist for a model: pure builders, no client, no clock."""
