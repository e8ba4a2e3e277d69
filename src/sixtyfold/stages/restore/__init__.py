"""Put weights of a tuned model back to their base values."""
