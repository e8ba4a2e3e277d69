"""The stages: each a folder named after its verb, meeting the others through files alone."""
