"""Plans a run: subjects from backends, variants, stacks and dtypes, and the cases that each runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from parity.backends.capabilities import cannot_run, capabilities, install_hint
from parity.backends.registry import named_function
from parity.capture.cache import trace_key
from parity.capture.task import THREADS, CaptureError, Task
from parity.core.backends import BACKENDS, audited, find_entry
from parity.core.case import Case
from parity.core.eligibility import Eligible, eligibility
from parity.core.model_spec import ModelSpec
from parity.core.records import SubjectRecord
from parity.core.subject import FILE, FLAX, ORACLE, REFERENCES, TORCH, Subject, Variant, noise_floor_ensemble

DEFAULT_PRECISION = "+default-precision"


@dataclass(frozen=True)
class Target:
    """A subject of a run, and its capabilities there."""

    subject: Subject
    model_class: str
    documented_class: str
    can: frozenset[str]
    lacking: dict[str, str] = field(default_factory=dict)
    model_types: tuple[str, ...] = ()
    """For a composition, the model types of its halves: a framework may have the composition's class but not a
    half's."""

    @property
    def is_candidate(self) -> bool:
        return self.subject.role == "candidate"

    @property
    def can_run(self) -> bool:
        """Whether it can compute anything (``SubjectRecord.can_run``)."""
        return self.record.can_run

    @property
    def component(self) -> str:
        """What its backend loads: ``model``, ``config`` or ``tokenizer``."""
        return find_entry(self.subject.backend).component

    def accepts(self, model_spec: ModelSpec) -> bool:
        """Whether models of this kind run on it."""
        return (self.documented_class, self.model_types) == model_spec.kind

    def is_requested(self, case: Case) -> bool:
        """Whether a case runs on this subject (``parity.core.eligibility``)."""
        return isinstance(eligibility(self.record, case), Eligible)

    @cached_property
    def record(self) -> SubjectRecord:
        """Its record in the manifest."""
        s, entry = self.subject, find_entry(self.subject.backend)
        return SubjectRecord(
            backend=s.backend,
            variant=s.variant,
            stack=s.stack,
            device=s.device,
            dtype=s.dtype,
            role=s.role,
            label=s.label,
            model_class=self.model_class,
            documented_class=self.documented_class,
            component=entry.component,
            families=list(self.model_types),
            capabilities=sorted(self.can),
            lacking=self.lacking,
            class_prefix=entry.class_prefix,
            reference=entry.reference,
            room_ahead=entry.room_ahead,
            user_model=entry.user_model,
            derives_from=entry.derives_from,
            unjudged=entry.unjudged,
            environment=s.stack,
        )


def target_for(
    subject: Subject, versions: Mapping[str, str], kind: tuple[str, tuple[str, ...]], without: str = ""
) -> Target:
    """A subject with its capabilities for models of a kind.

    Args:
        versions: installed versions where it runs, by distribution.
        kind: the documented class and, of a composition, the model types of its halves.
        without: why it is excluded regardless of its capabilities; "" to include it.
    """
    documented, model_types = kind
    can, lacking = capabilities(
        subject.backend, subject.variant, versions, subject.device, subject.dtype, documented, model_types
    )
    if without:
        can, lacking = [], dict.fromkeys([*can, *lacking], without)
    name = find_entry(subject.backend).class_for(documented)
    return Target(subject, name, documented, frozenset(can), dict(lacking), model_types)


def subjects(
    stacks: Mapping[str, Sequence[str]],
    wanted: Sequence[str] | None,
    device: str,
    dtypes: Sequence[str],
    candidates: Sequence[Subject] | None = None,
    selected: Sequence[str] | None = None,
) -> list[Subject]:
    """All subjects of a run: the oracle, the file, the noise floor's members, then the candidates.

    Args:
        stacks: the backends that each stack offers, by name; the references run in ``main``.
        wanted: ``hf-torch`` or ``hf-torch/sdpa``; None for every backend.
        candidates: these subjects, regardless of what the stacks offer.
        selected: as ``wanted``, but a name that no stack offers is left out.

    Raises:
        CaptureError: a name in ``wanted`` is unknown or offered by no stack.
    """
    precisions = ("", DEFAULT_PRECISION) if device == "cuda" else ("",)
    found = [ORACLE, *(Subject(FILE.backend, dtype=dtype, role="file") for dtype in dtypes)]
    for dtype in dtypes:
        for precision in precisions:
            found += noise_floor_ensemble(device, dtype, precision)
    if candidates is not None:
        return [*found, *candidates]
    candidates = [
        Subject(backend, str(Variant.parse(attention + precision)), stack, where, dtype)
        for stack, offered in stacks.items()
        for backend, attention in _offered(stack, offered, wanted or selected)
        for where, dtype, precision in _computing(backend, device, dtypes, precisions)
    ]
    _all_found(wanted, candidates)
    return found + candidates


