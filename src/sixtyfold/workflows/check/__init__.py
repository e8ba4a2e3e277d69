"""Check a user's own training file: what in it would hurt?"""
