"""Creates the stand-ins with the libraries of the stack ``main``, in a subprocess (``python -m
parity.tools.examples.making FOLDER ID…``): no other package imports this one."""
