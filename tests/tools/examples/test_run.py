"""Pages run by the command itself, with nothing but the standard library in them: each seconds at most."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from parity.cli.main import run
from parity.tools.examples.results import DocsReport

ROOT = Path(__file__).parents[3]


def ask(tmp_path: Path, page: str, *options: str) -> tuple[int, DocsReport]:
    path = tmp_path / "page.md"
    path.write_text(page, encoding="utf-8")
    out = tmp_path / "run"
    code = run(["doctest", str(path), "--out", str(out), "--jobs", "2", *options])
    return code, DocsReport.model_validate(json.loads((out / "documented.json").read_text(encoding="utf-8")))


def fence(code: str) -> str:
    return f"```py\n{code}\n```\n"


def test_statements_hold_differ_and_break(tmp_path):
    code, report = ask(tmp_path, fence(">>> x = [1, 2]\n>>> x\n[1, 2]\n>>> 2 / 3\n0.67\n>>> x[0]\n2\n>>> x[5]\n>>> x"))
    (example,) = report.examples
    assert code == 1
    assert [each.status for each in example.statements] == [
        "holds",
        "holds",
        "holds",
        "differs",
        "breaks",
        "not reached",
    ]
    assert example.status == "breaks"
    assert example.statements[4].raised.type == "IndexError"
    assert example.statements[4].raised.line == example.statements[4].line == 9
    assert example.statements[3].reason == "shows 1, documented is 2"


def test_everything_holds(tmp_path):
    code, report = ask(tmp_path, fence("import math\nassert math.pi > 3\nprint(math.pi)"))
    assert code == 0
    assert report.totals.examples == {"main": {"holds": 1}}
    assert report.totals.statements == {"main": {"holds": 3}}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os\nos._exit(3)", "exit code 3"),
        ("import os\nos._exit(0)", "left Python by itself with exit code 0"),
        ("import os\nos.kill(os.getpid(), 9)", "SIGKILL"),
        ("import sys\nsys.exit(4)", "SystemExit: 4"),
        ("import os\nwhile True: print('x')", "took longer than 1.5 s and was stopped"),
        ("import os\nx = = 1", "SyntaxError: invalid syntax"),
        ("import socket\nsocket.create_connection(('localhost', 9))", "no network"),
    ],
)
def test_an_example_that_does_not_come_to_an_end_is_told_and_the_others_run(tmp_path, capsys, code, why):
    _, report = ask(tmp_path, fence(code) + fence("x = 1"), "--time-limit", "1.5")
    first, second = report.examples
    assert why in first.reason
    assert second.status == "holds"


HELD = "held = b'x' * 350_000_000; import time; time.sleep(60)"


@pytest.mark.parametrize(
    "code",
    [
        "held = b'x' * 700_000_000; import time; time.sleep(60)",
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {HELD!r}])\n{HELD}",
    ],
)
def test_an_example_that_eats_memory_alone_or_with_what_it_starts_is_told_and_the_others_run(tmp_path, code):
    page = fence(code) + fence("held = b'x' * 350_000_000")
    code, report = ask(tmp_path, page, "--memory-limit", "0.6", "--time-limit", "30", "--jobs", "1")
    first, second = report.examples
    assert code == 1
    assert (first.status, first.reason) == ("breaks", "held more than 0.6 GB of memory and was stopped")
    assert second.status == "holds"


def test_what_is_written_outside_is_told(tmp_path):
    target = tmp_path / "outside.txt"
    page = fence(f">>> _ = open('inside.txt', 'w').write('x')\n>>> _ = open({str(target)!r}, 'w').write('x')")
    _, report = ask(tmp_path, page)
    assert report.examples[0].wrote_outside == [str(target)]


def test_an_example_has_its_own_home_and_nothing_of_the_users_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    page = fence(
        ">>> import os\n>>> 'HF_TOKEN' in os.environ\nFalse\n>>> os.environ['HF_HUB_OFFLINE']\n'1'\n"
        ">>> os.path.expanduser('~').endswith('home')\nTrue\n>>> os.listdir()\n[]"
    )
    code, report = ask(tmp_path, page)
    assert (code, report.examples[0].status) == (0, "holds")


def test_nothing_is_shared_between_examples(tmp_path):
    _, report = ask(tmp_path, fence("x = 1") + fence("print(x)"))
    assert [each.status for each in report.examples] == ["holds", "breaks"]
    assert report.examples[1].diagnosis == "x is defined in the example at line 2, and each is run alone"


def test_a_page_that_cannot_be_read_does_not_stop_the_others(tmp_path, capsys):
    (tmp_path / "bad.md").write_bytes(b"\x89PNG\0")
    code, report = ask(tmp_path, fence("x = 1"), str(tmp_path / "bad.md"))
    assert code == 1
    assert [bool(source.error) for source in report.sources] == [False, True]
    assert "bad.md: not text" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"only prose", " page.md: no code"), (b"\0", "/page.md: not text"), (b"```py\n( x )\n```", "no example")],
)
def test_nothing_to_run_is_one_line_and_2(tmp_path, capsys, content, told):
    path = tmp_path / "page.md"
    path.write_bytes(content)
    assert run(["doctest", str(path), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("page.md") <= 1
    assert "Traceback" not in error


def test_the_examples_there_are_are_named_where_none_is_called_so(tmp_path, capsys):
    (tmp_path / "page.md").write_text(fence("x = 1") * 5, encoding="utf-8")
    assert run(["doctest", str(tmp_path / "page.md"), "--example", "other", "--out", str(tmp_path / "run")]) == 2
    told = "other: no example is called so; there are page.md:2, page.md:5, page.md:8 and 2 more"
    assert capsys.readouterr().err.splitlines()[-1] == f"parity: {told}"


def test_a_page_named_twice_is_run_once(tmp_path):
    _, report = ask(tmp_path, fence("x = 1"), str(tmp_path / "page.md"))
    assert len(report.examples) == 1


def test_an_interpreter_that_is_none_is_one_line_and_2(tmp_path, capsys):
    (tmp_path / "page.md").write_text(fence("x = 1"), encoding="utf-8")
    assert run(["doctest", str(tmp_path / "page.md"), "--stack", "/bin/echo", "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("parity: /bin/echo: stack ") and told.endswith("does not answer as a Python does")


def test_a_process_that_does_not_start_says_nothing_of_the_example(tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    script = "#!/bin/sh\ncase $1 in *runner.py) echo broken >&2; exit 3;; esac\n"
    python.write_text(script + f'exec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    code, report = ask(tmp_path, fence("x = 1"), "--stack", f"other={python}")
    assert code == 2
    assert report.examples[0].status == "not run"
    assert report.examples[0].reason == "its process did not start (exit code 3): broken"


def test_what_was_run_until_an_interruption_is_written_down(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(fence("x = 1") + fence("import time\ntime.sleep(60)"), encoding="utf-8")
    out = tmp_path / "run"
    command = [sys.executable, "-m", "parity", "doctest", str(page), "--jobs", "1", "--out", str(out)]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    told = next(line for line in child.stderr if "1 of 2 examples" in line)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, told + errors
    report = DocsReport.model_validate(json.loads((out / "documented.json").read_text(encoding="utf-8")))
    assert [each.status for each in report.examples] == ["holds", "not run"]
    assert report.interrupted
    before = {path: path.stat().st_mtime_ns for path in (out / "outcomes").iterdir()}
    assert len(before) == 1
    assert run(["doctest", str(page), "--jobs", "1", "--out", str(out), "--example", "page.md:2"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "outcomes").iterdir()} == before


UNSEEN_BY_THE_MAIN_THREAD = """
import signal, sys, threading
from pathlib import Path
from parity.tools.examples.run import docs