def add_peers(
    everyone: Sequence[Subject], versions: Mapping[str, str], references: Sequence[str] | None = None
) -> list[Subject]:
    """The subjects with the noise floor ensemble restricted to the references that can run in ``main``.

    Args:
        versions: of the distributions installed in ``main``.
        references: those that may be members; None: all.
    """
    wanted = REFERENCES if references is None else references
    able = [name for name in REFERENCES if name in wanted and not cannot_run(name, versions)]
    if len(able) == len(REFERENCES):
        return list(everyone)
    settings = dict.fromkeys(
        (s.device, s.dtype, DEFAULT_PRECISION if Variant.parse(s.variant).default_precision else "")
        for s in everyone
        if s.role == "noise_floor"
    )
    members = [member for each in settings for member in noise_floor_ensemble(*each, references=able)]
    others = [s for s in everyone if s.role != "noise_floor"]
    first = next((index for index, s in enumerate(others) if s.role == "candidate"), len(others))
    return [*others[:first], *members, *others[first:]]


def without_peer(backend: str, versions: Mapping[str, str]) -> str:
    """Why a reference that can run is not judged: without its peer nothing measures it; "" for any other backend."""
    if backend not in REFERENCES or cannot_run(backend, versions):
        return ""
    peer = FLAX if backend == TORCH else TORCH
    why = cannot_run(peer, versions)
    install = find_entry(peer).install
    return f"{peer}, the only peer that measures {backend}, cannot run: {why} (pip install {install})" if why else ""


