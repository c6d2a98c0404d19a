import tests.end_to_end.test_faults as m
m.FAULTS = {k: m.FAULTS[k] for k in ("tanh gelu", "unscaled attention")}
from tests.end_to_end.test_faults import *