ready = threading.Event()

def send():
    ready.wait()
    signal.raise_signal(signal.SIGINT)

def progress(what, done=0, total=0, problem=""):
    if done == 1:
        threading.Timer(1, ready.set).start()

threading.Thread(target=send, daemon=True).start()
report = docs([Path(sys.argv[1])], jobs=1, progress=progress)
print(report.interrupted, [each.status for each in report.examples])
"""


def test_an_interruption_that_does_not_wake_the_main_thread_ends_the_run(tmp_path):
    # A signal that another thread receives leaves the main thread in its wait, as does one that arrives just before it.
    page = tmp_path / "page.md"
    page.write_text(fence("x = 1") + fence("import time\ntime.sleep(60)"), encoding="utf-8")
    command = [sys.executable, "-c", UNSEEN_BY_THE_MAIN_THREAD, str(page)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=True)
    assert child.stdout == "True ['holds', 'not run']\n"


def test_with_real_checkpoints_values_are_compared_with_those_of_the_users_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    entry = tmp_path / "hub" / "models--org--tiny"
    (entry / "snapshots" / "abc").mkdir(parents=True)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("abc", encoding="utf-8")
    (entry / "snapshots" / "abc" / "config.json").write_text(
        '{"model_type": "bert", "hidden_size": 12}', encoding="utf-8"
    )
    load = ">>> from transformers import BertConfig\n>>> config = BertConfig.from_pretrained('org/tiny')\n"
    page = fence(f"{load}>>> config.hidden_size\n12") + fence(f"{load}>>> config.hidden_size\n13")
    page += fence(
        ">>> from transformers import BertConfig\n>>> BertConfig.from_pretrained('org/absent').hidden_size\n1"
    )
    code, report = ask(tmp_path, page, "--checkpoints", "real")
    assert [each.status for each in report.examples] == ["holds", "differs", "not run"]
    assert "org/absent is not in" in report.examples[2].reason
    assert code == 1


def test_what_is_mended_step_by_step_is_shown_as_it_is_at_the_end(tmp_path):
    page = fence("""\
