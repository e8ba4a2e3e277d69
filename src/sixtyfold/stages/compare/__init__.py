"""Compare two answer tables: kept, lost, gained, and whether it could be chance."""
