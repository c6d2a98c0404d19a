"""A backend of a few numpy lines that crashes, hangs, exits or runs out of memory when it is told to.

The first input id says how a call behaves; a file ``load`` in the checkpoint how a load does; the environment
variable ``FAKE_SETUP`` how starting does. Every call and load is noted in the file ``FAKE_LOG`` names.
Its weights are the number in the checkpoint's ``vocab.txt``, which is read again by each call. Before and after a load,
and before and after a call, it runs the programs that ``FAKE_MEANWHILE`` names: somebody who exchanges files meanwhile.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

FINE, ABORT, HANG, EXIT, NO_MEMORY, RAISE, KILLED, PRINT, SLOW, LEAVE, LEAK, DRAW = range(12)


def note(text):
    if "FAKE_LOG" in os.environ:
        with Path(os.environ["FAKE_LOG"]).open("a") as log:
            log.write(text + "\n")


def hang():
    time.sleep(3600)


def meanwhile(model_class, step):
    """What somebody else does: ``MODEL_CLASS/STEP.sh`` in the folder that ``FAKE_MEANWHILE`` names."""
    script = Path(os.environ.get("FAKE_MEANWHILE", "/nowhere"), model_class, f"{step}.sh")
    if script.exists():
        subprocess.run(["/bin/sh", str(script)], check=True)


def misbehave(how):
    if how == ABORT:
        os.abort()
    elif how == HANG:
        hang()
    elif how == EXIT:
        print("the last thing it said", file=sys.stderr)
        os._exit(3)
    elif how == NO_MEMORY:
        raise MemoryError("no more")
    elif how == RAISE:
        raise ValueError("it cannot")
    elif how == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == PRINT:
        print('{"event": "finished"}')
        os.write(1, b"noise on stdout\n")
    elif how == SLOW:
        time.sleep(0.4)
    elif how == LEAVE:
        sys.exit("left")
    elif how == LEAK:
        import numpy as np

        np.seterr(over="raise")
        os.environ["FAKE_LEFT"] = "1"
    elif how == DRAW:
        import random

        import numpy as np

        note(f"drew {np.random.rand()}")
        random.random()


class FakeModel:
    class_name = "Fake"

    def __init__(self, weights, file, model_class):
        from parity.backends.protocol import LoadReport

        self.report, self.weights, self.file, self.model_class = LoadReport(), weights, file, model_class

    def parameters(self):
        yield "weight", self.weights

    def call(self, inputs, *, as_tuple=False):
        import numpy as np

        ids = inputs["input_ids"]
        note(f"call {ids[0, 0]}")
        misbehave(int(ids[:, 0].max()))
        meanwhile(self.model_class, "call")
        again = float(self.file.read_text()) if self.file.exists() else 0.0
        meanwhile(self.model_class, "called")
        logits = np.asarray(ids[:, :, None] * self.weights[:1] + again, dtype=np.float32)
        fields = {"logits": logits, "encoder_hidden_states": (logits, logits + 1), "past_key_values": object()}
        return tuple(fields.values()) if as_tuple else fields

    def encode_then_decode(self, inputs):
        return self.call(inputs)

    def gradients(self, inputs):
        import numpy as np

        return np.float32(1.5), {"small": np.ones((3, 5), np.float32), "large": np.ones((1 << 10, 257), np.float32)}

    def to_numpy(self, value):
        import numpy as np

        array = np.asarray(value)
        return array, str(array.dtype)


class Fake:
    class_name = "Fake"
    lacking = {"head_masks": "the fake has no heads"}  # noqa: RUF012
    depends_on = ()

    def setup(self, *, threads, device, cache):
        note("setup")
        note("path " + " ".join(sys.path))
        how = os.environ.get("FAKE_SETUP", "")
        if how == "broken":
            raise ImportError("libfake.so: cannot open shared object file")
        if how == "hang":
            hang()
        if how == "full disk":
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    def release(self):
        note("release")

    def load(self, checkpoint, variant, *, device, dtype, model_class):
        note("modules " + " ".join(sorted({name.partition(".")[0] for name in sys.modules})))
        import numpy as np

        note(f"load {checkpoint.name} {variant} {dtype}")
        behaviour, file = checkpoint / "load", checkpoint / "vocab.txt"
        if behaviour.exists():
            misbehave(int(behaviour.read_text()))
        meanwhile(model_class, "load")
        first = float(file.read_text()) if file.exists() else 1.0
        meanwhile(model_class, "loaded")
        return FakeModel(np.arange(5, dtype=dtype) + first, file, model_class)
