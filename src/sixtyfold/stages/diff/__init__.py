"""What tuning changed in the weights."""
