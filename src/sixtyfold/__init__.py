"""Find out what a language model knows, tune on few examples, show and repair what that changed."""
