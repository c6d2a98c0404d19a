"""The documentation: its commands are run, its Python is executed, its pages are all in the navigation."""
