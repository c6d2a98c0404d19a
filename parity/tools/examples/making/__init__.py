"""Makes the stand-ins, with the libraries of the stack ``main``, in a process of its own (``python -m
parity.tools.examples.making FOLDER ID…``): nothing else imports this package."""