def f(**given):
    if "device_map" in given:
        raise ValueError("M does not support `device_map='auto'`.")
    if "attn_implementation" in given:
        raise ValueError("M does not support an attention implementation through torch.nn")
    return 3
x = f(device_map="auto", attn_implementation="sdpa")
assert np.ones(x).sum() == 3""")
    code, report = ask(tmp_path, page)
    (example,) = report.examples
    assert (code, example.status, example.mended) == (1, "breaks", "holds")
    assert example.corrected.splitlines() == ["x = f()", "import numpy as np"]
    assert [each.partition(" ")[0] for each in example.diagnosis.split("; ")] == ["this", "in", "the"]


@pytest.mark.full
def test_unmodified_code_runs_on_stand_ins_and_what_they_cannot_say_is_not_passed(tmp_path):
    page = fence("""\
>>> from transformers import AutoTokenizer, BartModel
>>> tokenizer = AutoTokenizer.from_pretrained("facebook/bart-large")
>>> model = BartModel.from_pretrained("facebook/bart-large")
>>> inputs = tokenizer("Hello world", return_tensors="pt")
>>> inputs.input_ids.tolist()
[[0, 31414, 232, 2]]
>>> states = model(**inputs).last_hidden_state
>>> list(states.shape)
[1, 4, 1024]
>>> list(states.shape) == [*inputs.input_ids.shape, model.config.d_model]
True
>>> states.dtype
torch.float16
>>> round(states.mean().item(), 2)
0.13""")
    _, report = ask(tmp_path, page)
    told = [(each.status, each.reason) for each in report.examples[0].statements]
    assert [status for status, _ in told[:4]] == ["holds"] * 4
    assert told[4:] == [
        ("not compared", "needs facebook/bart-large"),
        ("holds", ""),
        ("not compared", "needs facebook/bart-large"),
        ("holds", ""),
        ("differs", "shows torch.float32, documented is torch.float16"),
        ("not compared", "needs facebook/bart-large"),
    ]


def test_an_id_without_a_stand_in_is_not_run_and_not_passed(tmp_path):
    code, report = ask(
        tmp_path, fence('from transformers import BartModel\nBartModel.from_pretrained("nobody/nothing")')
    )
    assert code == 2
    assert report.examples[0].status == "not run"
    assert report.examples[0].reason == "no stand-in for nobody/nothing"


LEAVES = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({pid!r}, "w").write(str(os.getpid()))
        if {bare}:
            os.execve("/bin/sleep", ["sleep", "300"], {{}})
        time.sleep(300)
    os._exit(0)
while not os.path.exists({pid!r}) or not open({pid!r}).read():
    time.sleep(0.01)
{end}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps what lost its parent below the one that began it")
@pytest.mark.parametrize(
    ("end", "limit"),
    [("print('done')", 60), ("os._exit(3)", 60), ("os.kill(os.getpid(), 9)", 60), ("time.sleep(60)", 2)],
)
@pytest.mark.parametrize("bare", [True, False])
def test_a_daemon_that_an_example_leaves_is_ended_with_it(tmp_path, end, limit, bare):
    """It forks twice, in a session of its own, and with ``bare`` without anything of our environment."""
    pid = tmp_path / "pid"
    code = LEAVES.format(pid=str(pid), bare=bare, end=end)
    _, report = ask(tmp_path, fence(code.strip()), "--time-limit", str(limit))
    daemon = int(pid.read_text())
    assert not psutil.pid_exists(daemon) or psutil.Process(daemon).status() == psutil.STATUS_ZOMBIE
    assert report.examples[0].status == ("holds" if "print" in end else "breaks")


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
def test_a_daemon_is_ended_when_the_run_itself_is_killed(tmp_path):
    pid, page = tmp_path / "pid", tmp_path / "page.md"
    page.write_text(fence(LEAVES.format(pid=str(pid), bare=True, end="time.sleep(60)").strip()), encoding="utf-8")
    command = [sys.executable, "-m", "parity", "doctest", str(page), "--out", str(tmp_path / "run")]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
    child.kill()
    child.wait()
    daemon = int(pid.read_text())
    while time.monotonic() < until and psutil.pid_exists(daemon):
        time.sleep(0.05)
    assert not psutil.pid_exists(daemon)
