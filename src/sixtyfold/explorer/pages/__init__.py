"""The pages of the explorer. All text of others is made visible and stays text."""