def not_run(
    targets: Sequence[Target],
    wanted: Sequence[str] | None,
    requested: Sequence[str],
    versions: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Requested backends that cannot run, one line each with the cause and what to install.

    Each named backend must be able to run for at least one checkpoint, in each named stack (references: in ``main``
    only). Each checkpoint needs at least one backend that can run: among the named ones in any stack, or in each stack
    where none is named.

    Args:
        requested: names of stacks.
        versions: installed versions, by stack and distribution.
    """
    candidates = [each for each in targets if each.is_candidate]
    lines = []
    for name in wanted or ():
        for stack in ["main"] if name.partition("/")[0] in REFERENCES else requested:
            lines.append(_unable(name, stack, candidates, versions[stack]))
    models = [each for each in candidates if each.component == "model"]
    if wanted is not None and not any(each.can_run for each in models):
        return _once(lines)
    for kind in dict.fromkeys((each.documented_class, each.model_types) for each in targets):
        own = [each for each in models if (each.documented_class, each.model_types) == kind]
        for stacks in [_once(["main", *requested])] if wanted is not None else [[stack] for stack in requested]:
            there = {stack: [each for each in own if each.subject.stack == stack] for stack in stacks}
            if not any(each.can_run for several in there.values() for each in several):
                why = "; ".join(_once(_causes(several, versions[stack]) for stack, several in there.items()))
                lines.append(f"no implementation of {kind[0]} can run in {' or '.join(stacks)}: {why}")
    return _once(lines)


def _once(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, lines)))


def _unable(name: str, stack: str, own: Sequence[Target], versions: Mapping[str, str]) -> str:
    """Why a requested backend, or one variant of it, cannot run in a stack; "" where it can."""
    there = [
        each
        for each in own
        if each.subject.stack == stack
        and _is_wanted(each.subject.backend, each.subject.variant.partition("+")[0], [name])
    ]
    if any(each.can_run for each in there):
        return ""
    if not there:
        return f"{name} cannot run in {stack}: it is not part of the stack"
    return f"{name} cannot run in {stack}: {_causes(there, versions)}"


def _causes(there: Sequence[Target], versions: Mapping[str, str]) -> str:
    """The causes why these cannot run and what to install, without repetition."""
    found = []
    for each in there:
        words = [each.subject.dtype, each.subject.device, *each.lacking]
        why = next((each.lacking[word] for word in words if word in each.lacking), "it has no capability")
        hint = install_hint(each.subject.backend, versions)
        found.append(f"{why} ({hint})" if hint else why)
    return "; ".join(dict.fromkeys(found)) or "no backend is available"


def _computing(
    backend: str, device: str, dtypes: Sequence[str], precisions: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Device, dtype and precision of a backend's subjects. Files are read once, whatever the devices and dtypes of the
    run."""
    if _entry(backend).component != "model":
        return [("cpu", dtypes[0], "")]
    return [(device, dtype, precision) for dtype in dtypes for precision in precisions]


def _offered(stack: str, offered: Sequence[str], wanted: Sequence[str] | None) -> list[tuple[str, str]]:
    """Backend and attention of a stack's candidates, in table order, then third-party ones."""
    names = [*audited(), *(name.partition("/")[0] for name in wanted or ())]
    found = []
    for name in dict.fromkeys(names):
        third_party = name not in BACKENDS
        if not third_party and (name not in offered or (name in REFERENCES and stack != "main")):
            continue
        if _entry(name).stack not in ("", stack):
            continue
        found += [(name, attention) for attention in _entry(name).variants if _is_wanted(name, attention, wanted)]
    return found


def _is_wanted(backend: str, attention: str, wanted: Sequence[str] | None) -> bool:
    return wanted is None or backend in wanted or f"{backend}/{attention}" in wanted


def _entry(name: str) -> Any:
    try:
        return find_entry(name)
    except KeyError as error:
        raise CaptureError(f"--backend {name}: {error.args[0]}") from error


def _all_found(wanted: Sequence[str] | None, candidates: Iterable[Subject]) -> None:
    names = {name for s in candidates for name in (s.backend, f"{s.backend}/{s.variant.partition('+')[0]}")}
    for name in wanted or ():
        if name not in names:
            entry = _entry(name.partition("/")[0])
            raise CaptureError(f"--backend {name}: not in the requested stacks (variants: {', '.join(entry.variants)})")


@dataclass(frozen=True)
class Cell:
    """One case of one checkpoint on one subject, and the path of its trace."""

    subject: int
    checkpoint: str
    case: Case
    task: Task


@dataclass(frozen=True)
class LocalStack:
    """A stack on this machine: how to start it, and what the probe found."""

    name: str
    interpreter: Path
    environment: dict[str, str]
    facts: dict[str, Any]

    def device_name(self, device: str) -> str:
        """The name of the computing hardware: other hardware sums in another order."""
        if device == "cpu":
            return f"cpu {self.facts['cpu']}"
        names = self.cuda_devices()
        return f"{device} {names[0]}" if names else device

    def cuda_devices(self) -> list[str]:
        cuda = self.facts.get("cuda", {})
        return [name for library in ("torch", "jax") for name in cuda.get(library, {}).get("devices", [])]


def make_task(
    local_stack: LocalStack,
    subject: Subject,
    checkpoint: Any,
    case: Case,
    own: str,
    cache: Any,
    run: str = "",
    refused: str = "",
) -> Task:
    """The task of one cell; its id is the cache key of its trace.

    Args:
        checkpoint: ``parity.checkpoint.inspection.Checkpoint``.
        own: digest of our own sources (``sources.OwnSources``).
        cache: ``cache.TraceCache``.
        run: the name of this run, part of the key where the dependencies of a backend are unknown.
        refused: why the backend must not load the checkpoint (``parity.capture.refusals``).
    """
    entry = find_entry(subject.backend)
    versions = {name: local_stack.facts["versions"].get(name) for name in entry.distributions}
    depends = {
        "checkpoint_digest": checkpoint.digest,
        "model_class": checkpoint.model_class,
        "case_digest": case.digest,
        "backend": subject.backend,
        "variant": subject.variant,
        "dtype": subject.dtype,
        "device": local_stack.device_name(subject.device),
        "threads": 1 if Variant.parse(subject.variant).one_thread else THREADS,
        "sources": local_stack.facts["sources"][subject.backend],
        "parity_sources": own,
        "versions": versions,
        "python": local_stack.facts["python"],
        "environment": local_stack.environment,
        **({} if entry.cached else {"run": run}),
        **({"converted": entry.setup["digest"]} if "digest" in entry.setup else {}),
        **({"built_with": named_function(entry.builds_with)()} if entry.builds_with else {}),
        **({"quantised": entry.setup["quantised"]} if "quantised" in entry.setup else {}),
        **({"refused": refused} if refused else {}),
    }
    key = trace_key(**depends)
    provenance = {**depends, "checkpoint": checkpoint.name, "case": case.name, "stack": local_stack.name, "key": key}
    return Task(
        id=key,
        stack=local_stack.name,
        interpreter=local_stack.interpreter,
        environment=local_stack.environment,
        backend=subject.backend,
        variant=subject.variant,
        device=subject.device,
        dtype=subject.dtype,
        checkpoint=checkpoint.path,
        model_class=checkpoint.model_class,
        weight_bytes=checkpoint.weight_bytes,
        case=case.to_json(),
        out=cache.path(key),
        provenance=provenance,
        label=subject.label,
        refused=refused,
        files=tuple({**asdict(file), "path": str(file.path)} for file in checkpoint.handed),
    )
